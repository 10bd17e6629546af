"""What is known of each detector: its kind, pixel, mask and default cleaning, in one table.

Figures: the beamline's settings; pixel sizes from the makers' data sheets (Dectris Pilatus 172 um;
Andor Zyla 6.5 um, Balor 12 um).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NOT_KEPT = "raw_frames_not_kept"
"""Key of a start document: the detectors whose raw frames are deleted once analysed."""


class PhotonFinding(BaseModel):
    """How photons are found on the frames of one detector, in numbers.

    The defaults are those of a Balor at FemtoMAX, where the 3x3 sum of a photon is 1200 ADU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pixel_threshold_adu: float = Field(
        default=110, ge=0, description="raw value that the hottest pixel of a photon is above"
    )
    energy_min_adu: float = Field(
        default=800, ge=0, description="a 3x3 sum, less dark, above this is a photon"
    )
    overlap_adu: float = Field(
        default=1400, ge=0, description="a 3x3 sum above this is flagged as two photons or more"
    )
    photon_adu: float = Field(
        default=1200,
        ge=1e-3,
        description="the 3x3 sum of one photon, in which energies are counted",
    )
    view_min_adu: float = Field(
        default=1100, ge=0, description="photons above this stand in the clean frame"
    )
    hot_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="a hit with more of its energy than this in one pixel is a hot pixel and is "
        "dropped; 1 keeps them all",
    )
    max_overlap_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="a frame so full that more of its photons than this are expected to overlap "
        "is thresholded instead of counted",
    )

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        if self.overlap_adu < self.energy_min_adu:
            raise ValueError(
                f"overlap_adu is {self.overlap_adu:g}, expected at least energy_min_adu, "
                f"{self.energy_min_adu:g}: change both"
            )
        return self


class DetectorSettings(BaseModel):
    """How the frames of one detector are read and cleaned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["counting", "camera", "unknown"] = Field(
        default="unknown",
        description="counting: its pixels are counts and are used as they are; camera: they have "
        "a dark level",
    )
    pixel_size_m: tuple[float, float] | None = Field(
        default=None, description="height and width of a pixel in metres; None: as the run says"
    )
    mask_negative: bool = Field(
        default=False, description="pixels below 0 are flags (gap, dead), not data"
    )
    mask_file: Path | None = Field(
        default=None,
        description="an image (.npy, .edf, .tif, .cbf, HDF5), not 0 where a pixel carries no data",
    )
    dark_adu: float | None = Field(
        default=None, description="dark level; None: frames are used as they are", ge=0
    )
    threshold_adu: float = Field(
        default=0.0, description="what is less than this above the dark level counts as 0", ge=0
    )
    photons: PhotonFinding | None = Field(
        default=None, description="how single photons are found on its frames; None: they are not"
    )


DETECTORS: Mapping[str, DetectorSettings] = {
    "pilatus": DetectorSettings(kind="counting", pixel_size_m=(172e-6, 172e-6), mask_negative=True),
    "andor3_zyla10": DetectorSettings(
        kind="camera", pixel_size_m=(6.5e-6, 6.5e-6), dark_adu=100, threshold_adu=12
    ),
    "andor3_zyla12": DetectorSettings(
        kind="camera", pixel_size_m=(6.5e-6, 6.5e-6), dark_adu=100, threshold_adu=12
    ),
    "andor3_balor": DetectorSettings(
        kind="camera",
        pixel_size_m=(12e-6, 12e-6),
        dark_adu=100,
        threshold_adu=10,
        photons=PhotonFinding(),
    ),
}
"""The defaults, by what a detector's name in the documents begins with."""


def settings_of(
    detector: str, known: Mapping[str, DetectorSettings] = DETECTORS
) -> DetectorSettings:
    """The settings of a detector by its name; the longest entry that the name begins with wins.

    A detector that the table does not know is analysed as it is: dense, no dark level, no mask
    but NaN.

    >>> settings_of("pilatus2").mask_negative, settings_of("my_camera").mask_negative
    (True, False)
    """
    names = [name for name in known if detector.startswith(name)]
    return known[max(names, key=len)] if names else DetectorSettings()
