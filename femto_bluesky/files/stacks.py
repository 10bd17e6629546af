"""A stack of frames in an HDF5 file that can be read while it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

MIMETYPE = "application/x-hdf5"


class FrameStack:
    """Frames of one shape and dtype, appended one by one to a dataset (frames, rows, columns).

    Written with SWMR and flushed after each frame, one chunk a frame, Bitshuffle-LZ4 (lossless; a
    sparse image shrinks to a few percent). The file must not exist: nothing is overwritten, and
    `FileExistsError` says so.
    """

    def __init__(
        self, path: Path, dataset: str, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self.path, self.dataset = path.absolute(), dataset
        try:
            self._file = h5py.File(self.path, "x", libver="latest")
        except FileExistsError:
            raise FileExistsError(
                f"{self.path} exists; frames are never written over. Give another directory or name"
            ) from None
        self._data = self._file.create_dataset(
            dataset,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=dtype,
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        self._file.swmr_mode = True

    def __len__(self) -> int:
        return int(self._data.shape[0])

    @property
    def uri(self) -> str:
        """The file as documents name it."""
        return f"file://localhost{self.path.as_uri().removeprefix('file://')}"

    @property
    def parameters(self) -> dict[str, Any]:
        """What a stream_resource says of the dataset."""
        chunk = [int(size) for size in self._data.chunks]
        return {"dataset": self.dataset, "chunk_shape": chunk, "swmr": True}

    def append(self, frame: NDArray[Any]) -> int:
        """Write a frame and return its index."""
        index = len(self)
        self._data.resize(index + 1, axis=0)
        self._data[index] = frame
        self._data.flush()
        return index

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
