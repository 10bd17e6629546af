"""Memory that one frame leaves is kept for the next."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def keep_memory() -> None:
    """Let this process keep the memory that is freed, for the next frame of the same size.

    HDF5 takes memory for each compressed frame and gives it back, the C library returns pieces so
    large to the system, and new ones are filled with zeros page by page: half the time of reading.
    For processes that do nothing else; without effect where the C library is not glibc (`man 3
    mallopt`).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**30)
