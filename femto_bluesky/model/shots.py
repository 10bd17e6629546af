"""What flows through an analysis: shots and their frames.

Downstream code asks a frame only what the protocol `Frame` names and never which kind it is. So a
frame may be dense, dense with its cleaning still to be done, or a list of photons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels import cmos, images
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.rois import Roi

Mask = NDArray[np.bool_]


class Frame(Protocol):
    """One exposure of one detector, raw or clean, of `shape` (rows, columns).

    The pixels belong to the reader, which fills the same memory with the next frame: what an
    analysis wants to keep, it copies.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one pixel's value."""

    @property
    def mask(self) -> Mask | None:
        """True where a pixel carries no data; None where every pixel does."""

    def add_to(self, total: NDArray[Any]) -> None:
        """Add the valid pixels to a running sum of the same shape, in place."""

    def sum_and_count(self, roi: Roi) -> tuple[float, int]:
        """The sum and the number of the valid pixels in a box."""

    def dense(self) -> NDArray[Any]:
        """All pixels as an image of the frame's dtype."""


def _box_sum(pixels: NDArray[Any], mask: Mask | None) -> tuple[float, int]:
    """Sum and number of valid pixels: exact for integers, in float64 for the rest."""
    kind = pixels.dtype.kind
    dtype = np.uint64 if kind in "ub" else np.int64 if kind == "i" else np.float64
    if mask is None:
        return float(pixels.sum(dtype=dtype)), pixels.size
    valid = ~mask
    return float(pixels.sum(dtype=dtype, where=valid)), int(np.count_nonzero(valid))


@dataclass(frozen=True, slots=True, eq=False)
class DenseFrame:
    """An image as an array (rows, columns) of numbers in native byte order."""

    pixels: NDArray[Any]
    mask: Mask | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.pixels.shape
        return rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one pixel's value."""
        return self.pixels.dtype

    def add_to(self, total: NDArray[Any]) -> None:
        """Add the valid pixels to a running sum of the same shape, in place."""
        if self.mask is None:
            images.add(self.pixels, total)
        else:
            images.add_valid(self.pixels, self.mask, total)

    def sum_and_count(self, roi: Roi) -> tuple[float, int]:
        """The sum and the number of the valid pixels in a box."""
        return _box_sum(self.pixels[roi.box], None if self.mask is None else self.mask[roi.box])

    def dense(self) -> NDArray[Any]:
        """The pixels themselves, not a copy."""
        return self.pixels


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdedFrame:
    """A camera image less its dark level, with 0 where the rest is below a threshold.

    The cleaning is done in the pass that needs it, so no clean image is written and read again.
    `dark` (see `kernels.cmos.dark_rows`) and `threshold` (ADU above dark) have the raw dtype.
    """

    raw: NDArray[Any]
    dark: NDArray[Any]
    threshold: Any
    mask: Mask | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.raw.shape
        return rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of one pixel's value."""
        return self.raw.dtype

    def add_to(self, total: NDArray[Any]) -> None:
        """Add the valid pixels, cleaned, to a running sum of the same shape, in place."""
        cmos.add_clean(self.raw, self.mask, self.dark, self.threshold, total)

    def sum_and_count(self, roi: Roi) -> tuple[float, int]:
        """The sum and the number of the valid pixels, cleaned, in a box."""
        if self.mask is None:
            y0, y1, x0, x1 = roi.y0, roi.y1, roi.x0, roi.x1
            total = cmos.sum_clean(self.raw, self.dark, self.threshold, y0, y1, x0, x1)
            if total is not None:
                return float(total), (y1 - y0) * (x1 - x0)
        dark = self.dark[:, roi.box[1]] if len(self.dark) == 1 else self.dark[roi.box]
        # copies in C order: the kernel does not vectorise on a box inside an image
        crop = self._clean(np.ascontiguousarray(self.raw[roi.box]), np.ascontiguousarray(dark))
        return _box_sum(crop, None if self.mask is None else self.mask[roi.box])

    def dense(self) -> NDArray[Any]:
        """The cleaned image, a new array."""
        return self._clean(self.raw, self.dark)

    def _clean(self, raw: NDArray[Any], dark: NDArray[Any]) -> NDArray[Any]:
        out = np.empty(raw.shape, raw.dtype)
        cmos.clean(raw, dark, self.threshold, out)
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One linac pulse as one detector saw it, with what is known about it.

    `number` counts the shots of a run from 0 and is the shot's name within it: the frames of
    several detectors in one event have the same numbers, and a shot that is taken again after a
    pause has the number of the one it replaces. `known` is what is known of the detector, `origin`
    the first row and column of the readout region on the sensor.
    """

    run: str
    step: int
    number: int
    detector: str
    frame: Frame
    position: Mapping[str, float | str] = field(default_factory=dict)
    labels: Mapping[str, float] = field(default_factory=dict)
    known: DetectorSettings = field(default_factory=DetectorSettings)
    pixel_size_m: tuple[float, float] | None = None
    origin: tuple[int, int] = (0, 0)
    time: float = 0.0

    def with_frame(self, frame: Frame) -> Shot:
        """The same shot with another frame: what a cleaning analysis hands on."""
        # not dataclasses.replace, which takes four times as long, and this is done for every shot
        return Shot(
            self.run, self.step, self.number, self.detector, frame, self.position, self.labels,
            self.known, self.pixel_size_m, self.origin, self.time,
        )  # fmt: skip
