from __future__ import annotations

import types

import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky.plans import count
from bluesky.simulators import summarize_plan
from bluesky.utils import FailedStatus

from femto_bluesky.plans import PlanError, burst_scan, with_frames
from femto_bluesky.plans.bursts import burst_length, checked, whole_number
from femto_bluesky.testing.runs import run_engine, run_plan
from tests.plans.burst_devices import CamDetector, make_detector, make_motor, paused_before


def test_a_detector_that_is_gone_does_not_keep_the_others_from_being_set_back(caplog):
    gone, there = CamDetector("zyla"), CamDetector("balor")
    gone.fails_at = 2
    put = gone.cam.num_images.put

    def lose(value, **given):
        if gone.taken:
            raise TimeoutError("not connected")
        put(value, **given)

    gone.cam.num_images.put = lose
    with pytest.raises(FailedStatus) as caught:
        run_plan(with_frames(count([gone, there], 3), [gone, there], 4))
    assert "the camera is gone" in str(caught.value.__cause__)
    assert there.cam.num_images.get() == 1
    assert "zyla_cam_num_images could not be set back to 1" in caplog.text


def test_the_length_is_found_on_the_detector_or_its_camera(tmp_path):
    pilatus, balor = make_detector(tmp_path), CamDetector("balor")
    assert burst_length(pilatus) is pilatus.num_images
    assert burst_length(balor) is balor.cam.num_images


def test_a_device_without_a_length_is_named():
    with pytest.raises(PlanError, match=r"'stage_x' has neither num_images nor cam\.num_images"):
        burst_length(make_motor())
    with pytest.raises(PlanError, match=r"read beside the detectors with also=\[stage_x\]"):
        checked([make_motor()])


def test_what_is_read_beside_the_detectors_takes_bursts_where_it_can(tmp_path):
    pilatus, counter, stage_x = make_detector(tmp_path), CamDetector("counter"), make_motor()
    devices = checked([pilatus], [counter, stage_x])
    assert devices.bursting == [pilatus, counter]
    assert devices.all == [pilatus, counter, stage_x]
    counter.cam.num_images.put(11)
    run_plan(burst_scan([pilatus], stage_x, 0, 1, 2, 5, also=[counter]))
    assert counter.taken == [5, 5]
    assert counter.cam.num_images.get() == 11


def test_a_detector_without_a_list_is_told_how(tmp_path):
    with pytest.raises(PlanError, match=r"expected a list of detectors; write \[balor\]"):
        checked(types.SimpleNamespace(name="balor"))
    with pytest.raises(PlanError, match="detectors is an empty list"):
        checked([])


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None, float("nan"), np.float64(3)])
def test_what_is_no_number_of_frames_is_refused(value):
    with pytest.raises(PlanError, match=r"frames is .*, expected a whole number of 1 or more"):
        whole_number(value, "frames")


def test_numbers_of_numpy_are_numbers():
    found = whole_number(np.int64(3), "frames")
    assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("end", ["well", "fails", "stop", "abort"])
def test_lengths_are_set_and_set_back_however_it_ends(tmp_path, end):
    pilatus, balor = make_detector(tmp_path), CamDetector("balor")
    balor.cam.num_images.put(11)
    plan = count([pilatus, balor], num=3)
    if end == "fails":
        balor.fails_at = 2
        with pytest.raises(Exception, match="balor"):
            run_plan(with_frames(plan, [pilatus, balor], 4))
    else:
        if end != "well":
            plan = paused_before(plan, "create", 1)
        run_plan(
            with_frames(plan, [pilatus, balor], 4), on_pause="resume" if end == "well" else end
        )
    assert set(balor.taken) == {4}
    assert {burst.n_frames for burst in pilatus.bursts} == {4}
    assert (pilatus.num_images.get(), balor.cam.num_images.get()) == (7, 11)


@pytest.mark.parametrize("by", ["name", "signal", "camera"])
def test_a_length_that_staging_sets_is_replaced_for_so_long(by):
    balor = CamDetector("balor")
    device = balor.cam if by == "camera" else balor
    names = {"name": "cam.num_images", "signal": balor.cam.num_images, "camera": "num_images"}
    device.stage_sigs = {names[by]: 20}
    run_plan(with_frames(count([balor]), [balor], 4))
    assert balor.taken == [4]
    assert device.stage_sigs == {names[by]: 20}
    assert balor.cam.num_images.get() == 1


def test_a_halt_leaves_no_staging_of_ours():
    balor = CamDetector("balor")
    balor.stage_sigs = {"cam.num_images": 20}
    run_plan(
        with_frames(paused_before(count([balor], 2), "checkpoint", 1), [balor], 4),
        on_pause="halt",
    )
    assert balor.stage_sigs == {"cam.num_images": 20}


def test_what_failed_before_it_began_sets_nothing_back(tmp_path):
    pilatus = make_detector(tmp_path)

    def breaks():
        yield from bps.null()
        raise KeyError("no such thing")

    with run_engine() as engine, pytest.raises(KeyError, match="no such thing"):
        engine(with_frames(breaks(), [pilatus], 2))
    assert pilatus.num_images.get() == 7


def test_a_dry_run_shows_the_plan(tmp_path, capsys):
    pilatus, stage_x = make_detector(tmp_path), make_motor()
    summarize_plan(burst_scan([pilatus], stage_x, 0, 1, 2, 5))
    assert "stage_x -> 0.0" in capsys.readouterr().out
    assert pilatus.bursts == []
