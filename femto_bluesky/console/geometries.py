"""Geometries at the prompt: where a detector stands, for I(q) and rings."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.devices import called
from femto_bluesky.console.errors import ConsoleError, told
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.geometry import Geometry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GeometryList:
    """The geometries as they are now; at the prompt, a line for each detector."""

    geometries: Mapping[str, Geometry]

    def __repr__(self) -> str:
        if not self.geometries:
            return (
                'no geometry; set_geometry("pilatus", energy_kev=..., distance_m=..., x0_px=..., '
                "y0_px=...) sets one"
            )
        return "\n".join(
            f"{name or 'all'}: {of.energy_kev:g} keV, {of.distance_m:g} m, beam at x0 {of.x0_px:g} "
            f"and y0 {of.y0_px:g} px, tilt {of.tilt_deg:g} deg towards {of.rotation_deg:g} deg, "
            f"pixels of {1e6 * of.pixel_size_m[0]:g} x {1e6 * of.pixel_size_m[1]:g} um"
            for name, of in self.geometries.items()
        )


class Geometries:
    """The geometries of a `LiveAnalysis`. Each change counts from the next shot on.

    `detectors` are the names that there are. Raises `ConsoleError`, and changes nothing, where a
    change is not possible.
    """

    def __init__(self, live: LiveAnalysis, detectors: Collection[str]) -> None:
        self._live = live
        self._detectors = detectors
        for name, geometry in self._now.items():
            warn_of_units(name, geometry)

    def set_geometry(
        self,
        detector: Any,
        *,
        energy_kev: float,
        distance_m: float,
        x0_px: float,
        y0_px: float,
        tilt_deg: float = 0.0,
        rotation_deg: float = 0.0,
        pixel_size_m: float | None = None,
    ) -> GeometryList:
        """Say where a detector stands, in the terms of Fit2D; from then on there is I(q) of it.

        The beam meets it at column x0_px and row y0_px, counted from the outer edge of the first
        pixel, distance_m behind the sample. Without pixel_size_m it is that of the table. The
        detector is given itself or by its name.
        """
        detector = called(detector)
        if detector not in self._detectors:
            raise ConsoleError(
                f"there is no detector {detector!r}; there are {', '.join(self._detectors)}"
            )
        known = settings_of(detector).pixel_size_m
        if pixel_size_m is None and known is None:
            raise ConsoleError(f"the pixel size of {detector!r} is not known; give pixel_size_m=")
        with told():
            # as it comes from the prompt: text and nonsense are refused in words
            geometry = Geometry.model_validate(
                {
                    "energy_kev": energy_kev,
                    "distance_m": distance_m,
                    "x0_px": x0_px,
                    "y0_px": y0_px,
                    "tilt_deg": tilt_deg,
                    "rotation_deg": rotation_deg,
                    "pixel_size_m": known if pixel_size_m is None else (pixel_size_m,) * 2,
                }
            )
            found = self._set({**self._now, detector: geometry})
        warn_of_units(detector, geometry)
        return found

    def delete_geometry(self, detector: Any) -> GeometryList:
        """Forget where a detector stands; there is no I(q) of it from the next shot on."""
        detector = called(detector)
        if detector not in self._now:
            there_are = ", ".join(map(repr, self._now)) or "none"
            raise ConsoleError(f"there is no geometry of {detector!r}; there are: {there_are}")
        with told():
            return self._set({name: g for name, g in self._now.items() if name != detector})

    def list_geometries(self) -> GeometryList:
        """The geometries as they are now."""
        return GeometryList(dict(self._now))

    @property
    def _now(self) -> Mapping[str, Geometry]:
        return self._live.diffraction.settings.geometries

    def _set(self, geometries: Mapping[str, Geometry]) -> GeometryList:
        self._live.configure({"geometries": geometries})
        return self.list_geometries()


def warn_of_units(detector: str, geometry: Geometry) -> None:
    """Warn of values that are likely to be in another unit than is meant."""
    for doubt in geometry.doubts(detector):
        log.warning("%s It is taken as it is; set_geometry sets another", doubt)
