from __future__ import annotations

import logging
import re

import numpy as np
import pytest
from bluesky import preprocessors as bpp

from femto_bluesky.callbacks import LiveAnalysis, PhotonDetection
from femto_bluesky.devices.photon_witness import PhotonWitness
from femto_bluesky.devices.raw_frames import RawFramesError, note_what_is_not_kept
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.devices.twins import simulated_balor
from femto_bluesky.files import xye
from femto_bluesky.model.detectors import NOT_KEPT
from femto_bluesky.plans import collect_dark
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources.replay import replay
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.replayed import merged_order
from femto_bluesky.testing.runs import burst_scan, run_engine

FRAMES = BalorFrames(BalorSettings(shape=(60, 80), n_photons=5, n_hot_pixels=1))
CROWDED = BalorFrames(BalorSettings(shape=(60, 80), n_photons=400, n_hot_pixels=1))


@pytest.fixture
def engine():
    with run_engine() as made:
        made.preprocessors.append(note_what_is_not_kept)
        yield made


@pytest.fixture
def scene(tmp_path, engine):
    """A camera that keeps no raw frames, a scan of it, and who answers for its photons."""

    class Scene:
        motor = SimulatedMotor(name="delay")
        balor = simulated_balor(directory=tmp_path / "raw", source=FRAMES, motor=motor)
        live = LiveAnalysis(directory=tmp_path / "out")
        witness = PhotonWitness(live)
        recorder = Recorder()
        RE = engine

        def scan(self, **options):
            self.RE(burst_scan([self.balor], self.motor, [1.0, 2.0], **options))

        def raw(self):
            return sorted((tmp_path / "raw").glob("*.h5"))

    scene = Scene()
    engine.subscribe(scene.recorder)
    scene.balor.num_images.set(3).wait()
    scene.balor.save_raw.put(False)
    scene.balor.photon_keeper = scene.witness
    scene.witness.subscribe_to(engine)
    return scene


def named(scene, kind):
    return [doc for name, doc in scene.recorder.documents if name == kind]


def test_frames_go_when_their_photons_are_kept(scene, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    scene.scan()
    assert scene.raw() == []
    assert "its photons are kept" in caplog.text
    (path,) = (tmp_path / "out").glob("*_xye.h5")
    found = xye.contents(path)
    assert list(found.frames["frame"]) == list(range(6))
    assert len(found.photons) > 10
    (start,), (descriptor,) = named(scene, "start"), named(scene, "descriptor")
    assert start[NOT_KEPT] == ["andor3_balor1"]
    configured = descriptor["configuration"]["andor3_balor1"]["data"]
    assert configured["andor3_balor1_save_raw"] is False
    assert scene.witness.is_trusted


@pytest.mark.parametrize("order", ["as it came", "merged"])
def test_a_run_without_raw_frames_is_replayed_for_its_other_detectors(
    scene, tmp_path, order, caplog
):
    pilatus = SimulatedDetector(
        name="pilatus", source=lambda index, position: np.full((8, 9), position, np.float32),
        directory=tmp_path / "kept", num_images=3, motor=scene.motor,
    )  # fmt: skip
    scene.RE(burst_scan([scene.balor, pilatus], scene.motor, [1.0, 2.0]))
    assert scene.raw() == []
    documents = scene.recorder.documents
    live = LiveAnalysis()
    derived = Recorder()
    live.subscribe(derived)
    replay(merged_order(documents) if order == "merged" else documents, live)
    assert derived.of("stop")[0]["exit_status"] == "success"
    assert live.result().accumulated.keys() == {"pilatus"}
    assert live.result().accumulated["pilatus"].n_frames == 6
    assert "were deleted when their photons had been found" in caplog.text
    assert "path_map" not in caplog.text


def test_frames_stay_where_that_is_wished(scene):
    scene.balor.save_raw.put(True)
    scene.balor.photon_keeper = None
    scene.scan()
    assert len(scene.raw()) == 1
    assert NOT_KEPT not in named(scene, "start")[0]


def test_frames_of_a_burst_that_was_taken_again_stay(scene, caplog):
    with pytest.raises(Exception, match="paused"):
        scene.scan(pause_after_save=[0])
    scene.RE.resume()
    assert len(scene.raw()) == 1
    assert re.search(r"kept after all: .* holds 6 of its 9 frames", caplog.text)


def test_frames_of_a_crowded_run_stay(scene, caplog):
    scene.balor.ioc.source = CROWDED
    scene.scan()
    assert len(scene.raw()) == 1
    assert "6 frames were too crowded for their photons to be counted" in caplog.text


def test_frames_stay_where_photons_are_not_written(scene, caplog):
    scene.live.read_as(photon_files=False)
    scene.scan()
    assert len(scene.raw()) == 1
    assert "no photon file that was written to its end names it" in caplog.text


def test_frames_stay_where_the_keeper_fails(scene, caplog):
    class Failing:
        def why_not_trusted(self, detector):
            return None

        def why_not_safe(self, raw, n_frames):
            raise OSError("disk gone")

    scene.balor.photon_keeper = Failing()
    scene.scan()
    assert len(scene.raw()) == 1
    assert "kept after all: OSError: disk gone" in caplog.text


def test_frames_stay_where_somebody_changes_their_mind(scene):
    def per_document(name, doc):
        if name == "stop":
            scene.balor.save_raw.put(True)

    scene.RE.subscribe(per_document)
    scene.scan()
    assert len(scene.raw()) == 1


def test_frames_of_a_run_that_did_not_say_so_stay(scene):
    """Switched off in the middle of a run, it counts from the next one on."""
    scene.balor.save_raw.put(True)
    token = scene.RE.subscribe(lambda name, doc: scene.balor.save_raw.put(False), "event")
    scene.scan()
    scene.RE.unsubscribe(token)
    assert len(scene.raw()) == 1
    assert NOT_KEPT not in named(scene, "start")[0]
    scene.scan()
    assert len(scene.raw()) == 1


def test_only_the_file_of_this_staging_goes(scene):
    scene.balor.save_raw.put(True)
    scene.scan()
    (before,) = scene.raw()
    other = before.with_name("other.h5")
    other.write_bytes(b"not ours")
    scene.balor.save_raw.put(False)
    scene.scan()
    assert scene.raw() == sorted([before, other])
    scene.balor.unstage()  # a second time, as a plan may
    assert scene.raw() == sorted([before, other])


def test_a_run_that_is_stopped_before_its_end_may_lose_its_frames(scene):
    with pytest.raises(Exception, match="paused"):
        scene.scan(pause_after_save=[0])
    scene.RE.stop()
    assert scene.raw() == []  # the photons of the one event are kept
    assert not scene.live.failures


def test_staging_is_refused_with_the_reason(scene):
    scene.balor.photon_keeper = None
    with pytest.raises(RawFramesError, match=r"save_raw is off\).*no photon_keeper is set"):
        scene.balor.stage()
    scene.balor.photon_keeper = scene.witness
    scene.witness.unsubscribe()
    with pytest.raises(RawFramesError, match="photon detection is not subscribed"):
        scene.balor.stage()
    scene.witness.subscribe_to(scene.RE)
    scene.live.configure({"photons": {"counting": False}})
    with pytest.raises(RawFramesError, match="does not count; configure it with counting=True"):
        scene.balor.stage()
    assert scene.raw() == []
    scene.balor.save_raw.put(True)
    scene.balor.stage()
    scene.balor.unstage()


def scan_that_fails(scene):
    """The raw file is away when it is to be read."""

    def break_it(name, doc):
        if name == "descriptor":
            (scene.raw()[0]).rename(scene.raw()[0].with_suffix(".away"))

    token = scene.RE.subscribe(break_it)
    scene.scan()
    scene.RE.unsubscribe(token)


def test_an_analysis_that_failed_is_not_trusted_until_it_is_forgiven(scene):
    scan_that_fails(scene)
    scene.live.wait()
    assert scene.live.failures
    with pytest.raises(RawFramesError, match=r"failed in the last run \(.*forgive\(\)"):
        scene.balor.stage()
    assert not scene.witness.is_trusted
    scene.witness.forgive()
    scene.scan()
    assert scene.raw() == []


def test_an_analysis_is_trusted_again_after_a_run_that_went_well(scene):
    scan_that_fails(scene)
    assert not scene.witness.is_trusted
    scene.balor.save_raw.put(True)
    scene.scan()
    assert scene.witness.is_trusted


def test_a_photon_detection_of_its_own_may_be_the_witness(tmp_path):
    detection = PhotonDetection(detector="zyla")
    witness = PhotonWitness(detection)
    with run_engine() as engine:
        witness.subscribe_to(engine)
        assert witness.why_not_trusted("andor3_balor1") == "photon detection counts on 'zyla' only"
        assert witness.why_not_trusted("zyla10") == "photon detection counts on 'zyla' only"
        assert witness.why_not_trusted("zyla") is None


def test_darks_are_kept_without_a_word(scene, caplog):
    scene.RE(collect_dark([scene.balor], n=2))
    assert len(scene.raw()) == 1
    assert "kept after all" not in caplog.text
    assert NOT_KEPT not in named(scene, "start")[0]
    scene.scan()
    assert len(scene.raw()) == 1  # of the scan they go, as ever


def test_a_plan_without_such_cameras_is_as_it_was(engine, scene):
    scene.balor.save_raw.put(True)
    engine(bpp.run_wrapper(iter(())))
    assert NOT_KEPT not in named(scene, "start")[0]
