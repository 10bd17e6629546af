from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.kernels import sparse
from femto_bluesky.kernels.photons import PHOTON, find_photons
from femto_bluesky.kernels.sparse import clean_image, pixels_of
from femto_bluesky.model.rois import Roi

SHAPE = (9, 12)


def photons(*rows: tuple[float, float, float]) -> Any:
    return np.array([(*row, 0) for row in rows], PHOTON)


def naive(found: Any, shape: Any, energy_min: float, roi: Any = None, mask: Any = None) -> Any:
    """The clean image in float64, photon by photon."""
    image = np.zeros(shape)
    roi = roi or Roi(x0=0, y0=0, x1=shape[1], y1=shape[0])
    for y, x, energy, _ in found.tolist():
        place = np.floor([y + 0.5, x + 0.5])
        row, column = np.clip(place, (roi.y0, roi.x0), (roi.y1 - 1, roi.x1 - 1)).astype(int)
        if np.abs(place - (row, column)).max() > 1:
            continue  # its hottest pixel is not in the box either
        if energy > energy_min and not (mask is not None and mask[row, column]):
            image[row, column] += energy
    return image


@st.composite
def lists_of_photons(draw: st.DrawFn) -> Any:
    """Anywhere on a frame and half a pixel beyond; energies such that every sum is exact."""
    n = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = np.zeros(n, PHOTON)
    grain = draw(st.sampled_from([2, 64]))  # many positions half way between two pixels
    for axis, size in zip(("y", "x"), SHAPE, strict=True):
        found[axis] = rng.integers(-grain // 2, (size * grain - grain // 2) + 1, n) / grain
    found["energy"] = rng.integers(0, 2400 * 4, n) / 4
    return found


@st.composite
def rois(draw: st.DrawFn) -> Roi:
    y0, x0 = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
    y1, x1 = draw(st.integers(y0 + 1, SHAPE[0])), draw(st.integers(x0 + 1, SHAPE[1]))
    return Roi(y0=y0, x0=x0, y1=y1, x1=x1)


masks = st.one_of(
    st.none(), st.integers(0, 99).map(lambda s: np.random.default_rng(s).random(SHAPE) < 0.3)
)


@given(lists_of_photons(), st.one_of(st.none(), rois()), masks, st.sampled_from([0, 1100, 1e9]))
def test_pixels_against_photon_by_photon(
    found: Any, roi: Roi | None, mask: Any, energy_min: float
) -> None:
    before = found.tobytes()
    pixels = pixels_of(found, SHAPE, energy_min, roi, mask)
    expected = naive(found, SHAPE, energy_min, roi, mask)
    assert [part.dtype for part in pixels] == [np.int32, np.int32, np.float32]
    total = np.zeros(SHAPE)
    sparse.add(pixels, total)
    np.testing.assert_array_equal(total, expected)
    sparse.add(pixels, total)
    np.testing.assert_array_equal(total, 2 * expected)
    if mask is None:
        image = clean_image(found, SHAPE, energy_min, roi)
        assert image.dtype == np.float32
        np.testing.assert_array_equal(image, expected)
    assert found.tobytes() == before


@given(lists_of_photons(), rois())
def test_a_sum_in_a_box_is_that_of_the_image(found: Any, box: Roi) -> None:
    image = naive(found, SHAPE, 0)
    assert sparse.sum_in_box(pixels_of(found, SHAPE, 0), box) == image[box.box].sum()


@given(lists_of_photons())
def test_the_order_of_photons_changes_no_bit(found: Any) -> None:
    one, other = np.zeros(SHAPE), np.zeros(SHAPE)
    found["energy"] += np.float32(0.1)
    sparse.add(pixels_of(found, SHAPE, 0), one)
    sparse.add(pixels_of(found[::-1].copy(), SHAPE, 0), other)
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("position", "pixel"), [(3.0, 3), (3.49, 3), (2.5, 3), (2.51, 3), (3.5, 4), (2.49, 2), (0.5, 1)]
)
def test_a_photon_stands_in_the_nearest_pixel(position: float, pixel: int) -> None:
    """Rounded, not cut off: cutting shifts the image by half a pixel."""
    image = clean_image(photons((position, 2.0, 1200), (6.0, position, 1200)), SHAPE)
    assert np.argwhere(image).tolist() == sorted([[pixel, 2], [6, pixel]])


def test_the_clean_image_is_not_shifted() -> None:
    """The centre of many photons is that of the pixels that they come to stand in."""
    rng = np.random.default_rng(0)
    found = np.zeros(20000, PHOTON)
    found["y"], found["x"] = rng.normal(40, 6, 20000), rng.normal(60, 6, 20000)
    found["energy"] = 1200
    image = clean_image(found, (81, 121)).astype(np.float64)
    rows, columns = np.indices(image.shape)
    assert (rows * image).sum() / image.sum() == pytest.approx(found["y"].mean(), abs=0.01)
    assert (columns * image).sum() / image.sum() == pytest.approx(found["x"].mean(), abs=0.01)


def test_a_clean_image_stands_where_the_frame_did() -> None:
    frame = np.full((20, 30), 100, np.uint16)
    frame[0, 0] = frame[0, 29] = frame[19, 0] = frame[19, 29] = frame[9, 14] = 1400
    frame[9, 15] = 800
    image = clean_image(find_photons(frame), frame.shape)
    assert np.argwhere(image).tolist() == [[0, 0], [0, 29], [9, 14], [19, 0], [19, 29]]
    assert image.max() == 2000


def test_two_photons_in_one_pixel_are_added() -> None:
    image = clean_image(photons((3.2, 2.0, 1200), (2.8, 2.1, 1300)), SHAPE)
    assert image[3, 2] == image.sum() == 2500


def test_photons_that_are_not_above_the_energy_are_not_seen() -> None:
    found = photons((3, 2, 1100), (5, 6, 1101))
    assert np.argwhere(clean_image(found, SHAPE)).tolist() == [[5, 6]]
    assert np.count_nonzero(clean_image(found, SHAPE, energy_min=0)) == 2


def test_nothing_stands_outside_the_roi() -> None:
    """A position may lie half a pixel outside, its hottest pixel does not."""
    roi = Roi(y0=2, x0=3, y1=5, x1=7)
    found = photons((1.5, 2.4, 1200), (4.6, 6.7, 1200))
    image = clean_image(found, SHAPE, roi=roi)
    assert np.argwhere(image).tolist() == [[2, 3], [4, 6]]


def test_no_photons() -> None:
    pixels = pixels_of(photons(), SHAPE, 0)
    assert sparse.sum_in_box(pixels, Roi(x0=0, y0=0, x1=5, y1=5)) == 0
    assert not clean_image(photons(), SHAPE).any()


def test_masked_pixels_stay_0() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[3, 2] = True
    pixels = pixels_of(photons((3, 2, 1200), (3, 3, 1300)), SHAPE, 0, mask=mask)
    assert (pixels.rows.tolist(), pixels.columns.tolist()) == ([3], [3])
