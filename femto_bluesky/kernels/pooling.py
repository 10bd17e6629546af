"""An image of millions of pixels on a screen of a few hundred: blocks of pixels become one.

A square block of `factor` x `factor` pixels becomes its largest valid pixel, so that a single
photon is never lost between the pixels of a screen, or the mean of its valid ones. Every kernel
takes C-contiguous arrays and releases the interpreter lock. As in `kernels.images` the loops over a
row stand in functions of their own, and choose values: only so do they vectorise. The array may be
written to meanwhile.

`mask` is True where a pixel carries no data, or None. The image must hold 0 there, as sums do: then
the mask has to be asked only in blocks whose largest pixel is 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Pooled(NamedTuple):
    """A pooled region, and what was found in all of its pixels.

    `values` (rows, columns) are of the image's type (means: float64), `is_empty` is True where a
    block has no valid pixel, None where there is no such block. `total` is the sum.
    """

    values: NDArray[Any]
    is_empty: NDArray[np.bool_] | None
    total: float


class Extremes(NamedTuple):
    """The smallest and the largest valid pixel; 0 and 0 where there is none."""

    lowest: float
    hottest: float


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _raise_and_sum(row: Any, top: Any, zero: Any) -> Any:
    total = zero
    for i in range(row.shape[0]):
        value = row[i]
        top[i] = max(top[i], value)
        total += value
    return total


@njit(cache=True, nogil=True)
def _add_to(row: Any, sums: Any) -> None:
    for i in range(row.shape[0]):
        sums[i] += row[i]


@njit(cache=True, nogil=True)
def _larger_of_two(some: Any, others: Any, out: Any) -> None:
    for i in range(others.shape[0]):
        one, other = some[i], others[i]
        out[i] = max(one, other)


@njit(cache=True, nogil=True)
def _largest_across(top: Any, spare: Any, factor: int, out: Any) -> None:
    """The largest of each `factor` values; both rows, as long as each other, are written to.

    Each value becomes the largest of itself and 1, 3, 7... that follow it: few passes, which
    vectorise as a loop over each block does not (into another row, or they would not either).
    """
    n, n_full = top.shape[0], top.shape[0] // factor
    if n_full < out.shape[0]:
        largest = top[n_full * factor]
        for i in range(n_full * factor + 1, n):
            largest = max(largest, top[i])
        out[n_full] = largest
    width = 1
    while width < factor:
        away = min(width, factor - width)
        _larger_of_two(top, top[away:], spare)
        top, spare = spare, top
        width += away
    for c in range(n_full):
        out[c] = top[c * factor]


@njit(cache=True, nogil=True)
def _max(
    img: Any, y0: int, y1: int, x0: int, x1: int, factor: int, lowest: Any, zero: Any, out: Any
) -> Any:
    top, spare = np.empty(x1 - x0, img.dtype), np.empty(x1 - x0, img.dtype)
    total = zero
    for r in range(out.shape[0]):
        top[:] = lowest
        for y in range(y0 + r * factor, min(y0 + (r + 1) * factor, y1)):
            total += _raise_and_sum(img[y, x0:x1], top, zero)
        _largest_across(top, spare, factor, out[r])
    return total


@njit(cache=True, nogil=True)
def _largest_valid(img: Any, mask: Any, y0: int, y1: int, x0: int, x1: int) -> Any:
    """Whether a block whose largest pixel is 0 has a valid one, and the largest of them."""
    is_known, largest = False, img[y0, x0]
    for y in range(y0, y1):
        for x in range(x0, x1):
            if not mask[y, x] and (not is_known or img[y, x] > largest):
                is_known, largest = True, img[y, x]
                if largest >= 0:  # mostly the first one: there is none above 0
                    return True, largest
    return is_known, largest


@njit(cache=True, nogil=True)
def _settle(
    img: Any,
    mask: Any,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
    factor: int,
    lowest: Any,
    out: Any,
    empty: Any,
) -> int:
    """Look again at blocks whose largest pixel is 0, at their valid pixels alone."""
    n_empty, is_unsigned = 0, lowest == 0
    for r in range(out.shape[0]):
        top = y0 + r * factor
        bottom = min(top + factor, y1)
        for c in range(out.shape[1]):
            if out[r, c] != 0:
                continue
            left = x0 + c * factor
            if not mask[top, left] and (is_unsigned or img[top, left] == 0):
                continue
            right = min(left + factor, x1)
            is_known, largest = _largest_valid(img, mask, top, bottom, left, right)
            if is_known:
                out[r, c] = largest
            else:
                empty[r, c] = True
                n_empty += 1
    return n_empty


@njit(cache=True, nogil=True)
def _mean(
    img: Any, mask: Any, y0: int, y1: int, x0: int, x1: int, factor: int, out: Any, empty: Any
) -> int:
    sums = np.empty(x1 - x0, np.float64)
    masked = np.zeros(x1 - x0, np.int64)
    n_empty = 0
    for r in range(out.shape[0]):
        sums[:] = 0
        masked[:] = 0
        first, last = y0 + r * factor, min(y0 + (r + 1) * factor, y1)
        for y in range(first, last):
            _add_to(img[y, x0:x1], sums)
            if mask is not None:
                _add_to(mask[y, x0:x1], masked)
        for c in range(out.shape[1]):
            left, right = c * factor, min((c + 1) * factor, x1 - x0)
            n = (last - first) * (right - left) - masked[left:right].sum()
            out[r, c] = sums[left:right].sum() / n if n > 0 else 0.0
            if n == 0:
                empty[r, c] = True
                n_empty += 1
    return n_empty


@njit(cache=True, nogil=True)
def _lower_and_raise(row: Any, low: Any, top: Any) -> None:
    for i in range(row.shape[0]):
        value = row[i]
        top[i] = max(top[i], value)
        low[i] = min(low[i], value)


@njit(cache=True, nogil=True)
def _lower_and_raise_valid(
    row: Any, mask: Any, lowest: Any, highest: Any, low: Any, top: Any
) -> None:
    for i in range(row.shape[0]):
        is_masked, value = mask[i], row[i]
        down = highest if is_masked else value
        up = lowest if is_masked else value
        top[i] = max(top[i], up)
        low[i] = min(low[i], down)


@njit(cache=True, nogil=True)
def _extremes(img: Any, mask: Any, lowest: Any, highest: Any, low: Any, top: Any) -> None:
    for y in range(img.shape[0]):
        if mask is None:
            _lower_and_raise(img[y], low, top)
        else:
            _lower_and_raise_valid(img[y], mask[y], lowest, highest, low, top)


def pool_max(
    image: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    box: tuple[int, int, int, int],
    factor: int,
) -> Pooled:
    """The largest valid pixel of each block in a box (first row, end, first column, end).

    The total is that of the whole box. NaN counts as smaller than every number.
    """
    y0, y1, x0, x1 = box
    out = np.empty((-(-(y1 - y0) // factor), -(-(x1 - x0) // factor)), image.dtype)
    lowest, _ = _limits(image.dtype)
    total = _max(image, y0, y1, x0, x1, factor, lowest, _zero(image.dtype), out)
    empty = None
    if mask is not None:
        empty = np.zeros(out.shape, np.bool_)
        if not _settle(image, mask, y0, y1, x0, x1, factor, lowest, out, empty):
            empty = None
    return Pooled(out, empty, float(total))


def pool_mean(
    image: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    box: tuple[int, int, int, int],
    factor: int,
) -> Pooled:
    """The mean of the valid pixels of each block in a box; the total is that of the whole box."""
    y0, y1, x0, x1 = box
    out = np.empty((-(-(y1 - y0) // factor), -(-(x1 - x0) // factor)), np.float64)
    empty = np.zeros(out.shape, np.bool_)
    n_empty = _mean(image, mask, y0, y1, x0, x1, factor, out, empty)
    with np.errstate(invalid="ignore"):  # of infinite pixels
        total = image[y0:y1, x0:x1].sum(dtype=_zero(image.dtype).dtype)
    return Pooled(out, empty if n_empty else None, float(total))


def extremes(image: NDArray[Any], mask: NDArray[np.bool_] | None) -> Extremes:
    """The smallest and the largest valid pixel of an image; NaN is passed over."""
    lowest, highest = _limits(image.dtype)
    low = np.full(image.shape[1], highest, image.dtype)
    top = np.full(image.shape[1], lowest, image.dtype)
    _extremes(image, mask, lowest, highest, low, top)
    smallest, largest = low.min(), top.max()
    return Extremes(float(smallest), float(largest)) if smallest <= largest else Extremes(0.0, 0.0)


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    return dtype.type(np.iinfo(dtype).min), dtype.type(np.iinfo(dtype).max)


def _zero(dtype: np.dtype[Any]) -> Any:
    """What sums begin with: wide enough, and of a kind that a loop adds quickly."""
    if dtype.kind == "f":
        return np.float64(0)
    return np.int64(0) if dtype.kind == "i" else np.uint64(0)
