"""Where rings do not support a calibration it is refused, and the words say why."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.model.calibrants import CalibrantError
from femto_bluesky.model.geometry import GeometryError
from femto_bluesky.model.masks import MaskError
from femto_bluesky.offline.calibration import CalibrationError, calibrate
from tests.offline import powder


@pytest.fixture(scope="module")
def image():
    return powder.image_of(powder.expected(), 30_000)


@pytest.mark.parametrize("mean", [0.001, 0.03, 1.0])
def test_no_rings(mean):
    flat = np.random.default_rng(0).poisson(mean, powder.SHAPE) * 13.5
    with pytest.raises(CalibrationError, match=r"no rings of LaB6 are seen within 2 mm and 4%"):
        calibrate(flat, start=powder.TRUTH)


def test_no_counts_and_no_pixels(image):
    with pytest.raises(CalibrationError, match=r"96000 live pixels .* counted nothing; take a"):
        calibrate(np.zeros(powder.SHAPE), start=powder.TRUTH)
    with pytest.raises(CalibrationError, match=r"all pixels .* are masked or below 0"):
        calibrate(-image - 1, start=powder.TRUTH)
    half = np.ones(powder.SHAPE, bool)
    half[:, :200] = image[:, :200] > 0
    with pytest.raises(CalibrationError, match="counted nothing"):
        calibrate(image, start=powder.TRUTH, mask=half)


def test_too_few_counts():
    share = powder.expected()
    with pytest.raises(CalibrationError, match=r"longer sum|would be uncertain by"):
        calibrate(powder.image_of(share, 250), start=powder.TRUTH)


@pytest.mark.parametrize("powder_name", ["CeO2", "Si", "Al", "AgBh"])
def test_another_powder(image, powder_name):
    with pytest.raises(CalibrationError) as refused:
        calibrate(image, powder_name, start=powder.off(0, pixels=2, share=0.005))
    words = str(refused.value)
    assert powder_name in words
    assert "no rings of" in words or "there are rings at q = " in words
    assert "q = " in words


def test_a_start_that_is_too_far_off(image):
    far = powder.TRUTH.model_copy(update={"x0_px": powder.TRUTH.x0_px + 40, "distance_m": 0.15})
    with pytest.raises(CalibrationError, match=r"there are rings.* too far off"):
        calibrate(image, start=far)


def test_one_ring_tells_distance_or_energy():
    image = powder.image_of(powder.expected(keep=1), 30_000)
    start = powder.off(0, pixels=2, share=0.005)
    with pytest.raises(CalibrationError, match=r"one ring is seen \(q = 1\.51 1/A\), which tells"):
        calibrate(image, start=start, refine=("distance", "centre", "energy"))
    found = calibrate(image, start=start, refine=("distance", "centre"))
    assert len(found.rings) == 1


def test_a_piece_of_azimuth_does_not_tell_tilt_from_centre(image):
    start = powder.off(0, pixels=2, share=0.005)
    turn = powder.TRUTH.chi(*np.mgrid[: image.shape[0], : image.shape[1]])
    mask = np.abs(turn) > 3
    with pytest.raises(CalibrationError) as refused:
        calibrate(image, start=start, mask=mask)
    words = str(refused.value)
    assert "would be uncertain by" in words
    assert "over 20 degrees of azimuth" in words
    assert "apart" in words
    assert "Refine fewer parameters (refine=('distance', 'centre'))" in words


def test_what_cannot_be(image):
    start = powder.TRUTH
    with pytest.raises(CalibrantError, match="no calibrant is called 'LaB7'; did you mean LaB6"):
        calibrate(image, "LaB7", start=start)
    with pytest.raises(MaskError, match=r"mask 2 of 2 has the shape \(3, 4\), expected \(240, 400"):
        calibrate(image, start=start, mask=np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match=r"\['wavelength'\] cannot be refined; name one or more"):
        calibrate(image, start=start, refine=("wavelength",))
    with pytest.raises(ValueError, match="there is nothing to refine"):
        calibrate(image, start=start, refine=())
    with pytest.raises(ValueError, match=r"shape \(3,\) .* expected an image"):
        calibrate(np.zeros(3), start=start)
    with pytest.raises(GeometryError, match="outside a frame"):
        calibrate(image, start=start.model_copy(update={"x0_px": 1e6}))
    with pytest.raises(CalibrationError, match=r"no line of Ni falls on the frame, which reaches"):
        calibrate(image, "Ni", start=start)
