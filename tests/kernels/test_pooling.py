from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.kernels.pooling import extremes, pool_max, pool_mean

DTYPES = ["uint32", "uint64", "int64", "float64"]


def blocks(image, mask, box, factor):
    """The valid pixels of each block, as plainly as can be."""
    y0, y1, x0, x1 = box
    return [
        [
            image[y : min(y + factor, y1), x : min(x + factor, x1)][
                ~mask[y : min(y + factor, y1), x : min(x + factor, x1)]
            ]
            for x in range(x0, x1, factor)
        ]
        for y in range(y0, y1, factor)
    ]


@st.composite
def cases(draw):
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
    dtype = draw(st.sampled_from(DTYPES))
    lowest = 0 if dtype[0] == "u" else -3
    image = draw(hnp.arrays(dtype, shape, elements=st.integers(lowest, 3)))
    mask = draw(hnp.arrays(np.bool_, shape))
    image[mask] = 0  # as in sums
    y0 = draw(st.integers(0, shape[0] - 1))
    x0 = draw(st.integers(0, shape[1] - 1))
    box = y0, draw(st.integers(y0 + 1, shape[0])), x0, draw(st.integers(x0 + 1, shape[1]))
    return image, mask, box, draw(st.integers(1, 10))


@given(cases())
@settings(deadline=None)
def test_pooling_against_the_plain_definition(case):
    image, mask, box, factor = case
    y0, y1, x0, x1 = box
    largest = pool_max(image, mask, box, factor)
    mean = pool_mean(image, mask, box, factor)
    expected = blocks(image, mask, box, factor)
    for found in (largest, mean):
        assert found.values.shape == (len(expected), len(expected[0]))
        assert found.total == image[y0:y1, x0:x1].sum()
        for r, row in enumerate(expected):
            for c, valid in enumerate(row):
                assert (found.is_empty is not None and found.is_empty[r, c]) == (valid.size == 0)
    for r, row in enumerate(expected):
        for c, valid in enumerate(row):
            if valid.size:
                assert largest.values[r, c] == valid.max()
                assert mean.values[r, c] == pytest.approx(valid.mean())


@given(cases())
@settings(deadline=None)
def test_extremes_are_those_of_the_valid_pixels(case):
    image, mask, _, _ = case
    valid = image[~mask]
    expected = (valid.min(), valid.max()) if valid.size else (0, 0)
    assert extremes(image, mask) == expected
    assert extremes(image, None) == (image.min(), image.max())


def test_without_a_mask_no_block_is_empty():
    image = np.zeros((4, 6), np.uint32)
    assert pool_max(image, None, (0, 4, 0, 6), 2).is_empty is None
    assert pool_mean(image, None, (0, 4, 0, 6), 2).is_empty is None


def test_a_single_photon_is_seen_at_every_factor():
    image = np.zeros((97, 101), np.float64)
    image[53, 71] = 1200
    for factor in range(1, 102):
        found = pool_max(image, None, (0, 97, 0, 101), factor).values
        assert (found[53 // factor, 71 // factor], found.sum()) == (1200, 1200)


def test_large_sums_are_exact():
    image = np.full((50, 50), 2**32 - 1, np.uint32)
    assert pool_max(image, None, (0, 50, 0, 50), 5).total == 2500 * (2**32 - 1)
    assert pool_mean(image, None, (0, 50, 0, 50), 5).total == 2500 * (2**32 - 1)
    assert (pool_mean(image, None, (0, 50, 0, 50), 7).values == 2**32 - 1).all()


def test_nan_is_passed_over():
    image = np.array([[np.nan, 1, 3, np.nan], [2, 0, 0, 1]])
    assert pool_max(image, None, (0, 2, 0, 4), 2).values.tolist() == [[2, 3]]
    assert extremes(image, None) == (0, 3)


def test_masks_that_cannot_be_written_to():
    image, mask = np.zeros((4, 4), np.uint32), np.zeros((4, 4), bool)
    mask[:2, :2] = True
    mask.flags.writeable = False
    assert pool_max(image, mask, (0, 4, 0, 4), 2).is_empty.tolist() == [[True, False], [False] * 2]
    assert extremes(image, mask) == (0, 0)
