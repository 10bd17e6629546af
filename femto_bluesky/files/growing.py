"""Columns of an HDF5 file that grow row by row and are read by other processes meanwhile.

The file must be opened with ``rdcc_nbytes=0``. Rows then go straight to their place in the file and
the cost of an append is that of its rows. With a chunk cache, or a filter, each flush writes whole
chunks; filtered ones, with SWMR, to a new place each time, and the old place is never used again.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


class Column:
    """A new dataset of one dimension, without rows yet. Text needs a dtype of `text_dtype`."""

    def __init__(
        self,
        group: h5py.Group,
        name: str,
        dtype: DTypeLike,
        rows_per_chunk: int,
        *,
        units: str = "",
        long_name: str = "",
    ) -> None:
        self.data: h5py.Dataset = group.create_dataset(
            name,
            shape=(0,),
            maxshape=(None,),
            chunks=(rows_per_chunk,),
            dtype=dtype,
            fill_time="never",  # else HDF5 brings whole chunks into its cache to fill them
        )
        self._rows_per_chunk = rows_per_chunk
        if units:
            self.data.attrs["units"] = units
        if long_name:
            self.data.attrs["long_name"] = long_name

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one row."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    def growth(self, n_rows: int) -> int:
        """How many bytes the file grows by when the column has so many rows more."""
        there, of_chunk = self.data.id.shape[0], self._rows_per_chunk
        n_chunks = -(-(there + n_rows) // of_chunk) + -there // of_chunk
        return int(n_chunks * of_chunk * self.dtype.itemsize)

    def write(self, first: int, values: ArrayLike) -> None:
        """Put values into the rows from `first` on; the column grows where they are new.

        They are seen by others when the file is flushed.
        """
        rows = np.ascontiguousarray(values, dtype=self.dtype)
        if not rows.size:
            return
        # what h5py does with [...] takes five times as long, and a frame fills twenty columns
        identifier = self.data.id
        if first + rows.size > identifier.shape[0]:
            identifier.set_extent((first + rows.size,))
        place = identifier.get_space()
        place.select_hyperslab((first,), (rows.size,))
        identifier.write(h5py.h5s.create_simple((rows.size,)), place, rows)

    def read(self, first: int, n: int) -> NDArray[Any]:
        """The `n` rows from `first` on."""
        rows: NDArray[Any] = self.data[first : first + n]
        return rows


def text_dtype(n_bytes: int) -> np.dtype[Any]:
    """The type of text of a fixed length; with SWMR, text of any length is not safe to read."""
    dtype: np.dtype[Any] = h5py.string_dtype("utf-8", n_bytes)
    return dtype


def as_text(value: object, n_bytes: int) -> bytes:
    """A value as UTF-8, cut between two characters where it is too long.

    >>> as_text("20 µm", 4)
    b'20 '
    """
    cut = str(value).encode("utf-8", "replace")[:n_bytes]
    return cut.decode("utf-8", "ignore").encode()


def free_name(wanted: str, taken: set[str]) -> str:
    """A name like `wanted` that a dataset can have and that is not taken; it is, from now on.

    >>> taken = {"time"}
    >>> [free_name(name, taken) for name in ("time", "laser on/off", ".")]
    ['time_2', 'laser on_off', 'values']
    """
    base = wanted.replace("/", "_").replace("\0", "_").strip(". ") or "values"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    taken.add(name)
    return name
