from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.model.sums import (
    MAX_UINT32_FRAMES,
    FrameSum,
    accumulated_image,
    sum_dtype,
)
from femto_bluesky.testing.shots import make_shots

SHAPE = (3, 4)


def shot(pixels, number=0, mask=None, **changes):
    made = Shot(
        run="r", step=0, number=number, detector="cam", frame=DenseFrame(np.asarray(pixels), mask)
    )
    return replace(made, **changes)


def full(value, dtype="uint16", number=0, **changes):
    return shot(np.full(SHAPE, value, dtype), number, **changes)


def summed(shots):
    held = FrameSum(shots[0])
    for one in shots:
        held.add(one)
    return held


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("bool", "uint32"),
        ("uint8", "uint32"),
        ("uint16", "uint32"),
        ("uint32", "uint64"),
        ("uint64", "uint64"),
        ("int8", "int64"),
        ("int32", "int64"),
        ("float32", "float64"),
        ("float64", "float64"),
    ],
)
def test_what_frames_are_summed_in(dtype, expected):
    assert sum_dtype(np.dtype(dtype)) == expected
    assert FrameSum(full(1, dtype)).total.dtype == expected


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_the_sum_against_numpy(dtype):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 120, (20, *SHAPE)).astype(dtype)
    found = accumulated_image(summed([shot(f, n) for n, f in enumerate(frames)]), is_sum=True)
    np.testing.assert_array_equal(found.image, frames.sum(axis=0, dtype=np.float64))
    assert (found.n_frames, found.total) == (20, frames.sum(dtype=np.float64))
    assert found.hottest == frames.sum(axis=0, dtype=np.float64).max()
    assert not found.mask.any()
    assert found.n_valid is None
    assert found.n_frames_of_run == {"r": 20}


def test_a_sum_of_32_bits_is_widened_before_it_can_wrap():
    assert MAX_UINT32_FRAMES == 65537
    assert MAX_UINT32_FRAMES * 65535 == 2**32 - 1  # the last number of frames that fits
    held = summed([full(65535)])
    # as if 65536 saturated frames had been added
    held.total[:], held.n_frames = 65535 * 65536, 65536
    held.add(full(65535, number=1))
    assert held.total.dtype == np.uint32
    assert (held.total == 65535 * 65537).all()
    held.add(full(65535, number=2))
    assert held.total.dtype == np.uint64
    assert (held.total == 65535 * 65538).all()


def test_merging_widens_too():
    one, other = summed([full(65535)]), summed([full(65535, number=1)])
    for held in (one, other):
        held.total[:], held.n_frames = 65535 * 40000, 40000
    one.merge(other)
    assert one.total.dtype == np.uint64
    assert (one.total == 65535 * 80000).all()
    assert one.n_frames == 80000


def test_frames_of_another_number_are_added_exactly():
    found = summed([full(3, "uint16"), full(-5, "int32", number=1)])
    assert found.total.dtype == np.int64
    assert (found.total == -2).all()
    found.add(full(0.5, "float32", number=2))
    assert found.total.dtype == np.float64
    assert (found.total == -1.5).all()


def test_float32_frames_are_exact_in_any_order():
    rng = np.random.default_rng(1)
    frames = (rng.poisson(2, (200, *SHAPE)) * np.float32(1.07)).astype(np.float32)
    forth = summed([shot(f, n) for n, f in enumerate(frames)]).total
    back = summed([shot(f, n) for n, f in reversed(list(enumerate(frames)))]).total
    np.testing.assert_array_equal(forth, back)
    assert not np.array_equal(forth, frames.sum(axis=0, dtype=np.float32))


def masks_that_differ():
    masks = np.zeros((3, *SHAPE), bool)
    masks[:, 0, 0] = True  # in no frame valid
    masks[1, 1, 1] = True  # in two of three
    return masks


def test_where_masks_differ_valid_frames_are_counted():
    masks = masks_that_differ()
    held = summed([shot(np.full(SHAPE, 2, np.float32), n, m) for n, m in enumerate(masks)])
    found = accumulated_image(held, is_sum=True)
    np.testing.assert_array_equal(found.mask, masks.all(axis=0))
    np.testing.assert_array_equal(found.n_valid, (~masks).sum(axis=0))
    np.testing.assert_array_equal(found.image, 2 * (~masks).sum(axis=0))
    assert found.n_valid.dtype == np.uint32


def test_where_masks_are_the_same_there_is_nothing_to_count():
    mask = masks_that_differ()[0]
    held = summed([shot(np.ones(SHAPE, np.float32), n, mask) for n in range(3)])
    found = accumulated_image(held, is_sum=True)
    assert found.n_valid is None
    np.testing.assert_array_equal(found.mask, mask)


@pytest.mark.parametrize("masked_first", [False, True])
def test_a_frame_without_a_mask_among_masked_ones(masked_first):
    mask = masks_that_differ()[0]
    masked = shot(np.ones(SHAPE, np.float32), 0, mask)
    whole = shot(np.ones(SHAPE, np.float32), 1)
    pair = [masked, whole] if masked_first else [whole, masked]
    split = summed(pair[:1])
    split.merge(summed(pair[1:]))
    for held in (summed(pair), split):
        found = accumulated_image(held, is_sum=True)
        assert not found.mask.any()
        np.testing.assert_array_equal(found.n_valid, 2 - mask.astype(int))
        np.testing.assert_array_equal(found.image, 2 - mask.astype(int))


def test_the_hottest_pixel_is_a_valid_one():
    """A masked pixel holds 0, which is more than a sum of negative numbers."""
    pixels = np.full(SHAPE, -3, np.float32)
    pixels[0, 0] = -1
    assert accumulated_image(summed([shot(pixels)]), is_sum=True).hottest == -1
    mask = np.zeros(SHAPE, bool)
    mask[0, 0] = True
    assert accumulated_image(summed([shot(pixels, mask=mask)]), is_sum=True).hottest == -3
    all_masked = summed([shot(pixels, mask=np.ones(SHAPE, bool))])
    assert accumulated_image(all_masked, is_sum=True).hottest == 0


def test_the_hottest_is_not_looked_for_behind_the_mask():
    pixels = np.array([[-1.0, np.nan]], np.float32)
    found = accumulated_image(summed([shot(pixels, mask=np.isnan(pixels))]), is_sum=True)
    assert (found.hottest, found.total) == (-1, -1)


def test_take_out_undoes_add_exactly():
    shots = make_shots(("pilatus",), n_frames=4)
    whole, without = summed(shots), summed(shots[:5] + shots[6:])
    assert whole.holds(shots[5])
    whole.take_out(shots[5])
    assert not whole.holds(shots[5])
    assert whole.n_frames == without.n_frames == len(shots) - 1
    np.testing.assert_array_equal(whole.total, without.total)
    np.testing.assert_array_equal(whole.masks.counts, without.masks.counts)
    assert whole.shots == without.shots
    whole.add(shots[5])
    np.testing.assert_array_equal(whole.total, summed(shots).total)


def test_what_a_sum_holds():
    held = summed([full(1, number=4)])
    assert held.holds(full(9, number=4))
    assert not held.holds(full(1, number=3))
    assert not held.holds(full(1, number=5))
    assert not held.holds(full(1, number=4, run="another"))


def test_a_shot_is_not_counted_twice():
    one = summed([full(1, number=n) for n in (0, 1, 7)])
    other = summed([full(1, run="q"), *(full(1, number=n) for n in (2, 7, 1))])
    before = one.copy()
    with pytest.raises(ValueError, match=r"shot 1 of run r \(2 shots in all\) is in both") as error:
        one.merge(other)
    assert "cut the run into parts that do not overlap" in str(error.value)
    np.testing.assert_array_equal(one.total, before.total)
    assert one.n_frames == before.n_frames == 3
    assert one.holds(full(1, number=7))
    assert not one.holds(full(1, number=2))
    assert not one.holds(full(1, run="q"))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (full(1, detector="zyla"), "3x4 frames of 'cam' and of 3x4 frames of 'zyla'"),
        (shot(np.ones((4, 3), np.uint16)), "of 4x3 frames of 'cam'"),
        (full(1, origin=(10, 20)), "from row 10, column 20"),
    ],
)
def test_sums_of_another_kind_are_refused(other, words):
    with pytest.raises(ValueError, match="cannot be merged") as error:
        summed([full(1)]).merge(summed([other]))
    assert words in str(error.value)
    assert "accumulate each on its own" in str(error.value)


def test_a_copy_goes_its_own_way():
    held = summed([full(1)])
    copied = held.copy()
    held.add(full(1, number=1))
    assert (copied.total == 1).all()
    assert not copied.holds(full(1, number=1))


def test_the_pixel_size_is_that_of_the_frames():
    held = summed([full(1, pixel_size_m=(1e-5, 2e-5))])
    assert accumulated_image(held, is_sum=False).pixel_size_m == (1e-5, 2e-5)
    assert accumulated_image(held, is_sum=False).is_sum is False


frames_with_masks = st.lists(
    st.tuples(st.integers(0, 9), st.none() | hnp.arrays(np.bool_, SHAPE), st.booleans()),
    min_size=1,
    max_size=8,
)


@given(frames_with_masks)
def test_a_glimpse_shows_what_the_sum_is(frames):
    """Without a copy, whichever way masks were counted."""
    held, fixed = None, np.zeros(SHAPE, bool)
    fixed[1] = True
    fixed.flags.writeable = False
    for number, (value, mask, is_fixed) in enumerate(frames):
        one = full(value, number=number, mask=fixed if is_fixed else mask)
        held = held or FrameSum(one)
        held.add(one)
    seen = held.look((1, 0), is_sum=True)
    assert seen.image is held.total
    found, n_settled = seen.mask(), held.masks.n_settled
    single = [[seen.is_masked(y, x) for x in range(SHAPE[1])] for y in range(SHAPE[0])]
    expected = accumulated_image(held, is_sum=True)
    np.testing.assert_array_equal(np.zeros(SHAPE, bool) if found is None else found, expected.mask)
    np.testing.assert_array_equal(single, expected.mask)
    assert (seen.n_frames, seen.detector) == (expected.n_frames, expected.detector)
    # what was said in two parts has been added up: who looked meanwhile has to look again
    assert (held.masks.n_settled > n_settled) == (seen.masks.fixed is not None)
