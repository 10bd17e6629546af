"""Open HDF5 files: new ones, and those that another process is writing or left unfinished.

HDF5 must never find a disk full. What it could not write it keeps, and tries again when the file
is closed: the file is cut off then, or the process ends (a segmentation fault; measured with h5py
3.16 on HDF5 2.0). So room is taken from the disk first (`take_room`), and HDF5 writes into it.
"""

from __future__ import annotations

import errno
import math
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py

from femto_bluesky.files.names import OutputError, check_free

NEW_FILE_BYTES = 4 * 2**20
"""What a new file takes at once, with its first chunks."""

TABLE_BYTES = 2**20
"""What HDF5 may write beside the data: its own tables, which grow."""

SPARE_BYTES = 4 * 2**20
"""What is left free on a disk, for those who write something else."""

TRUSTED_BYTES = 64 * 2**20
"""What any file may declare for one image or one chunk."""
TRUSTED_RATIO = 100
"""What it may declare more for each of its own bytes."""

_CANNOT_ALLOCATE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

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
        end = _end_of(file.read(_END_ADDRESS + 8))
    if end is not None and path.stat().st_size < end:
        raise ValueError(f"it is cut off at {path.stat().st_size} of {end} bytes")
    return h5py.File(path, "r", swmr=True, libver="latest")


def _end_of(superblock: bytes) -> int | None:
    """Where a file says that it ends; None where it says so in another way."""
    if superblock[:8] != _SIGNATURE or superblock[8:10] != _VERSION_WITH_SWMR:
        return None
    return int.from_bytes(superblock[_END_ADDRESS:], "little")


def check_room(path: Path, n_bytes: int) -> None:
    """Raise `OutputError` unless a file's disk has room for so much more, and some to spare."""
    try:
        free = shutil.disk_usage(path.parent).free
    except FileNotFoundError:
        return  # it was moved while it is written; whether there is room is seen when it is taken
    if free < n_bytes + SPARE_BYTES:
        raise OutputError(
            f"{path}: the disk is full: {free / 1e6:.1f} MB are free, "
            f"{(n_bytes + SPARE_BYTES) / 1e6:.1f} MB are needed; make room on it"
        )


def take_room(file: h5py.File, n_bytes: int) -> None:
    """Take from the disk what HDF5 may write next: `n_bytes` of data, and its own tables.

    Raises `OutputError` where there is not so much, and nothing has changed then. What HDF5 does
    not need goes back with a flush, or with `close_hdf5`. File systems that write to a new place
    each time, and those of the network that find out late, promise less.
    """
    path, descriptor = Path(file.filename), file.id.get_vfd_handle()
    # HDF5 cuts off what is behind its own end, and no hole is before it: all of that was taken
    size = os.fstat(descriptor).st_size
    end = file.id.get_filesize() + n_bytes + n_bytes // 64 + TABLE_BYTES
    if end <= size:
        return
    check_room(path, end - size)
    try:
        _allocate(descriptor, size, end)
    except OSError as error:
        raise OutputError(
            f"{path}: no room for {(end - size) / 1e6:.1f} MB more: {error.strerror}; make room on "
            "the disk"
        ) from error


def is_gone(file: h5py.File) -> bool:
    """Whether an open file was deleted. One that was moved is not: what is written goes there."""
    return os.fstat(file.id.get_vfd_handle()).st_nlink == 0


def close_hdf5(file: h5py.File) -> None:
    """Close a file that `create_hdf5` made, and give back what it has not needed."""
    if not file:
        return
    descriptor = os.dup(file.id.get_vfd_handle())
    try:
        file.close()
        end = _end_of(os.pread(descriptor, _END_ADDRESS + 8, 0))
        if end is not None and end < os.fstat(descriptor).st_size:
            os.ftruncate(descriptor, end)
    finally:
        os.close(descriptor)


def _allocate(descriptor: int, start: int, end: int) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, start, end - start)
    except OSError as error:
        if error.errno not in _CANNOT_ALLOCATE:
            raise


def create_hdf5(path: Path, *, chunk_cache_bytes: int | None = None) -> h5py.File:
    """A new file, which may be written with SWMR; the cache is that of each dataset.

    It has room for what is written at once. Raises `OutputExistsError` where the name is taken,
    `OutputError` where nothing can be written; no file is left then.
    """
    check_free(path)
    check_room(path, NEW_FILE_BYTES)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        check_free(path)  # another process was quicker
        raise
    except OSError as error:
        raise _cannot_create(path, error) from error
    try:
        # HDF5 itself would only find out that it cannot write when it has begun
        with os.fdopen(descriptor, "wb") as new:
            new.write(_empty_file())
        file = h5py.File(path, "r+", libver="latest", rdcc_nbytes=chunk_cache_bytes)
        try:
            take_room(file, NEW_FILE_BYTES)
        except BaseException:
            file.close()
            raise
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise _cannot_create(path, error) from error
        raise
    return file


def in_memory() -> h5py.File:
    """A new file that is on no disk; `image_of` gives its bytes."""
    return _in_memory(None)


def image_of(file: h5py.File) -> bytes:
    """The bytes of a file that is in memory."""
    file.flush()
    image: bytes = file.id.get_file_image()
    return image


def _empty_file() -> bytes:
    with _in_memory("latest") as file:
        return image_of(file)


def _in_memory(libver: str | None) -> h5py.File:
    # HDF5 takes two files of one name for one file
    name = secrets.token_hex(8)
    return h5py.File(name, "w", driver="core", backing_store=False, libver=libver)


def _cannot_create(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot create {path}: {error.strerror or error}; choose a folder where you may write, or "
        "make room on the disk"
    )


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
    bound = 2 * data.size * item + chunk + 4096
    # to add up the chunks takes long where there are many
    is_large = data.chunks is not None and path.stat().st_size > bound
    if is_large and data.id.get_storage_size() > bound:
        return f"{data.name} holds more bytes than its shape {data.shape} has, compressed"
    if data.external:
        return f"{data.name} has its pixels in other files: {data.external[0][0][:200]!r}"
    return None
