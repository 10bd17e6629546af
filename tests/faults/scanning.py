"""Scans in a real RunEngine that are analysed meanwhile, and an account of their shots."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky.utils import RunEngineInterrupted
from numpy.typing import NDArray

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.devices.simulated import SimulatedDetector
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Shot
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_engine
from tests.soak.replaying import DerivedRows, derived_rows

SHAPE = (24, 32)
ROIS = {"left": Roi(x0=0, y0=0, x1=16, y1=24), "spot": Roi(x0=10, y0=10, x1=20, y1=20)}
PATIENCE_S = 60.0


def numbered(index: int, position: float) -> NDArray[Any]:
    """A frame whose every pixel is its number."""
    return np.full(SHAPE, index, np.float32)


class Meddled(LiveAnalysis):
    """The beamline's pipeline; `before_shot` is called in the middle of its work."""

    before_shot: Callable[[Shot], object] | None = None

    def update(self, shot: Shot) -> Shot:
        """Do what a test says, and go on."""
        if self.before_shot is not None:
            self.before_shot(shot)
        return super().update(shot)


@dataclass
class Scans:
    """A camera without a rest, an analysis, and what came of each run."""

    engine: RunEngine
    live: Meddled
    camera: SimulatedDetector
    raw: Recorder
    derived: Recorder
    log: pytest.LogCaptureFixture
    took_s: list[float] = field(default_factory=list)

    def run(
        self,
        n_events: int,
        each: Callable[[int], object] = int,
        *,
        pause_at: int | None = None,
        defer: bool = False,
        on_pause: str = "resume",
    ) -> str:
        """One run of single frames; its uid. How long the RunEngine took stands in `took_s`.

        `each` is called before every event, with how many frames were taken so far. Before the
        event `pause_at` the run is paused, when its frame has been taken and not been read yet (or,
        with `defer`, at the next checkpoint), and that is answered as `on_pause` says.
        """
        n_runs, numbers = len(self.raw.of("start")), itertools.count()

        def one_shot(detectors: Any) -> Any:
            yield from bps.checkpoint()
            each(len(self.camera.bursts))
            if next(numbers) == pause_at:
                yield from bps.trigger(self.camera, wait=True)
                yield from bps.deferred_pause() if defer else bps.pause()
            yield from bps.trigger_and_read(detectors)

        begun = time.monotonic()
        try:
            # without a delay: see `plans.continuous`
            self.engine(bp.count([self.camera], n_events, None, per_shot=one_shot))
        except RunEngineInterrupted:
            while self.engine.state == "paused":
                try:
                    getattr(self.engine, on_pause)()
                except RunEngineInterrupted:
                    continue
        self.took_s.append(time.monotonic() - begun)
        uid: str = self.raw.of("start")[n_runs]["uid"]
        return uid

    @property
    def rows(self) -> dict[str, DerivedRows]:
        """The rows of the derived runs by the raw ones."""
        documents = json.loads(json.dumps(self.derived.documents))
        return derived_rows((name, doc) for name, doc in documents)

    def shots(self) -> dict[str, int]:
        """Of all runs: `taken`, `analysed` and `missing`, of which the derived run says so.

        A shot is taken when an event of its run names its frame.
        """
        assert self.live.wait(PATIENCE_S)
        runs = {doc["uid"]: doc["run_start"] for doc in self.raw.of("descriptor")}
        events = {(runs[doc["descriptor"]], doc["seq_num"]) for doc in self.raw.of("event")}
        found = {"taken": len(events), "analysed": 0, "missing": 0}
        for uid, rows in self.rows.items():
            found["analysed"] += rows.n_shots
            if rows.exit_status == "fail":
                assert rows.reason
                assert uid in self.log.text, "and the log says so"
                found["missing"] += sum(run == uid for run, _ in events) - rows.n_shots
        assert found["taken"] == found["analysed"] + found["missing"]
        return found

    def assert_right(self, run: str) -> None:
        """Raise `AssertionError` unless each shot of the run is that of its own frame."""
        events = {}
        of_run = {doc["uid"] for doc in self.raw.of("descriptor") if doc["run_start"] == run}
        for doc in self.raw.of("event"):
            if doc["descriptor"] in of_run:
                events[doc["seq_num"]] = doc["data"]["pilatus_first_frame"]
        at = {burst.first_frame: burst.source_index for burst in self.bursts_of(run)}
        rows = self.rows[run].of
        for number, first in events.items():
            row = rows["shots", number]
            assert row["pilatus_left"] == row["pilatus_spot"] == at[first]

    def bursts_of(self, run: str) -> list[Any]:
        """What the camera has taken in the run."""
        for doc in self.raw.of("stream_resource"):
            if doc["run_start"] == run:
                path = Path(doc["uri"].removeprefix("file://localhost"))
                return [burst for burst in self.camera.bursts if burst.path == path]
        return []


@contextmanager
def scans_in(folder: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Scans]:
    """A RunEngine with all that is needed, in a folder."""
    caplog.set_level(logging.WARNING)
    live = Meddled(ROIS)
    camera = SimulatedDetector(name="pilatus", source=numbered, directory=folder / "raw")
    raw, derived = Recorder(), Recorder()
    with run_engine() as engine:
        engine.subscribe(raw)
        engine.subscribe(live)
        live.subscribe(derived)
        yield Scans(engine, live, camera, raw, derived, caplog)
        assert live.wait(PATIENCE_S)
    raw.assert_unchanged()
