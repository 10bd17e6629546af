"""Counters for those who watch."""

from __future__ import annotations

from femto_bluesky.stream.pulse import Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_shots_are_counted_and_their_latency_is_known() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.start({"uid": "a", "scan_id": 7})
    clock.now += 2.5
    pulse.event("a", 1)
    pulse.shot(1002.0)
    pulse.shot(1002.0)
    assert (pulse.n_shots, pulse.n_lost) == (2, 0)
    assert (pulse.begun_at, pulse.shot_at, pulse.latency_s) == (1000.0, 1002.5, 0.5)
    assert pulse.newest["scan_id"] == 7


def test_events_that_were_passed_over_are_lost() -> None:
    pulse = Pulse()
    pulse.start({"uid": "a"})
    for seq_num in (1, 2, 2, 5, 4, 6):  # 2 is taken again, 4 comes late
        pulse.event("a", seq_num)
    assert pulse.n_lost == 2


def test_a_failure_is_known_until_the_next_run_begins() -> None:
    pulse = Pulse()
    pulse.start({"uid": "a"})
    pulse.failed_run("a")
    pulse.stop("a")
    assert pulse.failed == {"a"}
    pulse.start({"uid": "b"})
    pulse.stop("b")
    assert pulse.failed == set()
    assert pulse.open_runs == {}


def test_a_failure_outside_any_run_is_no_run() -> None:
    pulse = Pulse()
    pulse.failed_run(None)
    assert pulse.failed == set()
