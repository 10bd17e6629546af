"""Frames as lists of photons, and how photons are found on the frames of a detector."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from femto_bluesky.kernels import cmos, sparse
from femto_bluesky.kernels.photons import HOT, Photons, PhotonSearch
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Mask, ThresholdedFrame

MAX_BRIGHT_SHARE = 0.5
"""A frame with more bright pixels is flooded, whatever was found: a plateau has one maximum."""

TILE_PX = 64
"""Photons are taken to fall at random within tiles of so many pixels, not over the whole sensor."""


def expected_overlap_share(
    photons: Photons, shape: tuple[int, int], roi: Roi | None = None
) -> float:
    """The share of photons that have another one in their 3x3, by how many lie around them.

    Within a tile of 64x64 pixels others fall into nine pixels as a Poisson process does: the share
    of its n photons is 1 - exp(-9 (n - 1) / pixels). So a bright spot counts for the photons in it,
    and not for the rest of the frame.

    >>> from femto_bluesky.kernels.photons import PHOTON
    >>> photons = np.zeros(100_000, PHOTON)
    >>> photons["y"], photons["x"] = np.random.default_rng(0).uniform(0, 4096, (2, 100_000))
    >>> round(expected_overlap_share(photons, (4096, 4096)), 2)
    0.05
    """
    if not len(photons):
        return 0.0
    y0, y1, x0, x1 = (0, shape[0], 0, shape[1]) if roi is None else (roi.y0, roi.y1, roi.x0, roi.x1)
    of_rows = np.diff(np.r_[0 : y1 - y0 : TILE_PX, y1 - y0])
    of_columns = np.diff(np.r_[0 : x1 - x0 : TILE_PX, x1 - x0])
    rows = (np.clip(photons["y"], y0, y1 - 1) - y0).astype(np.int64) // TILE_PX
    columns = (np.clip(photons["x"], x0, x1 - 1) - x0).astype(np.int64) // TILE_PX
    n_tiles = len(of_rows) * len(of_columns)
    found = np.bincount(rows * len(of_columns) + columns, minlength=n_tiles)
    shares = -np.expm1(-9 * np.maximum(found - 1, 0) / np.outer(of_rows, of_columns).ravel())
    return float((found * shares).sum() / len(photons))


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
        # held in range before they become integers: an energy may be beyond all of them
        bins = np.clip(photons["energy"] / np.float64(self.width_adu), 0, self.n - 1)
        return np.bincount(np.nan_to_num(bins).astype(np.int64), minlength=self.n)


@dataclass(frozen=True, slots=True, eq=False)
class FoundWith:
    """What photons were found with, for provenance: all numbers as plain data, and where."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    bins: EnergyBins = EnergyBins()
    roi: Roi | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PhotonFrame:
    """A frame as the list of its photons; 0 where there is none.

    `photons` has the dtype `kernels.photons.PHOTON`, in reading order, without the `n_hot` hits
    that were hot pixels, and is never written to again. `pixels` are those of the photons that are
    to be seen. `overlap_share` is what is expected, see `expected_overlap_share`.
    """

    photons: Photons
    pixels: sparse.Pixels
    shape: tuple[int, int]
    mask: Mask | None = None
    n_hot: int = 0
    overlap_share: float = 0.0
    found_with: FoundWith = FoundWith()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of an energy."""
        return np.dtype(np.float32)

    def add_to(self, total: NDArray[Any]) -> None:
        """Add the energies to a running sum of the same shape, in place."""
        sparse.add(self.pixels, total)

    def seen(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Positions y and x and energies of the photons that are to be seen, as in `pixels`."""
        seen = sparse.photons_of(self.pixels, self.photons)
        y, x, energies = (seen[name].astype(np.float64) for name in ("y", "x", "energy"))
        return y, x, energies

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


@dataclass(frozen=True, slots=True, eq=False)
class CrowdedFrame(ThresholdedFrame):
    """A frame with too many photons to be told apart: less its dark level, thresholded.

    The fields that it shares with `PhotonFrame` mean the same.
    """

    n_hot: int = 0
    overlap_share: float = 1.0
    found_with: FoundWith = FoundWith()


class PhotonCounter:
    """Finds the photons of the frames of one detector, or thresholds frames that are too full.

    `dark` is a level or an image of levels in ADU (NaN: the pixel carries no data), `mask` (rows,
    columns) True where a pixel carries no data, hot ones too; `threshold_adu` above dark is for
    frames that are too full. `settings` and `bins` are kept with what is found. Raises `ValueError`
    for numbers that make no sense.
    """

    def __init__(
        self,
        finding: PhotonFinding,
        dark: float | NDArray[Any],
        *,
        threshold_adu: float = 0.0,
        roi: Roi | None = None,
        mask: Mask | None = None,
        settings: Mapping[str, Any] | None = None,
        bins: EnergyBins | None = None,
    ) -> None:
        if np.ndim(dark) == 2 and np.isnan(dark).any():
            missing = np.isnan(dark)
            mask = missing if mask is None else mask | missing
            mask.flags.writeable = False  # the same for every frame
            dark = np.where(missing, np.nanmin(dark), dark)
        self.finding, self.dark, self.roi, self.mask = finding, dark, roi, mask
        self.threshold_adu = threshold_adu
        self.found_with = FoundWith(dict(settings or {}), bins or EnergyBins(), roi)
        self.search = PhotonSearch(
            dark, finding.pixel_threshold_adu, finding.energy_min_adu, finding.overlap_adu, roi,
            mask=mask, hot_share=finding.hot_share,
        )  # fmt: skip
        self._without_data: dict[tuple[int, int], Mask | None] = {}
        self._cleaning: dict[tuple[tuple[int, ...], np.dtype[Any]], tuple[NDArray[Any], Any]] = {}

    def count(self, pixels: NDArray[Any]) -> PhotonFrame | CrowdedFrame:
        """Look at one frame (rows, columns). A crowded one keeps the memory of the pixels."""
        hits, bright_share = self.search.look(pixels)
        is_hot = (hits["flags"] & HOT) != 0
        n_hot = int(np.count_nonzero(is_hot))
        photons = hits[~is_hot] if n_hot else hits
        rows, columns = pixels.shape
        share = expected_overlap_share(photons, (rows, columns), self.roi)
        if bright_share > MAX_BRIGHT_SHARE:
            share = 1.0
        if share > self.finding.max_overlap_share:
            return self._crowded(pixels, n_hot, share)
        shape = rows, columns
        seen = sparse.pixels_of(photons, shape, self.finding.view_min_adu, self.roi, self.mask)
        mask = self._mask_of(shape)
        return PhotonFrame(photons, seen, shape, mask, n_hot, share, self.found_with)

    def count_by_energy(self, photons: Photons) -> int:
        """How many photons there are where the energy of each hit tells how many it is.

        At least one for each hit, else its energy in units of one photon's, rounded.
        """
        units = np.floor(photons["energy"] / self.finding.photon_adu + 0.5)
        return int(np.clip(units, 1, 1e9).sum(dtype=np.float64))

    def warm(self, dtype: DTypeLike) -> None:
        """Compile (or load from the cache) what frames of this dtype need, before they come."""
        box, total = Roi(x0=0, y0=0, x1=3, y1=1), np.zeros((1, 16), np.float64)
        dark: Any = 0.0 if np.ndim(self.dark) == 0 else np.zeros((1, 16), np.float32)
        # two photons in one tile, which the first limit has counted and the second one not
        anything = {"energy_min_adu": 0, "pixel_threshold_adu": 0, "hot_share": 1}
        # what cannot be written to has compiled code of its own; so are masks that stay the same
        fixed = np.zeros((1, 16), np.bool_)
        fixed.flags.writeable = False
        masks = None, fixed.copy(), fixed
        pixels = np.zeros((1, 16), dtype)
        pixels[0, [0, 2]] = 100
        for limit, mask in itertools.product((1.0, 1e-9), masks):
            finding = self.finding.model_copy(update={**anything, "max_overlap_share": limit})
            frame = PhotonCounter(finding, dark, mask=mask).count(pixels)
            frame.add_to(total)
            frame.sum_and_count(box)

    def _crowded(self, pixels: NDArray[Any], n_hot: int, share: float) -> CrowdedFrame:
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
        mask = self._mask_of((rows, columns))
        return CrowdedFrame(pixels, dark, threshold, mask, n_hot, share, self.found_with)

    def _mask_of(self, shape: tuple[int, int]) -> Mask | None:
        """The mask of the clean frames: outside the ROI nobody looked, which is not nothing."""
        if self.roi is None:
            return self.mask
        if shape not in self._without_data:
            mask = np.ones(shape, np.bool_)
            mask[self.roi.box] = False if self.mask is None else self.mask[self.roi.box]
            mask.flags.writeable = False  # the same for every frame
            self._without_data[shape] = mask
        return self._without_data[shape]
