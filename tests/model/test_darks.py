from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.darks import DarkSum, hot_pixels

DTYPES = ["uint8", "uint16", "int16", "uint32", "float32"]


def made(frames, masks=None, first=0):
    held = DarkSum(frames.shape[1:])
    for number, frame in enumerate(frames):
        held.add(first + number, 100.0 + first + number, frame,
                 None if masks is None else masks[number])  # fmt: skip
    return held


def frames_of(dtype, n=7, shape=(5, 6), seed=0):
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(rng.normal(100, 20, (n, *shape))), 0, 200).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_level_and_noise_are_numpys(dtype):
    frames = frames_of(dtype)
    before = frames.copy()
    images = made(frames).images("camera", "run")
    np.testing.assert_array_equal(images.level, frames.mean(axis=0).astype(np.float32))
    np.testing.assert_allclose(images.noise, frames.std(axis=0, ddof=1), rtol=1e-6)
    assert images.level_adu == np.median(images.level)
    assert images.noise_adu == np.median(images.noise)
    assert (images.level.dtype, images.noise.dtype, images.hot.dtype) == ("f4", "f4", "?")
    assert (images.n_frames, images.first_time, images.last_time) == (7, 100.0, 106.0)
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_without_data_are_left_out(dtype):
    frames = frames_of(dtype)
    masks = np.random.default_rng(1).random(frames.shape) < 0.3
    masks[:, 0, 0] = True  # never
    masks[:, 0, 1] = [False] + 6 * [True]  # once
    images = made(frames, masks).images("camera", "run")
    values = np.ma.array(frames.astype(np.float64), mask=masks)
    level = values.mean(axis=0).filled(np.nan)
    assert images.level[0, 0] == np.float32(images.level_adu)
    level[0, 0] = images.level_adu
    np.testing.assert_allclose(images.level, level, rtol=1e-6)
    noise = values.std(axis=0, ddof=1).filled(np.nan)
    assert np.isnan(images.noise[0, :2]).all()
    np.testing.assert_allclose(images.noise.flat[2:], noise.flat[2:], rtol=1e-6)


def test_nan_under_a_mask_does_no_harm():
    frames = frames_of("float32")
    frames[3, 1, 1] = np.nan
    images = made(frames, np.isnan(frames)).images("camera", "run")
    assert images.level[1, 1] == np.float32(np.nanmean(frames[:, 1, 1].astype(np.float64)))


def test_the_largest_values_do_not_wrap():
    frames = np.full((300, 3, 4), 65535, np.uint16)
    frames[::2] = 65533
    images = made(frames).images("camera", "run")
    assert (images.level == 65534).all()
    np.testing.assert_allclose(images.noise, np.sqrt(300 / 299), rtol=1e-5)


def test_frames_larger_than_a_block_are_summed_whole():
    frames = frames_of("uint16", n=3, shape=(300, 1000))
    images = made(frames).images("camera", "run")
    np.testing.assert_array_equal(images.level, frames.mean(axis=0).astype(np.float32))


def test_one_frame_has_a_level_and_no_noise():
    images = made(frames_of("uint16", n=1)).images("camera", "run")
    assert np.isnan(images.noise).all()
    assert np.isnan(images.noise_adu)
    assert images.level_adu > 0


def test_without_frames_there_is_nothing_to_say():
    with pytest.raises(ValueError, match="no dark frame was added so far; collect some first"):
        DarkSum((3, 4)).images("camera", "run")


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 8), st.just(3), st.just(4))), st.data())
def test_any_cut_in_any_order_gives_the_same_bits(frames, data):
    n = len(frames)
    masks = data.draw(hnp.arrays(np.bool_, frames.shape))
    part_of = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    order = data.draw(st.permutations(range(3)))
    parts = [DarkSum(frames.shape[1:]) for _ in order]
    for number, part in enumerate(part_of):
        parts[part].add(number, 100.0 + number, frames[number], masks[number])
    whole = DarkSum(frames.shape[1:])
    for part in order:
        whole.merge(parts[part])
    assert_same(whole, made(frames, masks))


def assert_same(found, expected):
    one, other = found.images("camera", "run"), expected.images("camera", "run")
    for name in type(one).__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_frame_that_is_taken_back_was_never_there(dtype):
    frames = frames_of(dtype)
    held = made(frames)
    held.take_out(6, frames[6], None)
    assert_same(held, made(frames[:6]))


def test_a_shot_cannot_be_added_twice_by_merging():
    frames = frames_of("uint16")
    with pytest.raises(ValueError, match=r"shot 2 \(5 shots in all\) is in both sums of dark"):
        made(frames).merge(made(frames[2:], first=2))


def test_readout_regions_are_not_mixed():
    held = made(frames_of("uint16"))
    words = "collect darks of one readout region in one run"
    with pytest.raises(ValueError, match=words):
        held.add(9, 0.0, np.zeros((5, 7), np.uint16), None)
    with pytest.raises(ValueError, match=words):
        held.merge(DarkSum((6, 6)))


def test_signed_frames_keep_their_sign():
    frames = frames_of("int16") - np.int16(150)
    images = made(frames).images("camera", "run")
    np.testing.assert_array_equal(images.level, frames.mean(axis=0).astype(np.float32))


# --- hot pixels -------------------------------------------------------------------------------


def sensor(n=50, shape=(200, 300), seed=3):
    """Frames with a fixed pattern, and three pixels that are hot in their own ways."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(100, 2.5, (n, *shape)) + rng.normal(0, 2, shape)
    frames[:, 10, 20] += 400  # leaks always: its noise is that of the others
    frames[::5, 30, 40] += 300  # fires at times
    frames[:, 50, 60] += rng.normal(0, 40, n)  # noisy about the right level
    return np.clip(np.rint(frames), 0, 65535).astype(np.uint16)


def test_hot_pixels_are_found_and_no_others():
    images = made(sensor()).images("camera", "run")
    assert np.argwhere(images.hot).tolist() == [[10, 20], [30, 40], [50, 60]]


def test_a_pixel_that_is_hot_does_not_move_the_level():
    frames = sensor()
    hot = made(frames).images("camera", "run").level_adu
    frames[:, 10, 20] = 65535
    assert made(frames).images("camera", "run").level_adu == hot


def test_neither_few_frames_nor_equal_ones_make_pixels_hot():
    for frames in (sensor()[1:3], np.full((5, 20, 30), 100, np.uint16)):
        frames = frames.copy()
        frames[:, 10, 20] = 100
        images = made(frames).images("camera", "run", min_excess_adu=5.0)
        assert images.hot.sum() <= 1  # the noisy one may be seen in two frames


def test_what_does_no_harm_is_not_hot():
    frames = np.full((6, 20, 30), 100, np.uint16)
    frames[:, 3, 4] = 104  # the others do not differ at all, so this is many sigmas
    assert not made(frames).images("camera", "run").hot.any()
    assert made(frames).images("camera", "run", min_excess_adu=3.0).hot.sum() == 1


@pytest.mark.parametrize("n", [2, 5, 20, 100])
@pytest.mark.parametrize("n_sigmas", [3.0, 4.0])
def test_by_chance_no_more_are_hot_than_promised(n, n_sigmas):
    """Level and noise of normal noise are what they would be of n frames, drawn directly."""
    rng = np.random.default_rng(n)
    n_pixels = 1_000_000
    level = rng.normal(100, 1, (1000, 1000)).astype(np.float32)
    noise = np.sqrt(rng.chisquare(n - 1, (1000, 1000)) / (n - 1)).astype(np.float32)
    tail = {3.0: 1.35e-3, 4.0: 3.17e-5}[n_sigmas]
    of_level = hot_pixels(level, np.full_like(noise, np.nan), n_sigmas, 0.0).sum()
    of_noise = hot_pixels(np.full_like(level, 100), noise, n_sigmas, 0.0).sum()
    expected = tail * n_pixels
    assert abs(of_level - expected) < 5 * np.sqrt(expected)
    assert of_noise < 1.35 * expected + 5 * np.sqrt(expected)
