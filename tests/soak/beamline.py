"""What is soaked: a RunEngine, a camera at full rate, the analysis and who listens to them."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted

from femto_bluesky.callbacks.checkpoints import Checkpoints
from femto_bluesky.devices.areadetector import Balor
from femto_bluesky.devices.simulated import SimulatedBurst
from femto_bluesky.devices.twins import simulated_balor
from femto_bluesky.model.rois import Roi
from femto_bluesky.plans import continuous
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.runs import run_engine
from tests.soak.frames import StampedFrames
from tests.soak.witness import Notes, Witness, noted_sums

CAMERA = "andor3_balor1"


class Lines:
    """A callback that writes documents down as they come, and remembers nothing."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("x")

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write a line."""
        self._file.write(jsonl.line(name, doc))

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


@dataclass(eq=False)
class Taken:
    """What a run has taken, from the camera's own knowledge and the documents of the RunEngine.

    `named` are the frames that its events name, as they stand at its end; `again` those in the file
    that no event names any more, for a pause had them taken again.
    """

    run: str = ""
    exit_status: str = ""
    bursts: list[SimulatedBurst] = field(default_factory=list)
    events: dict[int, tuple[int, int]] = field(default_factory=dict)
    seconds_a_frame: list[float] = field(default_factory=list)
    _event_at: float = 0.0

    @property
    def n_recorded(self) -> int:
        """Frames that are in the file."""
        return sum(burst.n_frames for burst in self.bursts)

    @property
    def n_named(self) -> int:
        """Shots of the run."""
        return sum(n_frames for _, n_frames in self.events.values())

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Note what a document of the run says."""
        if name == "start":
            self.run, self._event_at = doc["uid"], time.monotonic()
        elif name == "event":
            data = doc["data"]
            first, n_frames = data[f"{CAMERA}_first_frame"], data[f"{CAMERA}_n_frames"]
            self.events[doc["seq_num"]] = first, n_frames
            now = time.monotonic()
            self.seconds_a_frame.append((now - self._event_at) / n_frames)
            self._event_at = now
        elif name == "stop":
            self.exit_status = doc["exit_status"]


class Beamline:
    """A Balor that is read without a rest, its analysis, and all that it leaves, in a folder."""

    def __init__(
        self, folder: Path, engine: RunEngine, shape: tuple[int, int], n_photons: float, seed: int
    ) -> None:
        self.folder, self.shape, self.engine = folder, shape, engine
        self.raw = folder / "raw"
        self.source = StampedFrames(shape, n_photons, 6, seed)
        self.camera: Balor = simulated_balor(CAMERA, directory=self.raw, source=self.source)
        rows, columns = shape
        self.live = Witness(
            rois={
                "left": Roi(x0=0, y0=0, x1=columns // 2, y1=rows),
                "spot": Roi(x0=columns // 4, y0=rows // 4, x1=columns // 2, y1=rows // 2),
            },
            directory=folder / "process",
        )
        self.keeper = Checkpoints(self.live, folder / "sums").start()
        self.engine.subscribe(self.live)
        self.answer = "resume"
        """How the next pause is answered: resume, stop or abort; after `paused_s`."""
        self.paused_s = 0.0
        self.was_paused = threading.Event()
        """Set when a pause has been answered, or the run has ended before it."""

    def run(self, frames_per_event: int, n_events: int) -> Taken:
        """Take one run, through all pauses; what it has taken."""
        n_before = len(self.camera.ioc.bursts)
        taken = Taken()
        token = self.engine.subscribe(taken)
        try:
            try:
                self.engine(continuous([self.camera], frames_per_event, n_events=n_events))
            except RunEngineInterrupted:
                self._go_on()
        finally:
            self.was_paused.set()
            self.engine.unsubscribe(token)
        taken.bursts = [b for b in self.camera.ioc.bursts[n_before:] if b.n_frames]
        # it goes on with the number of its last frame
        del self.camera.ioc.bursts[:-1]
        return taken

    def _go_on(self) -> None:
        while self.engine.state == "paused":
            time.sleep(self.paused_s)
            answer, self.answer = self.answer, "resume"
            self.was_paused.set()
            try:
                getattr(self.engine, answer)()
            except RunEngineInterrupted:
                continue

    def rest(self) -> None:
        """Nothing is left to be analysed, and nothing is in the sum."""
        self.live.wait()
        with self.live.shell.lock:
            for accumulation in self.live.accumulations.of.values():
                accumulation.clear()

    def close(self) -> None:
        """Let go of all."""
        self.live.wait()
        self.keeper.close()


@dataclass
class Round:
    """Some runs, and the folder in which all is kept that a clean replay needs; see `replaying`."""

    folder: Path
    runs: list[Taken] = field(default_factory=list)

    def write(self, beamline: Beamline, cut: list[str]) -> None:
        """Keep what the camera knows, and the sum; `cut` are runs whose analysis was ended."""
        bursts = [
            {**asdict(burst), "path": str(burst.path)} for taken in self.runs
            for burst in taken.bursts
        ]  # fmt: skip
        said = {"shape": beamline.shape, "bursts": bursts, "cut": cut}
        (self.folder / "taken.json").write_text(json.dumps(said))
        found = beamline.live.accumulation().result()
        if found is None:
            np.savez(self.folder / "sum.npz", n_frames=0)
        else:
            np.savez(self.folder / "sum.npz", n_frames=found.n_frames, image=found.image)
        process = beamline.folder / "process"
        if process.exists():
            process.rename(self.folder / "process")

    def delete(self, beamline: Beamline) -> None:
        """Delete all of it, the raw files too."""
        shutil.rmtree(self.folder)
        for path in beamline.raw.iterdir():
            path.unlink()


@contextmanager
def recorded(beamline: Beamline, number: int) -> Iterator[Round]:
    """A round: what comes meanwhile is written down, in a folder of its own."""
    found = Round(beamline.folder / f"round_{number}")
    found.folder.mkdir()
    raw, derived = Lines(found.folder / "raw.jsonl"), Lines(found.folder / "derived.jsonl")
    notes = Notes(found.folder / "notes.jsonl")
    beamline.live.wait()
    with beamline.live.shell.lock:
        for accumulation in beamline.live.accumulations.of.values():
            accumulation.clear()
        beamline.live.begin(notes)
    tokens = beamline.engine.subscribe(raw), beamline.live.subscribe(derived)
    try:
        yield found
        beamline.live.wait()
        beamline.live.look()
    finally:
        beamline.engine.unsubscribe(tokens[0])
        beamline.live.unsubscribe(tokens[1])
        beamline.live.begin(None)
        for file in (raw, derived, notes):
            file.close()


@contextmanager
def beamline_in(
    folder: Path, shape: tuple[int, int], n_photons: float, seed: int
) -> Iterator[Beamline]:
    """A beamline in a new folder."""
    folder.mkdir(parents=True)
    with run_engine() as engine, noted_sums():
        made = Beamline(folder, engine, shape, n_photons, seed)
        try:
            yield made
        finally:
            made.close()
