from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.step_means_plot import StepMeansPlot
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.plans import burst_grid, burst_scan, continuous
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.testing.documents import as_pages
from femto_bluesky.testing.runs import run_engine, run_plan
from tests.callbacks.step_plots import (
    ROIS,
    assert_drawn,
    docs_of,
    drawn,
    expected,
    subscribed,
    titles,
)

pytestmark = pytest.mark.usefixtures("strict_plots")


@pytest.mark.parametrize("errors", ["std", "sem"])
def test_each_region_has_a_panel_with_error_bars(camera, motor, errors):
    plot = StepMeansPlot(errors=errors)
    means = subscribed(plot)
    run_plan(burst_scan([camera], motor, 0, 3, 4, 5), means)
    assert titles(plot) == ["ROI 2 on camera, scan 1", "all on camera, scan 1"]
    for axes, column in zip(plot.figure.axes, ["camera_ROI_2", "camera_all"], strict=True):
        assert_drawn(axes, "scan 1", expected(means.result(), column, errors=errors))
        assert axes.get_xlabel() == "stage_x"
        said = {"std": "std of the shots", "sem": "standard error"}[errors]
        assert said in axes.get_ylabel()
        assert axes.get_legend() is None
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        _, bars = drawn(axes)["scan 1"]
        assert (left < 0, right > 3) == (True, True)
        assert low < min(bar[1] for bar in bars)
        assert high > max(bar[2] for bar in bars)


def test_it_follows_a_running_scan(camera, motor):
    plot = StepMeansPlot()
    means, seen = subscribed(plot), []
    means.subscribe(
        lambda name, doc: seen.append(len(drawn(plot.figure.axes[0])["scan 1"][0])), "event"
    )
    run_plan(burst_scan([camera], motor, 0, 3, 4, 2), means)
    assert seen == [1, 2, 3, 4]


def test_photons_a_shot_have_a_panel(tmp_path, motor):
    frames = BalorFrames(BalorSettings(shape=(48, 64), n_photons=4, n_hot_pixels=0))
    balor = SimulatedDetector(name="andor3_balor", source=frames, directory=tmp_path)
    live, plot = LiveAnalysis(photon_files=False), StepMeansPlot()
    live.subscribe(plot)
    run_plan(burst_scan([balor], motor, 0, 1, 2, 6), live)
    assert titles(plot) == ["photons a shot on andor3_balor, scan 1"]
    truth = expected(live.photons.result(), "andor3_balor_n_photons")
    assert_drawn(plot.figure.axes[0], "scan 1", truth)


def changed(docs, seq_num, **data):
    """The event of a step again, with other values."""
    uid = next(d["uid"] for n, d in docs if n == "descriptor" and d["name"] == "primary")
    event = next(d for n, d in docs if n == "event"
                 and (d["descriptor"], d["seq_num"]) == (uid, seq_num))  # fmt: skip
    return "event", event | {"data": event["data"] | data}


def test_a_step_that_is_taken_again_replaces_its_point(camera, motor):
    docs, result = docs_of(camera, motor)
    plot = StepMeansPlot(only=["ROI 2"])
    again = changed(docs, 2, camera_ROI_2_mean=77.0, camera_ROI_2_std=1.0)
    for name, doc in [*docs[:-1], again, docs[-1]]:
        plot(name, doc)
    points, bars = drawn(plot.figure.axes[0])["scan 1"]
    assert points[:, 0].tolist() == result["stage_x"].tolist()
    assert points[1].tolist() == [1.0, 77.0]
    assert bars[1] == (1.0, 76.0, 78.0)
    assert len(bars) == 3


def test_a_missing_value_is_a_gap_and_no_zero(camera, motor):
    docs, _ = docs_of(camera, motor)
    plot = StepMeansPlot(only=["ROI 2"])
    gap = changed(docs, 2, camera_ROI_2_mean=None, camera_ROI_2_std=None)
    alone = changed(docs, 3, camera_ROI_2_std=None)
    for name, doc in [*docs[:-1], gap, alone, docs[-1]]:
        plot(name, doc)
    points, bars = drawn(plot.figure.axes[0])["scan 1"]
    assert np.isnan(points[:, 1]).tolist() == [False, True, False]
    assert [bar[0] for bar in bars] == [0.0]


def test_only_some_regions_are_drawn(camera, motor):
    docs, _ = docs_of(camera, motor)
    for only in (["all"], ["camera_all"]):
        plot = StepMeansPlot(only=only)
        for name, doc in docs:
            plot(name, doc)
        assert titles(plot) == ["all on camera, scan 1"]


def test_pages_of_a_catalog_are_drawn_too(camera, motor):
    docs, result = docs_of(camera, motor)
    plot = StepMeansPlot(only=["all"])
    for name, doc in as_pages(docs, 2):
        plot(name, doc)
    assert_drawn(plot.figure.axes[0], "scan 1", expected(result, "camera_all"))


@pytest.mark.parametrize(
    ("overlay", "kept", "shown"),
    [
        (0, (), ["scan 4"]),
        (1, (), ["scan 3", "scan 4"]),
        (9, (), ["scan 1", "scan 2", "scan 3", "scan 4"]),
        (0, (2,), ["scan 2", "scan 4"]),
        (1, (1,), ["scan 1", "scan 3", "scan 4"]),
    ],
)
def test_earlier_runs_stay_on_request(camera, motor, overlay, kept, shown):
    plot = StepMeansPlot(overlay=overlay, only=["all"])
    means = subscribed(plot)
    results = []
    with run_engine() as engine:
        engine.subscribe(means)
        for number in range(1, 5):
            engine(burst_scan([camera], motor, 0, number, 3, 2))
            results.append(means.result())
            if number in kept:
                plot.keep()
    (axes,) = plot.figure.axes
    found = drawn(axes)
    assert list(found) == shown
    for label in shown:
        assert_drawn(axes, label, expected(results[int(label[-1]) - 1], "camera_all"))
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == shown if shown[1:] else not legend
    colours = [line.get_color() for line in axes.get_lines()[1::2]]
    assert colours == [f"C{int(label[-1]) - 1}" for label in shown]
    strengths = [line.get_alpha() for line in axes.get_lines()[1::2]]
    assert strengths == [0.45] * (len(shown) - 1) + [1.0]
    plot.forget()
    assert list(drawn(axes)) == ["scan 4"]
    assert axes.get_legend() is None


def test_runs_of_another_motor_are_not_overlaid(camera, motor):
    other = SimulatedMotor(name="stage_y")
    plot = StepMeansPlot(overlay=5)
    means = subscribed(plot)
    with run_engine() as engine:
        engine.subscribe(means)
        for axis, stop in ((motor, 2), (other, 50), (motor, 3)):
            engine(burst_scan([camera], axis, 0, stop, 3, 2))
            means.wait()
            labels = [list(drawn(axes)) for axes in plot.figure.axes]
            assert {axes.get_xlabel() for axes in plot.figure.axes} == {axis.name}
    assert labels == [["scan 1", "scan 3"]] * 2
    assert all(axes.get_xlim()[1] < 10 for axes in plot.figure.axes)


def test_steps_are_counted_in_whole_numbers(camera, motor):
    other = SimulatedMotor(name="stage_y")
    plot = StepMeansPlot()
    means = subscribed(plot)
    run_plan(burst_grid([camera], other, 0, 1, 2, motor, 0, 2, 1, frames=2), means)
    ticks = plot.figure.axes[0].get_xticks()
    assert [tick == round(tick) for tick in ticks] == [True] * len(ticks)


def test_a_grid_is_drawn_against_the_number_of_the_step(camera, motor):
    plot = StepMeansPlot(only=["all"])
    means = subscribed(plot)
    other = SimulatedMotor(name="stage_y")
    run_plan(burst_grid([camera], other, 0, 1, 2, motor, 0, 1, 2, frames=2), means)
    (axes,) = plot.figure.axes
    assert axes.get_xlabel() == "step"
    assert drawn(axes)["scan 1"][0][:, 0].tolist() == [1, 2, 3, 4]


def test_without_a_motor_it_is_the_frame(camera):
    plot = StepMeansPlot(only=["all"])
    run_plan(continuous([camera], 3, n_events=2), subscribed(plot))
    assert plot.figure.axes[0].get_xlabel() == "frame"
    assert drawn(plot.figure.axes[0])["scan 1"][0][:, 0].tolist() == [0, 3]


def test_a_run_that_names_no_axis_is_drawn_against_the_step(camera, motor):
    docs, _ = docs_of(camera, motor)
    plot = StepMeansPlot(only=["all"])
    for name, doc in docs:
        plot(name, {k: v for k, v in doc.items() if k != "hints"} if name == "start" else doc)
    assert plot.figure.axes[0].get_xlabel() == "step"
    assert drawn(plot.figure.axes[0])["scan 1"][0][:, 0].tolist() == [1, 2, 3]


def test_steps_in_any_order_are_drawn_in_theirs(camera, motor):
    docs, result = docs_of(camera, motor)
    uid = next(d["uid"] for n, d in docs if n == "descriptor" and d["name"] == "primary")
    others = [pair for pair in docs if pair[1].get("descriptor") != uid]
    steps = [pair for pair in docs if pair[1].get("descriptor") == uid]
    plot = StepMeansPlot(only=["all"])
    for name, doc in [*others, *reversed(steps)]:
        plot(name, doc)
    assert_drawn(plot.figure.axes[0], "scan 1", expected(result, "camera_all"))


def test_regions_that_change_within_a_run_begin_with_a_gap(camera, motor):
    plot = StepMeansPlot()
    means = subscribed(plot, {"all": ROIS["all"]})

    def add_region(name, doc):
        if doc["data"].get("stage_x") == 1.0:
            means.configure({"rois": ROIS})

    means.subscribe(add_region, "event")
    run_plan(burst_scan([camera], motor, 0, 3, 4, 2), means)
    assert titles(plot) == ["all on camera, scan 1", "ROI 2 on camera, scan 1"]
    late, whole = (drawn(axes)["scan 1"][0] for axes in reversed(plot.figure.axes))
    assert np.isnan(late[:, 1]).tolist() == [True, True, False, False]
    assert not np.isnan(whole).any()


def test_a_motor_that_reads_text_is_no_axis(camera, motor):
    docs, _ = docs_of(camera, motor)
    plot = StepMeansPlot(only=["all"])
    for name, doc in [*docs[:-1], changed(docs, 2, stage_x="in"), docs[-1]]:
        plot(name, doc)
    (axes,) = plot.figure.axes
    assert axes.get_xlabel() == "step"
    assert drawn(axes)["scan 1"][0][:, 0].tolist() == [1, 2, 3]


def test_regions_that_change_between_runs_get_new_panels(camera, motor):
    plot = StepMeansPlot(overlay=1)
    means = subscribed(plot)
    with run_engine() as engine:
        engine.subscribe(means)
        engine(burst_scan([camera], motor, 0, 1, 2, 2))
        means.wait()
        figure = plot.figure
        means.configure({"rois": {"all": ROIS["all"], "new": ROIS["ROI 2"]}})
        engine(burst_scan([camera], motor, 0, 1, 2, 2))
        means.wait()
    assert plot.figure is figure
    assert titles(plot) == ["all on camera, scan 2", "new on camera, scan 2"]
    assert [list(drawn(axes)) for axes in figure.axes] == [["scan 1", "scan 2"], ["scan 2"]]


def test_many_regions_stand_in_columns(camera, motor):
    rois = {f"r{i}": ROIS["all"] for i in range(7)}
    plot = StepMeansPlot()
    run_plan(burst_scan([camera], motor, 0, 1, 2, 2), subscribed(plot, rois))
    assert len(plot.figure.axes) == 7
    assert len({axes.get_position().x0 for axes in plot.figure.axes}) == 2


def test_all_is_drawn_into_given_axes(camera, motor):
    axes = Figure().add_subplot()
    (mine,) = axes.plot([0, 1], [0, 1])
    plot = StepMeansPlot(axes, overlay=1)
    means = subscribed(plot)
    with run_engine() as engine:
        engine.subscribe(means)
        engine(burst_scan([camera], motor, 0, 1, 2, 2))
        engine(burst_scan([camera], motor, 0, 1, 2, 2))
    means.wait()
    assert plot.figure is axes.figure
    assert axes.get_lines()[0] is mine
    labels = [line.get_label() for line in axes.get_lines()[2::2]]
    assert labels == [
        "ROI 2 on camera, scan 1", "ROI 2 on camera, scan 2",
        "all on camera, scan 1", "all on camera, scan 2",
    ]  # fmt: skip
    assert len({line.get_color() for line in axes.get_lines()[2::2]}) == 4


def test_a_run_that_is_not_derived_is_told_of(camera, motor, caplog):
    plot = StepMeansPlot()
    run_plan(burst_scan([camera], motor, 0, 1, 2, 2), plot)
    assert "subscribe the plot to an analysis: live.subscribe(plot)" in caplog.text
    assert plot.figure is None


def test_a_failure_in_drawing_stops_nothing(camera, motor, caplog, monkeypatch):
    monkeypatch.delenv("BLUESKY_DEBUG_CALLBACKS")
    plot = StepMeansPlot()
    plot._draw_all = None
    means = subscribed(plot)
    run_plan(burst_scan([camera], motor, 0, 1, 2, 2), means)
    assert "suppressed to not interrupt plan" in caplog.text
    assert means.failures == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"errors": "variance"}, "errors is 'variance', expected one of 'std', 'sem'"),
        ({"overlay": -1}, "overlay is -1, expected a number of earlier runs"),
        ({"only": "ROI 2"}, r"expected a list of regions; write \['ROI 2'\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        StepMeansPlot(**given)
