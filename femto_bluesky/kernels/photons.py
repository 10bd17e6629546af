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
from numpy.typing import NDArray

from femto_bluesky.kernels.photon_loops import (
    CLOSE,
    EDGE,
    HOT,
    MASKED,
    OVERLAP,
    PHOTON,
    _find,
    _flag_close,
)

__all__ = ["CLOSE", "EDGE", "HOT", "OVERLAP", "PHOTON", "Box", "PhotonSearch", "Photons",
           "find_photons"]  # fmt: skip

Photons = NDArray[np.void]
"""A structured array of `PHOTON`."""


class Box(Protocol):
    """A half-open box of pixels, as `Roi` is one."""

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns."""


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
        self.dark = None if is_level else _fixed(dark)
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
        return self.look(frame)[0]

    def look(self, frame: NDArray[Any]) -> tuple[Photons, float]:
        """As `find`; with it, the share of the pixels that are bright enough to be looked at.

        A few of a hundred are where photons can still be told apart; a flooded frame has most.
        """
        frame = self._checked(frame)
        chunks = list(self._chunks(frame))
        if len(chunks) == 1:
            photons, places, _ = chunks[0]
        else:
            photons = np.concatenate([chunk for chunk, _, _ in chunks])
            places = np.concatenate([place for _, place, _ in chunks])
        _flag_close(photons, places, frame.shape[1] + 4)
        # room for the next frame, which will be much like this one
        self._room = len(photons) + len(photons) // 8
        n_bright = sum(n for _, _, n in chunks)
        return photons, n_bright / (frame.size if self.roi is None else frame[self.roi.box].size)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise `ValueError` where the dark image, mask or ROI do not fit frames of a shape."""
        for name, image in (("dark image", self.dark), ("mask", self.mask)):
            if image is not None and image.shape != shape:
                raise ValueError(
                    f"the {name} has the shape {image.shape}, the frame has {shape}; make "
                    "one for this readout region"
                )
        if self.roi is not None:
            rows, columns = self.roi.box
            if rows.stop > shape[0] or columns.stop > shape[1]:
                raise ValueError(
                    f"the ROI (rows {rows.start}..{rows.stop}, columns {columns.start}.."
                    f"{columns.stop}) reaches outside the frame of {shape[0]} rows and "
                    f"{shape[1]} columns; move it inside"
                )

    def _chunks(self, frame: NDArray[Any]) -> Iterator[tuple[Photons, NDArray[np.int64], int]]:
        rows, columns = frame.shape if self.roi is None else self.roi.box
        y, y1 = (0, rows) if self.roi is None else (rows.start, rows.stop)
        x0, x1 = (0, columns) if self.roi is None else (columns.start, columns.stop)
        least = _below(self._least, frame.dtype)
        room = self._room + 2 * (x1 - x0)
        while True:
            photons, places = np.empty(room, PHOTON), np.empty(room, np.int64)
            n, y, n_bright = _find(
                frame, self.dark, self.dark_level, self.mask, y, y1, x0, x1, least, self.threshold,
                self.energy_min, self.energy_max, self.hot_share, photons, places,
            )  # fmt: skip
            yield photons[:n], places[:n], n_bright
            if y >= y1:
                break
            room *= 2

    def _checked(self, frame: NDArray[Any]) -> NDArray[Any]:
        if frame.ndim != 2 or frame.dtype.kind not in "uif" or frame.size == 0:
            raise ValueError(
                f"found an array of the shape {frame.shape} and dtype {frame.dtype}, expected one "
                "frame (rows, columns) of integers or floats"
            )
        self.check_shape(frame.shape)
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


def _fixed(dark: Any) -> NDArray[np.float32]:
    """A dark image that nobody changes: a copy, unless it cannot be written to."""
    if isinstance(dark, np.ndarray) and dark.dtype == np.float32 and not dark.flags.writeable:
        return np.ascontiguousarray(dark)
    return np.array(dark, np.float32, order="C")


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
