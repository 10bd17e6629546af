"""Arrays that say they are larger than they are."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def is_repeated(array: NDArray[Any]) -> bool:
    """Whether an array is larger than the memory it stands in, and than anyone should copy.

    numpy.broadcast_to makes terabytes out of a number; 64 MB of that are let pass.
    """
    if array.nbytes <= 64 * 2**20:
        return False
    span = sum((n - 1) * abs(step) for n, step in zip(array.shape, array.strides, strict=True))
    return bool(array.nbytes > span + array.itemsize)
