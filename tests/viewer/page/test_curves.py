"""The curves of one browser: made once, given new data, and of the runs that it has chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.roi_means import RoiMeans
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.curve_figure import CurveFigure
from femto_bluesky.viewer.page.curve_plans import CurvePlan, Series
from femto_bluesky.viewer.page.curve_points import Points
from femto_bluesky.viewer.page.curves import CurvesPanel
from femto_bluesky.viewer.snapshots import Snapshots
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam, photons, powder
from tests.viewer.page.at_once import AtOnce

CURVES = frozenset({"curves"})


class Shown:
    """The curves of a browser, looked at without one."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.session = hub, AtOnce(hub)
        self.panel = CurvesPanel(self.session)
        self.model = self.panel.view.get_root(self.session.doc, None)
        self.session.doc.add_root(self.model)

    def look(self) -> None:
        """The hub has seen that there is something new."""
        self.hub.snapshots.forget()
        self.hub.groups = self.hub.snapshots.curves()
        self.panel._look_again()

    def tab(self, number: int) -> None:
        self.panel._stack.active = number

    @property
    def figures(self) -> dict[str, Any]:
        tab = self.panel._tabs[self.panel.tab]
        return {figure.name: figure for figure in tab._figures.children[:-1] if figure.visible}

    def curves(self, figure: str) -> dict[str, dict[str, Any]]:
        """The data of the points of each curve, by the curves' names."""
        return {
            renderer.name: dict(renderer.data_source.data)
            for renderer in self.figures[figure].renderers
            if renderer.name and not renderer.name.startswith("key of")
            and len(renderer.data_source.data.get("low", ()))
        }  # fmt: skip


def test_new_data_are_put_into_the_figures_that_there_are(hub: Hub) -> None:
    beam = Beam(hub.live)
    shown = Shown(hub)
    shown.look()
    assert shown.figures == {}
    assert "Draw a region" in shown.panel._tabs["Step means"]._nothing.object
    beam.shot(0.0, n=3)
    beam.shot(1.0, n=3)
    shown.look()
    figures = shown.figures
    assert list(figures) == ["step_means-pilatus", "roi_means-pilatus"]
    assert figures["step_means-pilatus"].xaxis[0].axis_label == "delay [ps]"
    sent: list[str] = []
    shown.session.doc.on_change(lambda event: sent.append(getattr(event, "attr", "?")))
    beam.shot(2.0, n=3)
    shown.look()
    assert shown.figures == figures
    # data and nothing else: neither a figure nor a range is made anew
    assert set(sent) == {"data"}
    points = shown.curves("step_means-pilatus")["ROI 2"]
    assert points["x"] == [0.0, 1.0, 2.0]
    expected = hub.live.rois.result()["pilatus_ROI_2_mean"]
    assert points["y"] == pytest.approx(expected)
    assert np.subtract(points["high"], points["low"]) == pytest.approx(
        2 * hub.live.rois.result()["pilatus_ROI_2_std"]
    )
    assert points["n"] == [3, 3, 3]
    newest = figures["step_means-pilatus"].select_one({"name": "newest"}).data_source.data
    assert newest["x"] == [2.0, 2.0]
    sent.clear()
    shown.look()
    assert sent == []
    beam.end()
    shown.look()
    assert figures["step_means-pilatus"].select_one({"name": "newest"}).data_source.data["x"] == []


def test_other_axes_begin_a_new_view_and_the_scale_of_y_one_of_y(hub: Hub) -> None:
    shown = Shown(hub)
    Beam(hub.live, motor="delay").scan()
    shown.look()
    figure = shown.figures["step_means-pilatus"]
    x_range, y_range = figure.x_range, figure.y_range
    Beam(hub.live, motor="delay").scan()
    shown.look()
    assert (figure.x_range, figure.y_range) == (x_range, y_range)
    shown.panel._tabs["Step means"]._log.value = True
    assert figure.x_range is x_range
    assert figure.y_range is not y_range
    assert type(figure.y_scale).__name__ == "LogScale"
    shown.panel._tabs["Step means"]._log.value = False
    assert type(figure.y_scale).__name__ == "LinearScale"
    Beam(hub.live, motor="stage_x").scan()
    shown.look()
    assert shown.figures["step_means-pilatus"] is figure
    assert figure.x_range is not x_range


def test_a_run_is_chosen_or_the_newest_followed_and_earlier_ones_beside_it(hub: Hub) -> None:
    shown, beam = Shown(hub), Beam(hub.live)
    first = beam.scan((0.0, 1.0))
    second = beam.scan((5.0, 6.0))
    shown.look()
    assert shown.panel._run.options == {
        "newest run": "", "scan 2, scan": second, "scan 1, scan": first,
    }  # fmt: skip
    assert shown.panel._earlier.options == {"1": first}
    assert shown.curves("step_means-pilatus")["ROI 2"]["x"] == [5.0, 6.0]
    shown.panel._earlier.value = [first]
    assert shown.curves("step_means-pilatus")["ROI 2, scan 1"]["x"] == [0.0, 1.0]
    beam.scan((8.0, 9.0))
    shown.look()
    assert shown.curves("step_means-pilatus")["ROI 2"]["x"] == [8.0, 9.0]
    assert shown.curves("step_means-pilatus")["ROI 2, scan 1"]["x"] == [0.0, 1.0]
    shown.panel._run.value = second
    beam.scan((0.5, 0.6))
    shown.look()
    assert shown.curves("step_means-pilatus")["ROI 2"]["x"] == [5.0, 6.0]
    assert "4" in shown.panel._earlier.options
    # data of an earlier run are not sent again
    sent: list[str] = []
    shown.session.doc.on_change(lambda event: sent.append(getattr(event, "attr", "?")))
    shown.look()
    assert sent == []


def test_what_a_key_hides_goes_with_the_earlier_runs_of_the_same(hub: Hub) -> None:
    shown, beam = Shown(hub), Beam(hub.live)
    first = beam.scan()
    beam.scan()
    shown.look()
    shown.panel._earlier.value = [first]
    figure = shown.figures["step_means-pilatus"]
    assert [item.label.value for item in figure.legend[0].items] == ["ROI 2", "edge/top"]
    for renderer in figure.legend[0].items[0].renderers:
        renderer.visible = False
    named = {r.name: r.visible for r in figure.renderers if r.name and "ROI 2" in r.name}
    assert named == {"key of ROI 2": False, "ROI 2": False, "ROI 2, scan 1": False}
    beam.scan()
    shown.look()
    assert not figure.select_one({"name": "ROI 2"}).visible
    assert figure.select_one({"name": "edge/top"}).visible


def test_photons_and_iq_with_their_marks(live: LiveAnalysis) -> None:
    live = LiveAnalysis(
        geometries={"pilatus": POWDER_GEOMETRY}, azimuthal={"calibrant": "LaB6"},
        photon_files=False,
    )  # fmt: skip
    hub = Hub(live, Snapshots(live))
    shown = Shown(hub)
    beam = Beam(live, {"pilatus": powder(), "andor3_balor": photons()})
    beam.scan()
    beam.scan()
    shown.look()
    shown.tab(1)
    histogram = shown.figures["energy_histogram"]
    assert histogram.select_one({"name": "lines"}).data_source.data["x"] == [1100, 1400]
    assert "overlaps" in histogram.title.text
    live.configure({"photons": {"overlap_adu": 1500}})
    shown.look()
    assert histogram.select_one({"name": "lines"}).data_source.data["x"] == [1100, 1500]
    shown.tab(2)
    iq = shown.figures["azimuthal"]
    assert [item.label.value for item in iq.legend[0].items] == [
        "6 frames of the run", "12 frames of the running sum",
    ]  # fmt: skip
    lines = iq.select_one({"name": "lines"}).data_source.data
    assert lines["name"][:3] == ["1 0 0", "1 1 0", "1 1 1"]
    assert lines["x"][0] == pytest.approx(1.5115, abs=1e-3)
    names = [label.text for label in iq.center if type(label).__name__ == "Label"]
    assert names[0] == "1 0 0"
    assert list(shown.figures)[1:] == ["azimuthal_of_steps-pilatus"]
    hub.close()


class Thermometer(RoiMeans):
    """An analysis of somebody's own."""

    def groups(self, run: str | None = None) -> list[DataGroup]:
        n = len(self.table.rows(run or next(reversed(self.table.runs), "")).get("shot", ()))
        axis = Quantity("shot", np.arange(n))
        values = Quantity("temperature", np.full(n, 290.0), "K")
        return [DataGroup("temperature/sample", "Sample", values, (axis,))]


def test_an_analysis_of_ones_own_appears_by_itself(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.live.parts += (Thermometer(hub.live.rois.settings.rois),)
    shown = Shown(hub)
    Beam(hub.live).scan()
    shown.look()
    shown.tab(3)
    assert list(shown.figures) == ["temperature"]
    assert shown.figures["temperature"].yaxis[0].axis_label == "temperature [K]"
    # an image may go without axes; what does not fit together leaves the others
    image, line = Quantity("b", np.zeros((2, 3))), Quantity("x", np.zeros(7))
    broken = DataGroup("broken/one", "b", Quantity("b", np.zeros(2)), (line,))
    hub.groups = [*hub.groups, DataGroup("image/one", "b", image, ()), broken]
    shown.panel._ask()
    assert list(shown.figures) == ["temperature", "image-one"]
    assert shown.figures["image-one"].xaxis[0].axis_label == "x [px]"
    assert "broken/one" in caplog.text
    hub.groups = []
    shown.panel._ask()
    assert shown.figures == {}


def test_points_are_sent_again_for_a_range_that_is_new() -> None:
    points = Points(*np.arange(1.0, 19.0).reshape(6, 3), n_all=3)
    plan = CurvePlan(
        "key", "name", "", "x", "y", "", [Series("a", "#123456", points)], {}, {},
        is_log=False, marks_newest=False,
    )  # fmt: skip
    shown, doc, sent = CurveFigure("name"), Document(), []
    doc.add_root(shown.figure)
    shown.show(plan, "stem")
    source = shown._slots[0].source
    source.on_change("data", lambda attr, old, new: sent.append(new))
    shown.show(plan, "stem")
    assert not sent
    # a range that no points have come for has no ends in the browser, and nothing is drawn
    for n, other in enumerate((replace(plan, is_log=True), plan, replace(plan, key="other"))):
        shown.show(other, "stem")
        assert len(sent) == n + 1


def test_names_and_errors_are_text_and_not_html(hub: Hub) -> None:
    shown = Shown(hub)
    shown.tab(2)
    hub.live.diffraction.problems["<img src=x>"] = "no file '<script>'"
    shown.look()
    told = shown.panel._tabs["I(q)"]._nothing.object
    assert "&lt;img src=x&gt;: no file &#x27;&lt;script&gt;" in told


def test_the_first_tab_with_something_is_in_front_until_one_is_chosen(live: LiveAnalysis) -> None:
    live.configure({"rois": {}, "geometries": {"pilatus": POWDER_GEOMETRY}})
    hub = Hub(live, Snapshots(live))
    shown = Shown(hub)
    shown.look()
    assert shown.panel.tab == "Step means"
    Beam(live).scan()
    shown.look()
    assert shown.panel.tab == "I(q)"
    shown.panel._stack.active = 1
    Beam(live).scan()
    shown.look()
    assert shown.panel.tab == "Photons"
    hub.close()
