"""The last result at the prompt: a table of the steps, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError, told
from femto_bluesky.console.windows import figure_in_window
from femto_bluesky.files.pictures import draw, draw_curves
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import slug

SUMS = "accumulated/"
CURVES = {"step means": ("step_means/", "photons_of_steps/"), "azimuthal": ("azimuthal/",)}
"""How the paths of the results begin that are shown: accumulated images; curves, by picture."""

OF_STEPS = ("_mean", "_std", "_sem")
"""How the names of the columns end that are shown beside motors and shots."""

N_REMEMBERED = 100
"""So many runs back it is known what they were called."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A result; at the prompt, its table, and where its pictures are."""

    title: str
    steps: Mapping[str, NDArray[Any]]
    pictures: list[Path]
    windows: list[str]
    failure: str = ""

    def __repr__(self) -> str:
        lines = [self.title]
        if self.failure:
            lines.append(f"it has failed: {self.failure}")
        lines += table(self.steps)
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

    def __post_init__(self) -> None:
        self.live.subscribe(self._note)

    def show(self) -> Shown:
        """The newest run: its steps, the accumulated images with ROIs and rings, the curves.

        They are drawn into windows; where there are none, into new PNG files.
        """
        if not self._starts:
            raise ConsoleError(
                "there is no result yet; take a scan first, such as "
                "RE(burst_scan([detector], motor, start, stop, num=5, frames=10))"
            )
        run, start = next(reversed(self._starts.items()))
        number = start.get("scan_id", run[:8])
        title = f"scan {number}, {start.get('plan_name', 'run')}"
        groups = self.live.groups(run)
        images = [g for g in groups if g.path.startswith(SUMS) and len(g.axes) == 2]
        pictures: list[Path] = []
        windows: list[str] = []
        with told():
            for group in images:
                name = str(group.attributes.get("detector", group.path))
                self._draw([group], f"scan_{number}_{slug(name)}", name, title, pictures, windows)
            for name, paths in CURVES.items():
                curves = [group for group in groups if group.path.startswith(paths)]
                if curves:
                    stem = f"scan_{number}_{slug(name)}"
                    self._draw(curves, stem, name, title, pictures, windows)
        steps = {**self.live.result(run).steps, **self.live.photons.result(run)}
        return Shown(title, steps, pictures, windows, self._failures.get(run, ""))

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
            self._starts[doc["original_run_uid"]] = doc
            while len(self._starts) > N_REMEMBERED:
                forgotten = next(iter(self._starts))
                del self._starts[forgotten]
                self._failures.pop(forgotten, None)
        elif name == "stop" and doc["exit_status"] == "fail":
            of = {start["uid"]: run for run, start in self._starts.items()}
            if doc["run_start"] in of:
                self._failures[of[doc["run_start"]]] = doc.get("reason") or "no reason is known"


def table(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """The columns as lines of text: a line of names, and one for each step."""
    n_first = list(columns).index("n_shots") + 1 if "n_shots" in columns else 0
    shown = {
        name: values
        for number, (name, values) in enumerate(columns.items())
        if number < n_first or name.endswith(OF_STEPS)
    }
    if not shown:
        return ["no steps"]
    cells = {name: [_cell(value) for value in values] for name, values in shown.items()}
    wide = {name: max(len(name), *map(len, texts)) for name, texts in cells.items()}
    lines = ["  ".join(name.rjust(wide[name]) for name in cells)]
    for row in range(max(map(len, cells.values()))):
        lines.append("  ".join(cells[name][row].rjust(wide[name]) for name in cells))
    return lines


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "-" if np.isnan(value) else f"{value:.5g}"
    return str(value)


def _free(directory: Path, stem: str) -> Path:
    """A new name for a picture; one that was shown before stays."""
    names = (f"{stem}{f'_{number}' * (number > 1)}.png" for number in count(1))
    return next(path for name in names if not (path := directory / name).exists())
