from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.kernels.photons import HOT, find_photons
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.testing.photons import match

PLACE = np.dtype([("y", float), ("x", float)])
lists = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=15)


def photons(*places):
    return np.array([tuple(float(v) for v in place) for place in places], PLACE)


def test_the_nearest_two_are_a_pair_before_others_may_be():
    truth = photons((5, 5), (5, 6.2), (20, 20))
    found = photons((5, 6), (30, 30), (5.1, 5.9), (20.4, 19.7))
    matched = match(found, truth)
    assert matched.truth.tolist() == [0, 1, 2]
    assert matched.found.tolist() == [2, 0, 3]
    np.testing.assert_allclose(matched.offsets_px, [[0.1, 0.9], [0, -0.2], [0.4, -0.3]])
    assert (matched.efficiency, matched.n_double, matched.n_ghosts) == (1.0, 0, 1)
    assert matched.ghosts.tolist() == [1]


def test_what_is_found_twice_is_double_and_what_is_not_found_is_missed():
    truth = photons((5, 5), (9, 9), (40, 40))
    found = photons((5, 5), (5, 6), (9, 10), (70, 70))
    matched = match(found, truth)
    assert matched.doubles.tolist() == [1]
    assert matched.ghosts.tolist() == [3]
    assert matched.missed.tolist() == [2]
    assert matched.efficiency == 2 / 3
    assert match(found, truth, radius_px=0.5).efficiency == 1 / 3


def test_lists_may_be_empty():
    nothing, one = photons(), photons((1, 2))
    assert math.isnan(match(nothing, nothing).efficiency)
    assert match(one, nothing).ghosts.tolist() == [0]
    assert match(nothing, one).missed.tolist() == [0]
    assert match(nothing, one).offsets_px.shape == (0, 2)


def test_a_radius_is_above_0():
    with pytest.raises(ValueError, match=r"radius_px is 0.*above 0"):
        match(photons(), photons(), radius_px=0)


@given(lists, lists)
def test_every_photon_is_accounted_for_once(found, truth):
    found, truth = photons(*found), photons(*truth)
    matched = match(found, truth)
    theirs = np.concatenate([matched.found, matched.doubles, matched.ghosts])
    assert sorted(theirs) == list(range(len(found)))
    assert sorted([*matched.truth, *matched.missed]) == list(range(len(truth)))
    assert (np.hypot(*matched.offsets_px.T) <= 1.5).all()
    # nothing that is left could have been a pair
    for i in matched.doubles:
        for j in matched.missed:
            assert math.dist(found[i], truth[j]) > 1.5


@given(lists)
def test_a_list_matches_itself(places):
    truth = photons(*set(places))
    matched = match(truth[::-1], truth)
    assert matched.found.tolist() == list(range(len(truth)))[::-1]
    assert not matched.offsets_px.any()


def test_photons_of_a_simulated_frame():
    settings = BalorSettings(shape=(400, 500), n_photons=30, n_hot_pixels=6, seed=2)
    frames = BalorFrames(settings)
    found = find_photons(frames(0))
    is_hot = (found["flags"] & HOT) != 0
    matched = match(found, frames.truth(0))
    assert matched.efficiency >= 0.97
    assert matched.n_double == 0
    assert matched.n_ghosts == is_hot.sum() > 0
    is_clean = found["flags"][matched.found] == 0
    assert np.sqrt((matched.offsets_px[is_clean] ** 2).mean()) < 0.03
    bias = found["energy"][matched.found] - frames.truth(0)["energy"][matched.truth]
    assert abs(np.median(bias)) < 10
