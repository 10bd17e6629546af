"""Detectors and motors of ophyd-async, by its own simulators, through the same callbacks."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_engine

core = pytest.importorskip("ophyd_async.core", reason="needs ophyd-async")
sim = pytest.importorskip("ophyd_async.sim", reason="needs ophyd-async")
stubs = pytest.importorskip("ophyd_async.plan_stubs", reason="needs ophyd-async")

ROI = Roi(x0=100, y0=50, x1=200, y1=150)


def analysed(make_plan, folder):
    """Run a plan on a simulated stage and camera; the analysis, the documents, all its frames."""
    live, recorder = LiveAnalysis({"blob": ROI}), Recorder()
    generator = sim.PatternGenerator()
    with run_engine() as engine:
        # devices of ophyd-async belong to the event loop in which they are connected
        stage = sim.SimStage(generator, name="stage")
        names = core.StaticPathProvider(core.UUIDFilenameProvider(), folder)
        camera = sim.SimBlobDetector(names, pattern_generator=generator, name="camera")

        def plan():
            yield from stubs.ensure_connected(stage, camera)
            yield from make_plan(camera, stage.x)

        engine.subscribe(recorder)
        engine.subscribe(live)
        engine(plan())
    (path,) = folder.glob("*.h5")
    with h5py.File(path) as file:
        return live, recorder.documents, file["/entry/data/data"][:]


def test_a_step_scan(tmp_path):
    live, _, stack = analysed(lambda camera, x: bp.scan([camera], x, 0, 2, 3), tmp_path)
    assert live.failures == []
    steps = live.result().steps
    assert list(steps["stage-x"]) == [0, 1, 2]
    expected = stack[:, 50:150, 100:200].mean(axis=(1, 2))
    assert len(set(expected)) == 3
    np.testing.assert_allclose(steps["camera_blob_mean"], expected, rtol=1e-12)
    summed = live.accumulation("camera").result()
    np.testing.assert_array_equal(summed.image, stack.sum(axis=0, dtype=np.int64))


def test_bursts(tmp_path):
    info = core.TriggerInfo(number_of_events=1, exposures_per_collection=1, collections_per_event=4)

    def bursts(camera, x):
        @bpp.stage_decorator([camera])
        @bpp.run_decorator(
            md={"motors": [x.name], "hints": {"dimensions": [([x.name], "primary")]}}
        )
        def inner():
            for position in (0, 1):
                yield from bps.mv(x, position)
                yield from bps.prepare(camera, info, wait=True)
                yield from bps.trigger_and_read([camera, x])

        return inner()

    live, docs, stack = analysed(bursts, tmp_path)
    (descriptor,) = [doc for name, doc in docs if name == "descriptor"]
    assert descriptor["data_keys"]["camera"]["shape"] == [4, 240, 320]
    assert live.failures == []
    steps = live.result().steps
    assert list(steps["n_shots"]) == [4, 4]
    means = stack[:, 50:150, 100:200].mean(axis=(1, 2)).reshape(2, 4)
    np.testing.assert_allclose(steps["camera_blob_mean"], means.mean(axis=1), rtol=1e-12)
