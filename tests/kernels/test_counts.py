from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.kernels.counts import count_alone
from femto_bluesky.kernels.photons import MASKED


def counted(frame, dark=100.0, mask=None, threshold=50.0, share=0.2):
    counts = np.zeros(frame.shape, np.uint32)
    places = None if mask is None else np.where(mask, np.uint8(MASKED), np.uint8(0))
    count_alone(frame, dark, places, float(np.min(dark)), threshold, share, counts)
    return counts


def reference(frame, dark=100.0, mask=None, threshold=50.0, share=0.2):
    """The same, pixel by pixel, as the words say it."""
    above = frame.astype(float) - dark
    if mask is not None:
        above[mask] = np.nan
    around = np.pad(above, 1, constant_values=np.nan)
    rows, columns = frame.shape
    counts = np.zeros(frame.shape, np.uint32)
    for y, x in np.ndindex(frame.shape):
        others = np.delete(around[y : y + 3, x : x + 3].ravel(), 4)
        seen = sorted(others[~np.isnan(others)])
        if len(seen) >= 7:
            is_told, rest = True, sum(seen) - max(seen[-1], 0)
        else:
            is_edge = y in (0, rows - 1) or x in (0, columns - 1)
            is_told, rest = len(seen) >= (5 if is_edge else 6), sum(seen)
        e = above[y, x]
        counts[y, x] = is_told and e > threshold and rest < share * e
    return counts


def frame_of(bright, shape=(9, 300), dtype=np.uint16):
    frame = np.full(shape, 100, dtype)
    for place, value in bright.items():
        frame[place] = 100 + value
    return frame


def where(counts):
    return [tuple(int(i) for i in place) for place in np.argwhere(counts)]


# wide enough for blocks of 128 pixels and what is left over
frames = hnp.arrays(
    np.uint16,
    st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 7, 130, 257])),
    elements=st.sampled_from([0, 90, 100, 101, 110, 150, 151, 400, 65535]),
    fill=st.sampled_from([0, 100]),
)


@given(frames, st.integers(0, 2**32 - 1))
def test_it_counts_what_plain_words_say(frame, seed):
    rng = np.random.default_rng(seed)
    dark = rng.integers(190, 211, frame.shape).astype(np.float32) / 2
    mask = rng.random(frame.shape) < 0.1
    np.testing.assert_array_equal(counted(frame), reference(frame))
    np.testing.assert_array_equal(counted(frame, dark), reference(frame, dark))
    np.testing.assert_array_equal(counted(frame, mask=mask), reference(frame, mask=mask))
    np.testing.assert_array_equal(
        counted(frame, dark, mask, 10.0, 0.5), reference(frame, dark, mask, 10.0, 0.5)
    )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "f4", "f8"])
def test_any_number_will_do(dtype):
    frame = frame_of({(4, 7): 100, (4, 200): 27, (8, 299): 100, (0, 150): 120}, dtype=dtype)
    assert where(counted(frame)) == [(0, 150), (4, 7)]


def test_a_pixel_is_alone_or_one_of_two():
    assert where(counted(frame_of({(4, 50): 500}))) == [(4, 50)]
    assert where(counted(frame_of({(4, 50): 500, (5, 51): 900}))) == [(4, 50), (5, 51)]
    # of three in a row the one in the middle has two bright neighbours
    three = frame_of({(4, 50): 500, (4, 51): 500, (4, 52): 500})
    assert where(counted(three)) == [(4, 50), (4, 52)]
    # the outer ones of a column see one bright neighbour, too
    column = frame_of({(3, 50): 300, (4, 50): 500, (5, 50): 101, (6, 50): 40})
    assert where(counted(column)) == [(3, 50)]


def test_at_the_edge_no_neighbour_is_overlooked():
    assert where(counted(frame_of({(0, 50): 500, (5, 0): 500}))) == [(0, 50), (5, 0)]
    assert where(counted(frame_of({(0, 50): 500, (0, 51): 500}))) == []
    assert where(counted(frame_of({(0, 0): 500, (8, 299): 500}))) == []


def test_what_carries_no_data_is_no_neighbour():
    three = frame_of({(4, 50): 500, (4, 51): 500, (4, 52): 500})
    mask = np.zeros(three.shape, np.bool_)
    mask[4, [50, 52]] = True
    assert where(counted(three, mask=mask)) == [(4, 51)]
    mask[3, 50] = True
    assert where(counted(three, mask=mask)) == []
    as_nan = three.astype(np.float32)
    as_nan[4, [50, 52]] = np.nan
    assert where(counted(as_nan)) == [(4, 51)]


def test_counts_go_on_and_inputs_stay():
    frame = frame_of({(4, 50): 500})
    before = frame.copy()
    counts = np.full(frame.shape, 7, np.uint32)
    count_alone(frame, 100.0, None, 100.0, 50.0, 0.2, counts)
    count_alone(frame, 100.0, None, 100.0, 50.0, 0.2, counts)
    assert counts[4, 50] == 9
    assert counts.sum() == 7 * counts.size + 2
    np.testing.assert_array_equal(frame, before)


def test_a_view_is_counted_as_it_looks():
    whole = frame_of({(4, 50): 500, (2, 260): 500, (6, 150): 400})
    for view in (whole[1:8, 40:270], whole[::2, ::2], whole.T, whole[::-1, ::-1]):
        np.testing.assert_array_equal(counted(view), counted(np.ascontiguousarray(view)))
