"""One open handle for each HDF5 dataset, whoever reads it in this process.

Two handles are not only waste. When a chunked dataset is open twice in one process with SWMR and
either handle is refreshed, from then on both read frame 0 whatever frame is asked for, without an
error. Measured with h5py 3.16.0 on HDF5 2.0.0; two analyses on one RunEngine do just that.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the compression filters that detectors write with)
import numpy as np

from femto_bluesky.files.opening import open_hdf5, untrusted

log = logging.getLogger(__name__)

MAX_CHUNK_CACHE_BYTES = 512 * 1024**2

Key = tuple[int, int, str]

lock = threading.RLock()
"""Held while anything here is opened, looked at, read or closed: a file may be opened anew for one
thread while another reads it. HDF5 does one thing at a time anyway."""

# Shared by all readers of the process, for so is what HDF5 holds of an open file.
_open: dict[Key, OpenDataset] = {}


class FrameError(RuntimeError):
    """Frames that cannot be read or cannot be told apart; the message names where and why."""


class OpenDataset:
    """An open dataset (frames, rows, columns) and how many read it; see `acquire`."""

    def __init__(self, path: Path, dataset: str, key: Key) -> None:
        self.path, self.dataset = path, dataset
        self.n_readers = 0
        self._key = key
        self._seen = _state(path)
        self._file = _open_file(path)
        try:
            self.data = self._find()
        except (KeyError, OSError, TypeError, ValueError) as error:
            self._file.close()
            raise FrameError(f"{path}: {dataset!r:.200} is damaged ({error})") from error
        except BaseException:
            self._file.close()
            raise

    def refresh(self) -> None:
        """Look for frames that were added since.

        Raises `FrameError` where somebody else in this process has the dataset open, too.
        """
        with lock:
            self._refresh()

    def _refresh(self) -> None:
        state = _state(self.path)
        if self._file.id.get_intent() & h5py.h5f.ACC_RDWR:
            return  # it is written in this very process, which knows
        if not self._file.swmr_mode:
            if state != self._seen:
                # opened without SWMR, it shows what was added since only when opened anew
                self._file.close()
                self._file = _open_file(self.path)
                self.data = self._find()
        elif h5py.h5f.get_obj_count(self._file.id, h5py.h5f.OBJ_DATASET) == self._n_own():
            self.data.refresh()  # the one of `data.id` leaves the shape that h5py remembers
        elif state != self._seen:
            raise FrameError(
                f"{self.path}: the file grows, and found another open handle of a dataset of it, "
                "expected none but ours: HDF5 would give wrong frames. Close what else opened it "
                "in this process, or read it from a process of its own"
            )
        self._seen = state

    def release(self) -> None:
        """Close the file if nobody else reads it."""
        with lock:
            self.n_readers -= 1
            if self.n_readers == 0:
                _open.pop(self._key, None)
                self.close()

    def close(self) -> None:
        """Close the file, whoever reads it."""
        self._file.close()

    def _n_own(self) -> int:
        """How many datasets of this file are open here, each with one handle; see `acquire`."""
        return sum(key[:2] == self._key[:2] for key in _open)

    def _find(self) -> h5py.Dataset:
        try:
            found = self._file.get(self.dataset)
        except RuntimeError as error:  # of HDF5, of a damaged file
            raise FrameError(f"{self.path}: {self.dataset!r:.200} is damaged ({error})") from error
        if not isinstance(found, h5py.Dataset):
            names: list[str] = []
            self._file.visititems(lambda n, o: names.append(n) if _is_stack(o) else None)
            raise FrameError(
                f"{self.path}: no dataset {self.dataset!r}; datasets of frames in it: "
                f"{names[:20] or 'none'}"
            )
        if found.ndim not in (2, 3) or found.dtype.kind not in "buif":
            raise FrameError(
                f"{self.path}: {self.dataset!r} has shape {found.shape} and dtype {found.dtype}; "
                "expected (frames, rows, columns) of real numbers"
            )
        if (why := untrusted(found, Path(found.file.filename))) is not None:
            raise FrameError(
                f"{self.path}: {why}; the file is damaged, or not to be trusted; copy it again"
            )
        return _with_chunk_cache(found)


def acquire(path: Path, dataset: str) -> OpenDataset:
    """The dataset, opened if nobody has it open. Every caller must `release()` it once.

    Raises `FrameError` for a file or a dataset that is not there or holds no images.
    """
    if not path.is_file():
        raise FrameError(
            f"{path}: no such file; the documents say that frames are in it. Mount the "
            "disk that it is on, move it back, or put it beside the .jsonl that names it"
        )
    with lock:
        state = path.stat()
        key = (state.st_dev, state.st_ino, dataset.strip("/"))
        found = _open.get(key)
        if found is None:
            found = OpenDataset(path, dataset, key)
            for other, held in _open.items():
                if other[:2] == key[:2] and held.data.id == found.data.id:
                    # by another name, a link: a second handle would give wrong frames
                    found.close()
                    found = held
                    break
            else:
                _open[key] = found
        found.n_readers += 1
        return found


def _open_file(path: Path) -> h5py.File:
    try:
        return open_hdf5(path)
    except (OSError, ValueError) as error:
        raise FrameError(
            f"{path}: not readable as HDF5 ({error}); while it is being written, the "
            'writer must use libver="latest" and swmr_mode'
        ) from error


def _state(path: Path) -> tuple[int, int]:
    """Time of the last change and size: what tells that a file was written to."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _with_chunk_cache(data: h5py.Dataset) -> h5py.Dataset:
    chunks = data.chunks
    if data.ndim != 3 or chunks is None or chunks[0] == 1:
        return data
    across = [-(-size // chunk) for size, chunk in zip(data.shape[1:], chunks[1:], strict=True)]
    needed = int(np.prod(chunks) * np.prod(across) * data.dtype.itemsize)
    if needed > MAX_CHUNK_CACHE_BYTES:
        log.warning(
            "%s: %s has chunks of %d frames (%d MB to read one frame); reading is slow. "
            "Write one frame a chunk",
            data.file.filename, data.name, chunks[0], needed // 10**6,
        )  # fmt: skip
        return data
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(10007, needed, 1.0)
    return h5py.Dataset(h5py.h5d.open(data.file.id, data.name.encode(), access))


def _is_stack(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim in (2, 3)
