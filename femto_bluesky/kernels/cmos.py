"""Subtract the dark level and drop what stays below a threshold.

A pixel value v becomes v - dark where v - dark >= threshold, else 0. The order of the tests keeps
unsigned values from wrapping. Cleaning goes row by row through a buffer that stays in the
processor's cache, so cleaning and adding together cost little more than adding.

`dark` has one row, for all rows of the image, or as many rows as the image; `dark` and `threshold`
have the pixels' own type (`dark_rows` and `in_type` make them): the loops vectorise only then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from femto_bluesky.kernels.images import _add_row, _add_valid_row


def in_type(value: float | NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """A number or an array in the pixels' type.

    For integer pixels it is rounded to the nearest integer and held within the type's range.
    """
    values = np.asarray(value, dtype=np.float64)
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    return values.astype(dtype) if values.ndim else dtype.type(values)


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
def _clean_row(
    row: NDArray[Any], dark: NDArray[Any], threshold: Any, zero: Any, out: NDArray[Any]
) -> None:
    for i in range(row.shape[0]):
        v = row[i]
        above = out.dtype.type(v - dark[i]) if v > dark[i] else zero
        out[i] = above if above >= threshold else zero


@njit(cache=True, nogil=True)
def _clean(
    raw: NDArray[Any], dark: NDArray[Any], threshold: Any, zero: Any, out: NDArray[Any]
) -> None:
    last = dark.shape[0] - 1
    for y in range(raw.shape[0]):
        _clean_row(raw[y], dark[min(y, last)], threshold, zero, out[y])


@njit(cache=True, nogil=True)
def _add_clean(
    raw: NDArray[Any], dark: NDArray[Any], threshold: Any, zero: Any, total: NDArray[Any]
) -> None:
    last = dark.shape[0] - 1
    buffer = np.empty(raw.shape[1], raw.dtype)
    for y in range(raw.shape[0]):
        _clean_row(raw[y], dark[min(y, last)], threshold, zero, buffer)
        _add_row(buffer, total[y])


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
    buffer = np.empty(raw.shape[1], raw.dtype)
    for y in range(raw.shape[0]):
        _clean_row(raw[y], dark[min(y, last)], threshold, zero, buffer)
        _add_valid_row(buffer, mask[y], total[y], zero)


def clean(raw: NDArray[Any], dark: NDArray[Any], threshold: Any, out: NDArray[Any]) -> None:
    """Write the cleaned image into `out`, of the raw image's shape and dtype."""
    _clean(raw, dark, threshold, raw.dtype.type(0), out)


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
