from __future__ import annotations

import numpy as np
import pytest
from ophyd import Signal

from femto_bluesky import Roi
from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector
from femto_bluesky.plans import PlanError, burst_grid, burst_scan
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_plan
from tests.plans.burst_devices import make_detector, make_motor, named, paused_before
from tests.stream.scans import Scan, Seen, assert_valid, primary_rows, true_rows


def run(plan, detectors, on_pause="resume"):
    """A scan with an analysis that keeps all frames; what it derives is kept too."""
    seen, derived = Seen(), Recorder()
    seen.subscribe(derived)
    docs = run_plan(plan, seen, on_pause=on_pause)
    assert seen.failures == []
    scan = Scan(docs, {detector.name: detector for detector in detectors})
    return scan, seen, derived.documents


def assert_all_right(scan, seen, derived):
    """Documents are valid, every frame is in its step, and the derived run says so."""
    plain = [(name, doc) for name, doc in scan.documents if name != "resource"]
    assert_valid(plain)
    assert_valid(derived)
    (uid,) = scan.truth()
    assert seen.result() == scan.truth()
    assert primary_rows(derived) == true_rows(scan.truth()[uid])


@pytest.mark.parametrize("style", ["stream", "datum"])
def test_a_burst_at_each_step(tmp_path, style):
    stage_x = make_motor()
    pilatus = make_detector(tmp_path, style=style, motor=stage_x)
    scan, seen, derived = run(burst_scan([pilatus], stage_x, 1, 2, 3, 4), [pilatus])
    assert_all_right(scan, seen, derived)
    start = named(scan.documents, "start")[0]
    assert start["plan_name"] == "burst_scan"
    assert start["plan_type"] == "generator"
    assert start["motors"] == ("stage_x",)
    assert start["hints"]["dimensions"] == [(["stage_x"], "primary")]
    assert (start["num_points"], start["frames_per_step"]) == (3, 4)
    assert start["plan_args"]["motor"] == repr(stage_x)
    assert start["plan_args"]["detectors"] == [repr(pilatus)]
    descriptor = named(scan.documents, "descriptor")[0]
    assert descriptor["data_keys"]["pilatus_image"]["shape"] == [4, 4, 6]
    assert [row["n_shots"] for row in primary_rows(derived)] == [4, 4, 4]
    assert pilatus.num_images.get() == 7


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("before", ["checkpoint", "set", "trigger", "create", "save"])
@pytest.mark.parametrize("on_pause", ["resume", "stop", "abort"])
def test_a_pause_repeats_one_step_at_most(tmp_path, before, on_pause, frames):
    stage_x = make_motor()
    pilatus = make_detector(tmp_path, motor=stage_x)
    plan = burst_scan([pilatus], stage_x, 1, 2, 3, frames)
    # in the second step: the length of the burst is set too, and the motor is triggered as well
    plan = paused_before(plan, before, 2 if before in ("set", "trigger") else 1)
    scan, seen, derived = run(plan, [pilatus], on_pause)
    assert_all_right(scan, seen, derived)
    steps = primary_rows(derived)
    if on_pause == "resume":
        assert [row["stage_x"] for row in steps] == [1.0, 1.5, 2.0]
        assert len(pilatus.bursts) <= 4  # one that was lost
    else:
        assert [row["stage_x"] for row in steps] == [1.0]
    expected = {"resume": "success", "stop": "success", "abort": "abort"}[on_pause]
    assert named(scan.documents, "stop")[0]["exit_status"] == expected
    assert named(derived, "stop")[0]["exit_status"] == expected
    assert pilatus.num_images.get() == 7


def test_several_detectors_and_what_is_read_beside_them(tmp_path):
    stage_x, i0 = make_motor(), Signal(name="i0", value=2.5)
    cameras = [make_detector(tmp_path, name, motor=stage_x) for name in ("pilatus", "camera")]
    scan, seen, derived = run(burst_scan(cameras, stage_x, 0, 1, 2, 3, also=[i0]), cameras)
    assert_all_right(scan, seen, derived)
    events = named(scan.documents, "event")
    assert [event["data"]["i0"] for event in events] == [2.5, 2.5]
    assert {labels["i0"] for _, _, labels, _ in seen.shots.values()} == {2.5}


def test_a_step_that_is_taken_again_is_seen_by_the_plots_rows(tmp_path):
    stage_x = make_motor()
    pilatus = make_detector(tmp_path, motor=stage_x)
    means = RoiMeans({"all": Roi(x0=0, y0=0, x1=6, y1=4)})
    plan = paused_before(burst_scan([pilatus], stage_x, 0, 1, 2, 3), "checkpoint", 1)
    run_plan(plan, means)
    kept = {burst.position: burst for burst in pilatus.bursts}  # the last of each position
    for position, mean in zip(*[means.result()[k] for k in ("stage_x", "pilatus_all_mean")],
                              strict=True):  # fmt: skip
        assert mean == np.mean([frame.mean() for frame in pilatus.truth(kept[position])])


@pytest.mark.parametrize("snake", [False, True])
def test_a_grid(tmp_path, snake):
    stage_y, stage_x = make_motor("stage_y"), make_motor("stage_x")
    pilatus = make_detector(tmp_path, motor=stage_x)
    plan = burst_grid([pilatus], stage_y, 0, 1, 2, stage_x, 0, 2, 3, frames=2, snake=snake)
    scan, seen, derived = run(plan, [pilatus])
    assert_all_right(scan, seen, derived)
    start = named(scan.documents, "start")[0]
    assert (start["plan_name"], start["motors"]) == ("burst_grid", ("stage_y", "stage_x"))
    assert (start["shape"], start["num_points"], start["frames_per_step"]) == ((2, 3), 6, 2)
    back = [2.0, 1.0, 0.0] if snake else [0.0, 1.0, 2.0]
    assert [row["stage_x"] for row in primary_rows(derived)] == [0.0, 1.0, 2.0, *back]
    assert pilatus.num_images.get() == 7


@pytest.mark.parametrize("on_pause", ["resume", "stop", "abort"])
def test_a_grid_that_is_paused(tmp_path, on_pause):
    stage_y, stage_x = make_motor("stage_y"), make_motor("stage_x")
    pilatus = make_detector(tmp_path, motor=stage_x)
    plan = burst_grid([pilatus], stage_y, 0, 1, 2, stage_x, 0, 2, 3, frames=2, snake=True)
    scan, seen, derived = run(paused_before(plan, "save", 3), [pilatus], on_pause)
    assert_all_right(scan, seen, derived)
    assert len(primary_rows(derived)) == (6 if on_pause == "resume" else 3)


def test_a_grid_of_one_axis_and_a_number_of_numpy(tmp_path):
    stage_x = make_motor()
    pilatus = make_detector(tmp_path, motor=stage_x)
    plan = burst_grid([pilatus], stage_x, 0, 1, np.int64(3), frames=np.int32(2), snake=True)
    scan, seen, derived = run(plan, [pilatus])
    assert_all_right(scan, seen, derived)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d, m: burst_scan(d, m, 0, 1, 0, 5), "num is 0, expected a whole number of 1"),
        (lambda d, m: burst_scan(d, m, 0, 1, 3, 0), "frames is 0, expected a whole number of 1"),
        (lambda d, m: burst_scan(d, 3, 0, 1, 3, 5), "'3' cannot be moved .* expected a motor"),
        (lambda d, m: burst_scan([m], m, 0, 1, 3, 5), "'stage_x' has neither num_images nor"),
        (lambda d, m: burst_scan(None, m, 0, 1, 3, 5), "expected a list of detectors"),
        (lambda d, m: burst_grid(d, m, 0, 1, frames=2), "found 3 values for the axes, expected"),
        (lambda d, m: burst_grid(d, frames=2), "found 0 values for the axes, expected four"),
        (lambda d, m: burst_grid(d, m, 0, 1, 2.5, frames=2), "positions of 'stage_x' is 2.5"),
        (lambda d, m: burst_grid(d, m, 0, 1, 2, m, 0, 1, 2, frames=2), "'stage_x' stands for two"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_moves(tmp_path, make, words):
    stage_x = make_motor()
    pilatus = make_detector(tmp_path, motor=stage_x)
    stage_x.set(0.25)
    with pytest.raises(PlanError, match=words):
        run_plan(make([pilatus], stage_x))
    assert (stage_x.position, pilatus.bursts, pilatus.num_images.get()) == (0.25, [], 7)
    assert isinstance(pilatus, SimulatedDetector)


def test_metadata_of_the_user_is_in_the_start(tmp_path):
    stage_x = make_motor()
    plan = burst_scan([make_detector(tmp_path)], stage_x, 0, 1, 2, 1, md={"sample": "LaB6"})
    assert named(run_plan(plan), "start")[0]["sample"] == "LaB6"
