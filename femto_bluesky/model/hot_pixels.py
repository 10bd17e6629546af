"""Hot pixels, learned from the frames that are measured anyway.

A hot pixel fires again and again where its neighbours see nothing. A photon never looks so: its
cloud of charge reaches the neighbours (`kernels.counts`), also where thousands of them fall into a
Bragg spot. What else lights one pixel, such as a particle of cosmic radiation that is stopped in
it, comes at random, and hardly twice to the same place. So it is counted how often each pixel
fires alone, and those are hot that do so more often than chance gives to any pixel of the sensor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from femto_bluesky.kernels.counts import count_alone
from femto_bluesky.kernels.photon_loops import FREE, MASKED
from femto_bluesky.model.shots import Mask

CHANCE = 1e-3
"""The probability that a mask holds a live pixel, anywhere on the sensor, by chance."""


class HotPixelSearch:
    """Looks at frames (rows, columns) of one shape and learns which pixels are hot.

    `dark` is a level in ADU or an image of levels. A pixel fires where it is more than
    `threshold_adu` above it: choose some ten times the read noise, and well below a photon. It
    fires alone where its neighbours, but for the largest of them, hold together less than
    `share` of what it holds. Of a photon, wherever it falls, they hold 0.42 or more with a cloud
    of 0.45 px and a halo of 6 %, 0.68 with one of 0.55 px, 0.24 with one of 0.4 px.

    Two adjacent hot pixels are both found, but not if both are at the edge of the sensor. Of three
    in a row the outer ones are; the one in the middle is when they are masked: a `mask`, True where
    a pixel carries no data, may be one learned before. A corner pixel of the sensor is never found.

    Searches of parts of the frames can be merged; neither order nor cutting changes the mask.
    Raises `ValueError` for numbers that make no sense.
    """

    def __init__(
        self,
        dark: float | NDArray[Any] = 100.0,
        threshold_adu: float = 50.0,
        *,
        mask: Mask | None = None,
        share: float = 0.2,
    ) -> None:
        if not threshold_adu > 0:
            raise ValueError(f"threshold_adu is {threshold_adu}, expected ADU above dark, above 0")
        if not 0 < share < 1:
            raise ValueError(
                f"share is {share}, expected a part of what the pixel holds, above 0 and below 1"
            )
        is_level = np.ndim(dark) == 0
        self.dark = float(dark) if is_level else np.ascontiguousarray(dark, dtype=np.float32)
        self._lowest_dark = float(np.fmin.reduce(self.dark, None))
        if not self._lowest_dark >= 0:
            raise ValueError(
                f"the lowest dark level is {self._lowest_dark}, expected ADU of 0 or more; collect "
                "the dark image again, or give one dark level"
            )
        self.threshold_adu, self.share, self.known = float(threshold_adu), float(share), mask
        self.n_frames = 0
        self._places = None
        if mask is not None:
            self._places = np.where(mask, np.uint8(MASKED), np.uint8(FREE))
        self._counts: NDArray[np.uint32] | None = None

    @property
    def counts(self) -> NDArray[np.uint32]:
        """In how many frames each pixel fired alone. Raises `ValueError` before the first."""
        if self._counts is None:
            raise ValueError("no frame was looked at so far; add frames first")
        return self._counts

    def add(self, frame: NDArray[Any]) -> None:
        """Look at one frame of integers or floats; NaN is a pixel without data.

        Raises `ValueError` for one of another shape.
        """
        if frame.ndim != 2 or frame.dtype.kind not in "uif" or frame.size == 0:
            raise ValueError(
                f"found an array of the shape {frame.shape} and dtype {frame.dtype}, expected one "
                "frame (rows, columns) of integers or floats"
            )
        images = {
            "dark image": None if isinstance(self.dark, float) else self.dark.shape,
            "mask": None if self.known is None else self.known.shape,
            "frame before": None if self._counts is None else self._counts.shape,
        }
        for name, shape in images.items():
            if shape not in (None, frame.shape):
                raise ValueError(
                    f"the {name} has the shape {shape}, the frame has {frame.shape}; learn each "
                    "readout region on its own"
                )
        if self._counts is None:
            # memory is used where something is counted only
            self._counts = np.zeros(frame.shape, np.uint32)
        count_alone(
            frame, self.dark, self._places, self._lowest_dark, self.threshold_adu, self.share,
            self._counts,
        )  # fmt: skip
        self.n_frames += 1

    def merge(self, other: HotPixelSearch) -> None:
        """Take in what another search counted on other frames.

        Raises `ValueError` where it looked for something else, or at frames of another shape.
        """
        if not self._is_alike(other):
            raise ValueError(
                "these searches have different settings, masks or dark levels; make both alike"
            )
        if other._counts is None:
            return
        if self._counts is None:
            self._counts = np.zeros_like(other._counts)
        if self._counts.shape != other._counts.shape:
            raise ValueError(
                f"these searches looked at frames of {self._counts.shape} and of "
                f"{other._counts.shape}; learn each readout region on its own"
            )
        fired = np.flatnonzero(other._counts)
        self._counts.flat[fired] += other._counts.flat[fired]
        self.n_frames += other.n_frames

    def least_count(self) -> int:
        """In how many frames a pixel must have fired alone to be hot.

        So many that a live pixel, anywhere on the sensor, reaches it with a probability of
        `CHANCE`, if pixels fire alone by chance as Poisson processes of one rate do. That rate is
        told by how many pixels did so at all; hot ones among them make it too large rather than
        too small. Raises `ValueError` before the first frame.
        """
        n_pixels = self.counts.size
        n_fired = int(np.count_nonzero(self.counts))
        # one more than were seen: that none fired does not say that none can
        mean = -math.log1p(-min(n_fired + 1, n_pixels) / (n_pixels + 1))
        return _quantile(mean, CHANCE / n_pixels)

    def mask(self, min_share_of_frames: float = 0.01) -> Mask:
        """True where a pixel is hot, or was masked from the start: a new image (rows, columns).

        A pixel that fires alone in fewer frames than this share is left alone: it costs more to
        lose it. Raises `ValueError` for so few frames that even a pixel that fires in all of them
        could do so by chance.
        """
        least = self.least_count()
        if self.n_frames < least:
            raise ValueError(
                f"{self.n_frames} frames are too few to tell hot pixels from chance; a pixel must "
                f"fire in {least} at least: add more frames"
            )
        hot: Mask = self.counts >= max(least, min_share_of_frames * self.n_frames)
        return hot if self.known is None else hot | self.known

    def warm(self, dtype: DTypeLike) -> None:
        """Compile (or load from the cache) what a frame of this dtype needs, before it comes."""
        alike = HotPixelSearch(
            self.dark if isinstance(self.dark, float) else np.zeros((1, 1)),
            mask=None if self.known is None else np.zeros((1, 1), np.bool_),
        )
        alike.add(np.zeros((1, 1), dtype))

    def _is_alike(self, other: HotPixelSearch) -> bool:
        if (self.threshold_adu, self.share) != (other.threshold_adu, other.share):
            return False
        if self.known is None or other.known is None:
            is_same_mask = self.known is other.known
        else:
            is_same_mask = np.array_equal(self.known, other.known)
        return is_same_mask and np.array_equal(self.dark, other.dark, equal_nan=True)


def _quantile(mean: float, probability: float) -> int:
    """The least n that a Poisson number of this mean reaches with no more than a probability.

    >>> _quantile(1e-5, 1e-9), _quantile(3.0, 0.5)
    (2, 4)
    """
    # 1 less the sum is exact to 1e-16, and no sensor has so many pixels
    n, term = 1, math.exp(-mean)
    below = term
    while 1 - below > probability:
        term *= mean / n
        below += term
        n += 1
    return n
