from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.kernels import binning


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, np.int64, np.float64, np.bool_])
def test_values_and_products_go_to_their_bins(dtype):
    rng = np.random.default_rng(0)
    bins = rng.integers(0, 5, (7, 9)).astype(np.uint16)
    values = rng.integers(0, 2 if dtype is np.bool_ else 100, (7, 9)).astype(dtype)
    weights = rng.integers(0, 2**30, (7, 9)).astype(np.int32)
    sums, products = np.ones(5), np.zeros(5, np.int64)
    binning.add(bins, values, sums)
    binning.add_products(bins, weights, values, products)
    for place in range(5):
        there = bins == place
        assert sums[place] == 1 + values[there].astype(float).sum()
        assert products[place] == (weights[there].astype(int) * values[there].astype(int)).sum()


@given(st.integers(1, 30), st.integers(1, 30), st.floats(-2, 2), st.floats(-2, 2))
def test_split_pixels_keep_their_weight(rows, columns, down, across):
    y, x = np.indices((rows, columns), float)
    q, weights = down * y + across * x, np.full((rows, columns), 3, np.int32)
    found = binning.split(q, weights, None, -40.0, 7.0, 12, is_open=True)
    assert found.sum() == 16 * 3 * rows * columns


def test_a_pixel_is_shared_by_area():
    """Of a slope of 1 a pixel from the bin's edge, half a pixel lies on each side."""
    q = np.tile(np.arange(4.0), (3, 1))
    weights, mask = np.ones((3, 4), np.int32), np.zeros((3, 4), bool)
    found = binning.split(q, weights, mask, 0.0, 1.0, 3, is_open=False)
    assert found.tolist() == [48, 48, 48]  # columns -0.5..0 and 3..3.5 are outside
    assert binning.split(q, weights, mask, 0.0, 1.0, 3, is_open=True).tolist() == [72, 48, 72]
    mask[:, 1] = True
    assert binning.split(q, weights, mask, 0.0, 1.0, 3, is_open=False).tolist() == [24, 24, 48]
