"""How the analysis does, for the eye: whether shots come, how quickly, and how late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from femto_bluesky.stream.pulse import Pulse
from femto_bluesky.stream.worker import Backlog

State = Literal["waiting", "live", "late", "dead"]

LATE_AFTER_S: Final = 5.0
"""So long after the last shot an open run is late; slower scans are given three of their steps."""

N_STEPS: Final = 3

DEAD_AFTER_S: Final = 120.0
"""So long after the last shot an open run is dead; slower scans are given four times as long as
until they are late. A run that has shown no shot yet is never dead: its pace is not known."""

WAITING_AFTER_S: Final = 1.0
"""What has come within the last second does not wait, it is being analysed."""

REPLAYED_AFTER_S: Final = 3600.0
"""Shots older than this do not come late: they are of a recording."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the analysis does. `state` is told in `why`.

    `rate_hz` are shots a second, `every_s` the time from one step to the next (None: not known).
    `latency_s` is how old the newest shot was when it had been analysed (None: there is none).
    `n_waiting` events and documents wait to be analysed; 0 where the oldest has only just come.
    `problem` is what cannot be written now; empty where all is well.
    """

    state: State
    why: str
    rate_hz: float
    every_s: float | None
    latency_s: float | None
    n_lost: int
    n_waiting: int
    run: Mapping[str, Any]
    problem: str = ""

    @property
    def is_replayed(self) -> bool:
        """Whether what is seen is an old recording."""
        return self.latency_s is not None and self.latency_s > REPLAYED_AFTER_S


def vitals_of(
    pulse: Pulse, rate_hz: float, failures: Sequence[object], backlog: Backlog, now: float,
    problems: Sequence[str] = (),
) -> Vitals:  # fmt: skip
    """How the analysis does at a time, in seconds of the clock of its pulse."""
    state, why = _behind(backlog) or _state(pulse, failures, now)
    gaps = [gap for rhythm in list(pulse.rhythms.values()) for gap in rhythm.gaps_s[1:]]
    return Vitals(
        state,
        why,
        rate_hz,
        sum(gaps) / len(gaps) if gaps else None,
        None if pulse.shot_at is None else pulse.latency_s,
        pulse.n_lost,
        backlog.n_waiting if backlog.oldest_s >= WAITING_AFTER_S else 0,
        dict(pulse.newest),
        "; ".join(problems),
    )


def _behind(backlog: Backlog) -> tuple[State, str] | None:
    """What is wrong where shots come and the analysis does not keep up; None where it does."""
    busy_s, n = backlog.at_work_s or 0.0, backlog.n_waiting
    if busy_s >= DEAD_AFTER_S:
        return "dead", f"the analysis has been busy with one event for {duration(busy_s)}"
    behind_s = max(busy_s, backlog.oldest_s)
    if behind_s < LATE_AFTER_S:
        return None
    return "late", f"the analysis is {duration(behind_s)} behind: {n} events and documents wait"


def _state(pulse: Pulse, failures: Sequence[object], now: float) -> tuple[State, str]:
    newest = str(pulse.newest.get("uid", ""))
    if newest in pulse.failed:
        return "dead", str(failures[-1]) if failures else "the analysis of the run has failed"
    rhythms = dict(pulse.rhythms)
    if not rhythms:
        return "waiting", "no run is open"
    # the newest event, and the newest shot of it: a burst may take long
    last = max(rhythm.event_at for rhythm in rhythms.values())
    gaps = [gap for rhythm in rhythms.values() for gap in rhythm.gaps_s]
    if gaps:
        last = max(last, pulse.shot_at or last)
    silent = max(0.0, now - last)
    patience = max([LATE_AFTER_S, *(N_STEPS * gap for gap in gaps)])
    told = duration(silent)
    if silent < patience:
        return ("live", "shots come") if gaps else ("live", "the run has begun")
    if newest not in rhythms:
        # the newest run has ended, and what has not is older: it was killed, or is an outer one
        if silent >= _dead_after(patience):
            return "waiting", f"no run is open but one that has brought nothing for {told}"
        return "late", f"no shot for {told}"
    if not gaps:
        return "late", f"the run has begun {told} ago and has shown no shot yet"
    if silent < _dead_after(patience):
        return "late", f"no shot for {told}"
    return "dead", f"no shot for {told}, and the run has not ended"


def _dead_after(patience_s: float) -> float:
    return max(DEAD_AFTER_S, 4 * patience_s)


def duration(seconds: float) -> str:
    """A time in words, in the unit that suits it.

    >>> duration(0.034), duration(2.5), duration(75), duration(7300), duration(3e8)
    ('34 ms', '2.5 s', '75 s', '2 h', '9.5 years')
    """
    if abs(seconds) < 1:
        return f"{1e3 * seconds:.0f} ms"
    if abs(seconds) < 10:
        return f"{seconds:.2g} s"
    for limit, unit, name in (
        (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"), (6.3e7, 86400, "days")
    ):  # fmt: skip
        if abs(seconds) < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 31_557_600:.1f} years"
