from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from femto_bluesky.kernels import cmos
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import DenseFrame, Shot, ThresholdedFrame
from femto_bluesky.testing.shots import make_shots

ROI = Roi(x0=2, y0=1, x1=6, y1=4)
RNG_SHAPE = (5, 8)


def pixels_of(dtype):
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        return (rng.integers(-999, 999, RNG_SHAPE) / 32).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, RNG_SHAPE, dtype, endpoint=True)


def mask_of():
    return np.random.default_rng(4).random(RNG_SHAPE) < 0.4


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("mask", [None, mask_of()], ids=["all valid", "masked"])
def test_a_dense_frame(dtype, mask):
    pixels = pixels_of(dtype)
    frame = DenseFrame(pixels, mask)
    valid = np.ones(RNG_SHAPE, bool) if mask is None else ~mask
    inside = [(y, x) for y in range(1, 4) for x in range(2, 6) if valid[y, x]]
    expected = sum(pixels[place].item() for place in inside)
    assert frame.sum_and_count(ROI) == (expected, len(inside))
    assert (frame.shape, frame.dtype) == (RNG_SHAPE, np.dtype(dtype))
    assert frame.dense() is pixels
    total = np.zeros(RNG_SHAPE, np.float64)
    frame.add_to(total)
    np.testing.assert_array_equal(total, np.where(valid, pixels, 0))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize("mask", [None, mask_of()], ids=["all valid", "masked"])
@pytest.mark.parametrize("dark_is", ["a level", "an image"])
def test_a_thresholded_frame_is_the_dense_one_of_the_cleaned_image(dtype, mask, dark_is):
    raw = np.random.default_rng(5).integers(80, 160, RNG_SHAPE).astype(dtype)
    dark = 100 if dark_is == "a level" else np.arange(90.0, 130.0).reshape(RNG_SHAPE)
    above = raw.astype(np.int64) - np.rint(dark).astype(np.int64)
    clean = np.where(above >= 12, above, 0).astype(dtype)
    rows = cmos.dark_rows(dark, RNG_SHAPE, raw.dtype)
    frame = ThresholdedFrame(raw, rows, cmos.in_type(12, raw.dtype), mask)
    dense = DenseFrame(clean, mask)
    assert frame.dense().dtype == dtype
    np.testing.assert_array_equal(frame.dense(), clean)
    for roi in (ROI, Roi(x0=0, y0=0, x1=8, y1=5), Roi(x0=7, y0=4, x1=8, y1=5)):
        assert frame.sum_and_count(roi) == dense.sum_and_count(roi)
    kind = {"u": np.uint32, "i": np.int64, "f": np.float64}[raw.dtype.kind]
    totals = np.zeros(RNG_SHAPE, kind), np.zeros(RNG_SHAPE, kind)
    frame.add_to(totals[0])
    dense.add_to(totals[1])
    np.testing.assert_array_equal(*totals)
    assert (frame.shape, frame.dtype, frame.mask) == (dense.shape, dense.dtype, mask)


def test_sums_of_integers_do_not_wrap():
    frame = DenseFrame(np.full((300, 300), 65535, np.uint16))
    assert frame.sum_and_count(Roi(x0=0, y0=0, x1=300, y1=300)) == (65535 * 90000, 90000)
    frame = DenseFrame(np.full((2, 2), -(2**31), np.int32))
    assert frame.sum_and_count(Roi(x0=0, y0=0, x1=2, y1=2)) == (-(2**33), 4)


def test_sums_of_float32_are_made_in_float64():
    pixels = np.ones((1, 3), np.float32)
    pixels[0, 0] = 2**24
    assert DenseFrame(pixels).sum_and_count(Roi(x0=0, y0=0, x1=3, y1=1)) == (2**24 + 2, 3)


def test_a_box_without_a_valid_pixel_counts_none():
    frame = DenseFrame(np.full((2, 2), np.nan, np.float32), np.ones((2, 2), bool))
    assert frame.sum_and_count(Roi(x0=0, y0=0, x1=2, y1=2)) == (0, 0)


def test_labels_and_positions_come_with_the_shot():
    shots = make_shots(("pilatus", "andor3_zyla12"), n_steps=2, n_frames=3)
    assert [(s.step, s.number, s.detector[:3]) for s in shots[:6]] == [
        *((0, n, "pil") for n in range(3)),
        *((0, n, "and") for n in range(3)),
    ]
    assert [s.labels["laser_on"] for s in shots[:6]] == [0, 1, 0, 0, 1, 0]
    assert {s.position["stage_x"] for s in shots[6:]} == {0.5}


def test_another_frame_changes_nothing_else() -> None:
    (shot,) = make_shots(("andor3_zyla12",), n_steps=1, n_frames=1)
    frame = DenseFrame(np.zeros((2, 2)))
    assert shot.with_frame(frame) is not shot
    for field in fields(Shot):
        expected = frame if field.name == "frame" else getattr(shot, field.name)
        assert getattr(shot.with_frame(frame), field.name) is expected
