"""Analyses that are broken off as by kill -9, and what is compared afterwards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from femto_bluesky.callbacks import Checkpoints, LiveAnalysis, ResultFiles
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import xye
from femto_bluesky.files.checkpoints import read_checkpoint
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.documents import Recorder, split_runs
from femto_bluesky.testing.runs import burst_scan, run_engine, run_plan

Documents = Sequence[tuple[str, Mapping[str, Any]]]
Step = Callable[[LiveAnalysis], None]
ROI = {"spot": {"x0": 0, "y0": 0, "x1": 30, "y1": 20}}


def recorded(
    folder: Path, n_steps: int = 4, n_frames: int = 2, shape: tuple[int, int] = (40, 60)
) -> list[Path]:
    """Two runs of a camera that counts photons: JSON lines, and HDF5 files."""
    motor, raw = SimulatedMotor(name="delay", labels={"motors"}), Recorder()
    frames = BalorFrames(BalorSettings(shape=shape, n_photons=20.0 * shape[0] / 40, n_hot_pixels=0))
    detector = SimulatedDetector(
        name="andor3_balor1", source=frames, directory=folder, num_images=n_frames, motor=motor
    )
    with run_engine() as engine:
        engine.subscribe(raw)
        for _ in range(2):
            engine(burst_scan([detector], motor, [0.5 * step for step in range(n_steps)]))
    paths = []
    for number, run in enumerate(split_runs(raw.documents), start=1):
        paths.append(folder / f"run_{number}.jsonl")
        jsonl.write(run, paths[-1])
    return paths


def retaken(folder: Path) -> Path:
    """A run of four steps; the second and the last were taken again, each after a pause."""
    motor = SimulatedMotor(name="delay", labels={"motors"})
    frames = BalorFrames(BalorSettings(shape=(40, 60), n_photons=20.0, n_hot_pixels=0))
    detector = SimulatedDetector(
        name="andor3_balor1", source=frames, directory=folder, num_images=2, motor=motor
    )
    plan = burst_scan([detector], motor, [0.0, 0.5, 1.0, 1.5], pause_after_save=[1, 3])
    jsonl.write(run_plan(plan), folder / "retaken.jsonl")
    return folder / "retaken.jsonl"


def cut(path: Path, n_events: int) -> list[tuple[str, Mapping[str, Any]]]:
    """The documents of a run up to an event."""
    found, n = [], 0
    for name, document in jsonl.read(path):
        found.append((name, document))
        n += name == "event"
        if n == n_events:
            break
    return found


def rest(path: Path, n_events: int) -> list[tuple[str, Mapping[str, Any]]]:
    """What comes after that event."""
    return list(jsonl.read(path))[len(cut(path, n_events)) :]


class Session:
    """An analysis into a directory, as `live --out` makes it; it may be killed."""

    def __init__(self, out: Path, *, restore: bool = False, **settings: Any) -> None:
        self._at_work = out.parent / f"{out.name}_at_work"
        self.out = out
        if out.exists():
            shutil.copytree(out, self._at_work)
        self.live = LiveAnalysis(**({"rois": ROI} | settings), directory=self._at_work)
        self._files = ResultFiles(self.live, self._at_work)
        self.live.subscribe(self._files)
        self.keeper = Checkpoints(self.live, self._at_work / "sums")
        self.keeper.hold()
        if restore:
            self.keeper.restore()

    def take(self, *sources: Path | Iterable[tuple[str, Mapping[str, Any]]]) -> Session:
        for source in sources:
            for name, document in jsonl.read(source) if isinstance(source, Path) else source:
                self.live(name, document)
        return self

    def keep(self) -> Session:
        """Write a checkpoint now."""
        self.keeper.look()
        return self

    def kill(self) -> Path:
        """What is on the disk at this moment is all that is left."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(self._at_work, self.out)
        self.keeper.close()
        for run in list(self.live.shell.pulse.open_runs):
            self.live("stop", {"run_start": run, "exit_status": "fail", "uid": "x", "time": 0.0})
        shutil.rmtree(self._at_work)
        return self.out

    def configure(self, **changes: Any) -> Session:
        self.live.configure(changes)
        return self


def uninterrupted(out: Path, *runs: Path, **settings: Any) -> Path:
    session = Session(out, **settings).take(*runs).keep()
    return session.kill()


def names(out: Path) -> list[str]:
    """The files that a user sees, but for those that were set apart."""
    found = [
        str(path.relative_to(out))
        for path in sorted(out.rglob("*"))
        if path.is_file() and "interrupted" not in path.parts and not path.name.startswith(".")
    ]
    return [name for name in found if "previous" not in name]


def rows(path: Path) -> list[Any]:
    """Names, data and numbers of the documents of a derived run, without uids and times."""
    found: list[Any] = []
    of: dict[str, Any] = {}
    for name, doc in map(json.loads, path.read_text().splitlines()):
        if name == "start":
            left_out = ("uid", "time")
            found.append({key: doc[key] for key in doc.keys() - left_out})
        elif name == "descriptor":
            of[doc["uid"]] = doc["name"]
            settings = doc["configuration"]["LiveAnalysis"]["data"]
            found.append((doc["name"], doc["data_keys"], doc["object_keys"], settings))
        elif name in ("event", "event_page"):
            found.append((name, of[doc["descriptor"]], doc["data"], doc["seq_num"]))
        elif name == "stream_resource":
            found.append((name, os.path.basename(doc["uri"]), doc["data_key"]))  # noqa: PTH119
        elif name == "stream_datum":
            found.append((name, doc["indices"], doc["seq_nums"]))
        else:
            found.append((name, doc["exit_status"], doc["reason"], doc["num_events"]))
    return found


def assert_same(out: Path, reference: Path) -> None:
    """All that was left by an uninterrupted run, with the same contents."""
    assert names(out) == names(reference)
    for path in sorted(reference.glob("*.jsonl")):
        assert rows(out / path.name) == rows(path)
    for path in sorted(reference.glob("*_xye.h5")):
        assert_same_photons(out / path.name, path)
    for path in sorted((reference / "sums").glob("sum_*.npz")):
        if ".previous" not in path.name:
            assert_same_sum(out / "sums" / path.name, path)


def assert_same_photons(one: Path, other: Path) -> None:
    a, b = xye.contents(one), xye.contents(other)
    np.testing.assert_array_equal(a.photons, b.photons)
    np.testing.assert_array_equal(a.frame_of_photon, b.frame_of_photon)
    np.testing.assert_array_equal(a.histogram, b.histogram)
    np.testing.assert_array_equal(a.offsets, b.offsets)
    assert a.settings == b.settings
    for mine, theirs in ((a.frames, b.frames), (a.positions, b.positions), (a.labels, b.labels)):
        assert mine.keys() == theirs.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key])


def assert_same_sum(one: Path, other: Path) -> None:
    (a, mine), (b, theirs) = read_checkpoint(one), read_checkpoint(other)
    left_out = {"written_at"}
    assert a.model_dump(exclude=left_out) == b.model_dump(exclude=left_out)
    assert mine.taken == theirs.taken
    for this, that in ((mine.total, theirs.total), (mine.before, theirs.before)):
        assert (this is None) == (that is None)
        if this is None or that is None:
            continue
        np.testing.assert_array_equal(this.total, that.total)
        assert (this.shots, this.n_frames, this.since) == (that.shots, that.n_frames, that.since)
        np.testing.assert_array_equal(
            0 if this.masks.counts is None else this.masks.counts,
            0 if that.masks.counts is None else that.masks.counts,
        )
