"""Stacks of frames in an HDF5 file: lossless, one chunk a frame, readable while they grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.names import check_free
from femto_bluesky.files.opening import close_hdf5, create_hdf5, take_room

MIMETYPE = "application/x-hdf5"


def file_uri(path: Path) -> str:
    """The file as documents name it; `path` must be absolute."""
    return f"file://localhost{path.as_uri().removeprefix('file://')}"


class FrameFile:
    """A new HDF5 file that takes any number of stacks and can be read when it is closed.

    The file is made with the first stack. Raises `OutputExistsError` where `path` is taken, and
    `OutputError` where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._file: h5py.File | None = None
        check_free(self.path)

    def stack(self, dataset: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> FrameStack:
        """A new stack, without frames yet."""
        if self._file is None:
            self._file = create_hdf5(self.path)
        return FrameStack(self._file, dataset, shape, dtype)

    def close(self) -> None:
        """Close the file with all its stacks."""
        if self._file is not None:
            close_hdf5(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class FrameStack:
    """Frames of one shape and dtype, appended one by one to a dataset (frames, rows, columns).

    One chunk a frame, Bitshuffle-LZ4 (lossless; a sparse image shrinks to a few percent), flushed
    after each frame. With a path, the stack has a new file for itself, written with SWMR: other
    processes can read it while it grows. (HDF5 takes no further dataset then, which is why a
    `FrameFile` of several stacks is not.) Raises as `FrameFile` does.
    """

    def __init__(
        self, file: Path | h5py.File, dataset: str, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self._file = create_hdf5(file.absolute()) if isinstance(file, Path) else file
        self.path, self.dataset, self.shape = Path(self._file.filename), dataset, tuple(shape)
        self._data = self._file.create_dataset(
            dataset,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=dtype,
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        if isinstance(file, Path):
            self._file.swmr_mode = True

    def __len__(self) -> int:
        return int(self._data.shape[0])

    @property
    def uri(self) -> str:
        """The file as documents name it."""
        return file_uri(self.path)

    @property
    def parameters(self) -> dict[str, Any]:
        """What a stream_resource says of the dataset."""
        chunk = [int(size) for size in self._data.chunks]
        return {"dataset": self.dataset, "chunk_shape": chunk, "swmr": bool(self._file.swmr_mode)}

    def append(self, frame: NDArray[Any]) -> int:
        """Write a frame and return its index. Raises `ValueError` for one of another shape."""
        if np.shape(frame) != self.shape:
            raise ValueError(
                f"{self.path}: append frames of {list(self.shape)} to {self.dataset!r}; found "
                f"{list(np.shape(frame))}"
            )
        index = len(self)
        take_room(self._file, np.asarray(frame).nbytes)
        self._data.resize(index + 1, axis=0)
        self._data[index] = frame
        self._data.flush()
        return index

    def close(self) -> None:
        """Close the file."""
        close_hdf5(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
