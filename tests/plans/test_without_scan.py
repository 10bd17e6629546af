from __future__ import annotations

import itertools
import time

import pytest
from bluesky.utils import RequestStop

from femto_bluesky.plans import PlanError, continuous
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_plan
from tests.plans.burst_devices import make_detector, named, paused_before
from tests.stream.scans import Scan, Seen, assert_valid, primary_rows, true_rows


@pytest.fixture
def pilatus(tmp_path):
    return make_detector(tmp_path)


def run(plan, pilatus, on_pause):
    seen, derived = Seen(), Recorder()
    seen.subscribe(derived)
    docs = run_plan(plan, seen, on_pause=on_pause)
    scan = Scan(docs, {"pilatus": pilatus})
    assert seen.failures == []
    assert seen.result() == scan.truth()
    assert_valid(docs)
    assert_valid(derived.documents)
    ((uid, steps),) = scan.truth().items()
    assert primary_rows(derived.documents) == true_rows(steps), uid
    return docs, primary_rows(derived.documents)


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("on_pause", ["stop", "abort"])
def test_it_goes_on_until_it_is_stopped(pilatus, frames, on_pause):
    docs, rows = run(paused_before(continuous([pilatus], frames), "create", 5), pilatus,
                     on_pause)  # fmt: skip
    assert [row["frame"] for row in rows] == [frames * i for i in range(5)]
    assert pilatus.num_images.get() == 7
    stop = named(docs, "stop")[0]
    assert stop["exit_status"] == {"stop": "success", "abort": "abort"}[on_pause]
    start = named(docs, "start")[0]
    assert (start["plan_name"], start["frames_per_step"]) == ("continuous", frames)
    assert "motors" not in start


@pytest.mark.parametrize("before", ["checkpoint", "trigger", "save"])
def test_it_ends_by_itself_after_so_many_events(pilatus, before):
    plan = paused_before(continuous([pilatus], 2, n_events=3), before, 1)
    _, rows = run(plan, pilatus, "resume")
    assert [row["n_shots"] for row in rows] == [2, 2, 2]


def test_a_clock_that_is_set_back_does_not_make_it_sleep(pilatus, monkeypatch):
    hours = itertools.count(0, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(hours)))
    messages = [msg.command for msg in continuous([pilatus], 2, n_events=3)]
    assert messages.count("trigger") == 3
    assert "sleep" not in messages


def test_a_stop_from_within_is_a_success(pilatus):
    def stopped():
        yield from continuous([pilatus], 2, n_events=2)
        raise RequestStop

    docs = run_plan(stopped())
    assert named(docs, "stop")[0]["exit_status"] == "success"


@pytest.mark.parametrize(
    ("given", "words"),
    [({"frames_per_event": 0}, "frames_per_event is 0"), ({"n_events": 0}, "n_events is 0")],
)
def test_what_cannot_be_done_is_said(pilatus, given, words):
    with pytest.raises(PlanError, match=words):
        run_plan(continuous([pilatus], **given))
