"""Regions of interest: named pixel boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RoiError(ValueError):
    """A region of interest that cannot be used; the message says why and what to do."""


class Roi(BaseModel):
    """A half-open pixel box: x0 <= x < x1, y0 <= y < y1. x is the column, y the row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x0: int = Field(description="first column", ge=0)
    y0: int = Field(description="first row", ge=0)
    x1: int = Field(description="column after the last")
    y1: int = Field(description="row after the last")
    detector: str | None = Field(
        default=None, description="the detector it lies on; None: every detector of the run"
    )

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.x0 >= self.x1 or self.y0 >= self.y1:
            raise ValueError(
                f"an empty ROI: x {self.x0}..{self.x1}, y {self.y0}..{self.y1} (half open) "
                "holds no pixel; x1 must be above x0 and y1 above y0"
            )
        return self

    @property
    def box(self) -> tuple[slice, slice]:
        """The index of the box into an image: ``image[roi.box]``."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the box."""
        return self.y1 - self.y0, self.x1 - self.x0

    def is_on(self, detector: str) -> bool:
        """Whether the box lies on this detector."""
        return self.detector is None or self.detector == detector

    def is_inside(self, shape: tuple[int, int]) -> bool:
        """Whether the box lies within an image of this shape (rows, columns)."""
        return self.y1 <= shape[0] and self.x1 <= shape[1]

    def check_inside(self, shape: tuple[int, int], name: str, detector: str) -> None:
        """Raise `RoiError` unless the box lies within an image of this shape (rows, columns)."""
        if not self.is_inside(shape):
            rows, columns = shape
            remedy = "" if self.detector else ", or name the detector that it is for: detector=..."
            raise RoiError(
                f"ROI {name!r} (x {self.x0}..{self.x1}, y {self.y0}..{self.y1}) reaches outside "
                f"the frames of {detector!r}, which have {columns} columns and {rows} rows; move "
                f"it inside{remedy}"
            )


def slug(name: str) -> str:
    """`name` as it stands in a data key: ``"ROI 2"`` becomes ``"ROI_2"``.

    >>> slug("ROI 2"), slug("laser on/off")
    ('ROI_2', 'laser_on_off')
    """
    text = re.sub(r"\W+", "_", name).strip("_")
    if not text:
        raise RoiError(f"the ROI name {name!r} holds no letter or digit; give it one")
    return text


def check_names(names: Iterable[str]) -> Mapping[str, str]:
    """The slug of each ROI name. Raises `RoiError` where two names have the same slug."""
    slugs: dict[str, str] = {}
    for name in names:
        key = slug(name)
        for other, taken in slugs.items():
            if taken == key:
                raise RoiError(
                    f"the ROI names {other!r} and {name!r} both become {key!r} in a data key; "
                    "rename one"
                )
        slugs[name] = key
    return slugs
