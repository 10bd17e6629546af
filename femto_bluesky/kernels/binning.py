"""Images and photons into bins: sums whose order changes no bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SUB_POINTS = 4
"""A pixel is split into so many times so many points where it is shared among bins."""


@njit(cache=True, nogil=True)
def _add(bins: Any, values: Any, sums: Any) -> None:
    for i in range(len(bins)):
        sums[bins[i]] += values[i]


@njit(cache=True, nogil=True)
def _add_products(bins: Any, weights: Any, counts: Any, sums: Any) -> None:
    for i in range(len(bins)):
        if counts[i]:
            sums[bins[i]] += weights[i] * sums.dtype.type(counts[i])


@njit(cache=True, nogil=True)
def _places(q: Any, mask: Any, low: float, width: float, n: int, places: Any, counts: Any) -> None:
    rows, columns = q.shape
    for y in range(rows):
        for x in range(columns):
            place = np.floor((q[y, x] - low) / width)
            if not 0 <= place < n or (mask is not None and mask[y, x]):
                place = n
            places[y, x] = int(place)
            counts[int(place)] += 1


@njit(cache=True, nogil=True)
def _add_at(q: Any, values: Any, low: float, width: float, is_open: bool, sums: Any) -> None:
    n = len(sums)
    for i in range(len(q)):
        place = np.floor((q[i] - low) / width)
        if is_open:
            place = min(max(place, 0), n - 1)
        if 0 <= place < n:
            sums[int(place)] += values[i]


@njit(cache=True, nogil=True)
def _split(
    q: Any, weights: Any, mask: Any, low: float, width: float, is_open: bool, sums: Any
) -> None:
    rows, columns = q.shape
    n = len(sums)
    for y in range(rows):
        above, below = max(y - 1, 0), min(y + 1, rows - 1)
        for x in range(columns):
            if mask is not None and mask[y, x]:
                continue
            left, right = max(x - 1, 0), min(x + 1, columns - 1)
            down = np.float64(q[below, x] - q[above, x]) / max(below - above, 1)
            across = np.float64(q[y, right] - q[y, left]) / max(right - left, 1)
            for i in range(SUB_POINTS):
                start = q[y, x] + down * ((i + 0.5) / SUB_POINTS - 0.5)
                for j in range(SUB_POINTS):
                    point = start + across * ((j + 0.5) / SUB_POINTS - 0.5)
                    place = np.floor((point - low) / width)
                    if is_open:
                        place = min(max(place, 0), n - 1)
                    if 0 <= place < n:
                        sums[int(place)] += weights[y, x]


def places_of(
    q: NDArray[np.float64], mask: NDArray[np.bool_] | None, low: float, width: float, n: int
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The bin of each pixel, of n from `low` on, and how many pixels each has.

    Pixels that are masked or lie in no bin are put in one more, the last.
    """
    places, counts = np.empty(q.shape, np.uint16), np.zeros(n + 1, np.int64)
    _places(q, mask, low, width, n, places, counts)
    return places, counts


def add(bins: NDArray[np.unsignedinteger], values: NDArray[Any], sums: NDArray[Any]) -> None:
    """Add each pixel's value to the sum of its bin, in place.

    `bins` (rows, columns) holds indices into `sums`, all of which must be there.
    """
    _add(bins.ravel(), values.ravel(), sums)


def add_products(
    bins: NDArray[np.unsignedinteger],
    weights: NDArray[Any],
    counts: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """Add weight times count of each pixel to the sum of its bin, in place, in the sum's type."""
    _add_products(bins.ravel(), weights.ravel(), counts.ravel(), sums)


def add_at(
    q: NDArray[np.float64],
    values: NDArray[Any],
    low: float,
    width: float,
    sums: NDArray[np.float64],
    *,
    is_open: bool,
) -> None:
    """Add values at places q to the sums of their bins, in place; for `is_open` see `split`."""
    _add_at(q, values, low, width, is_open, sums)


def split(
    q: NDArray[np.float32],
    weights: NDArray[np.int32],
    mask: NDArray[np.bool_] | None,
    low: float,
    width: float,
    n: int,
    *,
    is_open: bool,
) -> NDArray[np.int64]:
    """The weights of pixels in each of n bins, where a pixel is shared by the area in each.

    A pixel is taken as 4x4 points at which q follows its slope, each with the whole weight: the
    sums are 16 times those of whole pixels. Masked pixels are left out. With `is_open`, what lies
    beyond the first and the last bin counts there; else it is left out.
    """
    sums = np.zeros(n, np.int64)
    _split(q, weights, mask, low, width, is_open, sums)
    return sums


@cache
def warm() -> None:
    """Compile what is above (or load it from the cache) for all kinds of sums, before frames come.

    The first time on a machine that takes some seconds; it is done once in a process.
    """
    bins, sums, norm = np.zeros((1, 1), np.uint16), np.zeros(1), np.zeros(1, np.int64)
    weights, q = np.zeros((1, 1), np.int32), np.zeros((1, 1))
    for dtype in (np.uint32, np.uint64, np.int64, np.float64):
        add(bins, np.zeros((1, 1), dtype), sums)
    add(bins, weights, norm)
    mask = np.zeros((1, 1), np.bool_)
    fixed = mask.copy()
    fixed.flags.writeable = False  # what cannot be written to has compiled code of its own
    for counts in (np.zeros((1, 1), np.uint32), mask, fixed):
        add_products(bins, weights, counts, norm)
        add_products(bins, weights, counts, sums)
    for without in (None, mask, fixed):
        places_of(q, without, 0.0, 1.0, 1)
        split(q.astype(np.float32), weights, without, 0.0, 1.0, 1, is_open=True)
    add_at(q[0], q[0], 0.0, 1.0, sums, is_open=True)
