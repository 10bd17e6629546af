"""The last result at the prompt: a table of the steps, and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError, told
from femto_bluesky.console.windows import figure_in_window
from femto_bluesky.files.pictures import draw, draw_curves
from femto_bluesky.model.maps import as_map, with_units
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import slug
from femto_bluesky.model.step_text import TextColumn, text_columns, text_table, with_photons
from femto_bluesky.sources.catalogs import Run

SUMS = "accumulated/"
CURVES = {"step means": ("step_means/", "photons_of_steps/"), "azimuthal": ("azimuthal/",)}
"""How the paths of the results begin that are shown: accumulated images; curves, by picture."""

WIDTH = 120
"""Columns of text where there is no terminal to ask."""

N_REMEMBERED = 100
"""So many runs back it is known what they were called."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A result; at the prompt, its table, and where its pictures are. `steps` has all columns."""

    title: str
    steps: Mapping[str, NDArray[Any]]
    table: Sequence[TextColumn]
    pictures: list[Path]
    windows: list[str]
    remarks: Sequence[str] = ()

    def __repr__(self) -> str:
        width = shutil.get_terminal_size((WIDTH, 50)).columns
        lines = [self.title, *self.remarks]
        lines += text_table(self.table, width)
        lines += [f"picture: {path}" for path in self.pictures]
        lines += [f"window: {name}" for name in self.windows]
        return "\n".join(lines)


@dataclass(slots=True)
class Showing:
    """Shows what a `LiveAnalysis` has found last; pictures go into `directory` without windows."""

    live: LiveAnalysis
    directory: Path
    _starts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _failures: dict[str, str] = field(default_factory=dict)
    _units: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.live.subscribe(self._note)

    def show(self, scan: int | str | Run = -1) -> Shown:
        """The newest run: its steps, the accumulated images with ROIs and rings, the curves.

        show(3) is scan 3, show(-2) the one before the newest, show(catalog[3]) a run. The means of
        a grid of two motors are maps. All is drawn into windows; where there are none, into new
        PNG files.
        """
        run = self._find(scan)
        start = self._starts[run]
        number = start.get("scan_id", run[:8])
        title = f"scan {number}, {start.get('plan_name', 'run')}"
        groups = [with_units(group, self._units) for group in self.live.groups(run)]
        images = [g for g in groups if g.path.startswith(SUMS) and len(g.axes) == 2]
        pictures: list[Path] = []
        windows: list[str] = []
        with told():
            for group in images:
                name = str(group.attributes.get("detector", group.path))
                self._draw([group], f"scan_{number}_{slug(name)}", name, title, pictures, windows)
            for name, paths in CURVES.items():
                curves = [group for group in groups if group.path.startswith(paths)]
                maps = {group.path: as_map(group, start) for group in curves}
                pictured = {
                    f"map of {path.rpartition('/')[2]}": [found]
                    for path, found in maps.items()
                    if found
                } | {name: [group for group in curves if maps[group.path] is None]}
                for what, drawn in pictured.items():
                    if drawn:
                        stem = f"scan_{number}_{slug(what)}"
                        self._draw(drawn, stem, what, title, pictures, windows)
        means, photons = self.live.rois.result(run), self.live.photons.result(run)
        rows = text_columns(with_photons(means, photons))
        remarks = self._remarks(run, bool(rows))
        return Shown(title, {**means, **photons}, rows, pictures, windows, remarks)

    def _find(self, scan: int | str | Run) -> str:
        """The uid of a run that was analysed here. Raises `ConsoleError`."""
        runs = list(self._starts)
        if not runs:
            raise ConsoleError(
                "there is no result yet; take a scan first, such as "
                "RE(burst_scan([detector], motor, start, stop, num=5, frames=10))"
            )
        if isinstance(scan, int) and scan < 0:
            found = runs[scan:][:1] if -scan <= len(runs) else []
        else:
            wanted = scan.uid if isinstance(scan, Run) else scan
            found = [
                run
                for run, start in self._starts.items()
                if (isinstance(wanted, str) and wanted and run.startswith(wanted))
                or start.get("scan_id") == wanted
            ][-1:]
        if not found:
            there_are = ", ".join(str(s.get("scan_id", r[:8])) for r, s in self._starts.items())
            raise ConsoleError(
                f"scan {getattr(scan, 'uid', scan)!r} was not analysed since this start; there are "
                f"the scans {there_are}. One in the catalog is analysed again with "
                "replay(catalog[...], live)"
            )
        return found[0]

    def _remarks(self, run: str, has_steps: bool) -> list[str]:
        """What has gone otherwise than one would think."""
        remarks = []
        if run in self._failures:
            remarks.append(f"it has failed: {self._failures[run]}")
        if self._starts[run].get("plan_name") == "collect_dark":
            remarks.append("darks are no steps; use_darks() keeps them and has them used")
        elif not has_steps:
            remarks.append("no steps")
        if run == next(reversed(self._starts)):
            remarks += [f"left out: {reason}" for reason in self.live.rois.left_out.values()]
        return remarks

    def _draw(
        self,
        groups: Sequence[DataGroup],
        stem: str,
        name: str,
        title: str,
        pictures: list[Path],
        windows: list[str],
    ) -> None:
        """Draw an image, or curves, into the window of this name, or else into a new file."""
        figure = figure_in_window(f"show: {name}", (7.0, 3.0 + 2.4 * len(groups)))
        if figure is not None:
            axes = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
            for group, on in zip(groups, axes, strict=True):
                draw(group, on)
            figure.canvas.draw_idle()
            windows.append(f"show: {name}")
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        path = _free(self.directory, stem)
        if len(groups[0].axes) == 2:
            draw(replace(groups[0], title=f"{title} · {groups[0].title}"), path)
        else:
            draw_curves(groups, path, title=title)
        pictures.append(path)

    def _note(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            # one that is analysed again is the newest
            self._starts.pop(doc["original_run_uid"], None)
            self._starts[doc["original_run_uid"]] = doc
            while len(self._starts) > N_REMEMBERED:
                forgotten = next(iter(self._starts))
                del self._starts[forgotten]
                self._failures.pop(forgotten, None)
        elif name == "descriptor" and doc["name"] == "primary":
            self._units |= {
                key: entry.get("units") or "" for key, entry in doc["data_keys"].items()
            }
        elif name == "stop" and doc["exit_status"] == "fail":
            of = {start["uid"]: run for run, start in self._starts.items()}
            if doc["run_start"] in of:
                self._failures[of[doc["run_start"]]] = doc.get("reason") or "no reason is known"


def _free(directory: Path, stem: str) -> Path:
    """A new name for a picture; one that was shown before stays."""
    names = (f"{stem}{f'_{number}' * (number > 1)}.png" for number in count(1))
    return next(path for name in names if not (path := directory / name).exists())
