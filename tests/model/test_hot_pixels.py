from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from femto_bluesky.model.hot_pixels import HotPixelSearch
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

LIT = BalorSettings(
    shape=(400, 500), n_photons=60, n_hot_pixels=25, hot_share_of_frames=(0.3, 1.0),
    has_electron_statistics=True, gain_spread=0.02, dark_spread_adu=1.5,
)  # fmt: skip
CLOUDS = {"A": {}, "B": {"cloud_sigma_px": 0.55, "halo_share": 0}}


def but(settings, **changes):
    return BalorSettings(**{**settings.model_dump(), **changes})


def learned(frames, n=50, **options):
    search = HotPixelSearch(**options)
    for i in range(n):
        search.add(frames(i))
    return search


def true_mask(frames):
    mask = np.zeros(frames.settings.shape, np.bool_)
    mask[frames.hot_pixels] = True
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert not mask[corner], "a seed without a hot corner is wanted"
    return mask


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_photons", [60, 1200])  # 1200: as dense as 1e5 on a whole Balor
def test_all_hot_pixels_are_found_and_no_other(cloud, seed, n_photons):
    frames = BalorFrames(but(LIT, n_photons=n_photons, seed=seed, **CLOUDS[cloud]))
    np.testing.assert_array_equal(learned(frames).mask(), true_mask(frames))
    np.testing.assert_array_equal(learned(frames, dark=frames.dark).mask(), true_mask(frames))


def test_all_hot_pixels_of_full_frames():
    frames = BalorFrames(BalorSettings(n_photons=1000, hot_share_of_frames=(0.4, 1.0)))
    search = learned(frames, 15)
    np.testing.assert_array_equal(search.mask(), true_mask(frames))
    assert search.least_count() == 2


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("spot_photons", [0.7, 4, 300])
def test_a_bragg_spot_is_no_hot_pixel(cloud, sigma, spot_photons):
    for place in ((20, 30), (20.5, 30), (20.5, 30.5), (20.3, 30.1)):
        y, x = place
        spot = {
            "spot_photons": spot_photons, "spot_sigma_px": sigma, "spot_y": y, "spot_x": x,
        }  # fmt: skip
        quiet = but(LIT, shape=(60, 60), n_photons=2, n_hot_pixels=0, **spot, **CLOUDS[cloud])
        search = learned(BalorFrames(quiet))
        assert not search.mask().any()
        assert search.counts.max() == 0


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("spot", [(-0.5, 30), (0, 30), (-0.5, 30.5), (30, 59.49), (-0.5, -0.5)])
def test_neither_is_one_at_the_edge_of_the_sensor(cloud, spot):
    y, x = spot
    lit = but(
        LIT, shape=(60, 60), n_hot_pixels=0, n_photons=0, spot_photons=3, spot_sigma_px=0.1,
        spot_y=y, spot_x=x, **CLOUDS[cloud],
    )  # fmt: skip
    assert learned(BalorFrames(lit)).counts.max() == 0


def test_a_hot_pixel_beside_a_bragg_spot_is_found():
    quiet = but(LIT, shape=(60, 60), n_photons=2, n_hot_pixels=1, seed=3)
    y, x = (int(i[0]) for i in BalorFrames(quiet).hot_pixels)
    for away in (2.0, 5.0):
        spot = {"spot_photons": 3, "spot_sigma_px": 1.0, "spot_y": y + away, "spot_x": x}
        frames = BalorFrames(but(quiet, **spot))
        np.testing.assert_array_equal(learned(frames, 100).mask(), true_mask(frames))


def test_hot_pixels_beside_each_other():
    source = BalorFrames(but(LIT, n_hot_pixels=0, shape=(60, 60), n_photons=2))
    rng = np.random.default_rng(1)
    hot = np.zeros((60, 60), np.bool_)
    for place in ((10, 10), (10, 11), (30, 40), (31, 41), (50, 20), (50, 21), (50, 22), (0, 30)):
        hot[place] = True

    def frames(index):
        return source(index) + np.where(hot & (rng.random(hot.shape) < 0.95), 700, 0).astype("u2")

    mask = learned(frames).mask()
    # in the middle of three it takes a second look
    assert [tuple(place) for place in np.argwhere(hot & ~mask)] in ([], [(50, 21)])
    assert not (mask & ~hot).any()
    np.testing.assert_array_equal(learned(frames, mask=mask).mask(), hot)


def test_light_that_hits_single_pixels_at_random_is_chance():
    rng = np.random.default_rng(0)
    search = HotPixelSearch()
    for _ in range(200):
        frame = np.full((300, 300), 100, np.uint16)
        frame[rng.integers(300, size=90), rng.integers(300, size=90)] = 900
        frame[17, 33] = 500 if rng.random() < 0.3 else 100
        search.add(frame)
    # every fifth pixel was hit, some three times and more
    assert (search.counts >= 3).sum() > 10
    assert 4 < search.least_count() < 12
    assert np.argwhere(search.mask()).tolist() == [[17, 33]]


def test_the_mask_holds_a_live_pixel_as_rarely_as_promised():
    # a promise of 1e-3 cannot be counted; but 300 sensors hit at random are then clean, nearly all
    wrong = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        search = HotPixelSearch()
        search.add(np.full((80, 80), 100, np.uint16))
        search.counts[:] = rng.poisson(rng.choice([1e-3, 1e-2, 0.1, 1.0]), (80, 80))
        wrong += (search.counts >= search.least_count()).any()
    assert wrong <= 3


def test_too_few_frames_are_refused():
    frames = BalorFrames(LIT)
    with pytest.raises(ValueError, match="no frame was looked at so far; add frames first"):
        HotPixelSearch().mask()
    with pytest.raises(ValueError, match=r"1 frames are too few .* fire in 2 at least: add more"):
        learned(frames, 1).mask()
    assert (learned(frames, 6).mask() & ~true_mask(frames)).sum() == 0


def test_what_fires_rarely_is_left_alone():
    frames = BalorFrames(but(LIT, hot_share_of_frames=(0.3, 0.3)))
    search = learned(frames)
    assert search.mask(0.1).sum() == 25
    assert search.mask(0.9).sum() == 0


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_neither_order_nor_cutting_changes_the_mask(parts):
    frames = BalorFrames(but(LIT, shape=(40, 140), n_hot_pixels=6, n_photons=4))
    straight = learned(frames, len(parts))
    searches = [HotPixelSearch() for _ in range(3)]
    for i, part in reversed(list(enumerate(parts))):
        searches[part].add(frames(i))
    whole = HotPixelSearch()
    for search in searches:
        whole.merge(search)
    assert whole.n_frames == straight.n_frames
    np.testing.assert_array_equal(whole.counts, straight.counts)
    assert whole.least_count() == straight.least_count()


def test_a_known_mask_stays_and_inputs_are_not_modified():
    frames = BalorFrames(LIT)
    known = np.zeros(LIT.shape, np.bool_)
    known[7, 9] = True
    frame, mask, dark = frames(0), known.copy(), frames.dark.copy()
    search = HotPixelSearch(frames.dark, mask=known)
    search.warm(np.uint16)
    for _ in range(9):
        search.add(frame)
    assert search.mask()[7, 9]
    assert search.mask() is not known
    np.testing.assert_array_equal(frame, frames(0))
    np.testing.assert_array_equal(known, mask)
    np.testing.assert_array_equal(frames.dark, dark)


def test_frames_of_floats_with_nan():
    frames = BalorFrames(LIT)

    def as_float(index):
        frame = frames(index).astype(np.float32)
        frame[7, :] = np.nan
        return frame

    found, hot = learned(as_float).mask(), true_mask(frames)
    # beside a row without data more is asked for, in it nothing is found
    away = np.r_[0:6, 9:400]
    np.testing.assert_array_equal(found[away], hot[away])
    assert not found[7].any()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"threshold_adu is 0, expected ADU above dark"):
        HotPixelSearch(threshold_adu=0)
    with pytest.raises(ValueError, match=r"share is 1.5, expected a part"):
        HotPixelSearch(share=1.5)
    with pytest.raises(ValueError, match=r"lowest dark level is -3.*collect the dark image again"):
        HotPixelSearch(np.array([[1.0, -3.0]]))
    search = HotPixelSearch(np.full((3, 4), 100.0))
    with pytest.raises(ValueError, match=r"dark image has the shape \(3, 4\), the frame has"):
        search.add(np.zeros((4, 4), np.uint16))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\).*expected one frame"):
        search.add(np.zeros((2, 3, 4), np.uint16))
    with pytest.raises(ValueError, match=r"mask has the shape \(3, 5\).*on its own"):
        HotPixelSearch(mask=np.zeros((3, 5), np.bool_)).add(np.zeros((3, 4), np.uint16))
    one, other = HotPixelSearch(), HotPixelSearch()
    one.add(np.zeros((3, 4), np.uint16))
    with pytest.raises(ValueError, match=r"frame before has the shape \(3, 4\)"):
        one.add(np.zeros((4, 4), np.uint16))
    other.add(np.zeros((4, 4), np.uint16))
    with pytest.raises(ValueError, match=r"frames of \(3, 4\) and of \(4, 4\)"):
        one.merge(other)
    with pytest.raises(ValueError, match="different settings, masks or dark levels"):
        one.merge(HotPixelSearch(share=0.3))
