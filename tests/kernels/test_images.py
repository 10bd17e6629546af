from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.kernels import images

SUM_OF = {
    "bool": "uint32",
    "uint8": "uint32",
    "uint16": "uint32",
    "uint32": "uint64",
    "int8": "int64",
    "int16": "int64",
    "int32": "int64",
    "float32": "float64",
    "float64": "float64",
}


def frame(dtype, shape=(5, 7), seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (rng.integers(-9999, 9999, shape) / 64).astype(dtype)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", SUM_OF)
def test_add_is_addition(dtype):
    total = np.zeros((5, 7), SUM_OF[dtype])
    expected = np.zeros((5, 7), SUM_OF[dtype])
    for seed in range(3):
        images.add(frame(dtype, seed=seed), total)
        expected += frame(dtype, seed=seed)
    assert total.dtype == SUM_OF[dtype]
    np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("dtype", SUM_OF)
def test_add_valid_leaves_out_what_is_masked(dtype):
    pixels = frame(dtype)
    mask = np.random.default_rng(1).random(pixels.shape) < 0.4
    total = np.ones(pixels.shape, SUM_OF[dtype])
    images.add_valid(pixels, mask, total)
    expected = np.where(mask, 1, pixels.astype(SUM_OF[dtype]) + np.ones(1, SUM_OF[dtype]))
    np.testing.assert_array_equal(total, expected)


def test_nan_behind_the_mask_is_not_added():
    pixels = np.array([[1.0, np.nan], [np.inf, 4.0]], np.float32)
    total = np.zeros((2, 2))
    images.add_valid(pixels, ~np.isfinite(pixels), total)
    np.testing.assert_array_equal(total, [[1, 0], [0, 4]])


def test_a_view_is_added_as_it_looks():
    whole = frame("uint16", (8, 12))
    for view in (whole[1:6, 2:9], whole[::2, ::3], whole.T, whole[::-1, ::-1]):
        total = np.zeros(view.shape, np.uint32)
        images.add(view, total)
        images.add_valid(view, np.zeros(view.shape, np.bool_), total)
        np.testing.assert_array_equal(total, 2 * view.astype(np.uint32))


def test_inputs_are_not_modified():
    pixels, mask = frame("float32"), frame("bool")
    before = pixels.tobytes(), mask.tobytes()
    images.add(pixels, np.zeros(pixels.shape))
    images.add_valid(pixels, mask, np.zeros(pixels.shape))
    assert (pixels.tobytes(), mask.tobytes()) == before


@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
    hnp.arrays(np.bool_, (3, 4)),
)
def test_float32_is_added_in_float64(pixels, mask):
    """Through float32, 2**24 + 1 would be lost."""
    total = np.full((3, 4), 2.0**24 + 1)
    images.add_valid(pixels, mask, total)
    expected = 2.0**24 + 1 + np.where(mask, 0.0, pixels.astype(np.float64))
    np.testing.assert_array_equal(total, expected)
