"""Single photons on a camera frame, found in one pass over the memory.

A photon is a local maximum of the frame less its dark level; its energy is the sum of the 3x3
pixels around it, its position their centre of gravity. Almost no pixel belongs to a photon, so
the frame is looked at in blocks of 128 pixels of a row, and only a block whose largest pixel is
above the threshold is looked at again. That runs at the speed at which memory is read.

The threshold is lossless: a sum of nine pixels that is above `energy_min` forces the hottest of
them above a ninth of it. So the larger of the two thresholds is used, and noise costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

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

Photons = NDArray[np.void]
"""A structured array of `PHOTON`."""


class Box(Protocol):
    """A half-open box of pixels, as `Roi` is one."""

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns."""


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
) -> tuple[int, int]:  # fmt: skip
    """Find from row `y0` on until `out` might not hold another row; the count and the next row."""
    columns = np.empty(img.shape[1] + 1, np.int64)
    above = np.empty(128, np.uint8)
    eights = above.view(np.uint64)
    n = 0
    for y in range(y0, y1):
        if n + (x1 - x0) > out.shape[0]:
            return n, y
        for j in range(_candidates(img, y, x0, x1, least, above, eights, columns)):
            x = columns[j]
            # most candidates stand beside a larger pixel; raw numbers tell it cheaply
            if dark is None and mask is None and _is_beaten(img, y, x):
                continue
            if dark is None and mask is not None and mask[y, x] == FREE and _is_beaten(img, y, x):
                continue
            n = _look(img, dark, level, mask, y, x, threshold, energy_min, energy_max,
                      hot_share, out, places, n)  # fmt: skip
    return n, y1


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


class PhotonSearch:
    """What photons are looked for, prepared once for many frames.

    `dark` is a level in ADU or an image of levels (rows, columns; NaN: the pixel carries no data).
    A pixel is looked at if its raw value is above `threshold`; a hit is a photon if the 3x3 sum
    less dark is above `energy_min`. Flags: `OVERLAP` above `energy_max`, `HOT` where one pixel
    holds more than `hot_share` of the sum, `EDGE`, `CLOSE`. A `roi` restricts where the hottest
    pixel of a photon may be; pixels outside it are still summed. In `mask` (rows, columns), True
    is a pixel without data: it is left out of sums, and is the hottest of none.

    Values are compared and summed in float64: exact for pixels of up to 53 bits. Raises
    `ValueError` for numbers that make no sense.
    """

    def __init__(
        self,
        dark: float | NDArray[Any] = 100.0,
        threshold: float = 110.0,
        energy_min: float = 800.0,
        energy_max: float = 1400.0,
        roi: Box | None = None,
        *,
        mask: NDArray[np.bool_] | None = None,
        hot_share: float = 0.75,
    ) -> None:
        for name, value in (("threshold", threshold), ("energy_min", energy_min)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name} is {value}, expected ADU of 0 or more")
        if not 0 < hot_share <= 1:
            raise ValueError(f"hot_share is {hot_share}, expected a share above 0, at most 1")
        if not energy_max >= energy_min:
            raise ValueError(
                f"energy_max is {energy_max}, expected at least energy_min, {energy_min}"
            )
        self.threshold, self.energy_min = float(threshold), float(energy_min)
        self.energy_max, self.hot_share, self.roi = float(energy_max), float(hot_share), roi
        self.mask = None if mask is None else _masked_places(mask)
        is_level = np.ndim(dark) == 0
        # a copy: levels that change later must not change what is found
        self.dark = None if is_level else np.array(dark, np.float32, order="C")
        self.dark_level = float(dark) if is_level else 0.0
        lowest = self.dark_level if self.dark is None else float(np.fmin.reduce(self.dark, None))
        if not 0 <= lowest < np.inf:
            raise ValueError(
                f"the lowest dark level is {lowest}, expected ADU of 0 or more; collect the dark "
                "image again, or give one dark level"
            )
        # a little less than the ninth: rounding must not make the threshold lossy
        ninth = self.energy_min / 9
        self._room = 1024
        self._least = max(self.threshold, lowest + ninth * (1 - 1e-6) - 1e-6)

    def find(self, frame: NDArray[Any]) -> Photons:
        """The photons of a frame (rows, columns), in reading order of their hottest pixels.

        Frames are integers or floats; NaN is a pixel without data. uint16 is the fast path. Raises
        `ValueError` for a frame that is no such image, or does not fit the dark image, mask or ROI.
        """
        frame = self._checked(frame)
        chunks = list(self._chunks(frame))
        if len(chunks) == 1:
            photons, places = chunks[0]
        else:
            photons = np.concatenate([chunk for chunk, _ in chunks])
            places = np.concatenate([place for _, place in chunks])
        _flag_close(photons, places, frame.shape[1] + 4)
        # room for the next frame, which will be much like this one
        self._room = len(photons) + len(photons) // 8
        return photons

    def _chunks(self, frame: NDArray[Any]) -> Iterator[tuple[Photons, NDArray[np.int64]]]:
        rows, columns = frame.shape if self.roi is None else self.roi.box
        y, y1 = (0, rows) if self.roi is None else (rows.start, rows.stop)
        x0, x1 = (0, columns) if self.roi is None else (columns.start, columns.stop)
        least = _below(self._least, frame.dtype)
        room = self._room + 2 * (x1 - x0)
        while True:
            photons, places = np.empty(room, PHOTON), np.empty(room, np.int64)
            n, y = _find(
                frame, self.dark, self.dark_level, self.mask, y, y1, x0, x1, least, self.threshold,
                self.energy_min, self.energy_max, self.hot_share, photons, places,
            )  # fmt: skip
            yield photons[:n], places[:n]
            if y >= y1:
                break
            room *= 2

    def _checked(self, frame: NDArray[Any]) -> NDArray[Any]:
        if frame.ndim != 2 or frame.dtype.kind not in "uif" or frame.size == 0:
            raise ValueError(
                f"found an array of the shape {frame.shape} and dtype {frame.dtype}, expected one "
                "frame (rows, columns) of integers or floats"
            )
        for name, image in (("dark image", self.dark), ("mask", self.mask)):
            if image is not None and image.shape != frame.shape:
                raise ValueError(
                    f"the {name} has the shape {image.shape}, the frame has {frame.shape}; make "
                    "one for this readout region"
                )
        if self.roi is not None:
            rows, columns = self.roi.box
            if rows.stop > frame.shape[0] or columns.stop > frame.shape[1]:
                raise ValueError(
                    f"the ROI (rows {rows.start}..{rows.stop}, columns {columns.start}.."
                    f"{columns.stop}) reaches outside the frame of {frame.shape[0]} rows and "
                    f"{frame.shape[1]} columns; move it inside"
                )
        dtype = frame.dtype.newbyteorder("=")
        if dtype.kind == "f":
            dtype = np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
        return np.ascontiguousarray(frame, dtype)


def find_photons(
    frame: NDArray[Any],
    dark: float | NDArray[Any] = 100.0,
    threshold: float = 110.0,
    energy_min: float = 800.0,
    energy_max: float = 1400.0,
    roi: Box | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    hot_share: float = 0.75,
) -> Photons:
    """The single photons of one frame: a structured array with y, x, energy and flags.

    Hits that are flagged `HOT` are among them; `PhotonDetection` drops those. See `PhotonSearch`,
    which takes the same arguments and is quicker for many frames with a dark image, for their
    meaning and the errors raised.

    >>> frame = np.full((5, 6), 100, np.uint16)
    >>> frame[2, 3:5] = 900, 500
    >>> find_photons(frame)[["y", "x", "energy"]].tolist()
    [(2.0, 3.3333333333333335, 1200.0)]
    """
    search = PhotonSearch(
        dark, threshold, energy_min, energy_max, roi, mask=mask, hot_share=hot_share
    )
    return search.find(np.asarray(frame))


def _masked_places(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """For each pixel FREE, NEAR_MASKED or MASKED."""
    mask = np.asarray(mask) != 0
    if mask.ndim != 2:
        raise ValueError(f"the mask has the shape {mask.shape}, expected (rows, columns)")
    near = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    for dy, dx in np.ndindex(3, 3):
        near[dy : dy + mask.shape[0], dx : dx + mask.shape[1]] |= mask
    places = np.ascontiguousarray(near[1:-1, 1:-1])
    places[mask] = MASKED
    return places


def _below(value: float, dtype: np.dtype[Any]) -> Any:
    """The largest number of a pixel's type that is not above a value."""
    if dtype.kind in "ui":
        return dtype.type(min(int(np.floor(value)), np.iinfo(dtype).max))
    found = dtype.type(value)
    return found if found <= value else np.nextafter(found, dtype.type(-np.inf))
