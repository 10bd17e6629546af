from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from femto_bluesky.model.masks import MaskError, checked, combine, in_words, negative_flags

SHAPE = (3, 4)
MASKS = arrays(np.bool_, SHAPE)


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
def test_flags_are_what_is_below_0(dtype):
    image = np.array([[0, -1], [7, -2]], dtype)
    assert negative_flags(image).tolist() == [[False, True], [False, True]]
    assert negative_flags(image).dtype == np.bool_


def test_nan_and_infinite_carry_no_data_and_unsigned_always_do():
    image = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0]])
    assert negative_flags(image).tolist() == [[True, True, True, False, False]]
    assert not negative_flags(np.full(SHAPE, 65535, np.uint16)).any()


@given(st.lists(st.none() | MASKS, max_size=4))
def test_combined_is_what_any_masks(masks):
    before = [None if mask is None else mask.copy() for mask in masks]
    total = combine(*masks, shape=SHAPE)
    expected = np.zeros(SHAPE, bool)
    for mask in masks:
        if mask is not None:
            expected |= mask
    assert np.array_equal(total, expected)
    assert all(a is b or np.array_equal(a, b) for a, b in zip(masks, before, strict=True))
    total[:] = True  # it is of its own
    assert all(a is b or np.array_equal(a, b) for a, b in zip(masks, before, strict=True))


@given(MASKS, MASKS, MASKS)
def test_neither_order_nor_grouping_matters(a, b, c):
    assert np.array_equal(combine(a, b, c), combine(c, combine(b, a)))


def test_any_number_that_is_not_0_masks():
    mask = np.array([[0, 1, 255, -1]], np.int16)
    assert combine(mask).tolist() == [[False, True, True, True]]
    assert checked(mask.astype(float), (1, 4)).tolist() == [[False, True, True, True]]


def test_what_does_not_fit_is_named():
    ones = np.eye(4, dtype=bool)
    with pytest.raises(MaskError, match=r"mask 2 of 3 has the shape \(3, 4\), expected \(4, 4\)"):
        combine(ones, np.zeros(SHAPE), None)
    with pytest.raises(MaskError, match="no mask to combine; give one, or the shape"):
        combine(None)
    with pytest.raises(MaskError, match=r"the frames have \(4, 3\) \(it is turned: transpose it\)"):
        checked(np.zeros(SHAPE), (4, 3))
    with pytest.raises(MaskError, match=r"hot\.npy leaves no pixel; .* as mask == 0"):
        checked(np.ones(SHAPE), SHAPE, "hot.npy")
    with pytest.raises(MaskError, match="holds NaN, which says neither"):
        checked(np.full(SHAPE, np.nan), SHAPE)
    with pytest.raises(MaskError, match="dtype <U1, expected booleans or numbers"):
        checked(np.full(SHAPE, "a"), SHAPE)


def test_in_words():
    assert in_words(np.zeros((10, 10), bool)) == "0 of 100 pixels (0%)"
    assert in_words(np.eye(3, dtype=bool)) == "3 of 9 pixels (33.3%)"
