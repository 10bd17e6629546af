"""The settings of `AzimuthalIntegration`, and what they say of a detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from femto_bluesky.model.calibrants import calibrant_name
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.stream.analysis import AnalysisSettings

T = TypeVar("T")


class IntegrationSettings(AnalysisSettings):
    """How frames become I(q), on all detectors alike."""

    model_config = ConfigDict(allow_inf_nan=False)

    n_bins: int = Field(
        default=1000,
        ge=2,
        le=60_000,
        description="bins of q. Some pixels wide each: narrower ones are empty here and there",
    )
    q_range: tuple[float, float] | None = Field(
        default=None, description="first and last q in 1/A; None: all that a frame has"
    )
    correct_solid_angle: bool = Field(
        default=True, description="pixels far from the beam see less of the sample: make up for it"
    )
    polarisation: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="polarisation of the beam as in pyFAI, 1 is horizontal; None: no correction",
    )
    mask_files: Mapping[str, Path] = Field(
        default={},
        description="images, not 0 where a pixel carries no data, by what detectors' names begin "
        "with; beside the masks of the frames",
    )
    counts_per_photon: float | None = Field(
        default=None,
        gt=0,
        description="what one photon adds to its pixel, for errors; None: photon_adu where photons "
        "are counted, the photon energy in keV where a counting detector gives real numbers (time "
        "over threshold), else 1",
    )
    n_azimuth: int = Field(
        default=0,
        ge=0,
        le=3600,
        description="bins of azimuth of the image q x azimuth of the sum; 0: there is none",
    )
    calibrant: str | None = Field(
        default=None, description="whose lines and rings are drawn, such as LaB6; None: no one's"
    )
    q_lines: tuple[float, ...] = Field(
        default=(),
        max_length=100,
        description="further q in 1/A whose lines and rings are drawn",
    )

    @field_validator("calibrant")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        """The name as it is written; raises where there is none."""
        return None if name is None else calibrant_name(name)

    @field_validator("q_lines")
    @classmethod
    def _are_above_0(cls, lines: tuple[float, ...]) -> tuple[float, ...]:
        """Each once, in the order in which they were given."""
        for q in lines:
            if not q > 0:
                raise ValueError(f"a line at q = {q:g} 1/A: it must be above 0")
        return tuple(dict.fromkeys(lines))

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.q_range is not None and not 0 <= self.q_range[0] < self.q_range[1]:
            raise ValueError(
                f"q_range is {self.q_range}: the first must be 0 or more and below the last"
            )
        return self


class AzimuthalSettings(IntegrationSettings):
    """Where the detectors stand, and how frames become I(q)."""

    geometries: Mapping[str, Geometry] = Field(
        default={}, description="where detectors stand, by what their names begin with"
    )


def of_detector(found: Mapping[str, T], detector: str) -> T | None:
    """The entry of a detector by its name: the longest that the name begins with; "" fits all.

    >>> of_detector({"": 1, "pilatus": 2}, "pilatus2"), of_detector({"pilatus": 2}, "zyla")
    (2, None)
    """
    names = [name for name in found if detector.startswith(name)]
    return found[max(names, key=len)] if names else None


def by_name(geometries: Geometry | Mapping[str, Geometry] | None) -> dict[str, Geometry]:
    """Geometries by what detectors' names begin with; one alone is for every detector."""
    return {"": geometries} if isinstance(geometries, Geometry) else dict(geometries or {})
