"""Dark level, noise and hot pixels of a detector, from frames that were taken in the dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.mask_counts import MaskCounts
from femto_bluesky.model.shots import Mask

DARK_STREAM = "dark"
"""The event stream of dark frames: analyses that look at `primary` never take them for data."""

_NORMAL = 1.4826
"""The standard deviation of normally distributed values over their median absolute deviation."""
_BLOCK = 1 << 16
"""Pixels that are added at a time: their squares stay in the cache of the processor."""


@dataclass(frozen=True, slots=True, eq=False)
class DarkImages:
    """What the dark frames of one detector say, as images (rows, columns), in ADU.

    `level` (float32) is the mean of each pixel; one that never carried data has `level_adu`, the
    median of all, so that the image can be subtracted anywhere. `noise` (float32) is the standard
    deviation from frame to frame (ddof=1), NaN where there were not two values; `noise_adu` is its
    median. `hot` is True where `hot_pixels` says so. `first_time` and `last_time` are seconds since
    1970 (UTC), those of the events.
    """

    detector: str
    run: str
    level: NDArray[np.float32]
    noise: NDArray[np.float32]
    hot: Mask
    level_adu: float
    noise_adu: float
    n_frames: int
    first_time: float
    last_time: float


class DarkSum:
    """The sum and the sum of squares of dark frames, pixel by pixel, and which shots they are.

    Frames of integers of 16 bits or less are summed as integers of 64, exactly and in any order,
    up to four thousand million frames. Others are summed in float64: their squares can be rounded,
    and the last bits of the noise then depend on the order.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.shots: dict[int, float] = {}
        self._sum = np.zeros(shape, np.uint64)
        self._squares = np.zeros(shape, np.uint64)
        self._masks = MaskCounts()

    def add(self, number: int, time: float, pixels: NDArray[Any], mask: Mask | None) -> None:
        """Add the frame of a shot. Raises `ValueError` for one of another shape."""
        if pixels.shape != self.shape:
            raise ValueError(
                f"a dark frame has the shape {pixels.shape}, those before had {self.shape}; "
                "collect darks of one readout region in one run"
            )
        self._add(pixels, mask, 1)
        self.shots[number] = time

    def take_out(self, number: int, pixels: NDArray[Any], mask: Mask | None) -> None:
        """Undo `add` of a frame."""
        self._add(pixels, mask, -1)
        self.shots.pop(number, None)

    def merge(self, other: DarkSum) -> None:
        """Add another sum. Raises `ValueError` where shapes differ or a shot is in both."""
        both = self.shots.keys() & other.shots.keys()
        if both:
            raise ValueError(
                f"shot {min(both)} ({len(both)} shots in all) is in both sums of dark frames that "
                "are to be merged; cut the run into parts that do not overlap"
            )
        if other.shape != self.shape:
            raise ValueError(
                f"dark frames of the shapes {self.shape} and {other.shape} cannot be merged; "
                "collect darks of one readout region in one run"
            )
        if not other.shots:
            return
        self._widen(other._sum.dtype)
        self._sum += other._sum.astype(self._sum.dtype, copy=False)
        self._squares += other._squares.astype(self._squares.dtype, copy=False)
        self._masks.merge(other._masks)
        self.shots |= other.shots

    def images(
        self, detector: str, run: str, *, n_sigmas: float = 8.0, min_excess_adu: float = 5.0
    ) -> DarkImages:
        """What the frames say so far. Raises `ValueError` before the first."""
        n_frames = len(self.shots)
        if n_frames == 0:
            raise ValueError("no dark frame was added so far; collect some first")
        masked = self._masks.counts
        n_values = n_frames - (0.0 if masked is None else masked.astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self._sum / n_values
            variance = (self._squares - self._sum * mean) / (n_values - 1)
        # what is left of equal values by rounding may be below 0
        noise = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
        level = mean.astype(np.float32)
        level_adu = _median(level)
        filled = np.where(np.isnan(level), np.float32(level_adu), level)
        hot = hot_pixels(level, noise, n_sigmas, min_excess_adu)
        for image in (filled, noise, hot):
            image.flags.writeable = False  # it is handed to several
        return DarkImages(
            detector=detector,
            run=run,
            level=filled,
            noise=noise,
            hot=hot,
            level_adu=level_adu,
            noise_adu=_median(noise),
            n_frames=n_frames,
            first_time=min(self.shots.values()),
            last_time=max(self.shots.values()),
        )

    def _add(self, pixels: NDArray[Any], mask: Mask | None, times: int) -> None:
        kind, n_bytes = pixels.dtype.kind, pixels.dtype.itemsize
        if kind in "ub" and n_bytes <= 2:
            wide: Any = np.uint64
        elif kind == "i" and n_bytes <= 2:
            wide = np.int64
        else:
            wide = np.float64
        self._widen(np.dtype(wide))
        step = np.add if times == 1 else np.subtract
        rows = max(1, _BLOCK // max(1, self.shape[1]))
        for first in range(0, self.shape[0], rows):
            block = slice(first, first + rows)
            values = pixels[block].astype(self._sum.dtype)
            if mask is not None:
                values[mask[block]] = 0  # also where it is NaN
            step(self._sum[block], values, out=self._sum[block])
            values *= values
            step(self._squares[block], values, out=self._squares[block])
        self._masks.add(mask, times)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        # an empty sum has no type of its own yet
        wanted = np.promote_types(self._sum.dtype, dtype) if self.shots else dtype
        if wanted != self._sum.dtype:
            self._sum, self._squares = self._sum.astype(wanted), self._squares.astype(wanted)


def hot_pixels(
    level: NDArray[np.float32],
    noise: NDArray[np.float32],
    n_sigmas: float = 8.0,
    min_excess_adu: float = 5.0,
) -> Mask:
    """True where the level or the noise of a pixel is far above that of the others.

    Far is: above the median by `n_sigmas` times the spread of all pixels, and by `min_excess_adu`.
    The spread is 1.4826 times the median absolute deviation, which some hot pixels cannot widen.
    Of the noise it is taken of its 2/3rd power, for variances of normal noise, to the power 1/3,
    are near normal already for few frames (Wilson and Hilferty, PNAS 17 (1931) 684). So by chance
    a pixel is taken for a hot one with the probability of the normal distribution's tail or less:
    3e-7 at 5 sigmas, below 1e-15 at 8. What a mask holds beyond that, the sensor has. NaN (no
    value) is not hot.
    """
    hot = _is_far_above(level, level, n_sigmas, min_excess_adu)
    if np.isfinite(noise).any():
        hot |= _is_far_above(noise, np.cbrt(noise * noise), n_sigmas, min_excess_adu)
    return hot


def _is_far_above(
    values: NDArray[np.float32], normal: NDArray[np.float32], n_sigmas: float, min_excess: float
) -> Mask:
    """Where the values stand out; `normal` is the same values on a scale on which they spread."""
    centre = _median(normal)
    spread = _NORMAL * _median(np.abs(normal - np.float32(centre)))
    middle = centre if normal is values else _median(values)
    is_far: Mask = (normal > centre + n_sigmas * spread) & (values > middle + min_excess)
    return is_far


def _median(values: NDArray[np.float32]) -> float:
    """The median of what is not NaN; NaN where nothing is."""
    there = values[~np.isnan(values)]
    return float(np.median(there)) if there.size else float("nan")
