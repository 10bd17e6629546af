from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from femto_bluesky.model.rois import Roi, RoiError, check_names, slug


def test_a_box_is_half_open_and_x_is_the_column():
    image = np.arange(48).reshape(6, 8)
    roi = Roi(x0=1, y0=2, x1=4, y1=6)
    assert roi.shape == (4, 3)
    expected = [[image[y, x] for x in range(1, 4)] for y in range(2, 6)]
    np.testing.assert_array_equal(image[roi.box], expected)


@pytest.mark.parametrize("box", [(3, 0, 3, 2), (0, 2, 3, 2), (4, 0, 3, 2), (0, 5, 3, 2)])
def test_an_empty_box_is_refused(box):
    with pytest.raises(ValidationError, match="an empty ROI") as error:
        Roi(**dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)))
    assert "x1 must be above x0 and y1 above y0" in str(error.value)


def test_a_box_begins_in_the_image():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Roi(x0=-1, y0=0, x1=3, y1=3)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Roi(x0=0, y0=0, x1=3, y1=3, width=5)


def test_the_whole_frame_is_inside():
    Roi(x0=0, y0=0, x1=8, y1=6).check_inside((6, 8), "all", "cam")
    Roi(x0=7, y0=5, x1=8, y1=6).check_inside((6, 8), "last pixel", "cam")


@pytest.mark.parametrize("roi", [Roi(x0=0, y0=0, x1=9, y1=6), Roi(x0=0, y0=0, x1=8, y1=7)])
def test_a_box_that_reaches_outside_is_refused(roi):
    with pytest.raises(RoiError, match="reaches outside") as error:
        roi.check_inside((6, 8), "ROI 2", "cam")
    words = str(error.value)
    for part in (
        "'ROI 2'",
        "'cam'",
        "8 columns and 6 rows",
        "detector that it is for: detector=...",
    ):
        assert part in words


def test_a_box_lies_on_its_detector_or_on_all():
    everywhere = Roi(x0=0, y0=0, x1=1, y1=1)
    here = Roi(x0=0, y0=0, x1=1, y1=1, detector="cam")
    assert everywhere.is_on("cam")
    assert everywhere.is_on("other")
    assert here.is_on("cam")
    assert not here.is_on("cam2")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ROI 2", "ROI_2"),
        ("(111) peak!", "111_peak"),
        ("Röntgen 界", "Röntgen_界"),
        ("a--b", "a_b"),
        ("a_b", "a_b"),
    ],
)
def test_slug(name, expected):
    assert slug(name) == expected


@pytest.mark.parametrize("name", ["", "  ", "!?", "___"])
def test_a_name_without_a_letter_is_refused(name):
    with pytest.raises(RoiError, match="holds no letter or digit"):
        slug(name)


def test_names_that_would_be_one_data_key_are_refused():
    assert check_names(["ROI 1", "ROI 2"]) == {"ROI 1": "ROI_1", "ROI 2": "ROI_2"}
    with pytest.raises(RoiError, match="'ROI 2' and 'ROI-2' both become 'ROI_2'") as error:
        check_names(["ROI 2", "ROI-2"])
    assert "rename one" in str(error.value)
