"""Open HDF5 files: new ones, and those that another process is writing or left unfinished."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py

from femto_bluesky.files.names import OutputError, check_free

NEW_FILE_BYTES = 4 * 2**20
"""What a new file takes at once, with its first chunks."""

SPARE_BYTES = 4 * 2**20
"""What HDF5 may write beside the data: its own tables, which grow."""

TRUSTED_BYTES = 64 * 2**20
"""What any file may declare for one image or one chunk."""
TRUSTED_RATIO = 100
"""What it may declare more for each of its own bytes."""

# HDF5 File Format Specification 4.0, II.A: the superblock, version 3 with addresses of 8 bytes
_SIGNATURE, _VERSION_WITH_SWMR, _END_ADDRESS = b"\x89HDF\r\n\x1a\n", b"\x03\x08", 28


def open_hdf5(path: Path) -> h5py.File:
    """The open file: plainly if it is finished, with SWMR (`swmr_mode` says so) if it is written.

    Raises `OSError` (`PermissionError`) or `ValueError` where no way leads in.
    """
    ways: list[Callable[[], h5py.File]] = [
        # with all checks, which a file that is being written, or whose writer died, does not pass
        lambda: h5py.File(path, "r"),
        lambda: _open_growing(path),
        # for file systems that know no locks
        lambda: h5py.File(path, "r", locking=False),
    ]
    failure: Exception | None = None
    for way in ways:
        try:
            return way()
        except PermissionError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            failure = error  # of a damaged file h5py raises what HDF5 happens to stumble on
    raise OSError(str(failure)) from failure


def _open_growing(path: Path) -> h5py.File:
    """Open with SWMR, unless the end is missing: HDF5 would wait for it, for good."""
    with path.open("rb") as file:
        superblock = file.read(_END_ADDRESS + 8)
    if superblock[:8] == _SIGNATURE and superblock[8:10] == _VERSION_WITH_SWMR:
        end = int.from_bytes(superblock[_END_ADDRESS:], "little")
        if path.stat().st_size < end:
            raise ValueError(f"it is cut off at {path.stat().st_size} of {end} bytes")
    return h5py.File(path, "r", swmr=True, libver="latest")


def check_room(path: Path, n_bytes: int) -> None:
    """Raise `OutputError` unless the disk of a file has room for so much more, and some to spare.

    To be asked before HDF5 is: a file that it cannot write to the end ends the whole process when
    it is closed (a segmentation fault; measured with h5py 3.16 on HDF5 2.0).
    """
    free = shutil.disk_usage(path.parent).free
    if free < n_bytes + SPARE_BYTES:
        raise OutputError(
            f"{path}: the disk is full: {free / 1e6:.1f} MB are free, "
            f"{(n_bytes + SPARE_BYTES) / 1e6:.1f} MB are needed; make room on it"
        )


def create_hdf5(path: Path, *, chunk_cache_bytes: int | None = None) -> h5py.File:
    """A new file, which may be written with SWMR; the cache is that of each dataset.

    Raises `OutputExistsError` where the name is taken, `OutputError` where nothing can be written.
    """
    check_free(path)
    check_room(path, NEW_FILE_BYTES)
    try:
        return h5py.File(path, "x", libver="latest", rdcc_nbytes=chunk_cache_bytes)
    except FileExistsError:
        check_free(path)  # another process was quicker
        raise
    except OSError as error:
        raise OutputError(f"cannot create {path}: {error}; choose a folder to write in") from error


def untrusted(data: h5py.Dataset, path: Path, n_images: int = 1) -> str | None:
    """Why the images of a dataset should not be read: their sizes are a lie, or a bomb; else None.

    To be asked before memory is taken: a few bytes can declare a dataset of any size, and a chunk
    becomes whatever was compressed into it. Pixels that are kept in other files, which need not be
    HDF5, are not read either. `n_images` are read at a time.
    """
    if data.size == 0:
        return None  # there is nothing to be read yet; what fills it is at work
    item = data.dtype.itemsize
    image = n_images * math.prod(data.shape[-2:]) * item
    chunk = math.prod(data.chunks or (0,)) * item
    most = TRUSTED_BYTES + TRUSTED_RATIO * path.stat().st_size
    if max(image, chunk) > most:
        return (
            f"{data.name} declares images of {image} bytes in chunks of {chunk}, more than the "
            f"{most} bytes with which a file of {path.stat().st_size} is trusted"
        )
    if data.chunks and data.id.get_storage_size() > 2 * data.size * item + chunk + 4096:
        return f"{data.name} holds more bytes than its shape {data.shape} has, compressed"
    if data.external:
        return f"{data.name} has its pixels in other files: {data.external[0][0][:200]!r}"
    return None
