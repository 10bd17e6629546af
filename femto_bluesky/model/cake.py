"""I(q, azimuth): images summed in bins of q and of azimuth, as pyFAI's `integrate2d` does it.

As for I(q), a pixel belongs to the one bin of its centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels import binning
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.pixel_arrays import UNIT, q_and_chi_of_pixels
from femto_bluesky.model.shots import Mask
from femto_bluesky.model.sums import AccumulatedImage

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CakeBins:
    """Bins of q from `low` on, `width` (1/A) each, and of azimuth, over all that a frame has."""

    n_q: int
    n_azimuth: int
    low: float
    width: float


class CakeBinning:
    """Sums frames of one geometry and mask in bins of q and azimuth; made once for many frames."""

    def __init__(
        self, geometry: Geometry, bins: CakeBins, norms: NDArray[np.int32], mask: Mask | None
    ) -> None:
        self.bins, self._norms = bins, norms
        q, chi = q_and_chi_of_pixels(geometry, (norms.shape[0], norms.shape[1]))
        low = float(chi.min())
        # the largest azimuth is in the last bin, as pyFAI has it
        width = (float(chi.max()) - low) * (1 + float(np.finfo(np.float32).eps)) / bins.n_azimuth
        width = width or 1.0
        self.q: Floats = np.asarray(bins.low + (np.arange(bins.n_q) + 0.5) * bins.width)
        self.chi: Floats = np.asarray(low + (np.arange(bins.n_azimuth) + 0.5) * width)
        place = np.floor((q - bins.low) / bins.width)
        nowhere = (place < 0) | (place >= bins.n_q)
        if mask is not None:
            nowhere |= mask
        del q
        chi -= low
        chi /= width
        place += np.clip(np.floor(chi, out=chi), 0, bins.n_azimuth - 1, out=chi) * bins.n_q
        place[nowhere] = bins.n_azimuth * bins.n_q
        self._places = place.astype(np.uint32)

    def intensity(self, found: AccumulatedImage) -> Floats:
        """Counts a frame and pixel (azimuth, q) of an accumulated image; NaN without a pixel."""
        signal = self._zeros()
        binning.add(self._places, found.image, signal)
        norm = self._zeros()
        if found.n_valid is not None:
            binning.add_products(self._places, self._norms, found.n_valid, norm)
        elif found.mask.any():
            binning.add_products(self._places, self._norms, ~found.mask, norm)
        else:
            binning.add(self._places, self._norms, norm)
        if found.n_valid is None:
            norm *= found.n_frames
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient: Floats = np.where(norm[:-1] > 0, signal[:-1] / norm[:-1] * UNIT, np.nan)
        return quotient.reshape(self.bins.n_azimuth, self.bins.n_q)

    def _zeros(self) -> NDArray[Any]:
        return np.zeros(self.bins.n_azimuth * self.bins.n_q + 1)
