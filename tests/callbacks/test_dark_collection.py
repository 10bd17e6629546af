from __future__ import annotations

import json

import numpy as np
import pytest
from ophyd import Signal

from femto_bluesky.callbacks import CmosCleaning, DarkCollection, LiveAnalysis, PhotonDetection
from femto_bluesky.callbacks.dark_collection import MAX_RUNS, use_darks
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files.arrays import ImageFileError, read_image
from femto_bluesky.files.darks import newest_darks, read_darks
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.photons import PhotonFrame
from femto_bluesky.plans import burst_scan, collect_dark
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_plan
from femto_bluesky.testing.shots import make_shots
from tests.stream.scans import assert_valid

SENSOR = {
    "shape": (120, 160),
    "n_hot_pixels": 6,
    "hot_share_of_frames": (0.3, 0.9),
    "dark_spread_adu": 8.0,
}
N_DARK = 40


@pytest.fixture(scope="module")
def lit():
    return BalorFrames(BalorSettings(n_photons=15, **SENSOR))


@pytest.fixture(scope="module")
def unlit():
    return BalorFrames(BalorSettings(n_photons=0, **SENSOR))


@pytest.fixture
def shutter():
    return Signal(name="shutter", value=1)


@pytest.fixture
def motor():
    return SimulatedMotor(name="delay")


@pytest.fixture
def balor(tmp_path, lit, unlit, shutter):
    return SimulatedDetector(
        name="andor3_balor1",
        source=lambda index, position: (lit if shutter.get() else unlit)(index, position),
        directory=tmp_path / "raw",
    )


@pytest.fixture
def darks(balor, shutter):
    """A collection that has seen a run of darks."""
    collection = DarkCollection()
    run_plan(collect_dark([balor], N_DARK, shutter=shutter), collection)
    assert collection.failures == []
    return collection


def raw(balor):
    return balor.truth(balor.bursts[-1])


def test_a_run_of_darks_tells_level_noise_and_hot_pixels(darks, unlit):
    frames = np.stack([unlit(index) for index in range(N_DARK)])
    images = darks.result()["andor3_balor1"]
    np.testing.assert_array_equal(images.level, frames.mean(axis=0).astype(np.float32))
    np.testing.assert_allclose(images.noise, frames.std(axis=0, ddof=1), rtol=1e-5)
    assert 95 < images.level_adu < 105
    assert 2.2 < images.noise_adu < 2.8
    assert images.n_frames == N_DARK
    found = set(map(tuple, np.argwhere(images.hot)))
    assert found == set(zip(*map(np.ndarray.tolist, unlit.hot_pixels), strict=True))


def test_data_are_never_taken_for_darks(balor, motor):
    collection = DarkCollection()
    run_plan(burst_scan([balor], motor, 0, 1, 2, 3), collection)
    assert collection.result() == {}
    assert collection.failures == []


def test_a_run_that_was_not_recorded_as_darks_can_be_taken_for_them(balor, motor, shutter):
    shutter.put(0)
    collection = DarkCollection(stream="primary")
    run_plan(burst_scan([balor], motor, 0, 1, 2, 3), collection)
    assert collection.result()["andor3_balor1"].n_frames == 6


def test_the_derived_run_says_what_was_found(balor, shutter, tmp_path):
    collection, derived = DarkCollection().read_as(stream="dark", directory=tmp_path), Recorder()
    collection.subscribe(derived)
    docs = run_plan(collect_dark([balor], 5, shutter=shutter), collection)
    assert_valid(derived.documents)
    (descriptor,) = [
        doc for name, doc in derived.documents if name == "descriptor" and doc["name"] == "darks"
    ]
    (event,) = [
        doc
        for name, doc in derived.documents
        if name == "event" and doc["descriptor"] == descriptor["uid"]
    ]
    images = collection.result()["andor3_balor1"]
    assert event["data"] == {
        "andor3_balor1_dark_level": images.level_adu,
        "andor3_balor1_dark_noise": images.noise_adu,
        "andor3_balor1_n_dark_frames": 5,
        "andor3_balor1_n_hot_pixels": int(images.hot.sum()),
    }
    assert images.run == docs[0][1]["uid"]
    assert descriptor["data_keys"]["andor3_balor1_dark_level_image"]["shape"] == [1, 120, 160]
    assert "darks" in dict(derived.documents)["stop"]["num_events"]


def test_what_was_told_is_told_anew_when_a_frame_comes():
    shots = make_shots(("andor3_zyla12",))
    collection = DarkCollection()
    for number, shot in enumerate(shots, 1):
        collection.update(shot)
        images = collection.result()["andor3_zyla12"]
        assert images.n_frames == number
        assert collection.result()["andor3_zyla12"] is images
    collection.retract(shots[-1])
    assert collection.result()["andor3_zyla12"].n_frames == len(shots) - 1
    with pytest.raises(ValueError, match="read-only"):
        collection.result()["andor3_zyla12"].level[0, 0] = 1


def test_only_the_newest_runs_are_remembered():
    shots = make_shots(("andor3_zyla12",), runs=("a", "b", "c"))
    collection = DarkCollection()
    for shot in shots:
        collection.update(shot)
    assert MAX_RUNS == 2
    assert [bool(collection.result(run)) for run in ("a", "b", "c")] == [False, True, True]
    assert {images.run for images in collection.result().values()} == {"c"}


def test_they_are_stored_and_read_again(darks, tmp_path):
    (files,) = darks.save(tmp_path / "darks").values()
    images = darks.result()["andor3_balor1"]
    np.testing.assert_array_equal(read_image(files.level, "dark image"), images.level)
    np.testing.assert_array_equal(read_image(files.noise, "noise"), images.noise)
    np.testing.assert_array_equal(read_image(files.hot_pixels, "mask"), images.hot)
    assert read_darks(files.folder) == files
    assert newest_darks(tmp_path / "darks") == {"andor3_balor1": files}
    record = json.loads((files.folder / "dark.json").read_text())
    assert record["run"] == images.run
    assert record["n_frames"] == N_DARK
    assert record["settings"] == darks.settings_record()
    assert record["last_frame_taken"].endswith("+00:00")
    assert files.folder.name.startswith("andor3_balor1_dark_2")


def test_nothing_is_overwritten_and_the_newest_is_found(darks, tmp_path, caplog):
    first = darks.save(tmp_path)["andor3_balor1"]
    before = {path: path.read_bytes() for path in first.folder.iterdir()}
    caplog.clear()
    second = darks.save(tmp_path)["andor3_balor1"]
    assert "exists already and is kept" in caplog.text
    assert first.folder != second.folder
    assert {path: path.read_bytes() for path in first.folder.iterdir()} == before
    record = second.folder / "dark.json"
    record.write_text(record.read_text().replace('"last_time": 1', '"last_time": 2'))
    assert newest_darks(tmp_path)["andor3_balor1"].folder == second.folder
    record.write_text("{")
    assert newest_darks(tmp_path)["andor3_balor1"].folder == first.folder
    assert "found no record of darks" in caplog.text


def test_what_cannot_be_stored_or_read_is_said(darks, tmp_path):
    with pytest.raises(ValueError, match=r"no dark frames to save; subscribe .* stream 'dark'"):
        DarkCollection().save(tmp_path)
    with pytest.raises(ImageFileError, match=r"found no record of darks \(dark\.json"):
        read_darks(tmp_path)
    files = darks.save(tmp_path)["andor3_balor1"]
    files.hot_pixels.unlink()
    with pytest.raises(ImageFileError, match=r"hot_pixels\.npy: no such file"):
        read_darks(files.folder)
    np.save(files.hot_pixels, np.zeros((3, 4), np.bool_))
    with pytest.raises(ImageFileError, match=r"has another shape than \(120, 160\)"):
        read_darks(files.folder)


def test_photons_are_counted_with_the_darks(darks, balor, motor, lit, tmp_path):
    files = darks.save(tmp_path)["andor3_balor1"]
    live = LiveAnalysis(photon_files=False)
    use_darks(live, files)
    assert live.photons.settings.dark_files == {"andor3_balor1": files.level}
    assert live.photons.settings.hot_pixel_files == {"andor3_balor1": files.hot_pixels}
    frames = []
    live.rois.update = lambda shot: frames.append(shot.frame) or shot
    run_plan(burst_scan([balor], motor, 0, 1, 2, 3), live)
    assert live.failures == []
    assert all(isinstance(frame, PhotonFrame) for frame in frames)
    near = lit.hot_pixels
    for frame, index in zip(frames, range(balor.bursts[-2].source_index, 10**9), strict=False):
        truth, photons = lit.truth(index), frame.photons
        assert len(photons) <= len(truth)
        # nothing within a pixel of those that fire
        away = [
            np.maximum(abs(photons["y"] - y), abs(photons["x"] - x)) > 0
            for y, x in zip(*near, strict=True)
        ]
        assert np.all(away)
        assert sum(frame.n_hot for frame in frames) == 0


def test_a_camera_is_cleaned_with_the_darks(tmp_path):
    shots = make_shots(("andor3_zyla12",))
    collection, live = DarkCollection(), LiveAnalysis()
    for shot in shots:
        collection.update(shot)
    files = collection.save(tmp_path)
    use_darks(live, files)
    cleaning = CmosCleaning(dark_file=files["andor3_zyla12"].level)
    for shot in shots:
        np.testing.assert_array_equal(
            live.cleaning.update(shot).frame.dense(), cleaning.update(shot).frame.dense()
        )
    assert live.photons.settings == PhotonDetection().settings


def test_both_sorts_of_camera_and_a_counting_detector(tmp_path):
    collection = DarkCollection()
    for shot in make_shots(("andor3_zyla12", "andor3_balor1", "pilatus")):
        collection.update(shot)
    live = LiveAnalysis()
    use_darks(live, collection.save(tmp_path))
    assert list(live.photons.settings.dark_files) == ["andor3_balor1"]
    assert list(live.photons.settings.hot_pixel_files) == ["andor3_balor1"]
    assert list(live.cleaning.settings.dark_files) == ["andor3_zyla12"]


def test_darks_of_a_detector_that_the_table_does_not_know(tmp_path):
    collection = DarkCollection()
    for shot in make_shots(("my_camera",)):
        collection.update(shot)
    live = LiveAnalysis(detectors={"my_camera": DetectorSettings(kind="camera", dark_adu=0)})
    use_darks(live, collection.save(tmp_path))
    assert list(live.cleaning.settings.dark_files) == ["my_camera"]


@pytest.mark.parametrize(
    "names", [("andor3_zyla10", "andor3_zyla12"), ("andor3_balor1", "andor3_balor2")]
)
def test_two_cameras_of_one_sort_have_their_own(tmp_path, names):
    shots = make_shots(names)
    collection, live, alone = DarkCollection(), LiveAnalysis(photon_files=False), {}
    for shot in shots:
        collection.update(shot)
    files = collection.save(tmp_path)
    assert not np.array_equal(*(np.load(files[name].level) for name in names))
    for name in names:  # one by one, as they are collected
        use_darks(live, files[name])
        alone[name] = LiveAnalysis(photon_files=False)
        use_darks(alone[name], files[name])
    assert json.loads(json.dumps(live.settings_record())) == live.settings_record()
    for pipeline in (live, live.fresh()):
        for shot in shots:
            expected = alone[shot.detector]
            frames = [
                part.photons.update(part.cleaning.update(shot)).frame.dense()
                for part in (pipeline, expected)
            ]
            np.testing.assert_array_equal(*frames)
    counted = "andor3_balor1" in names
    part = live.photons if counted else live.cleaning
    assert part.settings.dark_files == {name: files[name].level for name in names}


def test_darks_that_nobody_would_use_are_refused(tmp_path):
    collection = DarkCollection()
    for shot in make_shots(("andor3_zyla10",)):
        collection.update(shot)
    files, live = collection.save(tmp_path), LiveAnalysis(cmos={"detector": "andor3_zyla12"})
    before = live.settings_record()
    with pytest.raises(ValueError, match=r"'andor3_zyla10' cannot .* confined to 'andor3_zyla12'"):
        use_darks(live, files)
    files["andor3_zyla10"].level.unlink()
    live.configure({"cmos": {"detector": None}})
    with pytest.raises(ValueError, match="no such file"):
        use_darks(live, files)
    live.configure({"cmos": {"detector": "andor3_zyla12"}})
    assert live.settings_record() == before


def test_settings(darks):
    darks.configure({"n_sigmas": 1e6})
    assert not darks.result()["andor3_balor1"].hot.any()
    with pytest.raises(ValueError, match="the stream cannot be changed while documents come"):
        darks.configure({"stream": "primary"})
    with pytest.raises(ValueError, match="greater than 0"):
        DarkCollection(n_sigmas=0)


def test_images_can_be_drawn(darks):
    level, noise = darks.groups()
    assert (level.path, noise.path) == ("dark_level/andor3_balor1", "dark_noise/andor3_balor1")
    assert f"{N_DARK} frames, 6 hot pixels" in level.title
    assert level.mask.sum() == 6
