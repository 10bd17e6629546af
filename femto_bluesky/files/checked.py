"""An HDF5 file that somebody else wrote, or is writing: each dataset is checked before it is read.

What a file declares is not what it holds: a few bytes can declare a dataset of any size. Nothing is
allocated before its size was compared with what the file has on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the compression filters that others may have used)
import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.opening import open_hdf5

MOST_COMPRESSED = 1100
"""Bytes that one byte on the disk may become; gzip, the best here, reaches 1032."""

_WHAT = {"i": "integers", "u": "integers", "f": "floats", "S": "text of fixed length"}


class XyeError(ValueError):
    """A file that holds no photons that could be read; the message says what is wrong with it."""


class XyeFileError(OSError):
    """A photon file that is not there or cannot be opened."""


class CheckedFile:
    """An open file; see `open_checked`. Its methods raise `XyeError`."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def names(self) -> list[str]:
        """What stands at the top of the file; of many names, the first ones."""
        return [f"/{name}" for name in islice(self._file, 20)]

    def length(self, name: str) -> int:
        """The number of rows of a column."""
        return int(self._dataset(name, 1).shape[0])

    def column(self, name: str, kinds: str, n: int | None = None) -> NDArray[Any]:
        """The first `n` rows (None: all) of a column with a dtype of these kinds."""
        data = self._dataset(name, 1)
        if data.dtype.kind not in kinds:
            raise XyeError(
                f"{self.path}: {name} has the type {data.dtype}, expected "
                f"{' or '.join(dict.fromkeys(_WHAT[kind] for kind in kinds))}"
            )
        n = data.shape[0] if n is None else n
        self.check_rows(name, n)
        rows: NDArray[Any] = data[:n]
        return rows

    def check_rows(self, name: str, n: int) -> None:
        """Raise where a column is not long enough for `n` rows, or cannot hold them."""
        data = self._dataset(name, 1)
        if data.shape[0] < n:
            raise XyeError(
                f"{self.path}: {name} has {data.shape[0]} rows, but the columns beside it have "
                f"{n}; the file is damaged"
            )
        self._check_size(data, n)

    def table(self, name: str, columns: int) -> NDArray[Any]:
        """All of a dataset (rows, `columns`) of real numbers."""
        data = self._dataset(name, 2)
        if data.shape[1] != columns or data.dtype.kind not in "iuf":
            raise XyeError(
                f"{self.path}: {name} has the shape {data.shape} and the type {data.dtype}, "
                f"expected (photons, {columns}) of real numbers"
            )
        self._check_size(data, data.shape[0])
        rows: NDArray[Any] = data[()]
        return rows

    def numbers(self, name: str, n: int) -> NDArray[Any] | None:
        """`n` real numbers, or None where there is nothing of the name."""
        data = self._file.get(name)
        if data is None:
            return None
        if not isinstance(data, h5py.Dataset) or data.size != n or data.dtype.kind not in "iuf":
            raise XyeError(f"{self.path}: {name} is {data}, expected {n} numbers")
        return np.ravel(data[()])

    def text(self, name: str) -> str:
        """A text, or "" where there is nothing of the name."""
        data = self._file.get(name)
        if data is None:
            return ""
        if (
            not isinstance(data, h5py.Dataset)
            or data.shape != ()
            or h5py.check_string_dtype(data.dtype) is None
        ):
            raise XyeError(f"{self.path}: {name} is {data}, expected a text")
        self._check_size(data, 1)
        value = data[()]
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def attribute(self, name: str, attribute: str) -> Any:
        """An attribute as Python has it, or None."""
        value = self._file[name].attrs.get(attribute)
        return value.item() if isinstance(value, np.generic) else value

    def readings(self, group: str) -> list[tuple[str, str, str]]:
        """Name, role and full name of each dataset of a group that says that it has a role."""
        found = []
        for name in self._file[group]:
            role = self.attribute(f"{group}/{name}", "role")
            if role in ("position", "label"):
                full_name = self.attribute(f"{group}/{name}", "long_name")
                found.append((name, role, str(full_name)))
        return found

    def link(self, name: str) -> h5py.ExternalLink | None:
        """Where a link to another file leads, or None; the other file is not opened."""
        link = self._file.get(name, getlink=True)
        return link if isinstance(link, h5py.ExternalLink) else None

    def _dataset(self, name: str, ndim: int) -> h5py.Dataset:
        data = self._file.get(name)
        if not isinstance(data, h5py.Dataset):
            raise XyeError(
                f"{self.path}: found no dataset {name}, expected one in every photon file; the "
                "file is damaged"
            )
        if data.ndim != ndim:
            raise XyeError(
                f"{self.path}: {name} has the shape {data.shape}, expected {ndim} dimensions"
            )
        return data

    def _check_size(self, data: h5py.Dataset, n: int) -> None:
        """Raise where `n` rows cannot be in the file."""
        n_bytes = n * data.dtype.itemsize
        for size in data.shape[1:]:
            n_bytes *= int(size)
        held = min(data.id.get_storage_size(), self.path.stat().st_size)
        if data.id.get_create_plist().get_nfilters():
            held *= MOST_COMPRESSED
        if n_bytes > held or data.external is not None:
            raise XyeError(
                f"{self.path}: {data.name} declares {n} rows, {n_bytes} bytes, but the file holds "
                f"no more than {held} bytes of it; it is damaged, or not to be trusted"
            )


@contextmanager
def open_checked(path: Path) -> Iterator[CheckedFile]:
    """Open a file, also one that is being written or whose writer was killed.

    Raises `XyeFileError` where it is not there, `XyeError` where it is no HDF5 or is damaged.
    """
    if not path.is_file():
        raise XyeFileError(f"{path}: no such file; give the photon file, <raw name>_xye.h5")
    with _open(path) as file:
        try:
            yield CheckedFile(path, file)
        except XyeError:
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            # what h5py raises depends on the part of the file that is broken
            raise XyeError(f"{path}: the file is damaged ({error})") from error


def _open(path: Path) -> h5py.File:
    try:
        return open_hdf5(path)
    except PermissionError as error:
        raise XyeFileError(f"{path}: {error}; ask its owner to let you read it") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise XyeError(
            f"{path}: not readable as HDF5 ({error}); give a photon file, <raw name>_xye.h5"
        ) from error
