"""The state of the analysis through the sequences that beamlines have, told by a clock of ours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from femto_bluesky.stream.pulse import Pulse
from femto_bluesky.stream.worker import Backlog
from femto_bluesky.viewer.vitals import Vitals, duration, vitals_of

YEARS_S = 3 * 31_557_600.0


class Scan:
    """Runs whose documents come at set times."""

    def __init__(self) -> None:
        self.now = 1e9
        self.pulse = Pulse(lambda: self.now)
        self.failures: Sequence[object] = ()
        self.backlog = Backlog(0, 0.0, None)

    @property
    def vitals(self) -> Vitals:
        return vitals_of(self.pulse, 0.0, self.failures, self.backlog, self.now)

    def begin(self, run: str = "a") -> None:
        self.pulse.start({"uid": run})

    def steps(self, n: int, every_s: float, *, run: str = "a", shots: int = 1, age: float = 0.03,
              shot_s: float = 0.0) -> list[str]:  # fmt: skip
        """Events after equal times; the states just before each of them."""
        states = []
        for _ in range(n):
            self.now += every_s
            states.append(self.vitals.state)
            self.pulse.event(run, self.pulse.open_runs[run] + 1)
            for _ in range(shots):
                self.now += shot_s
                self.pulse.shot(self.now - age)
        return states

    def after(self, seconds: float) -> str:
        self.now += seconds
        return self.vitals.state


def test_before_between_and_after_runs_it_waits() -> None:
    scan = Scan()
    assert (scan.vitals.state, scan.vitals.latency_s, scan.vitals.run) == ("waiting", None, {})
    scan.begin()
    assert scan.vitals.state == "live"
    assert scan.steps(20, 0.1) == ["live"] * 20
    scan.pulse.stop("a")
    assert scan.vitals.state == "waiting"
    assert scan.after(1e6) == "waiting"


def test_a_quick_scan_that_stops_is_late_then_dead_and_comes_back() -> None:
    scan = Scan()
    scan.begin()
    scan.steps(10, 0.1)
    assert [scan.after(s) for s in (4, 2, 100, 20)] == ["live", "late", "late", "dead"]
    assert scan.vitals.why == "no shot for 2 min, and the run has not ended"
    scan.steps(1, 1)
    assert scan.vitals.state == "live"


def test_a_scan_of_a_minute_a_step_is_live() -> None:
    scan = Scan()
    scan.begin()
    states = scan.steps(6, 60)
    # nobody can know the pace before the first step has come
    assert states == ["late", *["live"] * 5]
    assert scan.vitals.every_s == pytest.approx(60)
    assert [scan.after(s) for s in (170, 20, 600)] == ["live", "late", "dead"]


def test_a_run_that_has_shown_nothing_yet_is_late_but_never_dead() -> None:
    scan = Scan()
    scan.begin()
    assert [scan.after(s) for s in (4, 4, 1e5)] == ["live", "late", "late"]
    assert scan.vitals.why == "the run has begun 28 h ago and has shown no shot yet"


def test_bursts_are_live_while_they_are_analysed_and_while_the_next_is_taken() -> None:
    scan = Scan()
    scan.begin()
    assert scan.steps(5, 20, shots=1000, shot_s=0.04)[1:] == ["live"] * 4
    assert [scan.after(s) for s in (100, 90)] == ["live", "late"]


def test_the_slower_of_two_open_runs_sets_the_pace() -> None:
    scan = Scan()
    scan.begin("slow")
    scan.steps(4, 60, run="slow")
    scan.begin("quick")
    scan.steps(50, 0.1, run="quick")
    scan.pulse.stop("quick")
    assert [scan.after(s) for s in (100, 100)] == ["live", "late"]


def test_a_run_that_was_killed_is_not_waited_for_after_the_next_has_ended() -> None:
    scan = Scan()
    scan.begin("killed")
    scan.steps(5, 1, run="killed")
    scan.begin("next")
    scan.steps(5, 1, run="next")
    scan.pulse.stop("next")
    assert [scan.after(s) for s in (10, 200)] == ["late", "waiting"]
    assert "no run is open but one" in scan.vitals.why


def test_a_failed_run_is_dead_with_its_reason_until_the_next_begins() -> None:
    scan = Scan()
    scan.begin()
    scan.steps(2, 1)
    scan.failures = [ValueError("the dark image has another shape")]
    scan.pulse.failed_run("a")
    assert (scan.vitals.state, scan.vitals.why) == ("dead", "the dark image has another shape")
    scan.pulse.stop("a")
    assert scan.vitals.state == "dead"
    scan.begin("b")
    assert scan.vitals.state == "live"


def test_an_old_recording_is_replayed_not_late() -> None:
    scan = Scan()
    scan.begin()
    assert scan.steps(30, 0.5, age=YEARS_S) == ["live"] * 30
    assert scan.vitals.is_replayed
    scan.pulse.stop("a")
    assert scan.vitals.state == "waiting"
    scan.begin("b")
    scan.steps(1, 1, run="b", age=2.0)
    assert (scan.vitals.is_replayed, scan.vitals.latency_s) == (False, 2.0)


def test_a_clock_that_was_set_back_does_not_kill_a_run() -> None:
    scan = Scan()
    scan.begin()
    scan.steps(3, 1)
    scan.now -= 3600
    assert scan.vitals.state == "live"
    scan.steps(3, 1)
    assert scan.vitals.every_s is not None
    assert scan.vitals.every_s >= 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 ms"), (-0.25, "-250 ms"), (9.94, "9.9 s"), (119, "119 s"), (600, "10 min"),
     (172_000, "48 h"), (864_000, "10 days"), (YEARS_S, "3.0 years")],
)  # fmt: skip
def test_times_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_analysis_that_is_behind_is_late_and_one_that_hangs_is_dead() -> None:
    scan = Scan()
    scan.begin()
    scan.steps(3, 0.1)
    scan.backlog = Backlog(3, 0.4, 0.1)
    assert (scan.vitals.state, scan.vitals.n_waiting) == ("live", 0)
    scan.backlog = Backlog(3, 1.4, 0.1)
    assert (scan.vitals.state, scan.vitals.n_waiting) == ("live", 3)
    scan.backlog = Backlog(300, 31.0, 0.1)
    assert scan.vitals.state == "late"
    assert scan.vitals.why == "the analysis is 31 s behind: 300 events and documents wait"
    scan.backlog = Backlog(1, 0.0, 8.0)
    assert scan.vitals.state == "late"
    scan.backlog = Backlog(300, 300.0, 240.0)
    assert scan.vitals.state == "dead"
    assert scan.vitals.why == "the analysis has been busy with one event for 4 min"
