"""Which figures the results of a run become, and what stands on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.viewer.page.curve_plans import (
    Choices,
    CurvePlan,
    Found,
    MapPlan,
    Surroundings,
    motors_of,
    planned,
    tab_of,
)
from femto_bluesky.viewer.page.curve_titles import told_apart
from femto_bluesky.viewer.page.map_figure import extent, pooled
from femto_bluesky.viewer.page.photon_marks import marks, overlap_share
from tests.viewer.shown import ROIS, seen

AROUND = Surroundings(regions=list(ROIS), energy_kev=lambda name: 13.5)


def curve(path: str, title: str = "", axis: str = "motor", units: str = "", **more: Any) -> Any:
    n = 4
    return DataGroup(
        path=path,
        title=title or path,
        signal=Quantity("value", np.arange(1.0, n + 1), units),
        axes=(Quantity(axis, np.arange(n, dtype=float)),),
        **more,
    )


def image(path: str) -> DataGroup:
    axes = (Quantity("y", np.arange(3.0)), Quantity("x", np.arange(5.0)))
    return DataGroup(path, path, Quantity("counts", np.ones((3, 5))), axes)


def only(plans: list[Any]) -> Any:
    (plan,) = plans
    return plan


def test_all_that_an_analysis_of_photons_and_regions_shows(live: LiveAnalysis) -> None:
    seen(live, ("pilatus", "andor3_balor"), n_steps=4)
    found = Found(live.groups())
    steps = planned("Step means", found, [], Choices(detector="pilatus"), AROUND)
    # a figure for each detector, that which is looked at first
    kinds = ("step_means", "roi_means")
    detectors = ("pilatus", "andor3_balor")
    assert [p.name for p in steps] == [f"{kind}-{name}" for kind in kinds for name in detectors]
    titles = [f"Mean of each step on {name}" for name in detectors]
    assert [plan.title for plan in steps[:2]] == titles
    assert [[s.label for s in plan.series] for plan in steps] == [["ROI 2", "edge/top"]] * 4
    # a region has one colour everywhere
    assert len({s.colour for plan in steps for s in plan.series}) == 2
    assert (steps[0].x_label, steps[0].y_label) == ("stage_x", "mean [counts/pixel]")
    assert steps[0].errors_name == "std of the shots"
    photons = planned("Photons", found, [], Choices(), AROUND)
    names = [plan.name.partition("-")[0] for plan in photons]
    assert names == [
        "energy_histogram", "photons_of_steps", "photons_of_shots", "energies_of_steps",
    ]  # fmt: skip
    assert isinstance(photons[-1], MapPlan)
    assert "% overlaps" in photons[0].title
    assert planned("I(q)", found, [], Choices(), AROUND) == []


def test_the_images_of_sums_stand_elsewhere_and_what_is_not_known_among_the_others() -> None:
    assert tab_of(image("accumulated/pilatus")) is None
    groups = [curve("temperature/stage"), image("fluorescence"), curve("temperature/cryostat")]
    plans = planned("Others", Found(groups), [], Choices(), AROUND)
    assert [plan.name for plan in plans] == ["temperature", "fluorescence"]
    assert [s.label for s in plans[0].series] == ["temperature/stage", "temperature/cryostat"]


def test_curves_share_a_figure_where_the_same_is_on_its_axes() -> None:
    groups = [curve("a/1"), curve("a/2", units="K"), curve("a/3", axis="time"), curve("a/4")]
    plans = planned("Others", Found(groups), [], Choices(), AROUND)
    assert [[s.label for s in plan.series] for plan in plans] == [["a/1", "a/4"], ["2"], ["3"]]
    assert len({plan.key for plan in plans}) == 3
    assert [plan.name for plan in plans] == ["a", "a#2", "a#3"]


def test_earlier_runs_are_beside_it_where_they_have_the_same_axes() -> None:
    path = "step_means/pilatus_ROI_2"
    shown = Found([curve(path)], name="scan 5")
    before = [Found([curve(path)], name="scan 4"), Found([curve(path, axis="other")], name="x")]
    plan = only(planned("Step means", shown, before, Choices(), AROUND))
    assert [(s.label, s.age, s.of) for s in plan.series] == [
        ("ROI 2", 0, "ROI 2"), ("ROI 2, scan 4", 1, "ROI 2"),
    ]  # fmt: skip


def test_only_the_chosen_regions_are_shown() -> None:
    groups = [curve("step_means/pilatus_ROI_2"), curve("step_means/pilatus_edge_top")]
    chosen = Choices(regions=frozenset({"edge/top"}))
    plan = only(planned("Step means", Found(groups), [], chosen, AROUND))
    assert [s.label for s in plan.series] == ["edge/top"]


def test_of_several_motors_one_is_chosen_and_a_grid_is_a_map() -> None:
    columns = (
        Quantity("sem", np.zeros(4)), Quantity("n_shots", np.ones(4)),
        Quantity("y", np.array([0.0, 0, 1, 1])), Quantity("x", np.array([0.0, 2, 0, 2])),
    )  # fmt: skip
    group = curve("step_means/pilatus_ROI_2", axis="step", columns=columns)
    assert motors_of(group) == ["step", "y", "x"]
    found = Found([group], units={"x": "mm"})
    plan = only(planned("Step means", found, [], Choices(against="x"), AROUND))
    assert plan.x_label == "x [mm]"
    assert plan.series[0].points.x.tolist() == [0, 2, 0, 2]
    assert not plan.series[0].has_order
    start = {
        "shape": [2, 2], "extents": [[0, 1], [0, 2]],
        "hints": {"gridding": "rectilinear", "dimensions": [[["y"], "p"], [["x"], "p"]]},
    }  # fmt: skip
    plan = only(planned("Step means", Found([group], start), [], Choices(), AROUND))
    assert isinstance(plan, MapPlan)
    assert plan.group.signal.values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("q_axis", "place", "label"), [("2theta", 26.5, "2θ [deg]"), ("d", 2 * np.pi / 3.1355, "d [Å]")]
)
def test_iq_against_angle_or_distance(q_axis: str, place: float, label: str) -> None:
    # copper's K alpha at 8.0478 keV meets quartz's (101), 3.342 Angstrom, at 26.65 degrees
    q = 2 * np.pi / 3.342 if q_axis == "2theta" else 3.1355
    place = 26.65 if q_axis == "2theta" else place
    group = DataGroup(
        path="azimuthal/pilatus",
        title="I(q) on pilatus, 1 frame of the run",
        signal=Quantity("intensity", np.ones(3)),
        axes=(Quantity("q", np.array([0.0, q, 1e3]), "1/angstrom"),),
        lines={"1 0 1": q},
        attributes={"detector": "pilatus"},
    )
    around = Surroundings(energy_kev=lambda name: 8.0478)
    plan = only(planned("I(q)", Found([group]), [], Choices(q_axis=q_axis), around))
    assert isinstance(plan, CurvePlan)
    assert plan.x_label == label
    assert plan.series[0].points.x[1] == pytest.approx(place, abs=0.02)
    assert plan.lines["1 0 1"] == pytest.approx(place, abs=0.02)
    # without a geometry there is no angle
    bare = only(planned("I(q)", Found([group]), [], Choices(q_axis="2theta"), Surroundings()))
    assert bare.x_label == "q [1/Å]"


@pytest.mark.parametrize("lines", [{}, {"1 0 0": 1.5, "1 1 0": 3.0}])
def test_what_is_scattered_beside_the_beam_is_left_out_against_the_distance(
    lines: dict[str, float],
) -> None:
    q = np.array([0.0, 0.01, 0.1, 1.5, 3.0, 6.0])
    group = DataGroup(
        "azimuthal/pilatus", "I(q)", Quantity("intensity", np.ones(6)),
        (Quantity("q", q, "1/angstrom"),), lines=lines,
    )  # fmt: skip
    plan = only(planned("I(q)", Found([group]), [], Choices(q_axis="d"), AROUND))
    (series,) = plan.series
    shown = series.points.x[np.isfinite(series.points.x)]
    assert shown == pytest.approx(2 * np.pi / q[-3:])
    # it is a line, which goes on where a place is not known
    assert series.has_order
    assert plan.title == "I(q); d up to 4.19 Å"


def test_thresholds_of_the_settings_are_marked_on_the_histogram(live: LiveAnalysis) -> None:
    histogram = curve("energy_histogram/andor3_balor")
    assert list(marks(live, histogram).values()) == [1100, 1400]
    live.configure({"photons": {"view_min_adu": 900, "overlap_adu": 1500}})
    assert marks(live, histogram) == {"shown above 900": 900, "overlaps above 1500": 1500}
    assert marks(live, curve("photons_of_steps/andor3_balor")) == {}


def test_the_share_of_overlaps_is_that_of_all_photons() -> None:
    columns = {"n_photons": [10, np.nan, 30], "overlap_share": [0.1, np.nan, 0.3]}
    assert overlap_share(columns) == pytest.approx(0.25)
    assert overlap_share({}) is None


def test_titles_are_told_apart() -> None:
    assert told_apart([]) == ("", [])
    assert told_apart(["one"]) == ("one", [""])
    titles = [f"Photons a shot on {name}, mean of each step" for name in "ab"]
    assert told_apart(titles) == ("Photons a shot, mean of each step", ["a", "b"])
    assert told_apart(["x on a, 1", "y on b, 2"]) == ("", ["x on a, 1", "y on b, 2"])


def test_an_image_keeps_its_hottest_cells_and_uneven_axes_their_values() -> None:
    values = np.zeros((1000, 3))
    values[501, 1] = 7
    mask = np.zeros(values.shape, bool)
    mask[:, 2] = True
    axes = (Quantity("t", np.arange(1000.0)), Quantity("x", np.array([1.0, 2.0, 4.0])))
    group = DataGroup("cake/a", "cake", Quantity("i", values), axes, mask=mask)
    found = pooled(group)
    assert found.shape == (334, 3)
    assert (found[:, 1].max(), np.isnan(found[:, 2]).all()) == (7, True)
    assert extent(axes[0], 1000) == (-0.5, 1000.0, {})
    assert extent(axes[1], 3) == (-0.5, 3.0, {0: "1", 1: "2", 2: "4"})
