from __future__ import annotations

import threading
from pathlib import PureWindowsPath

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp
from bluesky.utils import FailedStatus, RunEngineInterrupted
from event_model import DocumentNames, schema_validators

from femto_bluesky import replay
from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.devices.burst_detector import DetectorError, DetectorLostError
from femto_bluesky.devices.twins import simulated_pilatus
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_engine, run_plan
from tests.devices.bursts import POSITIONS, WHOLE, first_frames, means, named, truth

STYLES = ["stream", "datum", "inline"]


@pytest.mark.parametrize("style", STYLES)
def test_a_scan_is_analysed_frame_by_frame(make_twin, motor, style):
    detector = make_twin(style)
    analysis = RoiMeans(WHOLE)
    docs = run_plan(burst_scan([detector], motor, POSITIONS), analysis)
    for name, doc in docs:
        schema_validators[DocumentNames[name]].validate(doc)
    assert not analysis.failures
    assert [b.position for b in detector.ioc.bursts] == POSITIONS
    assert means(analysis) == pytest.approx(truth(detector, detector.ioc.bursts), rel=1e-12)
    for number, event in enumerate(named(docs, "event")):
        assert event["data"]["cam_first_frame"] == 3 * number
        assert event["data"]["cam_n_frames"] == 3
    with h5py.File(detector.ioc.bursts[0].path) as file:  # all in one file, in order
        stack = file["/entry/data/data"][:]
    np.testing.assert_array_equal(
        stack, np.concatenate([detector.ioc.truth(burst) for burst in detector.ioc.bursts])
    )


@pytest.mark.parametrize("style", STYLES)
def test_what_the_descriptor_says(make_twin, style):
    docs = run_plan(bp.count([make_twin(style)], 1))
    (descriptor,) = named(docs, "descriptor")
    key = descriptor["data_keys"]["cam_image"]
    assert key["shape"] == [3, 6, 9]
    assert key["dtype_numpy"] == "<u2"
    assert key["dims"] == ["frame", "y", "x"]
    assert key.get("external") == {"stream": "STREAM:", "datum": "FILESTORE:"}.get(style)
    assert descriptor["object_keys"]["cam"] == ["cam_image", "cam_first_frame", "cam_n_frames"]
    configured = descriptor["configuration"]["cam"]["data"]
    assert configured["cam_exposure_s"] == 0.05
    assert configured["cam_cam_num_images"] == 3
    assert (configured["cam_cam_min_y"], configured["cam_cam_size_size_y"]) == (0, 6)
    resources = named(docs, "stream_resource") + named(docs, "resource")
    assert len(resources) == (style != "inline")
    if style == "stream":
        (resource,) = resources
        assert resource["parameters"] == {
            "dataset": "/entry/data/data",
            "chunk_shape": [1, 6, 9],
            "swmr": True,
        }
    elif style == "datum":
        (resource,) = resources
        assert resource["spec"] == "AD_HDF5_SWMR"
        assert resource["resource_kwargs"] == {"frame_per_point": 3}


@pytest.mark.parametrize("style", STYLES)
def test_a_replay_gives_what_was_seen_live(make_twin, motor, style):
    live, replayed = RoiMeans(WHOLE), RoiMeans(WHOLE)
    docs = run_plan(burst_scan([make_twin(style)], motor, POSITIONS, pause_after_save=[1]), live)
    replay(docs, replayed)
    assert live.failures == replayed.failures == []
    assert {key: list(column) for key, column in live.result().items()} == {
        key: list(column) for key, column in replayed.result().items()
    }


@pytest.mark.parametrize("when", ["pause_before_read", "pause_after_save"])
@pytest.mark.parametrize("style", STYLES)
def test_a_rewound_step_goes_on_in_the_same_file(make_twin, motor, style, when):
    detector = make_twin(style)
    analysis = RoiMeans(WHOLE)
    docs = run_plan(burst_scan([detector], motor, POSITIONS, **{when: [1]}), analysis)
    first = first_frames(docs)
    assert first == ([0, 3, 6, 9] if when == "pause_after_save" else [0, 6, 9])
    bursts = [b for b in detector.ioc.bursts if b.first_frame != 3]  # of the lost one
    assert not analysis.failures
    assert means(analysis) == pytest.approx(truth(detector, bursts), rel=1e-12)


def test_a_pause_in_the_middle_of_a_burst_lets_the_camera_end_it(make_twin, motor):
    detector = make_twin()
    analysis, recorder = RoiMeans(WHOLE), Recorder()
    resumed = threading.Event()
    with run_engine() as engine:

        def pause(burst):
            if burst == 1:
                engine.request_pause(defer=False)
                resumed.wait(10)

        detector.ioc.before_burst = pause
        engine.subscribe(recorder)
        engine.subscribe(analysis)
        with pytest.raises(RunEngineInterrupted):
            engine(burst_scan([detector], motor, POSITIONS))
        threading.Timer(0.1, resumed.set).start()  # the plan goes on before the burst has ended
        engine.resume()
    first = first_frames(recorder.documents)
    assert first == [0, 6, 9]
    assert not analysis.failures
    bursts = [b for b in detector.ioc.bursts if b.first_frame != 3]
    assert [b.n_frames for b in detector.ioc.bursts] == [3, 3, 3, 3]
    assert means(analysis) == pytest.approx(truth(detector, bursts), rel=1e-12)


@pytest.mark.parametrize("reconfigure", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_bursts_may_change_their_length(make_twin, motor, style, reconfigure):
    detector = make_twin(style)
    analysis = RoiMeans(WHOLE)
    plan = burst_scan([detector], motor, POSITIONS, n_frames=[3, 2, 4], reconfigure=reconfigure)
    docs = run_plan(plan, analysis)
    assert [e["data"]["cam_n_frames"] for e in named(docs, "event")] == [3, 2, 4]
    assert not analysis.failures
    assert means(analysis) == pytest.approx(truth(detector, detector.ioc.bursts), rel=1e-12)


def test_a_burst_that_lost_frames_says_so(make_twin, motor, caplog):
    detector = make_twin()
    detector.ioc.loses[1] = 1
    analysis = RoiMeans(WHOLE)
    docs = run_plan(burst_scan([detector], motor, POSITIONS), analysis)
    assert [e["data"]["cam_n_frames"] for e in named(docs, "event")] == [3, 2, 3]
    assert first_frames(docs) == [0, 3, 5]
    assert "cam: a burst has 2 frames, expected 3" in caplog.text
    assert not analysis.failures
    assert means(analysis) == pytest.approx(truth(detector, detector.ioc.bursts), rel=1e-12)


def test_a_burst_without_frames_fails_the_scan(make_twin, motor):
    detector = make_twin()

    def fail(burst):
        if burst == 1:
            raise OSError("disk full")

    detector.ioc.before_burst = fail
    recorded = []
    with pytest.raises(FailedStatus) as caught:
        run_plan(
            burst_scan([detector], motor, POSITIONS), lambda name, doc: recorded.append((name, doc))
        )
    assert isinstance(caught.value.__cause__, DetectorError)
    said = str(caught.value.__cause__)
    assert "the camera has stopped and no frame is in" in said
    assert "OSError: disk full" in said
    assert recorded[-1][1]["exit_status"] == "fail"
    detector.ioc.before_burst = lambda burst: None
    assert len(named(run_plan(burst_scan([detector], motor, POSITIONS)), "event")) == 3


def test_an_ioc_that_goes_away_fails_the_scan_and_the_next_one_runs(make_twin, motor, caplog):
    detector = make_twin()
    hold = threading.Event()

    def lose(burst):
        if burst == 1:
            signal = detector.cam.acquire
            signal._metadata["connected"] = False
            signal._run_subs(sub_type="meta", **signal._metadata)
            hold.wait(10)  # the camera takes frames that nobody hears of

    detector.ioc.before_burst = lose
    type_of = type(detector.cam.acquire)
    was = type_of.connected
    type_of.connected = property(lambda signal: signal._metadata.get("connected", True))
    analysis = RoiMeans(WHOLE)
    try:
        with pytest.raises(FailedStatus) as caught:
            run_plan(burst_scan([detector], motor, POSITIONS), analysis)
        assert isinstance(caught.value.__cause__, DetectorLostError)
        assert "cam: the IOC SIM:cam: is gone in the middle of a run" in str(caught.value.__cause__)
        assert "what staging has set on it stays" in caplog.text
        hold.set()
        detector.cam.acquire._metadata["connected"] = True
        detector.ioc.before_burst = lambda burst: None
        detector.hdf5.capture.put(0)  # what a new IOC starts with
        detector.hdf5.enable.put(1)
    finally:
        type_of.connected = was
    n_before = len(detector.ioc.bursts)
    run_plan(burst_scan([detector], motor, POSITIONS), analysis)
    assert not analysis.failures
    assert means(analysis) == pytest.approx(truth(detector, detector.ioc.bursts[n_before:]))


@pytest.mark.parametrize("answer", ["stop", "abort", "halt"])
def test_the_file_is_closed_however_the_run_ends(make_twin, motor, answer):
    detector = make_twin()
    docs = run_plan(burst_scan([detector], motor, POSITIONS, pause_after_save=[1]), on_pause=answer)
    assert len(named(docs, "event")) == 2
    if answer == "halt":  # RE.halt cleans nothing up, by design
        detector.unstage()
    with h5py.File(detector.ioc.bursts[0].path, "r+") as file:  # refused while somebody writes
        assert file["/entry/data/data"].shape == (6, 6, 9)
    detector.stage()
    detector.unstage()


def test_an_abandoned_burst_does_not_hang(make_twin, caplog):
    detector = make_twin()
    begun, hold = threading.Event(), threading.Event()

    def wait(burst):
        begun.set()
        hold.wait(10)

    detector.ioc.before_burst = wait
    detector.stage()
    status = detector.trigger()
    assert begun.wait(10)
    threading.Timer(0.05, hold.set).start()
    detector.unstage()
    status.wait(10)
    assert "cam was unstaged in the middle of a burst" in caplog.text


def test_two_cameras_in_one_scan(make_twin, motor):
    cameras = [make_twin(name="cam"), make_twin("datum", 2, simulated_pilatus, "pilatus")]
    analysis = RoiMeans(WHOLE)
    run_plan(burst_scan(cameras, motor, POSITIONS), analysis)
    assert not analysis.failures
    result = analysis.result()
    for camera in cameras:
        expected = truth(camera, camera.ioc.bursts)
        assert list(result[f"{camera.name}_whole_mean"]) == pytest.approx(expected, rel=1e-12)


def test_settings_come_back_after_a_run(make_twin, motor):
    detector = make_twin()
    detector.cam.image_mode.put("Continuous")
    run_plan(bp.count([detector], 1))
    assert detector.cam.image_mode.get(as_string=True) == "Continuous"
    assert detector.hdf5.capture.get() == 0


def test_exposure_and_burst_length_are_set_by_one_name(make_twin):
    detector = make_twin()
    detector.exposure_s.put(0.2)
    assert detector.cam.acquire_time.get() == 0.2
    detector.configure({"num_images": 7})
    assert detector.cam.num_images.get() == 7


def test_the_first_burst_is_described_before_it_is_taken(make_twin):
    detector = make_twin("datum")
    plan = bpp.run_wrapper(bps.declare_stream(detector, name="primary"))
    docs = run_plan(bpp.stage_wrapper(plan, [detector]))
    assert named(docs, "descriptor")[0]["data_keys"]["cam_image"]["shape"] == [3, 6, 9]


def test_an_ioc_may_see_its_files_elsewhere(make_twin, tmp_path):
    detector = make_twin()
    detector._set_paths(tmp_path, PureWindowsPath("D:/frames"))
    _, read, write = detector.hdf5.make_filename()
    assert read == f"{tmp_path}/"
    assert write == "D:\\frames\\"


def test_what_cannot_be_is_refused(make_twin, tmp_path):
    with pytest.raises(
        ValueError, match="cam: the style is one of stream, datum, inline; not 'kafka'"
    ):
        make_twin("kafka")
    with pytest.raises(DetectorError, match="cam was triggered but is not staged"):
        make_twin().trigger()
