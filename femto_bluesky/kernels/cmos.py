"""Subtract the dark level and drop what stays below a threshold.

A pixel value v becomes v - dark where v - dark >= threshold, else 0. The larger of v and dark, less
dark, cannot wrap in unsigned numbers. Cleaning and adding are one pass over the memory, and cost
little more than adding.

`dark` has one row, for all rows of the image, or as many rows as the image; `dark` and `threshold`
have the pixels' own type (`dark_rows` and `in_type` make them): the loops vectorise only then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from femto_bluesky.kernels.images import _add_valid_row


def in_type(value: float | NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """A dark level or dark image in the pixels' type.

    For integer pixels it is rounded to the nearest integer and held within the type's range.
    """
    values = np.asarray(value, dtype=np.float64)
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    return values.astype(dtype) if values.ndim else dtype.type(values)


def threshold_in_type(threshold: float, dtype: np.dtype[Any]) -> Any:
    """A threshold in the pixels' type; for integer pixels the next integer above.

    Raises `ValueError` for one that no pixel can reach.
    """
    if dtype.kind not in "ui":
        return dtype.type(threshold)
    if threshold > np.iinfo(dtype).max:
        raise ValueError(
            f"a threshold of {threshold} ADU is above all that {dtype} pixels can hold; lower it"
        )
    return dtype.type(np.ceil(threshold))


def dark_rows(
    dark: float | NDArray[Any], shape: tuple[int, int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """A dark level (number) or dark image of this shape, as the kernels take it.

    Raises `ValueError` for another shape, and for levels that are negative or not a number.
    """
    if not np.all(np.greater_equal(dark, 0)):
        raise ValueError(
            "a dark level is negative or not a number; levels are ADU of 0 or more: collect the "
            "dark image again, or give one dark level"
        )
    if np.ndim(dark) == 0:
        return np.full((1, shape[1]), in_type(dark, dtype), dtype)
    if np.shape(dark) != shape:
        raise ValueError(
            f"the dark image has shape {np.shape(dark)}, the frames have {shape}; collect a dark "
            "image with the same readout region, or give one dark level"
        )
    return np.ascontiguousarray(in_type(dark, dtype))


@njit(cache=True, nogil=True)
def _clean_row(row: NDArray[Any], dark: NDArray[Any], threshold: Any, out: NDArray[Any]) -> None:
    for i in range(row.shape[0]):
        # for unsigned numbers processors do this in one instruction, a subtraction that stops at 0
        above = max(row[i], dark[i]) - dark[i]
        out[i] = out.dtype.type(above) if above >= threshold else out.dtype.type(0)


@njit(cache=True, nogil=True)
def _clean(raw: NDArray[Any], dark: NDArray[Any], threshold: Any, out: NDArray[Any]) -> None:
    last = dark.shape[0] - 1
    for y in range(raw.shape[0]):
        _clean_row(raw[y], dark[min(y, last)], threshold, out[y])


@njit(cache=True, nogil=True)
def _add_clean_row(
    row: NDArray[Any], dark: NDArray[Any], threshold: Any, zero: Any, total: NDArray[Any]
) -> None:
    for i in range(row.shape[0]):
        # narrowed to the pixels' type before it is added: as fast as adding the raw row
        above = row.dtype.type(max(row[i], dark[i]) - dark[i])
        total[i] += above if above >= threshold else zero


@njit(cache=True, nogil=True)
def _add_clean(
    raw: NDArray[Any], dark: NDArray[Any], threshold: Any, zero: Any, total: NDArray[Any]
) -> None:
    last = dark.shape[0] - 1
    for y in range(raw.shape[0]):
        _add_clean_row(raw[y], dark[min(y, last)], threshold, zero, total[y])


@njit(cache=True, nogil=True)
def _add_clean_valid(
    raw: NDArray[Any],
    mask: NDArray[Any],
    dark: NDArray[Any],
    threshold: Any,
    zero: Any,
    total: NDArray[Any],
) -> None:
    last = dark.shape[0] - 1
    # cleaned into a row that stays in the processor's cache: mask and threshold in one loop do
    # not vectorise
    buffer = np.empty(raw.shape[1], raw.dtype)
    for y in range(raw.shape[0]):
        _clean_row(raw[y], dark[min(y, last)], threshold, buffer)
        _add_valid_row(buffer, mask[y], total[y], zero)


def clean(raw: NDArray[Any], dark: NDArray[Any], threshold: Any, out: NDArray[Any]) -> None:
    """Write the cleaned image into `out`, of the raw image's shape and dtype."""
    _clean(raw, dark, threshold, out)


def add_clean(
    raw: NDArray[Any],
    mask: NDArray[Any] | None,
    dark: NDArray[Any],
    threshold: Any,
    total: NDArray[Any],
) -> None:
    """Add the cleaned image, where it is not masked, to a running sum in place."""
    if mask is None:
        _add_clean(raw, dark, threshold, raw.dtype.type(0), total)
    else:
        _add_clean_valid(raw, mask, dark, threshold, raw.dtype.type(0), total)


@njit(cache=True, nogil=True)
def _sum_clean_row(
    row: NDArray[Any], dark: NDArray[Any], threshold: Any, cell: NDArray[Any]
) -> Any:
    total = cell.dtype.type(0)
    zero = row.dtype.type(0)
    for i in range(row.shape[0]):
        above = max(row[i], dark[i]) - dark[i]
        kept = row.dtype.type(above) if above >= threshold else zero
        total = cell.dtype.type(total + cell.dtype.type(kept))
    return total


@njit(cache=True, nogil=True)
def _sum_clean(
    raw: NDArray[Any],
    dark: NDArray[Any],
    threshold: Any,
    y0: int,
    y1: int,
    x0: int,
    x1: int,
    cell: NDArray[Any],
) -> int:
    last = dark.shape[0] - 1
    total = 0
    for y in range(y0, y1):
        total += _sum_clean_row(raw[y, x0:x1], dark[min(y, last), x0:x1], threshold, cell)
    return total


# A row of 16-bit pixels is summed in 32 bits, five times faster than in 64, and cannot wrap: no
# camera has rows of 65536 pixels.
_CELLS: dict[np.dtype[Any], NDArray[Any]] = {
    np.dtype(np.uint8): np.zeros(1, np.uint32),
    np.dtype(np.uint16): np.zeros(1, np.uint32),
    np.dtype(np.uint32): np.zeros(1, np.int64),
    np.dtype(np.int16): np.zeros(1, np.int64),
    np.dtype(np.int32): np.zeros(1, np.int64),
}


def sum_clean(
    raw: NDArray[Any], dark: NDArray[Any], threshold: Any, y0: int, y1: int, x0: int, x1: int
) -> int | None:
    """The sum of the cleaned pixels in a half-open box, exact.

    None for pixels other than integers of 32 bits or fewer, and for more than 65536 columns.
    """
    cell = _CELLS.get(raw.dtype)
    if cell is None or x1 - x0 > 65536:
        return None
    return int(_sum_clean(raw, dark, threshold, y0, y1, x0, x1, cell))
