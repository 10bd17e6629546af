"""Pixels that stand in an HDF5 file as they are, read or mapped without HDF5.

HDF5 holds one lock for all files of a process while it reads, and so do threads that wait for it.
"""

from __future__ import annotations

import errno
import mmap
import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

MADV_POPULATE_READ = 22
"""Bring pages into memory now, as a read does (Linux 5.14, `man 2 madvise`)."""


class PlainBytes:
    """Where the pixels of a dataset stand as they are: a file descriptor, the first byte.

    The descriptor is a copy, and closed with this object: a read goes on while another thread has
    HDF5 open the file anew.
    """

    def __init__(self, descriptor: int, offset: int) -> None:
        self.descriptor, self.offset = os.dup(descriptor), offset

    def __del__(self) -> None:
        os.close(self.descriptor)

    def read(self, offset: int, into: NDArray[Any]) -> int:
        """Fill an array; how many bytes there were."""
        view, done = into.data.cast("B"), 0
        while n := os.preadv(self.descriptor, [view[done:]], offset + done):
            done += n
        return done

    def mapped(self, offset: int, like: NDArray[Any]) -> NDArray[Any] | None:
        """An array on the file itself; None where that cannot be done, or is not safe."""
        before = offset % mmap.ALLOCATIONGRANULARITY
        if before % like.itemsize or os.fstat(self.descriptor).st_size < offset + like.nbytes:
            return None
        # a private map is writable, which spares kernels a second compilation, and never written
        pages = mmap.mmap(
            self.descriptor, before + like.nbytes, access=mmap.ACCESS_COPY, offset=offset - before
        )
        try:
            # as a read would, this gives an error where a bare look at the memory would kill
            pages.madvise(MADV_POPULATE_READ)
        except OSError as error:
            pages.close()
            if error.errno == errno.EINVAL:
                return None  # a kernel before Linux 5.14
            raise
        return np.frombuffer(pages, like.dtype, like.size, before).reshape(like.shape)


def plain_bytes(data: h5py.Dataset, dtype: np.dtype[Any]) -> PlainBytes | None:
    """Where the pixels can be read without HDF5; None where only HDF5 knows how to."""
    offset = data.id.get_offset()
    if data.chunks is not None or offset is None or data.external or data.size == 0:
        return None
    if data.dtype != dtype or dtype.kind not in "uif" or not data.dtype.isnative:
        return None
    file = data.file
    # what this process itself writes may still be in HDF5's memory; a user block shifts offsets
    is_written_here = file.id.get_intent() & h5py.h5f.ACC_RDWR
    if file.driver != "sec2" or file.userblock_size or is_written_here:
        return None
    return PlainBytes(file.id.get_vfd_handle(), offset)
