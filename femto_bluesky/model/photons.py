"""Frames as lists of photons, and how photons are found on the frames of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels import cmos, sparse
from femto_bluesky.kernels.photons import HOT, OVERLAP, Photons, PhotonSearch
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Mask, ThresholdedFrame


def expected_overlap_share(n_photons: int, n_pixels: int) -> float:
    """The share of photons that have another one in their 3x3, when they fall at random.

    Others fall into the nine pixels as a Poisson process does: 1 - exp(-9 n / pixels).

    >>> round(expected_overlap_share(100_000, 4104 * 4128), 3)
    0.052
    """
    return -float(np.expm1(-9 * n_photons / n_pixels))


@dataclass(frozen=True, slots=True)
class EnergyBins:
    """The bins of a histogram of energies: `width_adu` each, from 0; the last takes all above."""

    width_adu: float = 10.0
    n: int = 500

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin, in ADU."""
        return np.asarray((np.arange(self.n) + 0.5) * self.width_adu, np.float64)

    def count(self, photons: Photons) -> NDArray[np.int64]:
        """How many photons have an energy in each bin."""
        bins = np.minimum((photons["energy"] / self.width_adu).astype(np.int64), self.n - 1)
        return np.bincount(bins, minlength=self.n)


@dataclass(frozen=True, slots=True, eq=False)
class PhotonFrame:
    """A frame as the list of its photons; 0 where there is none.

    `photons` has the dtype `kernels.photons.PHOTON`, in reading order, without hot pixels, and is
    never written to again. `pixels` are those of the photons that are to be seen.
    """

    photons: Photons
    pixels: sparse.Pixels
    shape: tuple[int, int]
    mask: Mask | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of an energy."""
        return np.dtype(np.float32)

    def add_to(self, total: NDArray[Any]) -> None:
        """Add the energies to a running sum of the same shape, in place."""
        sparse.add(self.pixels, total)

    def sum_and_count(self, roi: Roi) -> tuple[float, int]:
        """The sum of the energies and the number of the valid pixels in a box."""
        rows, columns = roi.shape
        n = rows * columns
        if self.mask is not None:
            n -= int(np.count_nonzero(self.mask[roi.box]))
        return sparse.sum_in_box(self.pixels, roi), n

    def dense(self) -> NDArray[Any]:
        """The clean image, a new array."""
        image = np.zeros(self.shape, self.dtype)
        self.add_to(image)
        return image


class CrowdedFrame(ThresholdedFrame):
    """A frame with too many photons to be told apart: less its dark level, thresholded."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What was found on one frame.

    `photons` are without hot pixels, also where the frame is crowded, but then they mean little.
    `overlap_share` is what is expected of photons at random, see `expected_overlap_share`.
    """

    frame: PhotonFrame | CrowdedFrame
    photons: Photons
    n_hot: int
    overlap_share: float

    @property
    def is_crowded(self) -> bool:
        """Whether the frame is thresholded instead of counted."""
        return isinstance(self.frame, CrowdedFrame)

    @property
    def n_overlaps(self) -> int:
        """How many photons are flagged as more than one."""
        return int(np.count_nonzero(self.photons["flags"] & OVERLAP))


class PhotonCounter:
    """Finds the photons of the frames of one detector, or thresholds frames that are too full.

    `dark` is a level or an image of levels in ADU, `mask` (rows, columns) True where a pixel
    carries no data, hot ones too; `threshold_adu` above dark is for frames that are too full.
    Raises `ValueError` for numbers that make no sense.
    """

    def __init__(
        self,
        finding: PhotonFinding,
        dark: float | NDArray[Any],
        *,
        threshold_adu: float = 0.0,
        roi: Roi | None = None,
        mask: Mask | None = None,
    ) -> None:
        self.finding, self.dark, self.roi, self.mask = finding, dark, roi, mask
        self.threshold_adu = threshold_adu
        self.search = PhotonSearch(
            dark, finding.pixel_threshold_adu, finding.energy_min_adu, finding.overlap_adu, roi,
            mask=mask, hot_share=finding.hot_share,
        )  # fmt: skip
        self._cleaning: dict[tuple[tuple[int, ...], np.dtype[Any]], tuple[NDArray[Any], Any]] = {}

    def count(self, pixels: NDArray[Any]) -> Counted:
        """Look at one frame (rows, columns). A crowded one keeps the memory of the pixels."""
        hits = self.search.find(pixels)
        is_hot = (hits["flags"] & HOT) != 0
        n_hot = int(np.count_nonzero(is_hot))
        photons = hits[~is_hot] if n_hot else hits
        rows, columns = pixels.shape
        n_pixels = rows * columns if self.roi is None else self.roi.shape[0] * self.roi.shape[1]
        share = expected_overlap_share(len(photons), n_pixels)
        frame: PhotonFrame | CrowdedFrame
        if share > self.finding.max_overlap_share:
            frame = self._crowded(pixels)
        else:
            seen = sparse.pixels_of(
                photons, (rows, columns), self.finding.view_min_adu, self.roi, self.mask
            )
            frame = PhotonFrame(photons, seen, (rows, columns), self.mask)
        return Counted(frame, photons, n_hot, share)

    def _crowded(self, pixels: NDArray[Any]) -> CrowdedFrame:
        rows, columns = pixels.shape
        key = pixels.shape, pixels.dtype
        if key not in self._cleaning:
            self._cleaning[key] = (
                cmos.dark_rows(self.dark, (rows, columns), pixels.dtype),
                cmos.threshold_in_type(self.threshold_adu, pixels.dtype),
            )
        dark, threshold = self._cleaning[key]
        if self.roi is not None:
            # nothing is left of a pixel that is 0, whatever its dark level
            inside, pixels = pixels[self.roi.box], np.zeros_like(pixels)
            pixels[self.roi.box] = inside
        return CrowdedFrame(pixels, dark, threshold, self.mask)
