"""What goes wrong at a beamline, brought about in the process that is soaked."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bluesky.suspenders import SuspendBoolHigh
from ophyd import Signal

from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings
from femto_bluesky.stream.frames import Hdf5Frames
from tests.soak.beamline import Beamline
from tests.soak.meddling import Action, Gate

HOUR_S = 3600.0


class InjectedError(RuntimeError):
    """A failure that the soak has brought about."""


class Beside(Analysis):
    """Somebody's own analysis beside the beamline's: it hangs at its first shot, then raises."""

    def __init__(self, gate: Gate, seconds: float) -> None:
        super().__init__(AnalysisSettings())
        self._gate, self._seconds = gate, seconds
        self.n_shots = 0

    def update(self, shot: Shot) -> Shot:
        """Hang, and raise."""
        self.n_shots += 1
        self._gate.sleep(self._seconds)
        raise InjectedError("an analysis beside has failed")

    def merge(self, other: Any) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """Nothing is kept."""

    def result(self) -> int:
        """How many shots it has seen."""
        return self.n_shots


class Faults:
    """Faults of a beamline; `scale` makes all of them shorter."""

    def __init__(self, beamline: Beamline, gate: Gate, scale: float = 1.0) -> None:
        self._beamline, self._gate, self._scale = beamline, gate, scale
        self._suspended = Signal(name="beam_is_gone", value=0)
        beamline.engine.install_suspender(SuspendBoolHigh(self._suspended, sleep=0))

    @property
    def actions(self) -> list[Action]:
        """All of them."""
        return [
            self.slow_disk, self.frames_late, self.clock_an_hour_ahead, self.clock_an_hour_back,
            self.paused_at_once, self.paused_at_a_checkpoint, self.suspended, self.stopped,
            self.aborted, self.analysis_beside_hangs_and_raises, self.analysis_hangs,
            self.analysis_raises,
        ]  # fmt: skip

    def slow_disk(self, rng: random.Random) -> None:
        """Each frame takes up to a second to be read, for some seconds."""
        read, longest = Hdf5Frames.read, self._scale

        def slowly(frames: Hdf5Frames, index: int) -> Any:
            time.sleep(rng.uniform(0.1, 1.0) * longest)
            return read(frames, index)

        with patch.object(Hdf5Frames, "read", slowly):
            self._wait(rng, 2, 6)

    def frames_late(self, rng: random.Random) -> None:
        """Files do not grow for those who read them, as on a network."""
        length, seen = Hdf5Frames.__len__, dict[tuple[int, Any], int]()

        def as_before(frames: Hdf5Frames) -> int:
            return seen.setdefault((id(frames), frames.path), length(frames))

        with patch.object(Hdf5Frames, "__len__", as_before):
            self._wait(rng, 1, 2)

    def clock_an_hour_ahead(self, rng: random.Random) -> None:
        """Somebody sets the clock, and sets it back."""
        with clock_set(lambda: HOUR_S):
            self._wait(rng, 2, 5)

    def clock_an_hour_back(self, rng: random.Random) -> None:
        """The other way round."""
        with clock_set(lambda: -HOUR_S):
            self._wait(rng, 2, 5)

    def paused_at_once(self, rng: random.Random) -> None:
        """Ctrl-C twice, and RE.resume(): what was not saved is taken again."""
        self._pause("resume", rng, is_deferred=False)

    def paused_at_a_checkpoint(self, rng: random.Random) -> None:
        """Ctrl-C, and RE.resume()."""
        self._pause("resume", rng, is_deferred=True)

    def stopped(self, rng: random.Random) -> None:
        """Ctrl-C twice, and RE.stop()."""
        self._pause("stop", rng, is_deferred=False)

    def aborted(self, rng: random.Random) -> None:
        """Ctrl-C twice, and RE.abort()."""
        self._pause("abort", rng, is_deferred=False)

    def suspended(self, rng: random.Random) -> None:
        """The beam is gone for a moment, and a suspender waits for it."""
        if self._beamline.engine.state != "running":
            return
        self._suspended.put(1)
        try:
            self._wait(rng, 1, 4)
        finally:
            self._suspended.put(0)

    def analysis_beside_hangs_and_raises(self, rng: random.Random) -> None:
        """Another analysis that is subscribed hangs, and fails."""
        beside = Beside(self._gate, rng.uniform(2, 6) * self._scale)
        token = self._beamline.engine.subscribe(beside)
        try:
            self._wait(rng, 6, 12)
        finally:
            self._beamline.engine.unsubscribe(token)

    def analysis_hangs(self, rng: random.Random) -> None:
        """The beamline's own analysis does nothing for some seconds."""
        with self._at_next_shot(lambda: self._gate.sleep(rng.uniform(2, 6) * self._scale)):
            self._wait(rng, 2, 6)

    def analysis_raises(self, rng: random.Random) -> None:
        """The beamline's own analysis fails: the rest of this run is not analysed."""

        def fail() -> None:
            raise InjectedError("the analysis has failed")

        with self._at_next_shot(fail):
            self._wait(rng, 1, 2)

    @contextmanager
    def _at_next_shot(self, action: Callable[[], object]) -> Iterator[None]:
        live = self._beamline.live
        live.at_next_shot = action
        try:
            yield
        finally:
            live.at_next_shot = None

    def _pause(self, answer: str, rng: random.Random, *, is_deferred: bool) -> None:
        beamline = self._beamline
        beamline.answer = answer
        beamline.was_paused.clear()
        beamline.paused_s = rng.uniform(0.2, 2) * self._scale
        if beamline.engine.state == "running":
            beamline.engine.request_pause(defer=is_deferred)
        beamline.was_paused.wait(10)

    def _wait(self, rng: random.Random, least_s: float, most_s: float) -> None:
        self._gate.sleep(rng.uniform(least_s, most_s) * self._scale)


@contextmanager
def clock_set(ahead_s: Callable[[], float]) -> Iterator[None]:
    """For this process the clock on the wall shows another time."""
    real = time.time
    with patch.object(time, "time", lambda: real() + ahead_s()):
        yield
