"""The curves in a real browser: their view stays as it was chosen, and all can be saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam, photons, powder
from tests.viewer.browser.window import Window
from tests.viewer.shown import ROIS

STEPS = "step_means-pilatus"
TAB = ".fb-curves .bk-tab >> text='{}'"


def until_points(window: Window, name: str, n: int, figure: str = STEPS) -> dict[str, list[Any]]:
    plot = window.figure(figure)
    return window.until(
        lambda: (
            columns
            if (columns := plot.columns(name)) is not None and len(columns["x"]) == n
            else None
        ),
        f"{name} has {n} points",
    )


@pytest.mark.long
def test_curves_follow_the_data_until_somebody_zooms(window: Window, beam: Beam) -> None:
    beam.shot(0.0, n=3)
    beam.shot(1.0, n=3)
    points = until_points(window, "ROI 2", 2)
    plot = window.figure(STEPS)
    # all bars are within the axes, which Bokeh's own whiskers would not have seen to
    window.until(
        lambda: plot.y_range[0] <= min(points["low"]) and plot.y_range[1] >= max(points["high"]),
        "the bars are within the axes",
    )
    beam.shot(5.0, n=3)
    until_points(window, "ROI 2", 3)
    window.until(lambda: plot.x_range[1] > 5, "the axis has followed")
    low, high = plot.y_range
    plot.drag((0.5, low + 0.2 * (high - low)), (2.5, high - 0.2 * (high - low)))
    window.until(lambda: plot.x_range[1] < 3, "it has been zoomed")
    chosen = plot.x_range, plot.y_range
    beam.shot(9.0, n=3)
    until_points(window, "ROI 2", 4)
    assert (plot.x_range, plot.y_range) == chosen
    window.click(".bk-tool-icon-reset >> nth=1")
    window.until(lambda: plot.x_range[1] > 9, "it follows again")
    beam.shot(20.0, n=3)
    until_points(window, "ROI 2", 5)
    window.until(lambda: plot.x_range[1] > 20, "it goes on following")
    beam.end()


@pytest.mark.long
def test_all_can_be_saved(
    tmp_path: Path, started: Callable[..., ResultsServer], new_window: Callable[..., Window]
) -> None:
    live = LiveAnalysis(ROIS, geometries={"pilatus": POWDER_GEOMETRY}, directory=tmp_path)
    window = new_window(started(live).address, width=1500, height=950).open()
    Beam(live, {"pilatus": powder(), "andor3_balor": photons()}).scan((0.0, 1.0, 2.0))
    means = live.rois.result()["pilatus_ROI_2_mean"]
    until_points(window, "ROI 2", 3)
    window.click(".fb-export-button")
    window.until(lambda: window.is_visible(".fb-export a"), "the menu is open")

    name, found = window.download(".fb-export a[href$='results.h5']")
    assert name == "scan_1.h5"
    with h5py.File(io.BytesIO(found)) as file:
        assert np.array_equal(file["entry/step_means/pilatus_ROI_2/mean"], means)
        assert file["entry/accumulated/pilatus/image"].shape == (120, 160)

    def rows(place: str) -> tuple[str, list[list[str]]]:
        name, found = window.download(place)
        lines = [line for line in found.decode().splitlines() if not line.startswith("#")]
        return name, list(csv.reader(lines))

    name, table = rows(".fb-export a[href$='step_means/pilatus_ROI_2.csv']")
    assert name == "scan_1_step_means_pilatus_ROI_2.csv"
    assert [float(row[1]) for row in table[1:]] == means.tolist()
    name, table = rows(".fb-export a[href$='steps.csv']")
    assert (name, table[0][0], len(table)) == ("scan_1_steps.csv", "delay [ps]", 4)
    name, table = rows(".fb-export a[href$='photons/0.csv']")
    assert name == "scan_1_andor3_balor_xye.csv"
    assert len(table) > 30
    name, found = window.download(".fb-export a[href$='png/accumulated/pilatus.png']")
    assert name == "scan_1_accumulated_pilatus.png"
    assert "Sum of 6 images" in Image.open(io.BytesIO(found)).text["Title"]
    name, found = window.download(".fb-export .as-seen")
    assert name == "scan_1_image.png"
    assert min(Image.open(io.BytesIO(found)).size) > 300


@pytest.mark.long
def test_photons_iq_and_earlier_runs(
    tmp_path: Path, started: Callable[..., ResultsServer], new_window: Callable[..., Window]
) -> None:
    live = LiveAnalysis(
        ROIS, geometries={"pilatus": POWDER_GEOMETRY}, azimuthal={"calibrant": "LaB6"},
        photon_files=False,
    )  # fmt: skip
    window = new_window(started(live).address, width=1500, height=950).open()
    beam = Beam(live, {"pilatus": powder(), "andor3_balor": photons()})
    beam.scan((0.0, 1.0, 2.0))
    beam.scan((0.5, 1.5))
    until_points(window, "ROI 2", 2)
    window.click(".fb-earlier-runs")
    until_points(window, "ROI 2, scan 1", 3)
    window.choose(".fb-run-shown", "scan 1, scan")
    until_points(window, "ROI 2", 3)
    window.choose(".fb-run-shown", "newest run")
    until_points(window, "ROI 2", 2)
    window.click(TAB.format("Photons"))
    histogram = window.figure("energy_histogram")
    histogram.until_title("overlaps")
    lines = window.until(lambda: histogram.columns("lines"), "thresholds are marked")
    assert lines["x"] == [1100, 1400]
    window.click(".fb-log-photons button")
    window.until(lambda: histogram.y_range[0] > 0.1, "its axis is logarithmic")
    # so are those of figures whose points are the same on both scales
    of_steps = window.figure("photons_of_steps")
    window.until(lambda: 1 < of_steps.y_range[0] < of_steps.y_range[1] < 1e3, "its ends are known")
    window.click(TAB.format("I(q)"))
    iq = window.figure("azimuthal")
    assert iq.title == "I(q) on pilatus"
    assert window.figure("azimuthal_of_steps-pilatus").title.startswith("I(q) on pilatus")
    assert iq.x_range[1] < 10
    window.click(".fb-q-axis button >> nth=1")
    window.until(lambda: iq.x_range[1] > 20, "it is drawn against the angle")
    window.picture(tmp_path / "iq.png")
