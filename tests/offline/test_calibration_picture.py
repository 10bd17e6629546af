from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from femto_bluesky.files.names import OutputExistsError
from femto_bluesky.offline.calibration import calibrate
from femto_bluesky.offline.calibration_picture import draw_calibration
from tests.files.drawn import GREY, places, read
from tests.offline import powder


@pytest.fixture(scope="module")
def image():
    return powder.image_of(powder.expected(), 10_000)


def test_a_picture_that_says_what_was_found(image, tmp_path):
    found = calibrate(image, start=powder.off(1))
    before = image.copy()
    path = tmp_path / "a.png"
    mask = np.zeros(image.shape, bool)
    mask[30:90, 300:380] = True
    draw_calibration(found, image, path, mask=mask)
    assert np.array_equal(image, before)
    with Image.open(path) as file:
        assert file.info["Title"] == "Calibration on LaB6"
    pixels = read(path)
    assert pixels.shape == (1260, 2160, 3)
    left = places(pixels[:, :900], GREY)
    assert len(left) > 500  # the mask, on the image
    with pytest.raises(OutputExistsError):
        draw_calibration(found, image, path)
