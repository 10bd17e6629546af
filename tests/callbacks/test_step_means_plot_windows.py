"""Where the plot of step means is shown, and when it is drawn."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from femto_bluesky.callbacks.step_means_plot import StepMeansPlot
from femto_bluesky.plans import burst_scan
from femto_bluesky.testing.runs import run_plan
from tests.callbacks.step_plots import docs_of, subscribed

pytestmark = pytest.mark.usefixtures("strict_plots")


class Windowed(Figure):
    """A figure with a number, which only pyplot may give it."""

    number = None


def console(monkeypatch, *, is_interactive, open_figures):
    """A console in which pyplot has been imported: figures that it makes have numbers."""
    made = []

    def figure(**given):
        new = Windowed(**given)
        new.number = len(made) + 1
        made.append(new)
        open_figures.append(new.number)
        return new

    pyplot = types.SimpleNamespace(
        figure=figure,
        isinteractive=lambda: is_interactive,
        get_backend=lambda: "tkagg",
        get_fignums=lambda: open_figures,
    )
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    return made


def test_a_window_opens_once_and_again_when_it_was_closed(camera, motor, monkeypatch):
    open_figures = []
    made = console(monkeypatch, is_interactive=True, open_figures=open_figures)
    docs, _ = docs_of(camera, motor)
    plot = StepMeansPlot()
    for _ in range(2):
        for name, doc in docs:
            plot(name, doc)
    assert made == [plot.figure]
    open_figures.clear()
    for name, doc in docs:
        plot(name, doc)
    assert made[1:] == [plot.figure]
    assert len(plot.figure.axes) == 2


class Window(FigureCanvasBase):
    """A canvas that notes when it is asked to draw."""

    def __init__(self, figure):
        super().__init__(figure)
        self.n_asked = 0

    def draw_idle(self):
        self.n_asked += 1

    def draw(self):
        raise AssertionError("it was drawn while a scan waits")


def test_a_window_is_asked_to_draw_after_each_step(camera, motor):
    figure = Figure()
    window, seen = Window(figure), []
    means = subscribed(StepMeansPlot(figure.add_subplot()))
    means.subscribe(lambda name, doc: seen.append(window.n_asked), "event")
    run_plan(burst_scan([camera], motor, 0, 2, 3, 2), means)
    assert np.all(np.diff(seen) == 1)


def test_without_windows_nothing_is_drawn_while_a_scan_waits(camera, motor, monkeypatch):
    figure = Figure()
    canvas = FigureCanvasAgg(figure)
    monkeypatch.setattr(canvas, "draw", lambda: pytest.fail("it was drawn while a scan waits"))
    run_plan(burst_scan([camera], motor, 0, 2, 3, 2), subscribed(StepMeansPlot(figure.subplots())))


def test_without_windows_none_opens(camera, motor, monkeypatch):
    made = console(monkeypatch, is_interactive=False, open_figures=[])
    docs, _ = docs_of(camera, motor)
    plot = StepMeansPlot()
    for name, doc in docs:
        plot(name, doc)
    assert made == []
    assert len(plot.figure.axes) == 2
