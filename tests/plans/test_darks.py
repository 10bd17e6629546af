from __future__ import annotations

import numpy as np
import pytest
from ophyd import Component, Device, Signal

from femto_bluesky.callbacks import Accumulation
from femto_bluesky.plans import PlanError, collect_dark
from femto_bluesky.testing.runs import run_plan
from tests.plans.burst_devices import make_detector, named, paused_before
from tests.stream.scans import Seen, assert_valid


@pytest.fixture
def shutter():
    return Signal(name="shutter", value=1)


@pytest.fixture
def camera(tmp_path, shutter):
    """Its frames are 0 where the shutter was closed and 900 where it was open."""
    return make_detector(
        tmp_path,
        name="camera",
        source=lambda index, position: np.full((4, 6), 900 * (shutter.get() == 1), np.uint16),
    )


def test_a_burst_is_taken_with_the_shutter_closed(camera, shutter):
    seen = Seen().read_as(stream="dark")
    docs = run_plan(collect_dark([camera], 5, shutter=shutter), seen)
    assert_valid(docs)
    assert [pixels.max() for *_, pixels in seen.shots.values()] == [0] * 5
    assert shutter.get() == 1
    assert camera.num_images.get() == 7
    start = named(docs, "start")[0]
    assert (start["plan_name"], start["purpose"]) == ("collect_dark", "dark")
    assert (start["detectors"], start["frames_per_step"]) == (["camera"], 5)
    assert [doc["name"] for doc in named(docs, "descriptor")] == ["dark"]


def test_other_analyses_do_not_take_them_for_data(camera):
    accumulation = Accumulation()
    run_plan(collect_dark([camera], 5), accumulation)
    assert accumulation.result() is None
    assert accumulation.failures == []


# Not before "save": where the very first event is paused between reading and saving, bluesky
# 1.15 loses the stream_resource that it has read, and fails. Nothing in a plan can help that.
@pytest.mark.parametrize("before", ["trigger", "create", "close_run"])
@pytest.mark.parametrize("on_pause", ["resume", "stop", "abort"])
def test_the_shutter_is_closed_again_after_a_pause_and_set_back(camera, shutter, before, on_pause):
    seen = Seen().read_as(stream="dark")
    plan = paused_before(collect_dark([camera], 3, shutter=shutter), before)
    run_plan(_opened_while_paused(plan, shutter), seen, on_pause=on_pause)
    assert shutter.get() == 1
    assert camera.num_images.get() == 7
    if on_pause == "resume":
        assert [pixels.max() for *_, pixels in seen.shots.values()] == [0] * 3


def _opened_while_paused(plan, shutter):
    """The plan; somebody opens the shutter just when it is paused."""
    response = None
    while True:
        try:
            message = plan.send(response)
        except StopIteration:
            return
        if message.command == "pause":
            shutter.put(1)
        try:
            response = yield message
        except Exception as error:
            response = None
            message = plan.throw(error)
            response = yield message


def test_the_value_that_closes_it_is_given(camera):
    valve = Signal(name="valve", value="open")
    assert not [m for m in collect_dark([camera], 2, shutter=valve, closed="shut")
                if m.command == "set" and m.obj is valve and m.args == ("open",)]  # fmt: skip
    run_plan(collect_dark([camera], 2, shutter=valve, closed="shut"))
    assert valve.get() == "open"


class TwoReadings(Device):
    upper = Component(Signal, value=1, kind="hinted")
    lower = Component(Signal, value=1, kind="hinted")

    def set(self, value):
        return self.upper.set(value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 0}, "n is 0, expected a whole number of 1 or more"),
        ({"shutter": "fast shutter"}, "'fast shutter'.* cannot be closed .* give the device"),
        ({"shutter": TwoReadings(name="jaws")}, "'jaws' has several readings, .* the one signal"),
    ],
)
def test_what_cannot_be_done_is_said(camera, given, words):
    with pytest.raises(PlanError, match=words):
        run_plan(collect_dark([camera], **given))
    assert camera.bursts == []
