from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis, PhotonDetection
from femto_bluesky.model.photons import CrowdedFrame, PhotonFrame
from femto_bluesky.model.rois import Roi
from tests.callbacks.photon_shots import BALOR, FRAMES, SHAPE, accepted, shot


def test_two_shots_taken_again_with_other_settings_between():
    """Each is taken back as it was seen, though the first is there again with other settings."""
    detection = PhotonDetection()
    both = [shot(FRAMES(index, 0.0), index) for index in range(2)]
    for one in both:
        detection.update(one)
    detection.configure({"energy_min_adu": 1210})
    for one in both:
        detection.retract(one)
        detection.update(one)
    n = sum(len(accepted(FRAMES(index, 0.0), energy_min=1210)) for index in range(2))
    assert detection.histogram(BALOR).sum() == n
    assert detection.result()[f"{BALOR}_n_photons"].tolist() == [n]


def test_a_shot_that_was_not_counted_is_not_taken_out():
    detection, one = PhotonDetection(counting=False), shot(FRAMES(0, 0.0))
    assert detection.update(one) is one
    detection.configure({"counting": True})
    assert detection.retract(one) is one
    assert not detection.histogram(BALOR).any()


def test_a_run_that_is_seen_twice_is_counted_once():
    detection, one = PhotonDetection(), shot(FRAMES(0, 0.0))
    detection.update(one)
    before = detection.histogram(BALOR).copy()
    detection.update(one)
    np.testing.assert_array_equal(detection.histogram(BALOR), before)
    detection.configure({"energy_min_adu": 1210})
    detection.update(one)
    n = len(accepted(FRAMES(0, 0.0), energy_min=1210))
    assert (
        detection.histogram(BALOR).sum() == n == detection.step_row("run", 0)[f"{BALOR}_n_photons"]
    )


def test_parts_that_overlap_are_not_merged():
    one, other = PhotonDetection(), PhotonDetection()
    one.update(shot(FRAMES(0, 0.0), 3))
    other.update(shot(FRAMES(0, 0.0), 3))
    with pytest.raises(ValueError, match="shot 3 of run run is in both parts"):
        one.merge(other)
    other.clear()
    other.update(shot(FRAMES(0, 0.0), 3, detector="andor3_balor2"))
    one.merge(other)
    assert len(one.shot_row("run", 3)) == 14


@pytest.mark.parametrize("level", [65535, 4095, 2000])
@pytest.mark.parametrize("roi", [None, Roi(x0=100, y0=100, x1=200, y1=200)])
def test_a_flooded_frame_is_crowded_also_in_a_region(level, roi):
    flooded = np.full(SHAPE, level, np.uint16)
    assert isinstance(PhotonDetection(roi=roi).update(shot(flooded)).frame, CrowdedFrame)


def test_a_file_that_is_replaced_is_read_when_configured_and_not_before(tmp_path):
    path = tmp_path / "dark.npy"
    np.save(path, np.full(SHAPE, 100.0))
    detection, one = PhotonDetection(dark_file=path), shot(FRAMES(0, 0.0))
    first = detection.update(one).frame.photons
    path.unlink()
    np.save(path, np.full(SHAPE, 90.0, np.float32))
    detection.configure({"view_min_adu": 1000})
    np.testing.assert_array_equal(detection.retract(one).frame.photons, first)
    assert not detection.histogram(BALOR).any()
    second = detection.update(one).frame.photons
    assert second["energy"].mean() > first["energy"].mean() + 80


def test_settings_that_do_not_fit_the_frames_change_nothing(tmp_path):
    live = LiveAnalysis(photon_files=False)
    live.update(shot(FRAMES(0, 0.0)))
    np.save(tmp_path / "dark.npy", np.zeros((5, 5)))
    before = live.settings_record()
    for changes, words in (
        ({"roi": Roi(x0=0, y0=0, x1=401, y1=10)}, "reaches outside the frame of 300 rows"),
        ({"dark_file": tmp_path / "dark.npy"}, r"dark image has the shape \(5, 5\)"),
    ):
        with pytest.raises(ValueError, match=words):
            live.configure({"photons": changes, "accumulate": False})
    assert live.settings_record() == before
    assert isinstance(live.update(shot(FRAMES(1, 0.0), 1)).frame, PhotonFrame)


def test_of_the_settings_of_photons_only_what_is_named_is_changed():
    live = LiveAnalysis(photons={"dark_adu": 99, "histogram_n_bins": 40}, photon_files=False)
    live.update(shot(FRAMES(0, 0.0)))
    live.configure({"photons": {"energy_min_adu": 700}})
    settings = live.photons.settings
    assert (settings.dark_adu, settings.histogram_n_bins, settings.energy_min_adu) == (99, 40, 700)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_energies_beyond_all_bounds_stop_nothing(dtype):
    pixels = FRAMES(0, 0.0).astype(dtype)
    pixels[50, 50] = 3e38
    detection = PhotonDetection(hot_share=1)
    detection.update(shot(pixels))
    assert detection.histogram(BALOR)[-1] == 1
    for wrong in ({"photon_adu": 1e-300}, {"histogram_bin_adu": np.inf}):
        with pytest.raises(ValueError, match=r"greater than or equal|finite"):
            PhotonDetection(**wrong)


def test_many_steps_do_not_take_long_and_a_fresh_one_reads_alike(tmp_path):
    live = LiveAnalysis(photon_files=False).fresh()
    assert live._reading.photon_files is False
    assert PhotonDetection().read_as(directory=tmp_path).fresh()._reading.directory == tmp_path


MEMORY = """
import resource
import numpy as np
from femto_bluesky.callbacks import PhotonDetection
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.stream.analysis import AnalysisError

frames = BalorFrames(BalorSettings(n_photons=1000))
pixels = [frames(index, 0.0) for index in range(2)]
def used_mb():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6
before = used_mb()
detection, most = PhotonDetection(), 0.0
for number in range(200):
    detection.update(Shot("run", number // 10, number, "andor3_balor1",
                          DenseFrame(pixels[number % 2]), position={"delay": number // 10},
                          known=settings_of("andor3_balor1")))
    most = max(most, used_mb() - before)
assert detection.result()["andor3_balor1_n_photons"].sum() > 190_000
print(most)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory is read from /proc, which Linux has"
)
def test_200_full_frames_need_little_memory():
    run = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 150


COMPILED = """
import numba.core.event as events
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.testing.shots import make_shots

live = LiveAnalysis({"region": Roi(x0=1, y0=1, x1=9, y1=9)}, photon_files=False)
with events.install_recorder("numba:compile") as compiled:
    for shot in make_shots(("andor3_balor1", "pilatus", "andor3_zyla12"), n_frames=4,
                           shape=(48, 64)):
        live.update(shot)
    live.result(), live.groups()
assert len(live.accumulations.of) == 3
assert live.photons.result()["andor3_balor1_n_crowded"].sum() > 0
print([str(event.data["dispatcher"]) for _, event in compiled.buffer])
"""


@pytest.mark.long
def test_nothing_is_compiled_when_frames_come(tmp_path, monkeypatch):
    """Not on a machine where nothing has been compiled before, either."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMPILED)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
