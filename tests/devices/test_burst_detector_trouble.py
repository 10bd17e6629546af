"""Cameras, plugins and plans that do not do what one would wish."""

from __future__ import annotations

import itertools
import threading

import h5py
import pytest
from bluesky import plans as bp
from bluesky.utils import FailedStatus, RunEngineInterrupted

from femto_bluesky import replay
from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.devices import burst_detector, burst_watch, hdf5_plugin
from femto_bluesky.devices.burst_detector import DetectorError, DetectorLostError
from femto_bluesky.devices.simulated import SimulatedDetector
from femto_bluesky.files.stacks import FrameStack
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_engine, run_plan
from tests.devices.bursts import (
    POSITIONS,
    WHOLE,
    first_frames,
    in_files,
    means,
    named,
    source,
    truth,
)
from tests.plans.burst_devices import paused_before


@pytest.fixture
def quick(monkeypatch):
    """Nobody waits long for what does not come."""
    monkeypatch.setattr(burst_detector, "SETTLE_S", 0.2)
    monkeypatch.setattr(burst_watch, "SETTLE_S", 0.2)


def failure_of(plan):
    with pytest.raises(FailedStatus) as caught:
        run_plan(plan)
    return caught.value.__cause__


def test_live_view_does_not_come_into_the_file_and_goes_on_after_the_run(make_twin, motor):
    camera = make_twin()
    camera.cam.image_mode.put("Continuous")
    camera.cam.acquire.put(1)
    analysis = RoiMeans(WHOLE)
    docs = run_plan(burst_scan([camera], motor, POSITIONS), analysis)
    assert not analysis.failures
    assert first_frames(docs) == [0, 3, 6]
    assert [burst.n_frames for burst in in_files(camera)] == [3, 3, 3]
    assert means(analysis) == pytest.approx(truth(camera, in_files(camera)), rel=1e-12)
    assert camera.cam.image_mode.get(as_string=True) == "Continuous"
    assert camera.cam.acquire.get() == 1
    camera.stop()
    assert camera.cam.acquire.get() == 0


def test_a_camera_that_refuses_to_acquire_fails_the_scan(make_twin, quick):
    camera = make_twin()
    camera.cam.acquire.sim_set_putter(lambda value, **_: None)
    failure = failure_of(bp.count([camera], 1))
    assert isinstance(failure, DetectorError)
    assert "the camera has stopped and no frame is in" in str(failure)


def test_a_plugin_may_be_behind_as_long_as_frames_come(make_twin, quick):
    camera = make_twin(n_frames=5)
    hdf5, put = camera.hdf5, camera.hdf5.num_captured.sim_put
    arrived, seen, closed = iter(range(5)), threading.Semaphore(0), threading.Event()
    hdf5.num_captured.sim_put = lambda value: seen.release()

    def behind():
        for number in arrived:
            seen.acquire()
            closed.wait(0.12)  # five of them are above the time to settle
            put(number + 1)

    plugin = threading.Thread(target=behind)
    camera.stage()
    seen.acquire()  # of the file that was begun
    put(0)
    plugin.start()
    camera.trigger().wait(10)
    plugin.join()
    assert camera.n_frames.get() == 5
    camera.unstage()


def test_frames_that_could_not_be_written_fail_the_scan(make_twin):
    camera = make_twin()

    def fill_the_disk(burst):
        if burst == 1:
            # areaDetector counts them as captured all the same
            camera.hdf5.write_message.sim_put("H5Dwrite: no space left on device")
            camera.hdf5.write_status.sim_put(1)
            camera.hdf5.write_status.sim_put(0)

    camera.ioc.before_burst = fill_the_disk
    failure = failure_of(bp.count([camera], 3))
    assert isinstance(failure, DetectorError)
    assert "could not write a frame of the burst to" in str(failure)
    assert "no space left on device" in str(failure)
    assert len(camera.ioc.bursts) == 2


def test_a_full_disk_fails_the_scan_and_the_next_one_runs(make_twin, monkeypatch, quick):
    camera, append = make_twin(), FrameStack.append

    def full(stack, frame):
        if len(stack) == 4:
            raise OSError("no space left on device")
        return append(stack, frame)

    monkeypatch.setattr(FrameStack, "append", full)
    failure = failure_of(bp.count([camera], 3))
    assert "could not write a frame of the burst to" in str(failure)
    assert "OSError: no space left on device" in str(failure)
    monkeypatch.setattr(FrameStack, "append", append)
    assert first_frames(run_plan(bp.count([camera], 2))) == [0, 3]


def test_a_file_that_cannot_be_opened_is_refused_in_words(make_twin, monkeypatch):
    camera = make_twin()
    camera.hdf5.write_message.sim_put("permission denied")
    camera.hdf5.capture.sim_set_putter(lambda value: None)
    set_capture = camera.hdf5.capture.set
    monkeypatch.setattr(camera.hdf5.capture, "set", lambda value: set_capture(value, timeout=0.2))
    with pytest.raises(DetectorError, match=r"opens no file 'cam_.*message: permission denied"):
        camera.stage()
    assert camera._staged.value == "no"
    assert hdf5_plugin.OPEN_S > 0


@pytest.mark.parametrize("answer", ["stop", "abort"])
def test_a_plan_that_ends_in_a_burst_stops_the_camera(make_twin, motor, answer):
    camera = make_twin()
    recorder, begun, analysis = Recorder(), threading.Event(), RoiMeans(WHOLE)
    with run_engine() as engine:

        def pause(burst):
            if burst == 1:
                engine.request_pause(defer=False)
                begun.set()
                camera.ioc._stops.wait(10)  # a trigger that does not come

        camera.ioc.before_burst = pause
        engine.subscribe(recorder)
        engine.subscribe(analysis)
        with pytest.raises(RunEngineInterrupted):
            engine(burst_scan([camera], motor, POSITIONS))
        assert begun.wait(10)
        getattr(engine, answer)()
        assert camera.cam.acquire.get() == 0
        assert camera.hdf5.capture.get() == 0
        assert not [t for t in threading.enumerate() if t.name == "cam burst" and t.is_alive()]
        camera.ioc.before_burst = lambda burst: None
        engine(burst_scan([camera], motor, POSITIONS))
    assert len(named(recorder.documents, "event")) == 1 + 3
    assert not analysis.failures
    assert first_frames(recorder.documents)[1:] == [0, 3, 6]


COMMANDS = ["trigger", "wait", "create", "read", "save", "checkpoint"]


@pytest.mark.parametrize("twin", [True, False], ids=["twin", "simulated"])
@pytest.mark.parametrize("style", ["stream", "datum"])
def test_a_hard_pause_anywhere_loses_nothing(make_twin, tmp_path, motor, style, twin):
    """Also between the reading and the saving of the first event, where documents are lost."""
    for command, number in itertools.product(COMMANDS, (0, 1)):
        camera = make_twin(style) if twin else SimulatedDetector(
            name="cam", source=source, style=style, directory=tmp_path, num_images=3, motor=motor
        )  # fmt: skip
        analysis = RoiMeans(WHOLE)
        docs = run_plan(
            paused_before(burst_scan([camera], motor, POSITIONS), command, number), analysis
        )
        place = f"before {command} {number}"
        assert not analysis.failures, place
        firsts = {event["seq_num"]: event["data"] for event in named(docs, "event")}
        firsts = [data["cam_first_frame"] for data in firsts.values()]
        assert len(firsts) == 3, place
        bursts = {burst.first_frame: burst for burst in (camera.ioc if twin else camera).bursts}
        expected = [source_mean(bursts[first]) for first in firsts]
        assert means(analysis) == pytest.approx(expected, rel=1e-12), place
        again = RoiMeans(WHOLE)
        replay(docs, again)
        assert (means(again), again.failures) == (means(analysis), []), place
        uids = [doc["uid"] for kind in ("resource", "stream_resource") for doc in named(docs, kind)]
        assert len(uids) == len(set(uids)) == 1, place


def source_mean(burst):
    frames = range(burst.source_index, burst.source_index + burst.n_frames)
    return sum(source(number, burst.position).mean() for number in frames) / burst.n_frames


def test_an_exposure_that_the_camera_does_not_have_is_told(make_twin, quick, caplog):
    camera = make_twin()
    time = camera.cam.acquire_time
    time.sim_set_putter(lambda value, **_: time.sim_put(min(value, 0.4)))
    camera.exposure_s.put(0.3)
    assert caplog.text == ""
    camera.exposure_s.put(5)
    assert "cam: asked for an exposure of 5 s, the camera takes 0.4 s" in caplog.text
    assert camera.exposure_s.get() == 0.4


def test_two_triggers_at_once_are_two_bursts(make_twin):
    camera = make_twin()
    camera.stage()
    statuses = [camera.trigger(), camera.trigger()]
    for status in statuses:
        status.wait(10)
    assert [burst.first_frame for burst in camera.ioc.bursts] == [0, 3]
    camera.unstage()
    camera.unstage()  # a second time does nothing
    with h5py.File(camera.hdf5.file) as file:
        assert len(file["/entry/data/data"]) == 6


def test_a_second_staging_is_refused_and_disturbs_nothing(make_twin):
    camera = make_twin()
    camera.stage()
    file = camera.hdf5.file
    with pytest.raises(Exception, match="already staged"):
        camera.stage()
    camera.trigger().wait(10)
    assert camera.n_frames.get() == 3
    assert camera.hdf5.file == file
    camera.unstage()


def test_a_lost_ioc_is_named_whatever_the_control_layer_raises(make_twin, monkeypatch):
    camera, is_there = make_twin(), [True]
    camera.stage()

    def lose():
        is_there[0] = False
        raise RuntimeError("Get failed; status code: 192")

    monkeypatch.setattr(camera.hdf5.num_captured, "get", lose)
    acquire = type(camera.cam.acquire)
    monkeypatch.setattr(acquire, "connected", property(lambda signal: is_there[0]))
    with pytest.raises(DetectorLostError, match="cam: the IOC SIM:cam: is gone") as caught:
        camera.trigger().wait(10)
    assert "status code: 192" in str(caught.value.__cause__)
    camera.unstage()
