from __future__ import annotations

import asyncio
import threading

import pytest
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from ophyd.sim import SynAxis, SynGauss

from femto_bluesky.testing.documents import Recorder, split_runs
from femto_bluesky.testing.runs import burst_scan, interleaved, run_engine, run_plan


@pytest.fixture
def motor():
    return SynAxis(name="stage_x")


@pytest.fixture
def detector(motor):
    return SynGauss("gauss", motor, "stage_x", center=0, Imax=1)


def seq_nums(docs):
    return [doc["seq_num"] for name, doc in docs if name == "event"]


def test_a_plan_runs_and_its_documents_are_returned(detector, motor):
    recorder = Recorder()
    docs = run_plan(burst_scan([detector], motor, [1.0, 2.0]), recorder, md={"sample": "LaB6"})
    assert docs == recorder.documents
    assert recorder.names == ["start", "descriptor", "event", "event", "stop"]
    start = docs[0][1]
    assert start["sample"] == "LaB6"
    assert start["motors"] == ["stage_x"]
    assert start["hints"] == {"dimensions": [(["stage_x"], "primary")]}
    assert start["num_points"] == 2
    assert docs[-1][1]["exit_status"] == "success"


def test_metadata_of_a_plan_is_kept(detector, motor):
    docs = run_plan(burst_scan([detector], motor, [1.0], md={"purpose": "test"}))
    assert docs[0][1]["purpose"] == "test"


def test_after_a_pause_the_step_is_taken_again(detector, motor):
    docs = run_plan(burst_scan([detector], motor, [1, 2, 3], pause_after_save=[0, 2]))
    assert seq_nums(docs) == [1, 1, 2, 3, 3]
    assert len({doc["uid"] for name, doc in docs if name == "event"}) == 5
    assert docs[-1][1]["num_events"] == {"primary": 3}


def test_a_pause_before_the_event_repeats_nothing(detector, motor):
    docs = run_plan(burst_scan([detector], motor, [1, 2, 3], pause_before_read=[1]))
    assert seq_nums(docs) == [1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "status"), [("stop", "success"), ("abort", "abort"), ("halt", "abort")]
)
def test_a_pause_may_end_the_run(detector, motor, answer, status):
    plan = burst_scan([detector], motor, [1, 2, 3], pause_after_save=[1])
    docs = run_plan(plan, on_pause=answer)
    assert seq_nums(docs) == [1, 2]
    assert docs[-1][0] == "stop"
    assert docs[-1][1]["exit_status"] == status


def test_interleaved_runs(detector, motor):
    other = SynAxis(name="stage_y")
    plans = [
        burst_scan([detector], motor, [1, 2, 3]),
        bp.count([other], 2),
    ]
    docs = run_plan(interleaved(*plans))
    names = [name for name, _ in docs]
    assert names[:4] == ["start", "descriptor", "event", "start"]
    assert names.count("start") == names.count("stop") == 2
    one, two = split_runs(docs)
    assert seq_nums(one) == [1, 2, 3]
    assert seq_nums(two) == [1, 2]
    # The second starts before the first has stopped.
    assert names.index("stop") > 3


def test_a_failing_plan_raises(detector):
    def plan():
        yield from bps.open_run()
        raise LookupError("no beam")

    with pytest.raises(LookupError, match="no beam"):
        run_plan(plan())


def test_a_failing_callback_raises(detector, motor):
    def callback(name, doc):
        raise ArithmeticError("of mine")

    with pytest.raises(ArithmeticError, match="of mine"):
        run_plan(burst_scan([detector], motor, [1]), callback)


def test_nothing_is_left_running(detector, motor):
    before = set(threading.enumerate())
    with run_engine() as engine:
        loop = engine.loop
        engine(bp.count([detector], 1))
    left = [t for t in set(threading.enumerate()) - before if "run-engine" in t.name]
    assert left == []
    assert loop.is_closed()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_an_engine_left_paused_is_halted(detector, motor):
    recorder = Recorder()
    with run_engine() as engine:
        engine.subscribe(recorder)
        with pytest.raises(Exception, match="paused"):
            engine(burst_scan([detector], motor, [1, 2], pause_after_save=[0]))
    assert recorder.names[-1] == "stop"
