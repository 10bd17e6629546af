"""The loops that find photons: a threshold over blocks of a row, then a look at a few pixels.

They are compiled; `kernels.photons` is how they are used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

PHOTON = np.dtype([("y", "<f8"), ("x", "<f8"), ("energy", "<f4"), ("flags", "u1")])
"""One photon: row and column (pixel centres are whole numbers), energy in ADU, flags."""

OVERLAP = 1
"""The energy is above that of one photon: two of them, or more, fell into one 3x3."""
HOT = 2
"""One pixel holds more of the energy than a photon would leave in it."""
EDGE = 4
"""The 3x3 reaches beyond the sensor or holds a masked pixel; part of the energy may be missing."""
CLOSE = 8
"""Another hit's 3x3 shares pixels with this one; both energies and positions are touched."""

FREE, NEAR_MASKED, MASKED = 0, 1, 2
"""Of a pixel, as the kernel is told it: none of its 3x3 is masked, some of them are, it is."""


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _less_dark(img: Any, dark: Any, level: float, mask: Any, y: int, x: int) -> float:
    """A pixel less its dark level. NaN where it carries no data."""
    if mask is not None and mask[y, x] == MASKED:
        return np.nan
    if dark is not None:
        return np.float64(img[y, x]) - np.float64(dark[y, x])
    return np.float64(img[y, x]) - level


@njit(cache=True, nogil=True, error_model="numpy")
def _if_on_sensor(img: Any, dark: Any, level: float, mask: Any, y: int, x: int) -> float:
    """The same, also NaN beyond the sensor."""
    if y < 0 or x < 0 or y >= img.shape[0] or x >= img.shape[1]:
        return np.nan
    return _less_dark(img, dark, level, mask, y, x)


@njit(cache=True, nogil=True, error_model="numpy")
def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else value


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _look(
    img: Any, dark: Any, level: float, mask: Any, y: int, x: int, threshold: float,
    energy_min: float, energy_max: float, hot_share: float, out: Any, places: Any, n: int,
) -> int:  # fmt: skip
    """Whether the pixel is the 3x3 maximum of a photon: if so, write it and count it."""
    e = _less_dark(img, dark, level, mask, y, x)
    if not (0 < e < np.inf and img[y, x] > threshold):
        return n
    if 0 < y < img.shape[0] - 1 and 0 < x < img.shape[1] - 1:
        a = _less_dark(img, dark, level, mask, y - 1, x - 1)
        b = _less_dark(img, dark, level, mask, y - 1, x)
        c = _less_dark(img, dark, level, mask, y - 1, x + 1)
        d = _less_dark(img, dark, level, mask, y, x - 1)
        f = _less_dark(img, dark, level, mask, y, x + 1)
        g = _less_dark(img, dark, level, mask, y + 1, x - 1)
        h = _less_dark(img, dark, level, mask, y + 1, x)
        i = _less_dark(img, dark, level, mask, y + 1, x + 1)
    else:
        a = _if_on_sensor(img, dark, level, mask, y - 1, x - 1)
        b = _if_on_sensor(img, dark, level, mask, y - 1, x)
        c = _if_on_sensor(img, dark, level, mask, y - 1, x + 1)
        d = _if_on_sensor(img, dark, level, mask, y, x - 1)
        f = _if_on_sensor(img, dark, level, mask, y, x + 1)
        g = _if_on_sensor(img, dark, level, mask, y + 1, x - 1)
        h = _if_on_sensor(img, dark, level, mask, y + 1, x)
        i = _if_on_sensor(img, dark, level, mask, y + 1, x + 1)
    # of equal pixels the first in reading order is the maximum; NaN is not above anything
    if a >= e or b >= e or c >= e or d >= e or f > e or g > e or h > e or i > e:
        return n
    flags = 0
    total = a + b + c + d + e + f + g + h + i
    if np.isnan(total):
        flags |= EDGE
        a, b, c, d = _or_zero(a), _or_zero(b), _or_zero(c), _or_zero(d)
        f, g, h, i = _or_zero(f), _or_zero(g), _or_zero(h), _or_zero(i)
        total = a + b + c + d + e + f + g + h + i
    if not total > energy_min:
        return n
    if total > energy_max:
        flags |= OVERLAP
    if e > hot_share * total:
        flags |= HOT
    photon = out[n]
    photon["y"] = y + ((g + h + i) - (a + b + c)) / total
    photon["x"] = x + ((c + f + i) - (a + d + g)) / total
    photon["energy"] = total
    photon["flags"] = flags
    places[n] = y * (img.shape[1] + 4) + x
    return n + 1


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _is_beaten(img: Any, y: int, x: int) -> bool:
    """Whether a raw pixel inside the frame stands beside one that beats it; on the edge, False."""
    if y < 1 or x < 1 or y > img.shape[0] - 2 or x > img.shape[1] - 2:
        return False
    e = img[y, x]
    return bool(
        img[y, x - 1] >= e
        or img[y, x + 1] > e
        or img[y - 1, x] >= e
        or img[y + 1, x] > e
        or img[y - 1, x - 1] >= e
        or img[y - 1, x + 1] >= e
        or img[y + 1, x - 1] > e
        or img[y + 1, x + 1] > e
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _columns_above(
    block: Any, first: int, threshold: Any, above: Any, eights: Any, columns: Any, n: int
) -> int:
    """Append the columns of a block of 128 pixels that are above a threshold."""
    for i in range(128):
        above[i] = block[i] > threshold
    for w in range(16):
        if eights[w] != 0:  # eight pixels looked at in one
            for i in range(8):
                columns[n] = first + 8 * w + i
                n += int(above[8 * w + i])
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _candidates(
    img: Any, y: int, x0: int, x1: int, threshold: Any, above: Any, eights: Any, columns: Any
) -> int:
    """The columns of a row's pixels above a threshold; how many they are."""
    row = img[max(y, 0)]
    x0, x1 = max(x0, 0), min(x1, row.shape[0])
    zero = row.dtype.type(0)
    n = 0
    b = x0
    # it vectorises in this form only: a while loop, bounds that cannot be negative indices, and a
    # literal length
    while b + 128 <= x1:
        largest = zero
        for i in range(128):
            largest = max(largest, row[b + i])
        if largest > threshold:
            n = _columns_above(row[b : b + 128], b, threshold, above, eights, columns, n)
        b += 128
    for x in range(b, x1):
        columns[n] = x
        n += int(row[x] > threshold)
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _find(
    img: Any, dark: Any, level: float, mask: Any, y0: int, y1: int, x0: int, x1: int,
    least: Any, threshold: float, energy_min: float, energy_max: float,
    hot_share: float, out: Any, places: Any,
) -> tuple[int, int, int]:  # fmt: skip
    """Find from row `y0` on until `out` might not hold another row.

    How many were found, the next row, and how many pixels were bright enough to be of a photon.
    """
    columns = np.empty(img.shape[1] + 1, np.int64)
    above = np.empty(128, np.uint8)
    eights = above.view(np.uint64)
    n = n_bright = 0
    for y in range(y0, y1):
        if n + (x1 - x0) > out.shape[0]:
            return n, y, n_bright
        of_row = _candidates(img, y, x0, x1, least, above, eights, columns)
        if dark is None:
            n_bright += of_row
        for j in range(of_row):
            x = columns[j]
            # the threshold is that of the lowest dark level; where it is higher, look again
            if dark is not None and img[y, x] - np.float64(dark[y, x]) > energy_min / 9:
                n_bright += 1
            # most candidates stand beside a larger pixel; raw numbers tell it cheaply
            if dark is None and mask is None and _is_beaten(img, y, x):
                continue
            if dark is None and mask is not None and mask[y, x] == FREE and _is_beaten(img, y, x):
                continue
            n = _look(img, dark, level, mask, y, x, threshold, energy_min, energy_max,
                      hot_share, out, places, n)  # fmt: skip
    return n, y1, n_bright


@njit(cache=True, nogil=True)
def _flag_close(photons: Any, places: Any, stride: int) -> None:
    """Flag the hits whose hottest pixels are two apart or less.

    Places are row * stride + column, rising; the stride is so large that rows do not touch.
    """
    n = len(places)
    below = further = 0
    for i in range(n):
        place = places[i]
        if i + 1 < n and places[i + 1] <= place + 2:
            photons[i]["flags"] |= CLOSE
            photons[i + 1]["flags"] |= CLOSE
        below = _flag_row(photons, places, i, below, place + stride)
        further = _flag_row(photons, places, i, further, place + 2 * stride)


@njit(cache=True, nogil=True, inline="always")
def _flag_row(photons: Any, places: Any, i: int, first: int, place: int) -> int:
    """Flag hit `i` and those within two columns of a place in another row; where they begin."""
    n = len(places)
    while first < n and places[first] < place - 2:
        first += 1
    j = first
    while j < n and places[j] <= place + 2:
        photons[i]["flags"] |= CLOSE
        photons[j]["flags"] |= CLOSE
        j += 1
    return first
