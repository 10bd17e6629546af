"""An analysis that is behind a RunEngine: the scan does not notice, and nothing is missed."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import plans as bp

from femto_bluesky.callbacks import LiveAnalysis, RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.rois import Roi
from femto_bluesky.stream.analysis import Pipeline
from femto_bluesky.stream.events import Burst
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_engine
from tests.stream.scans import (
    SITUATIONS,
    Seen,
    Unreported,
    assert_valid,
    numbered,
    run_scan,
)

PATIENCE_S = 60.0


class Held(Seen):
    """An analysis that hangs at its first shot until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may_go = threading.Event(), threading.Event()

    def update(self, shot: Any) -> Any:
        self.began.set()
        assert self.may_go.wait(PATIENCE_S)
        return super().update(shot)


def feed(analysis: Any, docs: Any) -> None:
    for name, doc in docs:
        analysis(name, doc)


def behind(analysis: Any, docs: Any) -> None:
    """Give documents as a RunEngine does, from within an event loop."""

    async def give() -> None:
        feed(analysis, docs)

    asyncio.run(give())


@pytest.mark.parametrize("style", ["inline", "datum", "tiff", "stream"])
@pytest.mark.parametrize("situation", [*SITUATIONS, "interleaved"])
def test_what_comes_late_is_what_comes_at_once(
    situation: str, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("femto_bluesky.stream.spool.IN_MEMORY_BYTES", 100)  # the rest waits on disk
    held, held_unreported, seen, seen_unreported = Held(), Held(), Seen(), Seen()
    recorder = Recorder()
    held.subscribe(recorder)

    class Prompt:
        """Keeps pace: each document is analysed before the next one comes."""

        def __init__(self, callback: Any) -> None:
            self.callback = callback

        def __call__(self, name: str, doc: Any) -> None:
            self.callback(name, doc)
            self.callback.wait()

    class LetGo:
        def wait(self) -> None:
            held.may_go.set()
            held_unreported.may_go.set()

        def __call__(self, name: str, doc: Any) -> None:
            """Nothing."""

    run_scan(
        situation, style, tmp_path, let_go=LetGo(), held=held, behind=Unreported(held_unreported),
        seen=Prompt(seen), at_once=Prompt(Unreported(seen_unreported)),
    )  # fmt: skip
    assert_valid(recorder.documents)
    for late, prompt in ((held, seen), (held_unreported, seen_unreported)):
        assert len(late.failures) == len(prompt.failures)
        if not prompt.failures:
            assert late.shots.keys() == prompt.shots.keys()
            for key, shot in late.shots.items():
                assert shot[:3] == prompt.shots[key][:3]
                np.testing.assert_array_equal(shot[3], prompt.shots[key][3])


def test_a_scan_ends_while_the_analysis_hangs(tmp_path: Path) -> None:
    held = Held()
    detector = SimulatedDetector(name="pilatus", source=numbered, directory=tmp_path, num_images=2)
    with run_engine() as engine:
        engine.subscribe(held)
        engine(bp.count([detector], 3))
        engine(bp.count([detector], 2))
        assert held.began.wait(PATIENCE_S)
        status = held.status()
        assert (status.n_shots, held.shots) == (0, {})
        assert status.n_waiting > 5
        assert status.at_work_s is not None
        assert "events and documents wait" in str(status)
        assert not held.wait(0.0)
        held.may_go.set()
        assert held.wait(PATIENCE_S)
    assert len(held.shots) == 10
    assert str(held.status()) == "10 shots analysed"


def test_frames_in_documents_that_wait_are_not_all_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("femto_bluesky.stream.spool.IN_MEMORY_BYTES", 2 * numbered(0, 0.0).nbytes)
    held = Held()
    camera = SimulatedDetector(name="camera", source=numbered, style="inline")
    with run_engine() as engine:
        engine.subscribe(held)
        engine(bp.count([camera], 8))
        assert held.shell._spool.n_on_disk >= 5
        held.may_go.set()
        assert held.wait(PATIENCE_S)
    assert len(held.shots) == 8


def test_a_result_waits_and_one_that_holds_the_lock_does_not(tmp_path: Path) -> None:
    held = Held()
    means = RoiMeans({"all": Roi(x0=0, y0=0, x1=2, y1=2)})
    both = Pipeline(held, means)
    camera = SimulatedDetector(name="camera", source=numbered, style="inline")
    motor = SimulatedMotor(name="x")
    with run_engine() as engine:
        engine.subscribe(both)
        engine(burst_scan([camera], motor, [1, 2]))
        threading.Timer(0.05, held.may_go.set).start()
        found = both.result()[1]
        assert found["x"].tolist() == [1, 2]
        held.may_go.clear()
        engine(burst_scan([camera], motor, [3]))
        held.may_go.set()
        with both.shell.lock:
            both.result()
        assert both.wait(PATIENCE_S)


def test_a_failure_ends_its_run_and_the_next_is_analysed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")

    class Once(Seen):
        def update(self, shot: Any) -> Any:
            if not self.failures:
                raise RuntimeError("not today")
            return super().update(shot)

    once, recorder = Once(), Recorder()
    once.subscribe(recorder)
    detector = SimulatedDetector(name="pilatus", source=numbered, directory=tmp_path, num_images=2)
    with run_engine() as engine:
        engine.subscribe(once)
        engine(bp.count([detector], 3))
        engine(bp.count([detector], 2))
        once.wait()
    first, second = recorder.of("stop")
    assert (first["exit_status"], second["exit_status"]) == ("fail", "success")
    assert "RuntimeError: not today" in first["reason"]
    assert len(once.failures) == 1
    assert len(once.shots) == 4
    assert "failed: RuntimeError: not today" in str(once.status())


def test_a_writer_that_is_behind_is_waited_for(tmp_path: Path) -> None:
    """The frames of an event may reach the file after its documents: they come with the next."""
    scan = run_scan("normal", "stream", tmp_path)
    path = scan.detectors["pilatus"].bursts[0].path
    with h5py.File(path) as file:
        frames = file["entry/data/data"][:]
    path.unlink()
    seen, there = Seen(), 0
    with h5py.File(path, "x", libver="latest") as file:
        data = file.create_dataset(
            "entry/data/data", (0, 4, 6), "u2", maxshape=(None, 4, 6), chunks=(1, 4, 6)
        )
        file.swmr_mode = True
        for name, doc in scan.documents:
            seen(name, doc)
            if name == "event":
                assert len(seen.shots) == there
                data.resize(there + 3, axis=0)
                data[there:] = frames[there : there + 3]
                data.flush()
                there += 3
    assert seen.failures == []
    assert len(seen.shots) == 9


@pytest.mark.parametrize("situation", SITUATIONS)
def test_whenever_frames_come_the_shots_are_the_same(
    situation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = run_scan(situation, "stream", tmp_path)
    at_once = Seen()
    feed(at_once, scan.documents)
    assert at_once.failures == []
    for seed in range(20):
        rng = random.Random(seed)
        with monkeypatch.context() as patched:
            patched.setattr(Burst, "is_there", property(lambda self, rng=rng: rng.random() < 0.3))
            patched.setattr(Burst, "check", lambda self: None)
            seen = Seen()
            feed(seen, scan.documents)
        assert seen.failures == []
        assert seen.shots.keys() == at_once.shots.keys()
        for key, shot in seen.shots.items():
            assert shot[:3] == at_once.shots[key][:3]
            np.testing.assert_array_equal(shot[3], at_once.shots[key][3])


def test_files_are_let_go_of_after_the_last_frame(tmp_path: Path) -> None:
    from femto_bluesky.stream import datasets

    scan = run_scan("normal", "stream", tmp_path)
    live = LiveAnalysis()
    behind(live, scan.documents)
    assert live.result().accumulated["pilatus"].n_frames == 9
    assert live.wait(PATIENCE_S)
    assert datasets._open == {}


def test_what_is_asked_of_a_part_is_of_all_shots(tmp_path: Path) -> None:
    rois = {"all": Roi(x0=0, y0=0, x1=2, y1=2)}
    live = LiveAnalysis(rois)
    slow, let_go = live.update, threading.Event()

    def update(shot: Any) -> Any:
        assert let_go.wait(PATIENCE_S)
        return slow(shot)

    live.update = update  # type: ignore[method-assign]
    detector = SimulatedDetector(name="pilatus", source=numbered, directory=tmp_path, num_images=2)
    motor = SimulatedMotor(name="x")
    with run_engine() as engine:
        engine.subscribe(live)

        def scan(n: int) -> None:
            let_go.clear()
            engine(burst_scan([detector], motor, range(n)))
            assert live.status().n_waiting > 0
            threading.Timer(0.02, let_go.set).start()

        scan(2)
        assert live.accumulation().result().n_frames == 4
        scan(3)
        assert live.rois.result()["n_shots"].tolist() == [2, 2, 2]
        scan(1)
        held = live.accumulation()
        scan(1)
        held.reset()
        assert held.result() is None
        scan(1)
        live.configure({"rois": {}})
        scan(1)
        assert len(live.groups()) == 1
    assert held.result().n_frames == 4
    assert live.failures == []
