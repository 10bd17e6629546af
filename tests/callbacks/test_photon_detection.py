from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import Accumulation, CmosCleaning, LiveAnalysis, PhotonDetection
from femto_bluesky.callbacks import RoiMeans as Means
from femto_bluesky.kernels.photons import find_photons
from femto_bluesky.kernels.sparse import clean_image
from femto_bluesky.model.detectors import DetectorSettings, PhotonFinding, settings_of
from femto_bluesky.model.photons import CrowdedFrame, PhotonFrame
from femto_bluesky.model.rois import Roi, RoiError
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.stream.analysis import AnalysisError
from tests.callbacks.photon_shots import BALOR, FRAMES, SHAPE, accepted, seen, shot


def test_the_frame_is_handed_on_as_its_photons():
    pixels = FRAMES(0, 0.0)
    handed = PhotonDetection().update(shot(pixels))
    assert isinstance(handed.frame, PhotonFrame)
    np.testing.assert_array_equal(handed.frame.photons, accepted(pixels))
    expected = clean_image(accepted(pixels), SHAPE, 1100)
    np.testing.assert_array_equal(handed.frame.dense(), expected)
    assert handed.frame.found_with.settings["energy_min_adu"] == 800
    assert handed.frame.found_with.settings["dark_adu"] == 100


def test_the_numbers_of_a_shot():
    pixels = FRAMES(0, 0.0)
    pixels[50:53, 60:63] = 100 + np.outer([1, 4, 1], [1, 4, 1]) * 70  # 2520 ADU
    detection = PhotonDetection()
    detection.update(shot(pixels))
    found, hits = accepted(pixels), find_photons(pixels)
    assert detection.shot_row("run", 0) == {
        f"{BALOR}_n_photons": len(found),
        f"{BALOR}_n_photons_by_energy": int(np.maximum(1, np.rint(found["energy"] / 1200)).sum()),
        f"{BALOR}_photon_energy_max": 2520.0,
        f"{BALOR}_n_overlaps": np.count_nonzero(found["energy"] > 1400),
        f"{BALOR}_n_hot_pixels": len(hits) - len(found),
        f"{BALOR}_overlap_share_expected": pytest.approx(60 * 9 / (300 * 400), rel=0.4),
        f"{BALOR}_is_crowded": 0,
    }
    assert len(hits) > len(found) > 50


def test_the_numbers_of_a_step():
    frames = [FRAMES(index, 0.0) for index in range(4)]
    detection = PhotonDetection()
    seen(detection, frames)
    counts = [len(accepted(frame)) for frame in frames]
    row = detection.step_row("run", 1)
    assert row[f"{BALOR}_n_photons"] == sum(counts[2:])
    assert row[f"{BALOR}_n_photons_mean"] == np.mean(counts[2:])
    assert row[f"{BALOR}_n_photons_std"] == np.std(counts[2:])
    assert row[f"{BALOR}_n_photons_sem"] == np.std(counts[2:], ddof=1) / np.sqrt(2)
    assert (row[f"{BALOR}_n_photons_n"], row[f"{BALOR}_n_crowded"]) == (2, 0)
    assert row[f"{BALOR}_photon_energy_max"] == max(
        accepted(frame)["energy"].max() for frame in frames[2:]
    )
    n_hot = sum(len(find_photons(frame)) for frame in frames[2:]) - sum(counts[2:])
    assert row[f"{BALOR}_hot_pixel_share"] == n_hot / (n_hot + sum(counts[2:])) > 0
    result = detection.result()
    assert result["delay"].tolist() == [0, 0.5]
    assert result[f"{BALOR}_n_photons"].tolist() == [sum(counts[:2]), sum(counts[2:])]


def test_the_histogram_of_energies_in_all_and_of_each_step():
    frames = [FRAMES(index, 0.0) for index in range(4)]
    detection = PhotonDetection(histogram_bin_adu=100, histogram_n_bins=12)
    seen(detection, frames)
    of_frames = [
        np.histogram(np.minimum(accepted(f)["energy"], 1199), 12, (0, 1200))[0] for f in frames
    ]
    np.testing.assert_array_equal(detection.histogram(BALOR), sum(of_frames))
    group = next(g for g in detection.groups() if g.path == f"energy_histogram/{BALOR}")
    np.testing.assert_array_equal(group.signal.values, sum(of_frames))
    assert group.axes[0].values.tolist() == [50 + 100 * i for i in range(12)]
    steps = next(g for g in detection.groups() if g.path == f"energies_of_steps/{BALOR}")
    steps.check()
    np.testing.assert_array_equal(
        steps.signal.values, [of_frames[0] + of_frames[1], of_frames[2] + of_frames[3]]
    )
    assert steps.axes[0].values.tolist() == [0, 0.5]
    assert detection.offsets(BALOR).sum() > 300


def test_a_frame_with_too_many_photons_is_thresholded_and_counted_as_such():
    crowd = BalorFrames(BalorSettings(shape=SHAPE, n_photons=4000, n_hot_pixels=0))(0, 0.0)
    detection = PhotonDetection()
    handed = seen(detection, [FRAMES(0, 0.0), crowd])
    assert isinstance(handed[1].frame, CrowdedFrame)
    as_camera = CmosCleaning(dark_adu=100, threshold_adu=10).update(shot(crowd)).frame.dense()
    np.testing.assert_array_equal(handed[1].frame.dense(), as_camera)
    row = detection.shot_row("run", 1)
    assert row[f"{BALOR}_is_crowded"] == 1
    assert row[f"{BALOR}_n_photons"] is None
    assert 0.15 < row[f"{BALOR}_overlap_share_expected"] < 0.3
    step = detection.step_row("run", 0)
    assert step[f"{BALOR}_n_photons"] == len(accepted(FRAMES(0, 0.0)))
    assert (step[f"{BALOR}_n_photons_n"], step[f"{BALOR}_n_crowded"]) == (1, 1)
    lenient = PhotonDetection(max_overlap_share=0.5).update(shot(crowd))
    assert isinstance(lenient.frame, PhotonFrame)


def test_a_run_in_which_nothing_can_be_counted(caplog):
    crowd = BalorFrames(BalorSettings(shape=SHAPE, n_photons=4000, n_hot_pixels=0))
    detection = PhotonDetection()
    seen(detection, [crowd(index, 0.0) for index in range(4)])
    assert caplog.text.count("too many photons on 'andor3_balor1' to be counted, ") == 1
    assert detection.result()[f"{BALOR}_n_crowded"].tolist() == [2, 2]
    assert np.isnan(detection.result()[f"{BALOR}_n_photons"]).all()
    steps, shots, energies = detection.groups()
    for group in (steps, shots, energies):
        group.check()
    assert np.isnan(steps.signal.values).all()
    assert np.isnan(shots.signal.values).all()
    assert energies.signal.values.sum() == 0


def test_a_detector_that_is_not_there_is_told(caplog):
    known = {BALOR: settings_of(BALOR)}
    assert PhotonDetection(detector="andor3_zyla12").outputs(known) == []
    assert "counted on 'andor3_zyla12', which this run does not have" in caplog.text


def test_thresholds_in_disorder():
    with pytest.raises(ValueError, match=r"overlap_adu is 1400, expected at least energy_min_adu"):
        PhotonDetection(energy_min_adu=2000)


def test_a_crowded_and_a_counted_frame_are_added_up():
    crowd = BalorFrames(BalorSettings(shape=SHAPE, n_photons=4000))(0, 0.0)
    detection, total = PhotonDetection(), Accumulation()
    handed = [total.update(s) for s in seen(detection, [FRAMES(0, 0.0), crowd])]
    expected = handed[0].frame.dense().astype(np.float64) + handed[1].frame.dense()
    np.testing.assert_array_equal(total.result().image, expected)


def test_a_region_is_where_photons_are_looked_for():
    roi = Roi(x0=100, y0=50, x1=200, y1=150)
    pixels = FRAMES(0, 0.0)
    handed = PhotonDetection(roi=roi).update(shot(pixels))
    np.testing.assert_array_equal(handed.frame.photons, accepted(pixels, roi=roi))
    image = handed.frame.dense()
    inside = image[roi.box].sum()
    assert image.sum() == inside > 0
    # outside it nobody looked: such pixels carry no data, they do not hold 0
    assert handed.frame.mask.sum() == 300 * 400 - 100 * 100
    assert not handed.frame.mask[roi.box].any()
    half = Roi(x0=150, y0=50, x1=250, y1=150)
    assert handed.frame.sum_and_count(half) == (image[half.box].sum(), 50 * 100)
    crowded = PhotonDetection(roi=roi, max_overlap_share=1e-6).update(shot(pixels)).frame
    np.testing.assert_array_equal(crowded.mask, handed.frame.mask)
    other = PhotonDetection(roi=roi.model_copy(update={"detector": "andor3_balor2"}))
    np.testing.assert_array_equal(other.update(shot(pixels)).frame.photons, accepted(pixels))
    with pytest.raises(RoiError, match="reaches outside the frames of 'andor3_balor1'"):
        PhotonDetection(roi=Roi(x0=0, y0=0, x1=401, y1=10)).update(shot(pixels))


def test_hot_pixels_from_a_file_carry_no_data(tmp_path):
    hot = np.zeros(SHAPE, bool)
    hot[FRAMES.hot_pixels] = True
    np.save(tmp_path / "hot.npy", hot)
    detection = PhotonDetection(hot_pixel_file=tmp_path / "hot.npy")
    for index in range(4):
        pixels = FRAMES(index, 0.0)
        handed = detection.update(shot(pixels, index))
        np.testing.assert_array_equal(handed.frame.photons, accepted(pixels, mask=hot))
        np.testing.assert_array_equal(handed.frame.mask, hot)
    row = detection.step_row("run", 0)
    assert row[f"{BALOR}_hot_pixel_share"] == 0
    masked = np.zeros(SHAPE, bool)
    masked[:, :100] = True
    both = detection.update(shot(FRAMES(0, 0.0), 9, mask=masked)).frame
    np.testing.assert_array_equal(both.mask, hot | masked)
    assert both.photons["x"].min() > 99


def test_a_dark_image_from_a_file(tmp_path):
    frames = BalorFrames(BalorSettings(shape=SHAPE, n_photons=60, dark_spread_adu=20))
    np.save(tmp_path / "dark.npy", frames.dark)
    pixels = frames(0, 0.0)
    handed = PhotonDetection(dark_file=tmp_path / "dark.npy").update(shot(pixels))
    dark = frames.dark.astype(np.float32)
    np.testing.assert_array_equal(handed.frame.photons, accepted(pixels, dark=dark))
    assert handed.frame.found_with.settings["dark_file"] == str(tmp_path / "dark.npy")
    np.save(tmp_path / "dark.npy", frames.dark[:5])
    wrong = PhotonDetection(dark_file=tmp_path / "dark.npy")
    with pytest.raises(AnalysisError, match=r"dark image has the shape \(5, 400\)") as error:
        wrong.update(shot(pixels))
    assert "counting photons on 'andor3_balor1'" in str(error.value)
    assert f"(from {tmp_path / 'dark.npy'})" in str(error.value)


def test_files_that_cannot_be_read_are_said_when_it_is_made(tmp_path):
    with pytest.raises(ValueError, match="no such file, expected a dark image"):
        PhotonDetection(dark_file=tmp_path / "dark.npy")
    detection = PhotonDetection()
    with pytest.raises(ValueError, match="no such file, expected a mask of hot pixels"):
        detection.configure({"hot_pixel_file": tmp_path / "hot.npy"})
    assert detection.settings.hot_pixel_file is None


def test_other_detectors_are_handed_on_as_they_are():
    detection = PhotonDetection()
    for detector in ("pilatus", "andor3_zyla10", "camera"):
        other = shot(FRAMES(0, 0.0), detector=detector)
        assert detection.update(other) is other
        assert detection.retract(other) is other
    known = {name: settings_of(name) for name in ("pilatus", "andor3_zyla10", "camera")}
    assert (detection.outputs(known), detection.groups(), detection.result()) == ([], [], {})


def test_a_zyla_is_counted_when_it_is_named():
    detection = PhotonDetection(detector="andor3_zyla10", energy_min_adu=500)
    pixels = FRAMES(0, 0.0)
    handed = detection.update(shot(pixels, detector="andor3_zyla10"))
    np.testing.assert_array_equal(handed.frame.photons, accepted(pixels, energy_min=500))
    balor = shot(pixels)
    assert detection.update(balor) is balor
    with pytest.raises(ValueError, match="'my_camera', for which the table of detectors has no"):
        PhotonDetection(detector="my_camera").update(shot(pixels, detector="my_camera"))


def test_the_table_says_how_photons_are_found_and_settings_say_it_better():
    known = DetectorSettings(dark_adu=90, photons=PhotonFinding(energy_min_adu=300, photon_adu=500))
    pixels = FRAMES(0, 0.0)
    one = Shot("run", 0, 0, "cam", DenseFrame(pixels), known=known)
    found = PhotonDetection().update(one).frame
    np.testing.assert_array_equal(found.photons, accepted(pixels, dark=90, energy_min=300))
    found = PhotonDetection(dark_adu=100, energy_min_adu=900).update(one).frame
    np.testing.assert_array_equal(found.photons, accepted(pixels, energy_min=900))
    assert found.found_with.settings["photon_adu"] == 500


def test_counting_can_be_switched_off_and_on():
    detection, one = PhotonDetection(counting=False), shot(FRAMES(0, 0.0))
    assert detection.update(one) is one
    detection.configure({"counting": True})
    assert isinstance(detection.update(one).frame, PhotonFrame)


def test_a_shot_is_taken_back_with_the_settings_that_it_was_counted_with():
    detection, one = PhotonDetection(), shot(FRAMES(0, 0.0))
    before = detection.update(one).frame.photons
    detection.configure({"energy_min_adu": 1200})
    np.testing.assert_array_equal(detection.retract(one).frame.photons, before)
    assert detection.histogram(BALOR).sum() == 0
    assert detection.step_row("run", 0) == {}
    assert len(detection.update(one).frame.photons) < len(before)


def test_the_bins_cannot_be_changed_on_the_way():
    detection = PhotonDetection()
    detection.configure({"histogram_bin_adu": 20.0})  # nothing is counted into them yet
    detection.configure({"histogram_bin_adu": 10.0})
    detection.update(shot(FRAMES(0, 0.0)))
    with pytest.raises(ValueError, match="bins of the histogram cannot be changed"):
        detection.configure({"histogram_bin_adu": 20.0})
    assert detection.settings.histogram_bin_adu == 10


def test_hours_without_a_motor_are_one_histogram():
    """Each frame is a step of its own then; a histogram for each would fill the memory."""
    detection = PhotonDetection()
    for number in range(6):
        detection.update(shot(FRAMES(0, 0.0), number, step=number, position={"frame": number}))
    assert len(detection._histograms) == 1
    assert len(detection.result()["frame"]) == 6


def test_region_means_and_sums_come_from_the_photons():
    rois = {"left": Roi(x0=0, y0=0, x1=200, y1=300)}
    live = LiveAnalysis(rois, photon_files=False)
    frames = [FRAMES(index, 0.0) for index in range(4)]
    seen(live, frames)
    clean = [clean_image(accepted(frame), SHAPE, 1100).astype(np.float64) for frame in frames]
    result = live.result()
    np.testing.assert_array_equal(result.accumulated[BALOR].image, sum(clean))
    means = [image[:, :200].sum() / (200 * 300) for image in clean]
    np.testing.assert_array_equal(
        result.steps[f"{BALOR}_left_mean"], [np.mean(means[:2]), np.mean(means[2:])]
    )
    n_photons = sum(len(accepted(frame)) for frame in frames)
    assert result.photons[f"{BALOR}_n_photons"].sum() == n_photons
    by_hand = Means(rois)
    seen(by_hand, clean)
    np.testing.assert_array_equal(by_hand.result()[f"{BALOR}_left_mean"],
                                  result.steps[f"{BALOR}_left_mean"])  # fmt: skip


def test_pictures_and_columns_are_declared(tmp_path):
    names = {f"{BALOR}": settings_of(BALOR), "andor3_balor2": settings_of(BALOR)}
    outputs = PhotonDetection().outputs(names)
    assert {o.stream for o in outputs} == {
        "shots", "primary", f"photons_{BALOR}", "photons_andor3_balor2",
    }  # fmt: skip
    alone = PhotonDetection().outputs({BALOR: settings_of(BALOR)})
    columns = {o.name: o.column for o in alone if o.stream == "photons"}
    assert columns == {f"{BALOR}_photon_{key}": key for key in ("y", "x", "energy", "frame")}
    assert [o.name for o in alone if o.hinted] == [f"{BALOR}_n_photons_mean"]
