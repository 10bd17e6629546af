"""What of a geometry is refined: a vector of numbers in which rings move smoothly.

A tilt and its direction are polar, and without a tilt the direction means nothing. So the two
components of the tilt are refined instead: `tilt_x` and `tilt_y`, the tilt times the cosine and
the sine of its rotation.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.geometry import Geometry

Array = NDArray[np.float64]

NAMES = {
    "distance": ("distance_m",),
    "centre": ("y0_px", "x0_px"),
    "tilt": ("tilt_x_deg", "tilt_y_deg"),
    "energy": ("energy_kev",),
}
"""What `refine` may name, and the parameters that each word stands for."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Which parameters are free, and the geometry that the others are taken from."""

    names: tuple[str, ...]
    start: Geometry

    @classmethod
    def of(cls, refine: Collection[str], start: Geometry) -> Parameters:
        """The parameters that some words of `NAMES` stand for; raises `ValueError` for others."""
        words = [refine] if isinstance(refine, str) else list(refine)
        unknown = sorted(set(words) - NAMES.keys())
        if unknown or not words:
            raise ValueError(
                f"refine={tuple(words)}: "
                + (f"{unknown} cannot be refined" if unknown else "there is nothing to refine")
                + f"; name one or more of {tuple(NAMES)}"
            )
        return cls(tuple(name for word in NAMES if word in words for name in NAMES[word]), start)

    @property
    def values(self) -> Array:
        """The values of the start."""
        return np.array([_value(self.start, name) for name in self.names])

    @property
    def steps(self) -> Array:
        """Steps over which rings move linearly enough to take a derivative, about a pixel."""
        known = {
            "distance_m": 1e-3 * self.start.distance_m,
            "energy_kev": 1e-3 * self.start.energy_kev,
            "y0_px": 0.5,
            "x0_px": 0.5,
            # pyFAI takes arc cosines: a tilt of a hundredth of a degree would be lost in rounding
            "tilt_x_deg": 0.3,
            "tilt_y_deg": 0.3,
        }
        return np.array([known[name] for name in self.names])

    @property
    def doubts(self) -> Array:
        """How wrong a start may be that is taken for good: standard deviations."""
        height, width = self.start.pixel_size_m
        known = {
            "distance_m": 0.005 * self.start.distance_m,
            "energy_kev": 0.005 * self.start.energy_kev,
            "y0_px": 0.3e-3 / height,
            "x0_px": 0.3e-3 / width,
            "tilt_x_deg": 1.0,
            "tilt_y_deg": 1.0,
        }
        return np.array([known[name] for name in self.names])

    def geometry(self, values: Array) -> Geometry:
        """The geometry of these values."""
        found = dict(zip(self.names, map(float, values), strict=True))
        if "tilt_x_deg" in found:
            x, y = found.pop("tilt_x_deg"), found.pop("tilt_y_deg")
            found |= {"tilt_deg": math.hypot(x, y), "rotation_deg": math.degrees(math.atan2(y, x))}
        return Geometry.model_validate(self.start.model_dump() | found)

    def gradient(self, values: Array, y: Array, x: Array) -> Array:
        """How q at positions changes with each parameter: (parameters, positions)."""
        rows = []
        for i, step in enumerate(self.steps):
            up, down = values.copy(), values.copy()
            up[i] += step
            down[i] -= step
            rows.append((self.geometry(up).q(y, x) - self.geometry(down).q(y, x)) / (2 * step))
        return np.array(rows)


def _value(geometry: Geometry, name: str) -> float:
    if name == "tilt_x_deg":
        return geometry.tilt_deg * math.cos(math.radians(geometry.rotation_deg))
    if name == "tilt_y_deg":
        return geometry.tilt_deg * math.sin(math.radians(geometry.rotation_deg))
    return float(getattr(geometry, name))
