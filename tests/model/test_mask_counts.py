from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.mask_counts import MaskCounts

SHAPE = (2, 3)
MASKS = [np.array(list(f"{bits:06b}"), dtype=int).reshape(SHAPE).astype(bool) for bits in range(64)]
FIXED = [mask.copy() for mask in MASKS]
for one in FIXED:
    one.flags.writeable = False


def counted(*adds):
    counts = MaskCounts()
    for mask, times in adds:
        counts.add(mask, times)
    return counts


def test_nothing_was_masked():
    assert MaskCounts().counts is None
    assert counted((None, 1), (None, 1)).counts is None


numbers = st.lists(st.tuples(st.integers(0, 63), st.booleans()), max_size=12)


@given(numbers, numbers)
def test_fixed_and_changing_masks_are_counted_alike(first, second):
    def made(of):
        return counted(*(((FIXED if is_fixed else MASKS)[i], 1) for i, is_fixed in of))

    counts = made(first)
    counts.merge(made(second))
    for i, is_fixed in first:  # taken out again
        counts.add((FIXED if is_fixed else MASKS)[i], -1)
    expected = sum((MASKS[i].astype(int) for i, _ in second), np.zeros(SHAPE, int))
    found = counts.counts
    np.testing.assert_array_equal(np.zeros(SHAPE) if found is None else found, expected)


def test_a_mask_that_is_filled_anew_is_counted_as_it_was():
    mask, counts = MASKS[5].copy(), MaskCounts()
    counts.add(mask)
    mask[:] = True
    np.testing.assert_array_equal(counts.counts, MASKS[5])


@pytest.mark.parametrize("sent", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_counts_on_its_own(sent):
    counts = counted((FIXED[9], 1), (FIXED[9], 1))
    other = sent(counts)
    counts.add(FIXED[9])
    other.add(FIXED[63])
    np.testing.assert_array_equal(counts.counts, 3 * FIXED[9])
    np.testing.assert_array_equal(other.counts, 2 * FIXED[9] + FIXED[63])
