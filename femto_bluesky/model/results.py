"""What an analysis shows: curves and images with their axes, after the NeXus class NXdata.

One description serves the results file, the pictures and the live page. Source: the NXdata
base class of the NeXus format, https://manual.nexusformat.org/classes/base_classes/NXdata.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.rois import Roi

Curve = tuple[NDArray[Any], NDArray[Any]]
"""Positions y and x on an image, in order; NaN stands between pieces."""


class DataGroupError(ValueError):
    """A result whose parts do not fit together; the message says which."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Named values with their units: a signal, an axis or a column beside them."""

    name: str
    values: NDArray[Any]
    units: str = ""
    long_name: str = ""

    @property
    def label(self) -> str:
        """The text beside an axis: the long name (or the name) and the units."""
        text = self.long_name or self.name
        return f"{text} [{self.units}]" if self.units else text


@dataclass(frozen=True, slots=True)
class DataGroup:
    """One curve (one axis) or one image (two axes: rows, then columns) with its errors.

    `path` is where it stands among the results ("step_means/ROI_2"). `errors` has the shape of
    the signal and holds no NaN and no negative number; what it is stands in `errors_name`.
    `columns` are further values along the first axis (counts, standard errors). `mask` is True
    where an image carries no data. `rois` and `rings` are drawn on an image: a ring is a curve of
    positions among its pixels, whose centres are whole numbers. `lines` are places along the axis
    of a curve that are marked with their names. `attributes` are kept with it.
    """

    path: str
    title: str
    signal: Quantity
    axes: tuple[Quantity, ...]
    errors: NDArray[Any] | None = None
    errors_name: str = ""
    columns: tuple[Quantity, ...] = ()
    mask: NDArray[Any] | None = None
    rois: Mapping[str, Roi] = field(default_factory=dict)
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    rings: Mapping[str, Curve] = field(default_factory=dict)
    lines: Mapping[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `DataGroupError` unless the parts have the shapes that the signal asks for.

        A signal has one or two dimensions. An image may go without axes: they are its pixels.
        """
        signal = self.signal
        shape = signal.values.shape
        if len(shape) not in (1, 2) or signal.values.dtype.kind not in "biuf":
            raise DataGroupError(
                f"the result {self.path!r}: its signal {signal.name!r} is {signal.values.dtype} of "
                f"the shape {shape}; it must be real numbers in 1 (a curve) or 2 dimensions (an "
                "image)"
            )
        if len(self.axes) not in ({1} if len(shape) == 1 else {0, 2}):
            raise DataGroupError(
                f"the result {self.path!r}: its signal {signal.name!r} of the shape {shape} needs "
                f"{len(shape)} axes, but it has {len(self.axes)}"
            )
        parts = [
            (f"axis {axis.name!r}", axis.values.shape, shape[i : i + 1])
            for i, axis in enumerate(self.axes)
        ]
        parts += [(f"column {c.name!r}", c.values.shape[:1], shape[:1]) for c in self.columns]
        if self.errors is not None:
            parts.append(("errors", self.errors.shape, shape))
        if self.mask is not None:
            parts.append(("mask", self.mask.shape, shape))
        for ring, (y, x) in self.rings.items():
            if np.ndim(y) != 1 or np.shape(y) != np.shape(x) or len(shape) != 2:
                raise DataGroupError(
                    f"the result {self.path!r}: its ring {ring!r} has y of the shape "
                    f"{np.shape(y)} and x of {np.shape(x)}; it needs two lists of one length, on "
                    "an image"
                )
        for name, found, expected in parts:
            if found != expected:
                raise DataGroupError(
                    f"the result {self.path!r}: its {name} has the shape {found}, but the signal "
                    f"{signal.name!r} of the shape {shape} needs {expected}"
                )
