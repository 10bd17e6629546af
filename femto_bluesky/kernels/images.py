"""Running sums of images, each in one pass over the memory.

Every kernel takes 2-D arrays of native byte order and releases the interpreter lock. The inner
loops stand in functions of one row: written as one nest of loops they do not vectorise (1.9 times
slower). A mask is a boolean array, True where a pixel carries no data.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _add_row(row: NDArray[Any], total: NDArray[Any]) -> None:
    for i in range(row.shape[0]):
        total[i] += row[i]


@njit(cache=True, nogil=True)
def add(pixels: NDArray[Any], total: NDArray[Any]) -> None:
    """Add an image to a running sum of the same shape, in place."""
    for y in range(pixels.shape[0]):
        _add_row(pixels[y], total[y])


@njit(cache=True, nogil=True)
def _add_valid_row(row: NDArray[Any], mask: NDArray[Any], total: NDArray[Any], zero: Any) -> None:
    for i in range(row.shape[0]):
        # a choice of value, not of addition: a conditional store does not vectorise
        total[i] += zero if mask[i] else row[i]


@njit(cache=True, nogil=True)
def _add_valid(pixels: NDArray[Any], mask: NDArray[Any], total: NDArray[Any], zero: Any) -> None:
    for y in range(pixels.shape[0]):
        _add_valid_row(pixels[y], mask[y], total[y], zero)


def add_valid(pixels: NDArray[Any], mask: NDArray[Any], total: NDArray[Any]) -> None:
    """Add the pixels of an image that are not masked to a running sum, in place."""
    # a zero of the pixels' own type: with another, float32 pixels would go through float64
    _add_valid(pixels, mask, total, pixels.dtype.type(0))
