"""When shots came: what those who watch from another thread are told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

N_GAPS: Final = 5


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How a run goes: when its newest event came, and the seconds before each of the last ones.

    The first gap is that from the run's begin: a scan also moves before its first event.
    """

    event_at: float
    gaps_s: tuple[float, ...] = ()

    def at(self, now: float) -> Rhythm:
        """The same with one event more."""
        return Rhythm(now, (*self.gaps_s, max(0.0, now - self.event_at))[-N_GAPS:])


@dataclass(slots=True)
class Pulse:
    """Counters that the analysis moves on, shot by shot; anybody may read them at any time.

    `n_shots` are the frames that were analysed, those taken again too. `shot_at` is when the last
    one was analysed and `latency_s` how long after the time of its event that was: near 0 live,
    years where a recording is replayed. `n_lost` are events whose number was passed over: of
    documents that come over a network, some may be dropped. `newest` is the start document of the
    newest run, `open_runs` are those that have begun and not stopped, `failed` those of them that
    are not analysed further. `rhythms` tell how quick the open runs are.
    """

    clock: Callable[[], float] = time.time
    n_shots: int = 0
    n_lost: int = 0
    shot_at: float | None = None
    begun_at: float | None = None
    latency_s: float = 0.0
    newest: Mapping[str, Any] = field(default_factory=dict)
    open_runs: dict[str, int] = field(default_factory=dict)
    rhythms: dict[str, Rhythm] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def start(self, start: Mapping[str, Any]) -> None:
        """A run has begun."""
        self.newest = start
        self.begun_at = self.clock()
        self.rhythms[start["uid"]] = Rhythm(self.begun_at)
        self.open_runs[start["uid"]] = 0

    def event(self, run: str, seq_num: int) -> None:
        """An event with images has come; numbers count from 1."""
        before = self.open_runs.get(run, 0)
        self.n_lost += max(0, seq_num - before - 1)
        self.open_runs[run] = max(before, seq_num)
        now = self.clock()
        self.rhythms[run] = self.rhythms.get(run, Rhythm(now)).at(now)

    def shot(self, time_of_event: float) -> None:
        """A shot was analysed."""
        self.n_shots += 1
        self.shot_at = self.clock()
        self.latency_s = self.shot_at - time_of_event

    def failed_run(self, run: str | None) -> None:
        """A run is not analysed further."""
        if run is not None:
            self.failed.add(run)

    def stop(self, run: str) -> None:
        """A run has ended; that it failed is known until the next one begins."""
        self.open_runs.pop(run, None)
        self.rhythms.pop(run, None)
        self.failed.intersection_update({*self.open_runs, self.newest.get("uid", "")})
