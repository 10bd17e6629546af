"""The pixels of an image that carry data, as a calibration uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.masks import combine, negative_flags
from femto_bluesky.model.shots import Mask
from femto_bluesky.model.sums import AccumulatedImage

Array = NDArray[np.float64]


class CalibrationError(ValueError):
    """Rings that a geometry cannot be refined on; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class RingImage:
    """The live pixels of an image: positions, counts, and for how long each was valid."""

    shape: tuple[int, int]
    y: Array
    x: Array
    counts: Array
    exposure: Array

    @classmethod
    def of(cls, image: NDArray[Any] | AccumulatedImage, mask: Mask | None = None) -> RingImage:
        """The pixels of an image that are not masked, not below 0, finite and valid in a frame.

        Raises `CalibrationError` where there are none or none counted, `MaskError` for a mask of
        another shape, `ValueError` for what is no image.
        """
        exposure = None
        if isinstance(image, AccumulatedImage):
            mask = combine(image.mask, mask, shape=image.image.shape)
            exposure, image = image.n_valid, image.image
        values = np.asarray(image)
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise ValueError(
                f"found an array of the shape {values.shape} and dtype {values.dtype}, expected an "
                "image: rows and columns of real numbers"
            )
        rows, columns = values.shape
        is_live = ~combine(negative_flags(values), mask, shape=(rows, columns))
        if exposure is not None:
            is_live &= exposure > 0
        if not is_live.any():
            raise CalibrationError(
                f"all pixels of the image of {rows} rows and {columns} columns are masked or below "
                "0; nothing can be seen on it: check the mask"
            )
        y, x = np.nonzero(is_live)
        counts = values[is_live].astype(np.float64)
        if not counts.any():
            raise CalibrationError(
                f"the {counts.size} live pixels of the image counted nothing; take a longer sum"
            )
        valid = np.ones(counts.size) if exposure is None else exposure[is_live].astype(np.float64)
        return cls((rows, columns), y.astype(np.float64), x.astype(np.float64), counts, valid)

    def near(self, is_near: NDArray[np.bool_]) -> RingImage:
        """Some of the pixels."""
        parts = (part[is_near] for part in (self.y, self.x, self.counts, self.exposure))
        return RingImage(self.shape, *parts)
