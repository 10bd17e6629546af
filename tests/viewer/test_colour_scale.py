from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.viewer.colour_scale import (
    KINDS,
    ColourScale,
    Limits,
    ScaleError,
    filter_size,
    filtered,
    number,
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_have_the_first_and_the_last_colour(kind):
    limits = Limits.of(kind, 10, 110)
    values = np.array([-5, 10, 110, 1e9])
    assert limits.codes(values, None).tolist() == [1, 1, 255, 255]


def test_linear_and_square_root():
    values = np.array([0, 25, 100])
    assert Limits.of("linear", 0, 100).positions(values).tolist() == [0, 0.25, 1]
    assert Limits.of("sqrt", 0, 100).positions(values).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("unit", [1e-41, 1e-30, 1e30, 1e39, 1e300])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_are_no_float32(kind, unit):
    limits = Limits(kind, 0.0, 100 * unit, 1000.0)
    values = np.array([0, 25, 100, 200, -1, np.inf, -np.inf]) * unit
    expected = Limits(kind, 0.0, 100.0, 1000.0).codes(values / unit, None)
    assert limits.codes(values, None).tolist() == expected.tolist()


@pytest.mark.parametrize("hottest", [1, 5, 100, 10**6, 10**9])
def test_one_count_is_told_from_none_on_a_logarithmic_scale(hottest):
    none, one = Limits.of("log", 0, hottest).codes(np.array([0, 1]), None)
    assert none == 1
    assert one >= 9


def test_counts_are_decades_apart_on_a_logarithmic_scale():
    positions = Limits.of("log", 0, 1e6).positions(np.array([1e2, 1e3, 1e4, 1e5, 1e6]))
    np.testing.assert_allclose(np.diff(positions), 1 / 6, atol=2e-3)


def test_what_one_photon_adds_is_the_step_of_a_logarithmic_scale():
    limits = Limits.of("log", 0, 12_000, step=1_200)
    assert limits.span == 16
    none, one, two, all_ = limits.positions(np.array([0, 1_200, 2_400, 12_000]))
    assert (none, all_) == (0, 1)
    assert 0.3 < one < two < 0.6
    # it does not move with every frame
    assert Limits.of("log", 0, 12_400, step=1_190).span == 16
    assert Limits.of("log", 0, 1e6, step=1).span == 2**20
    assert Limits.of("log", 0, 1, step=1e-300).span == 2**24
    assert Limits.of("log", 0, 9, step=0).span == 1000


def test_limits_close_to_each_other_far_from_zero():
    values = np.array([2**40, 2**40 + 1, 2**40 + 2], np.uint64)
    assert Limits.of("linear", 2**40, 2**40 + 2).positions(values).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_one_value(kind):
    assert Limits.of(kind, 0, 0).codes(np.zeros(3), None).tolist() == [1] * 3
    assert Limits.of(kind, 1e12, 1e12).codes(np.full(3, 1e12), None).tolist() == [1] * 3
    assert Limits.of(kind, math.nan, math.inf).high == 1


@pytest.mark.parametrize("kind", ["log", "sqrt", "linear"])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(4000, dtype=np.uint32) % 700,
        np.arange(4000, dtype=np.int32) % 700 - 350,
        np.arange(4000, dtype=np.uint64) % 700 + 2**40,
        np.uint8(255) - np.arange(4000, dtype=np.uint8) % 200,
        np.arange(4000, dtype=np.int64) * 1000,
        np.zeros((0, 7), np.uint16),
    ],
    ids=["counts", "negative", "large", "the largest there is", "far apart", "none"],
)
def test_counts_have_the_colours_of_their_values(kind, values):
    limits = Limits.of(kind, 10, 600)
    one_by_one = [limits.codes(value.astype(float), None) for value in values.reshape(-1, 1)[:900]]
    found = limits.codes(values, None)
    assert (found.shape, found.dtype) == (values.shape, np.uint8)
    assert found.ravel()[:900].tolist() == [int(code[0]) for code in one_by_one]


def test_what_carries_no_data_has_no_colour():
    codes = Limits.of("log", 0, 9).codes(np.array([0.0, np.nan, 5]), np.array([True, False, False]))
    assert codes.tolist()[:2] == [0, 0]
    assert codes[2] > 1


@given(
    st.sampled_from(KINDS),
    st.floats(-1e9, 1e9),
    st.floats(1e-6, 1e12),
    st.lists(st.floats(-1e12, 1e12), min_size=2),
)
def test_larger_values_never_have_a_lower_colour(kind, low, span, values):
    codes = Limits.of(kind, low, low + span).codes(np.sort(values), None)
    assert codes.min() >= 1
    assert (np.diff(codes.astype(int)) >= 0).all()


@given(st.sampled_from(KINDS), st.floats(-1e9, 1e9), st.floats(1e-6, 1e12))
def test_ticks_stand_apart_where_their_values_are(kind, low, span):
    limits = Limits.of(kind, low, low + span)
    ticks = limits.ticks()
    assert 1 <= len(ticks) <= 8
    positions = list(ticks)
    assert all(0 <= position <= 1 for position in positions)
    assert all(np.diff(positions) >= 0.059)
    assert all(len(text) <= 10 for text in ticks.values())


def test_ticks_are_round():
    def texts(*limits):
        return list(Limits.of(*limits).ticks().values())

    assert texts("log", 0, 54_321) == ["0", "1", "10", "100", "1000", "10000"]
    assert texts("linear", -3, 97) == ["0", "20", "40", "60", "80"]
    assert texts("sqrt", 0, 1000) == ["0", "10", "50", "100", "200", "500", "1000"]


def test_numbers_are_short():
    assert [number(v) for v in (0.5, 12345, 1e-9, -2.5e7)] == ["0.5", "12345", "1e-9", "-2.5e7"]


@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_max_filter_makes_a_photon_a_square_and_keeps_the_mask(size):
    codes = np.ones((15, 20), np.uint8)
    codes[7, 9] = 200
    codes[7, 8] = 0
    found = filtered(codes, size)
    reach = size // 2
    expected = np.ones_like(codes)
    expected[7 - reach : 8 + reach, 9 - reach : 10 + reach] = 200
    expected[7, 8] = 0
    np.testing.assert_array_equal(found, expected)
    assert codes.sum() == 298 + 200  # left as it is


def test_the_max_filter_at_the_edges_and_on_less_than_its_size():
    codes = np.array([[9, 1, 1, 5]], np.uint8)
    assert filtered(codes, 3).tolist() == [[9, 9, 5, 5]]
    assert filtered(codes, 7).tolist() == [[9, 9, 9, 9]]
    assert filtered(codes, 1) is codes


def test_a_photon_has_its_size_on_the_screen():
    assert [filter_size(7, px) for px in (0.5, 1, 2, 3, 7, 40)] == [13, 7, 3, 3, 1, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fixed": (5, 5)}, "the first must be below the second"),
        ({"fixed": (0, math.nan)}, "both must be numbers"),
        ({"percentile": 20}, "must be in 50 to 100"),
    ],
)
def test_scales_that_cannot_be(changes, words):
    with pytest.raises(ScaleError, match=words):
        ColourScale(**changes)
