"""A plot of step means with error bars, which follows the scan."""

from __future__ import annotations

import logging
import math
import sys
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from bluesky.callbacks.core import make_class_safe
from bluesky.callbacks.mpl_plotting import QtAwareCallback
from numpy.typing import NDArray

from femto_bluesky.callbacks.curve_with_bars import CurveWithBars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

log = logging.getLogger(__name__)

Errors = Literal["std", "sem"]
ERRORS = {"std": "std of the shots", "sem": "standard error"}


@dataclass(slots=True, eq=False)
class _Run:
    """The step means of one run, by the number of the event: one that comes again replaces.

    Columns are kept as they are drawn, so that hours of steps do not make each new one dearer.
    """

    uid: str
    label: str
    colour: str
    motors: list[str]
    errors: Errors
    labels: dict[str, str] = field(default_factory=dict)
    x_units: str = ""
    numbers: list[int] = field(default_factory=list)
    values: dict[str, array[float]] = field(default_factory=dict)
    x_is_step: bool = False
    is_kept: bool = False

    @property
    def x_name(self) -> str:
        """What the points are drawn against: the motor, if there is one and it reads numbers."""
        return "step" if self.x_is_step else self.motors[0]

    @property
    def axis(self) -> tuple[str, str]:
        """What the points are drawn against, and its units."""
        return self.x_name, "" if self.x_is_step else self.x_units

    def describe(self, data_keys: Mapping[str, Any], only: Sequence[str] | None) -> None:
        """Learn which columns there are; those that are new have no values so far."""
        self.labels |= _columns(data_keys, only)
        self.x_is_step = self.x_is_step or len(self.motors) != 1
        names = [f"{column}_{end}" for column in self.labels for end in ("mean", self.errors)]
        if not self.x_is_step:
            self.x_units = data_keys.get(self.motors[0], {}).get("units") or ""
            names.append(self.motors[0])
        for name in names:
            self.values.setdefault(name, array("d", [math.nan] * len(self.numbers)))

    def take(self, number: int, row: Mapping[str, Any]) -> None:
        """Take in a step, or take it in again."""
        place = bisect_left(self.numbers, number)
        if self.numbers[place : place + 1] != [number]:
            self.numbers.insert(place, number)
            for column in self.values.values():
                column.insert(place, math.nan)
        for name, column in self.values.items():
            column[place] = _number(row.get(name))
        if not self.x_is_step:
            self.x_is_step = isinstance(row.get(self.motors[0]), str)

    def points(self, column: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Position, mean and error of each step, in their order; NaN for what is missing."""
        x = self.numbers if self.x_is_step else self.values[self.motors[0]]
        mean, error = self.values[f"{column}_mean"], self.values[f"{column}_{self.errors}"]
        # copies: an array that others look into cannot grow
        return np.array(x, np.float64), np.array(mean), np.array(error)


@make_class_safe(logger=log)
class StepMeansPlot(QtAwareCallback):
    """Draws the mean of each region at each step against the motor, with error bars.

    It is given the documents of derived runs: `live.subscribe(StepMeansPlot())`. There is a panel
    for each region on each detector, and one for photons a shot; a point appears when its step is
    done, a step that is taken again replaces its point, and a missing value is a gap. Points of
    several motors are drawn against the number of the step, from 1. Earlier runs are shown where
    they were drawn against the same.

    `errors` are "std" (standard deviation of the step's shots) or "sem" (standard error of the
    mean). `overlay` is how many earlier runs stay in the plot, faded; `keep()` holds the newest one
    there whatever comes, `forget()` takes the earlier ones out. `only` names the regions to draw,
    by their names or their data keys without `_mean` ("pilatus_ROI_2"); None: all. With `axes`, all
    is drawn into these.

    In IPython after `%matplotlib` a window opens with the first run; without it, `figure` can be
    saved. Raises `ValueError` for settings that make no sense; a failure in drawing is logged.
    """

    def __init__(
        self,
        axes: Axes | None = None,
        *,
        errors: Errors = "std",
        overlay: int = 0,
        only: Sequence[str] | None = None,
    ) -> None:
        if errors not in ERRORS:
            raise ValueError(
                f"errors is {errors!r}, expected one of {', '.join(map(repr, ERRORS))}"
            )
        if overlay < 0:
            raise ValueError(f"overlay is {overlay}, expected a number of earlier runs, 0 or more")
        if isinstance(only, str):
            raise ValueError(f"only is {only!r}, expected a list of regions; write [{only!r}]")
        # Qt draws in the main thread, and scans run in another
        pyplot = sys.modules.get("matplotlib.pyplot")
        is_qt = pyplot is not None and "qt" in str(pyplot.get_backend()).lower()
        QtAwareCallback.__init__(self, use_teleporter=is_qt)
        self.errors: Errors = errors
        self.overlay = overlay
        self.only = None if only is None else list(only)
        self.figure: Figure | SubFigure | None = None if axes is None else axes.figure
        self._given_axes = axes
        self._panels: dict[str, Axes] = {}
        self._curves: dict[tuple[str, str], CurveWithBars] = {}
        self._runs: list[_Run] = []
        self._of_descriptor: dict[str, _Run] = {}
        self._n_started = 0

    def keep(self) -> None:
        """Keep the newest run in the plot, until `forget()`."""
        if self._runs:
            self._runs[-1].is_kept = True

    def forget(self) -> None:
        """Take all runs but the newest out of the plot."""
        self._runs = self._runs[-1:]
        for run in self._runs:
            run.is_kept = False
        self._draw_all()

    # documents

    def start(self, doc: Any) -> None:
        """Make room for a run; those that are not to stay go."""
        if "original_run_uid" not in doc:
            log.warning(
                "StepMeansPlot was given run %s, which is not a derived one and has no step means; "
                "subscribe the plot to an analysis: live.subscribe(plot)", doc["uid"],
            )  # fmt: skip
        dimensions = doc.get("hints", {}).get("dimensions", ())
        motors = [name for fields, _ in dimensions for name in fields if name != "time"]
        label = f"scan {doc['scan_id']}" if "scan_id" in doc else doc["uid"][:8]
        run = _Run(doc["uid"], label, f"C{self._n_started % 10}", motors, self.errors)
        self._n_started += 1
        stay = [earlier for earlier in self._runs if not earlier.is_kept and earlier.numbers]
        stay = stay[len(stay) - min(self.overlay, len(stay)) :]
        self._runs = [run_ for run_ in self._runs if run_.is_kept or run_ in stay] + [run]

    def descriptor(self, doc: Any) -> None:
        """Learn which step means there are, and make their panels."""
        run = next((run for run in self._runs if run.uid == doc["run_start"]), None)
        if run is None or doc["name"] != "primary":
            return
        self._of_descriptor = {
            uid: of for uid, of in self._of_descriptor.items() if of in self._runs
        } | {doc["uid"]: run}
        run.describe(doc["data_keys"], self.only)
        self._draw_all()

    def event(self, doc: Any) -> Any:
        """Draw the point of a step."""
        run = self._of_descriptor.get(doc["descriptor"])
        if run is None:
            return doc
        before = run.x_name
        run.take(doc["seq_num"], doc["data"])
        if run.x_name != before:  # a motor that reads text
            self._draw_all()
            return doc
        for column in run.labels:
            self._draw(run, column)
        self._show()
        return doc

    # drawing

    def _draw_all(self) -> None:
        """Lay out the panels anew and draw all runs into them."""
        newest = self._runs[-1]
        # points against another motor have no place on this axis; they wait for one that fits
        shown = [run for run in self._runs if run.axis == newest.axis]
        columns = {column: label for run in shown for column, label in run.labels.items()}
        if not columns:
            return
        # of those that only earlier runs have, nobody waits for a point
        columns = {c: text for c, text in columns.items() if c in newest.labels} or columns
        for curve in self._curves.values():
            curve.remove()
        self._curves.clear()
        self._panels = self._lay_out(list(columns))
        for column, axes in self._panels.items():
            self._name_axes(axes, columns[column], newest)
            for run in shown:
                if column in run.labels:
                    self._curves[run.uid, column] = self._new_curve(axes, run, column)
                    self._draw(run, column)
        for axes in dict.fromkeys(self._panels.values()):
            if len(shown) > 1 or self._given_axes is not None:
                axes.legend(loc="best", fontsize=9)
            elif (legend := axes.get_legend()) is not None:
                legend.remove()
        self._show()

    def _lay_out(self, columns: list[str]) -> dict[str, Axes]:
        if self._given_axes is not None:
            return dict.fromkeys(columns, self._given_axes)
        if list(self._panels) == columns and self._is_open():
            return self._panels
        across = 1 if len(columns) <= 4 else math.ceil(math.sqrt(len(columns) / 2))
        down = math.ceil(len(columns) / across)
        figure = self.figure if self._is_open() else None
        if figure is None:
            figure = self.figure = _new_figure((6.4 * across, max(3.6, 2.6 * down)))
        figure.clear()
        return {
            column: figure.add_subplot(down, across, number)
            for number, column in enumerate(columns, 1)
        }

    def _name_axes(self, axes: Axes, label: str, run: _Run) -> None:
        from matplotlib.ticker import MaxNLocator

        name, units = run.axis
        axes.set_xlabel(f"{name} [{units}]" if units else name, parse_math=False)
        locator = axes.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            locator.set_params(integer=name == "step")
        if self._given_axes is None:
            axes.set_title(f"{label}, {run.label}", fontsize=10, parse_math=False)
        axes.set_ylabel(f"mean of each step\n(bars: {ERRORS[self.errors]})", parse_math=False)
        axes.grid(True, color="0.88", linewidth=0.8)
        axes.set_axisbelow(True)

    def _new_curve(self, axes: Axes, run: _Run, column: str) -> CurveWithBars:
        is_newest = run is self._runs[-1]
        if self._given_axes is None:
            label, colour = run.label, run.colour
        else:
            label, colour = f"{run.labels[column]}, {run.label}", f"C{len(self._curves) % 10}"
        return CurveWithBars(axes, label=label, colour=colour, is_faded=not is_newest)

    def _draw(self, run: _Run, column: str) -> None:
        curve = self._curves.get((run.uid, column))
        if curve is not None:
            curve.set(*run.points(column))

    def _is_open(self) -> bool:
        """Whether the figure can still be seen: a window may have been closed."""
        if self.figure is None:
            return False
        pyplot, number = sys.modules.get("matplotlib.pyplot"), getattr(self.figure, "number", None)
        return pyplot is None or number is None or number in pyplot.get_fignums()

    def _show(self) -> None:
        """Have the window draw when it has time."""
        from matplotlib.backend_bases import FigureCanvasBase

        canvas = None if self.figure is None else self.figure.canvas
        # one without a window does not put it off, it draws at once, and for nobody
        if canvas is not None and type(canvas).draw_idle is not FigureCanvasBase.draw_idle:
            canvas.draw_idle()


def _columns(data_keys: Mapping[str, Any], only: Sequence[str] | None) -> dict[str, str]:
    """The step means among the data keys (without `_mean`), and what they are called."""
    found = {}
    for key, entry in data_keys.items():
        stem = key.removesuffix("_mean")
        if stem == key or not {f"{stem}_std", f"{stem}_sem"} <= data_keys.keys():
            continue
        detector, region = entry.get("object_name", ""), entry.get("roi")
        if only is not None and not {stem, region} & set(only):
            continue
        if region:
            found[stem] = f"{region} on {detector}"
        elif stem == f"{detector}_n_photons":
            found[stem] = f"photons a shot on {detector}"
        else:
            found[stem] = stem
    return found


def _number(value: Any) -> float:
    """The value as a number; NaN where it is missing or none."""
    return float(value) if isinstance(value, int | float) else math.nan


def _new_figure(size: tuple[float, float]) -> Figure:
    """A figure in a window of its own where a console draws in windows, else one without."""
    # pyplot chooses a display when it is imported; where it is there, the user has chosen
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and pyplot.isinteractive():
        made: Figure = pyplot.figure(figsize=size, layout="constrained")
        return made
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")
