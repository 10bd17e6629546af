from __future__ import annotations

import pytest
from pydantic import ValidationError

from femto_bluesky.model.detectors import DetectorSettings, settings_of


@pytest.mark.parametrize(
    ("name", "pixel_um", "dark", "threshold", "mask_negative"),
    [
        ("pilatus", 172, None, 0, True),
        ("pilatus2", 172, None, 0, True),
        ("andor3_zyla10", 6.5, 100, 12, False),
        ("andor3_zyla12", 6.5, 100, 12, False),
        ("andor3_balor", 12, 100, 10, False),
    ],
)
def test_the_table(name, pixel_um, dark, threshold, mask_negative):
    found = settings_of(name)
    assert found.pixel_size_m == pytest.approx((pixel_um * 1e-6, pixel_um * 1e-6))
    assert (found.dark_adu, found.threshold_adu) == (dark, threshold)
    assert found.mask_negative is mask_negative


@pytest.mark.parametrize("name", ["my_camera", "", "Pilatus", "my_pilatus", "andor3"])
def test_an_unknown_detector_is_used_as_it_is(name):
    assert settings_of(name) == DetectorSettings()
    assert DetectorSettings().dark_adu is None
    assert DetectorSettings().mask_negative is False
    assert DetectorSettings().pixel_size_m is None


def test_the_longest_name_wins():
    known = {"cam": DetectorSettings(dark_adu=1), "cam_fast": DetectorSettings(dark_adu=2)}
    assert settings_of("cam_fast_2", known).dark_adu == 2
    assert settings_of("cam_slow", known).dark_adu == 1


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        DetectorSettings(dark_adu=-1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        DetectorSettings(dark=100)
    with pytest.raises(ValidationError, match="frozen"):
        DetectorSettings().dark_adu = 3
