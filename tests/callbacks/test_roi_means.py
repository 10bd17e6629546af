from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.rois import Roi, RoiError
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_plan
from femto_bluesky.testing.shots import make_shots

BOX = Roi(x0=1, y0=2, x1=5, y1=6)
GAP = Roi(x0=8, y0=0, x1=9, y1=12)
SHOTS = make_shots(("pilatus",), n_steps=3, n_frames=4)


def seen(rois, shots=SHOTS):
    means = RoiMeans(rois)
    for shot in shots:
        assert means.update(shot) is shot
    return means


def naive_mean(shot, roi):
    """Pixel by pixel, the valid ones only; None where there is none."""
    pixels, mask = shot.frame.pixels, shot.frame.mask
    values = [
        float(pixels[y, x])
        for y in range(roi.y0, roi.y1)
        for x in range(roi.x0, roi.x1)
        if mask is None or not mask[y, x]
    ]
    return sum(values) / len(values) if values else None


def uniform(value, number, step=0, mask=None, detector="cam", **changes):
    frame = DenseFrame(np.full((12, 16), value, np.float32), mask)
    made = Shot("r", step, number, detector, frame, position={"x": float(step)}, time=number)
    return replace(made, **changes)


def test_a_shots_mean_is_over_its_valid_pixels():
    means = seen({"ROI 2": BOX})
    for shot in SHOTS:
        [(name, value)] = means.shot_row(shot.run, shot.number).items()
        assert name == "pilatus_ROI_2"
        assert value == pytest.approx(naive_mean(shot, BOX), rel=1e-12)


def test_a_steps_mean_is_of_the_means_of_its_shots():
    means = seen({"ROI 2": BOX})
    for step in range(3):
        values = [naive_mean(shot, BOX) for shot in SHOTS if shot.step == step]
        row = means.step_row("run-1", step)
        assert row["pilatus_ROI_2_mean"] == pytest.approx(np.mean(values), rel=1e-12)
        assert row["pilatus_ROI_2_std"] == pytest.approx(np.std(values), rel=1e-9)
        sem = np.std(values, ddof=1) / np.sqrt(4)
        assert row["pilatus_ROI_2_sem"] == pytest.approx(sem, rel=1e-9)
        assert row["pilatus_ROI_2_n"] == 4


def test_where_no_pixel_is_valid_the_mean_is_missing_and_not_0():
    means = seen({"gap": GAP})
    assert means.shot_row("run-1", 0) == {"pilatus_gap": None}
    expected = {
        "pilatus_gap_mean": None,
        "pilatus_gap_std": None,
        "pilatus_gap_sem": None,
        "pilatus_gap_n": 0,
    }
    assert means.step_row("run-1", 0) == expected
    assert np.isnan(means.result()["pilatus_gap_mean"]).all()


def test_a_shot_without_a_valid_pixel_does_not_pull_the_step():
    blind = np.ones((12, 16), bool)
    means = seen({"a": BOX}, [uniform(4, 0), uniform(9, 1, mask=blind), uniform(6, 2)])
    assert means.step_row("r", 0)["cam_a_mean"] == 5
    assert means.step_row("r", 0)["cam_a_n"] == 2
    assert means.result()["n_shots"].tolist() == [3]


def test_one_shot_has_no_standard_error():
    means = seen({"a": BOX}, [uniform(4, 0)])
    expected = {"cam_a_mean": 4, "cam_a_std": 0, "cam_a_sem": None, "cam_a_n": 1}
    assert means.step_row("r", 0) == expected
    [steps, _] = means.groups()
    assert np.isnan(steps.columns[0].values).all()


def test_a_region_outside_the_frame_is_left_out_and_the_rest_goes_on(caplog):
    rois = {"far": Roi(x0=0, y0=0, x1=17, y1=2), "a": BOX}
    means = seen(rois, [uniform(1, 0), uniform(2, 1)])
    assert means.shot_row("r", 1) == {"cam_a": 2}
    (told,) = caplog.messages
    for words in (
        "ROI 'far' (x 0..17, y 0..2)", "16 columns and 12 rows", "'cam'",
        "or name the detector that it is for",
    ):  # fmt: skip
        assert words in told
    assert list(means.left_out) == ["far"]
    assert not [output for output in means.outputs({"cam": ...}) if output.roi == "far"]
    means.clear()
    assert means.left_out == {}


def test_a_region_that_fits_one_of_the_detectors_is_used_there():
    rois = {"wide": Roi(x0=20, y0=0, x1=40, y1=2)}
    big = Shot("r", 0, 0, "big", DenseFrame(np.full((50, 50), 3.0)))
    means = seen(rois, [uniform(1, 0), big])
    assert means.shot_row("r", 0) == {"big_wide": 3}
    assert means.left_out == {}


def test_a_region_outside_is_refused_at_the_console_also_after_a_change():
    means = seen({"a": BOX}, [uniform(1, 0)])
    for _ in range(2):
        with pytest.raises(RoiError, match="reaches outside the frames of 'cam'"):
            means.configure({"rois": {"far": Roi(x0=0, y0=0, x1=17, y1=2)}})
        means.configure({"rois": {"b": BOX}})
    means.configure({"rois": {"to come": Roi(x0=0, y0=0, x1=99, y1=9, detector="other")}})


def test_a_region_is_looked_for_on_its_own_detector_only():
    rois = {"small": replace_detector(Roi(x0=0, y0=0, x1=40, y1=40), "big"), "a": BOX}
    big = Shot("r", 0, 0, "big", DenseFrame(np.full((50, 50), 3.0)))
    means = seen(rois, [uniform(1, 0), big])
    assert means.shot_row("r", 0) == {"cam_a": 1, "big_a": 3, "big_small": 3}


def replace_detector(roi, detector):
    return roi.model_copy(update={"detector": detector})


def test_names_that_clash_are_refused():
    with pytest.raises(RoiError, match="both become 'ROI_2'"):
        RoiMeans({"ROI 2": BOX, "ROI-2": GAP})
    means = RoiMeans({"ROI 2": BOX})
    with pytest.raises(RoiError, match="rename one"):
        means.configure({"rois": {"a b": BOX, "a-b": GAP}})
    assert means.settings.rois == {"ROI 2": BOX}


def test_regions_can_change_midway():
    means = seen({"a": BOX}, [uniform(1, 0), uniform(2, 1, step=1)])
    means.configure({"rois": {"b": BOX}})
    means.update(uniform(7, 2, step=1))
    assert means.shot_row("r", 0) == {"cam_a": 1, "cam_b": None}
    assert means.shot_row("r", 2) == {"cam_a": None, "cam_b": 7}
    found = means.result()
    np.testing.assert_array_equal(found["cam_a_mean"], [1, 2])
    np.testing.assert_array_equal(found["cam_b_mean"], [np.nan, 7])
    assert means.outputs(["cam"])[0].name == "cam_b"
    # those that the settings name come first
    assert [group.path for group in means.groups()][::2] == ["step_means/cam_b", "step_means/cam_a"]
    for nonsense in ({"b": {"x0": 3}}, None, 3):
        with pytest.raises(ValidationError):
            means.configure({"rois": nonsense})
    assert means.settings.rois == {"b": BOX}


def test_regions_as_plain_data():
    means = RoiMeans({"a": {"x0": 1, "y0": 2, "x1": 5, "y1": 6}})
    assert means.settings.rois["a"] == BOX
    assert means.settings_record() == {"rois": {"a": BOX.model_dump()}}


def test_two_detectors_in_one_event():
    shots = make_shots(("pilatus", "andor3_zyla12"), n_frames=3)
    means = seen({"a": BOX}, shots)
    for shot in shots:
        row = means.shot_row(shot.run, shot.number)
        assert set(row) == {"pilatus_a", "andor3_zyla12_a"}
        assert row[f"{shot.detector}_a"] == pytest.approx(naive_mean(shot, BOX), rel=1e-12)
    assert means.result()["n_shots"].tolist() == [3, 3, 3]


def test_the_result_is_columns_of_the_newest_run():
    shots = make_shots(("pilatus",), runs=("old", "new"))
    means = seen({"a": BOX}, shots)
    found = means.result()
    names = ["stage_x", "n_shots", *(f"pilatus_a_{end}" for end in ("mean", "std", "sem", "n"))]
    assert list(found) == names
    np.testing.assert_array_equal(found["stage_x"], [0, 0.5, 1])
    values = [means.step_row("new", step)["pilatus_a_mean"] for step in range(3)]
    np.testing.assert_array_equal(found["pilatus_a_mean"], values)
    old = [means.step_row("old", step)["pilatus_a_mean"] for step in range(3)]
    np.testing.assert_array_equal(means.result("old")["pilatus_a_mean"], old)
    assert RoiMeans({"a": BOX}).result() == {}
    assert RoiMeans({"a": BOX}).groups() == []


def test_the_curves():
    means = seen({"ROI 2": BOX, "ö": GAP})
    groups = {group.path: group for group in means.groups()}
    paths = ["step_means/pilatus_ROI_2", "roi_means/pilatus_ROI_2"]
    assert list(groups) == [*paths, "step_means/pilatus_ö", "roi_means/pilatus_ö"]
    for group in groups.values():
        group.check()
    steps, shots = groups[paths[0]], groups[paths[1]]
    found = means.result()
    np.testing.assert_array_equal(steps.signal.values, found["pilatus_ROI_2_mean"])
    np.testing.assert_array_equal(steps.errors, found["pilatus_ROI_2_std"])
    assert steps.errors_name == "std of the shots"
    assert steps.signal.long_name == "ROI 2 on pilatus"
    assert (steps.axes[0].name, steps.axes[0].values.tolist()) == ("stage_x", [0, 0.5, 1])
    assert [column.name for column in steps.columns] == ["sem", "n", "n_shots"]
    values = [naive_mean(shot, BOX) for shot in SHOTS]
    np.testing.assert_allclose(shots.signal.values, values, rtol=1e-12)
    assert shots.axes[0].values.tolist() == list(range(12))
    assert shots.columns[0].values.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (groups["step_means/pilatus_ö"].errors == 0).all(), "errors hold no NaN"


@pytest.mark.parametrize(
    ("positions", "axis", "columns"),
    [
        ([{"x": 1.0, "y": 5.0}, {"x": 2.0, "y": 5.0}], ("step", [0, 1]), ["x", "y"]),
        ([{"shutter": "open"}, {"shutter": "closed"}], ("step", [0, 1]), []),
        ([{"x": 3.0}, {"x": 1.0}], ("x", [3, 1]), []),
        ([{"i0_mean": 3.0}, {"i0_mean": 1.0}], ("i0_mean", [3, 1]), []),
    ],
)
def test_what_curves_are_drawn_against(positions, axis, columns):
    shots = [uniform(n, n, step=n, position=p) for n, p in enumerate(positions)]
    group = seen({"a": BOX}, shots).groups()[0]
    assert (group.axes[0].name, group.axes[0].values.tolist()) == axis
    assert [column.name for column in group.columns][3:] == columns


def test_what_it_declares():
    found = RoiMeans({"ROI 2": BOX}).outputs(["pilatus", "cam"])
    assert [output.name for output in found if output.hinted] == [
        "pilatus_ROI_2_mean",
        "cam_ROI_2_mean",
    ]
    assert {output.roi for output in found} == {"ROI 2"}
    assert "std(ddof=1)/sqrt(n)" in found[3].description
    assert [output.dtype for output in found][:5] == ["number"] * 4 + ["integer"]


def test_regions_of_two_detectors_never_share_a_column():
    rois = {"2_a": Roi(x0=0, y0=0, x1=2, y1=2), "a": Roi(x0=2, y0=2, x1=4, y1=4)}
    means = RoiMeans(rois)
    one, other = make_shots(("cam", "cam_2"), n_steps=1, n_frames=1)
    means.update(one)
    with pytest.raises(RoiError, match="both become the data key 'cam_2_a'; rename one"):
        means.update(other)


def test_a_region_on_a_detector_that_there_is_not_is_named(caplog):
    means = RoiMeans({"a": Roi(x0=0, y0=0, x1=2, y1=2, detector="pilatos")})
    assert means.outputs(["pilatus"]) == []
    assert "'pilatos', which this run does not have; it has ['pilatus']" in caplog.text


def test_a_run_says_nothing_of_a_region_that_is_left_out(tmp_path):
    """No column of nulls, which tables cannot print; and the run goes well."""
    motor, derived = SimulatedMotor(name="delay"), Recorder()
    cameras = [
        SimulatedDetector(
            name=name, source=lambda index, position, shape=shape: np.ones(shape, np.float32),
            directory=tmp_path, num_images=2, motor=motor,
        )
        for name, shape in (("small", (8, 10)), ("large", (20, 30)))
    ]  # fmt: skip
    means = RoiMeans({"wide": Roi(x0=12, y0=0, x1=20, y1=4), "far": Roi(x0=0, y0=0, x1=99, y1=9)})
    means.subscribe(derived)
    run_plan(burst_scan(cameras, motor, [0.0, 1.0]), means)
    keys = [set(doc["data_keys"]) for doc in derived.of("descriptor") if doc["name"] == "primary"]
    assert [{key for key in found if key.endswith("_mean")} for found in keys] == [
        {"large_wide_mean"}
    ]
    assert all(None not in doc["data"].values() for doc in derived.of("event"))
    assert derived.of("stop")[0]["exit_status"] == "success"
