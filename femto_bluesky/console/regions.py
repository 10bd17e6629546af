"""Regions of interest at the prompt: add, move, delete, list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.devices import called
from femto_bluesky.console.errors import ConsoleError, told
from femto_bluesky.model.rois import Roi


class RoiNameError(ConsoleError):
    """A name that no region has, or that one has already."""


@dataclass(frozen=True, slots=True)
class RoiList:
    """The regions as they are now; at the prompt, a table of them."""

    rois: Mapping[str, Roi]

    def __repr__(self) -> str:
        if not self.rois:
            return 'no ROI; add_roi("ring 3", x0=..., y0=..., x1=..., y1=...) makes one'
        wide = max(3, *(len(name) for name in self.rois))
        lines = [f"{'ROI':{wide}} {'x0':>6} {'y0':>6} {'x1':>6} {'y1':>6}  detector"]
        for name, roi in self.rois.items():
            edges = " ".join(f"{edge:6}" for edge in (roi.x0, roi.y0, roi.x1, roi.y1))
            lines.append(f"{name:{wide}} {edges}  {roi.detector or 'all'}")
        return "\n".join(lines)


class Regions:
    """The regions of a `LiveAnalysis`. Each change counts from the next shot on.

    `detectors` are the names that a region may be confined to. Raises `ConsoleError`, and changes
    nothing, where a change is not possible.
    """

    def __init__(self, live: LiveAnalysis, detectors: Collection[str]) -> None:
        self._live = live
        self._detectors = detectors

    def add_roi(
        self, name: str, x0: int, y0: int, x1: int, y1: int, detector: Any = None
    ) -> RoiList:
        """Add a region: columns x0 to x1, rows y0 to y1; x1 and y1 are not in it.

        It lies on every detector, or on the one that is given, itself or by its name.
        """
        detector = called(detector)
        if _checked(name) in self._rois:
            raise RoiNameError(
                f"there is a ROI {name!r} already ({_edges(self._rois[name])}); move_roi({name!r}, "
                "...) moves it, or take another name"
            )
        if detector is not None and detector not in self._detectors:
            raise ConsoleError(
                f"there is no detector {detector!r}; there are {', '.join(self._detectors)}. "
                "Without detector=..., the ROI is on all of them"
            )
        with told(), self._live.shell.lock:  # else the page might change them meanwhile
            roi = Roi(x0=x0, y0=y0, x1=x1, y1=y1, detector=detector)
            return self._set({**self._rois, name: roi})

    def move_roi(
        self,
        name: str,
        dx: int = 0,
        dy: int = 0,
        *,
        x0: int | None = None,
        y0: int | None = None,
        x1: int | None = None,
        y1: int | None = None,
    ) -> RoiList:
        """Shift a region by dx columns and dy rows, or give it new edges."""
        old = self._get(name)
        edges = {
            "x0": (old.x0 if x0 is None else x0) + dx,
            "y0": (old.y0 if y0 is None else y0) + dy,
            "x1": (old.x1 if x1 is None else x1) + dx,
            "y1": (old.y1 if y1 is None else y1) + dy,
        }
        with told(), self._live.shell.lock:  # else the page might change them meanwhile
            return self._set({**self._rois, name: Roi(**edges, detector=old.detector)})

    def delete_roi(self, name: str | Iterable[str]) -> RoiList:
        """Delete a region, or a list of them; what they have measured stays."""
        names = [name] if isinstance(name, str) else list(name)
        for each in names:
            self._get(each)
        with told(), self._live.shell.lock:  # else the page might change them meanwhile
            return self._set(
                {other: roi for other, roi in self._rois.items() if other not in names}
            )

    def list_rois(self) -> RoiList:
        """The regions as they are now."""
        return RoiList(dict(self._rois))

    @property
    def _rois(self) -> Mapping[str, Roi]:
        return self._live.rois.settings.rois

    def _get(self, name: Any) -> Roi:
        if _checked(name) not in self._rois:
            there_are = ", ".join(map(repr, self._rois)) or "none"
            raise RoiNameError(f"there is no ROI {name!r}; there are: {there_are}")
        return self._rois[name]

    def _set(self, rois: Mapping[str, Roi]) -> RoiList:
        self._live.configure({"rois": rois})
        return self.list_rois()


def _checked(name: Any) -> str:
    if not isinstance(name, str):
        raise RoiNameError(f"the name of a ROI is text; found {name!r}")
    return name


def _edges(roi: Roi) -> str:
    return f"x0={roi.x0}, y0={roi.y0}, x1={roi.x1}, y1={roi.y1}"
