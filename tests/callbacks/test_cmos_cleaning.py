from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from pydantic import ValidationError

from femto_bluesky.callbacks import CmosCleaning
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.testing.shots import make_shots

RAW = np.array([[0, 99, 100, 109, 110], [111, 112, 113, 1000, 65535]], np.uint16)


def shot(detector="andor3_zyla12", pixels=RAW, mask=None, **changes):
    known = settings_of(detector)
    made = Shot("r", 0, 0, detector, DenseFrame(np.array(pixels), mask), known=known)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("detector", "expected"),
    [
        ("andor3_zyla10", [[0, 0, 0, 0, 0], [0, 12, 13, 900, 65435]]),
        ("andor3_zyla12", [[0, 0, 0, 0, 0], [0, 12, 13, 900, 65435]]),
        ("andor3_balor", [[0, 0, 0, 0, 10], [11, 12, 13, 900, 65435]]),
    ],
)
def test_cameras_are_cleaned_as_the_table_says(detector, expected):
    found = CmosCleaning().update(shot(detector)).frame.dense()
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("detector", ["pilatus", "my_camera"])
def test_other_detectors_are_handed_on_as_they_are(detector):
    given = shot(detector)
    assert CmosCleaning().update(given) is given
    assert CmosCleaning().retract(given) is given


@pytest.mark.parametrize("detector", ["andor3_zyla12", "my_camera"])
def test_a_level_that_is_given_counts_before_the_table(detector):
    found = CmosCleaning(dark_adu=111, threshold_adu=2).update(shot(detector)).frame.dense()
    np.testing.assert_array_equal(found, [[0] * 5, [0, 0, 2, 889, 65424]])


def test_photon_counts_are_not_cleaned_unless_the_detector_is_named():
    counts = shot("pilatus")
    assert CmosCleaning(dark_adu=10).update(counts) is counts
    found = CmosCleaning(dark_adu=100, threshold_adu=0, detector="pilatus").update(counts)
    assert found.frame.dense()[1, 3] == 900


def test_one_detector_only():
    cleaning = CmosCleaning(detector="andor3_zyla12")
    assert cleaning.update(shot("andor3_zyla12")).frame.dense()[1, 3] == 900
    other = shot("andor3_zyla10")
    assert cleaning.update(other) is other


def test_a_named_detector_needs_a_dark_level():
    with pytest.raises(ValueError, match="'my_camera'") as error:
        CmosCleaning(detector="my_camera").update(shot("my_camera"))
    assert "give dark_adu or dark_file" in str(error.value)


def test_a_dark_image_from_a_file(tmp_path):
    dark = np.array([[10.4, 20, 30, 40, 50], [60, 70, 80, 90, 100]])
    np.save(tmp_path / "dark.npy", dark)
    cleaning = CmosCleaning(dark_file=tmp_path / "dark.npy", threshold_adu=60)
    expected = [[0, 79, 70, 69, 60], [0, 0, 0, 910, 65435]]
    np.testing.assert_array_equal(cleaning.update(shot()).frame.dense(), expected)
    assert CmosCleaning(dark_file=str(tmp_path / "dark.npy")).settings.dark_file.name == "dark.npy"


def test_a_dark_image_of_another_shape_is_refused(tmp_path):
    np.save(tmp_path / "dark.npy", np.zeros((5, 2)))
    cleaning = CmosCleaning(dark_file=tmp_path / "dark.npy")
    with pytest.raises(ValueError, match=r"has shape \(5, 2\), the frames have \(2, 5\)") as error:
        cleaning.update(shot())
    assert "same readout region" in str(error.value)


@pytest.mark.parametrize("content", [None, b"no image"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "dark.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="dark image") as error:
        CmosCleaning(dark_file=path).update(shot())
    assert str(path) in str(error.value)
    assert "check the path" in str(error.value) or "numpy.save" in str(error.value)


def test_a_pickled_dark_image_is_not_executed(tmp_path):
    np.save(tmp_path / "dark.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="dark image"):
        CmosCleaning(dark_file=tmp_path / "dark.npy").update(shot())


def test_the_mask_goes_with_the_clean_frame():
    mask = np.zeros(RAW.shape, bool)
    mask[1, 4] = True
    given = shot(mask=mask, labels={"laser_on": 1.0}, time=7.0)
    found = CmosCleaning().update(given)
    assert found.frame.mask is mask
    names = {field.name for field in fields(Shot)} - {"frame"}
    assert all(getattr(found, name) is getattr(given, name) for name in names)
    total = np.zeros(RAW.shape, np.uint32)
    found.frame.add_to(total)
    np.testing.assert_array_equal(total, [[0] * 5, [0, 12, 13, 900, 0]])


def test_a_clean_frame_is_not_cleaned_again():
    once = CmosCleaning().update(shot())
    assert CmosCleaning().update(once) is once


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
def test_any_type_of_frame(dtype):
    rng = np.random.default_rng(0)
    raw = rng.integers(80, 250, (6, 7)).astype(dtype)
    found = CmosCleaning().update(shot(pixels=raw)).frame.dense()
    above = raw.astype(int) - 100
    np.testing.assert_array_equal(found, np.where(above >= 12, above, 0))
    assert found.dtype == dtype


def test_settings_count_from_the_next_shot_on():
    cleaning = CmosCleaning()
    before = cleaning.update(shot())
    cleaning.configure({"dark_adu": 900})
    assert cleaning.update(shot()).frame.dense()[1, 3] == 100
    cleaning.configure({"threshold_adu": 101})
    assert cleaning.update(shot()).frame.dense()[1, 3] == 0
    assert before.frame.dense()[1, 3] == 900, "a shot handed on stays as it was"
    cleaning.configure({"dark_adu": None, "threshold_adu": None})
    assert cleaning.update(shot()).frame.dense()[1, 3] == 900
    record = {
        "dark_adu": None,
        "threshold_adu": None,
        "dark_file": None,
        "dark_files": {},
        "detector": None,
    }
    assert cleaning.settings_record() == record


def test_a_setting_that_makes_no_sense_changes_nothing():
    cleaning = CmosCleaning(dark_adu=5)
    for changes in ({"dark_adu": -1}, {"threshold_adu": "much"}, {"dark": 3}):
        with pytest.raises(ValidationError):
            cleaning.configure(changes)
    assert cleaning.settings.dark_adu == 5
    with pytest.raises(ValidationError, match="dark_adu"):
        CmosCleaning(dark_adu=-3)


def test_frames_of_many_kinds_in_turn():
    cleaning = CmosCleaning(dark_adu=100, threshold_adu=1)
    for n in [*range(1, 25), *range(1, 25)]:
        found = cleaning.update(shot(pixels=np.full((n, 3), 101 + n, np.uint16))).frame.dense()
        assert (found.shape, found.min(), found.max()) == ((n, 3), 1 + n, 1 + n)


def test_it_has_no_result_of_its_own():
    cleaning = CmosCleaning()
    for one in make_shots(("andor3_zyla12",)):
        cleaning.update(one)
    assert cleaning.result() is None
    assert (cleaning.groups(), cleaning.outputs(["andor3_zyla12"])) == ([], [])


def test_a_dark_image_is_read_again_when_it_is_set_again(tmp_path):
    (shot,) = make_shots(("andor3_zyla12",), n_steps=1, n_frames=1)
    path = tmp_path / "dark.npy"
    np.save(path, np.zeros(shot.frame.shape))
    cleaning = CmosCleaning(dark_file=path, threshold_adu=0)
    np.testing.assert_array_equal(cleaning.update(shot).frame.dense(), shot.frame.pixels)
    np.save(path, np.full(shot.frame.shape, 65_535))
    cleaning.configure({"dark_file": path})
    assert cleaning.update(shot).frame.dense().max() == 0


def test_a_dark_image_that_is_not_there_is_refused_and_changes_nothing(tmp_path):
    cleaning = CmosCleaning(dark_adu=3)
    with pytest.raises(ValueError, match="no such file"):
        cleaning.configure({"dark_file": tmp_path / "typo.npy"})
    assert cleaning.settings.dark_file is None
