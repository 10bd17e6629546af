"""The settings of `PhotonDetection`, and the counter that they make for a detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import ConfigDict, Field

from femto_bluesky.files.arrays import KeptImages
from femto_bluesky.model.detectors import DetectorSettings, PhotonFinding
from femto_bluesky.model.photons import EnergyBins, PhotonCounter
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Mask
from femto_bluesky.stream.analysis import AnalysisSettings


class PhotonDetectionSettings(AnalysisSettings):
    """What a photon is. None stands for what the table of detectors says."""

    model_config = ConfigDict(allow_inf_nan=False)

    dark_adu: float | None = Field(default=None, ge=0, description="dark level")
    dark_file: Path | None = Field(
        default=None, description="an image of dark levels, instead of one level for all pixels"
    )
    dark_files: Mapping[str, Path] = Field(
        default={}, description="the same for each detector by its name, before dark_file"
    )
    pixel_threshold_adu: float | None = Field(
        default=None, ge=0, description="raw value that the hottest pixel of a photon is above"
    )
    energy_min_adu: float | None = Field(
        default=None, ge=0, description="a 3x3 sum, less dark, above this is a photon"
    )
    overlap_adu: float | None = Field(
        default=None, ge=0, description="a 3x3 sum above this is flagged as two photons or more"
    )
    photon_adu: float | None = Field(default=None, ge=1e-3, description="the 3x3 sum of one photon")
    view_min_adu: float | None = Field(
        default=None, ge=0, description="photons above this stand in the clean frame"
    )
    hot_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="a hit with more of its energy than this in one pixel is dropped",
    )
    max_overlap_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="a frame in which more photons than this are expected to overlap is "
        "thresholded instead of counted",
    )
    hot_pixel_file: Path | None = Field(
        default=None, description="an image, not 0 where a pixel is hot: it carries no data"
    )
    hot_pixel_files: Mapping[str, Path] = Field(
        default={}, description="the same for each detector by its name, before hot_pixel_file"
    )
    roi: Roi | None = Field(
        default=None, description="look for photons here only; None: on the whole sensor"
    )
    histogram_bin_adu: float = Field(
        default=10.0, ge=1e-3, description="width of a bin of energies"
    )
    histogram_n_bins: int = Field(
        default=500, gt=0, le=100_000, description="bins of energies; the last takes all above"
    )
    counting: bool = Field(
        default=True, description="count photons; if not, frames are handed on as they are"
    )
    detector: str | None = Field(
        default=None,
        description="count on this detector only; None: on every one that the table has photons of",
    )

    @property
    def bins(self) -> EnergyBins:
        """The bins of the histograms of energies."""
        return EnergyBins(self.histogram_bin_adu, self.histogram_n_bins)

    def of(self, detector: str) -> Self:
        """The settings for one detector: its own files are `dark_file` and `hot_pixel_file`."""
        if not (self.dark_files or self.hot_pixel_files):
            return self
        own = {
            "dark_file": self.dark_files.get(detector, self.dark_file),
            "hot_pixel_file": self.hot_pixel_files.get(detector, self.hot_pixel_file),
        }
        return self.model_copy(update={**own, "dark_files": {}, "hot_pixel_files": {}})

    def counts_on(self, detector: str, known: DetectorSettings) -> bool:
        """Whether photons are counted on a detector."""
        if not self.counting:
            return False
        if self.detector is not None:
            return detector == self.detector
        return known.photons is not None


def counter_of(
    settings: PhotonDetectionSettings,
    detector: str,
    known: DetectorSettings,
    mask: Mask | None = None,
    images: KeptImages | None = None,
) -> PhotonCounter:
    """What finds the photons of a detector's frames; `mask` is the detector's own.

    `images` are those that have been read already. Raises `ValueError` where no dark level is
    known, or a file cannot be read or does not fit.
    """
    images, settings = images or KeptImages(), settings.of(detector)
    given = {name: getattr(settings, name) for name in PhotonFinding.model_fields}
    numbers = {name: value for name, value in given.items() if value is not None}
    finding = PhotonFinding(**dict(known.photons or PhotonFinding()) | numbers)
    dark: Any = known.dark_adu if settings.dark_adu is None else settings.dark_adu
    if settings.dark_file is not None:
        dark = images.read(settings.dark_file, "dark image", np.float32)
    if dark is None:
        raise ValueError(
            f"photons are to be counted on {detector!r}, for which the table of detectors has no "
            "dark level; give dark_adu or dark_file"
        )
    if settings.hot_pixel_file is not None:
        hot = images.read(settings.hot_pixel_file, "mask of hot pixels", np.bool_)
        if hot.all():
            raise ValueError(
                f"{settings.hot_pixel_file}: all pixels are hot, expected a mask that is 0 where a "
                "pixel can be used; is it a mask?"
            )
        if mask is not None and mask.shape != hot.shape:
            raise ValueError(
                f"{settings.hot_pixel_file}: the mask of hot pixels has the shape {hot.shape}, the "
                f"frames of {detector!r} have {mask.shape}; learn one for this readout region"
            )
        if mask is None:
            mask = hot
        else:
            is_fixed, mask = not mask.flags.writeable, hot | mask
            mask.flags.writeable = not is_fixed  # one that is fixed is the same for every frame
    roi = settings.roi if settings.roi is not None and settings.roi.is_on(detector) else None
    record = finding.model_dump() | {
        "dark_adu": dark if settings.dark_file is None else None,
        "dark_file": None if settings.dark_file is None else str(settings.dark_file),
        "hot_pixel_file": None if settings.hot_pixel_file is None else str(settings.hot_pixel_file),
        "threshold_adu": known.threshold_adu,
        "roi": None if roi is None else roi.model_dump(),
    }
    return PhotonCounter(
        finding,
        dark,
        threshold_adu=known.threshold_adu,
        roi=roi,
        mask=mask,
        settings=record,
        bins=settings.bins,
    )
