"""Cells of known content: what is measured is right on average, and as uncertain as it says."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.kernels.ring_cells import Profiles, measure, widening

RING_OF_CELL = np.arange(60) // 20


def pixels(height, background, shift=0.0, width=1.0, n=40_000, slope=0.0, seed=0, gain=1.0):
    rng = np.random.default_rng(seed)
    offset = rng.uniform(-4.5, 4.5, n)
    cell = rng.integers(0, len(RING_OF_CELL), n)
    exposure = rng.integers(1, 4, n).astype(float)
    mean = height * np.exp(-(((offset - shift) / width) ** 2) / 2) + background + slope * offset
    counts = rng.poisson(exposure * mean) * gain
    return Profiles.of(counts, exposure, offset, cell, len(RING_OF_CELL))


@pytest.mark.parametrize(("height", "background"), [(1.0, 0.3), (0.2, 0.05), (5.0, 0.3)])
def test_shifts_and_heights_are_right_and_their_errors_honest(height, background):
    pulls, heights = [], []
    for seed in range(4):
        cells = measure(pixels(height, background, shift=0.1, seed=seed), RING_OF_CELL)
        # to first order in the shift: 0.1 widths
        pulls.extend((cells.shift - 0.1) / cells.shift_error)
        heights.extend((cells.amplitude - height) / cells.amplitude_error)
        assert cells.gain == pytest.approx(1, rel=0.05)
    assert abs(np.mean(pulls)) < 0.35
    assert 0.85 < np.std(pulls) < 1.15
    assert abs(np.mean(heights)) < 0.35
    assert 0.85 < np.std(heights) < 1.15


def test_a_slope_moves_nothing():
    flat, sloped = (
        measure(pixels(1.0, 0.5, slope=slope, n=400_000), RING_OF_CELL) for slope in (0.0, 0.1)
    )
    assert abs(np.mean(sloped.shift) - np.mean(flat.shift)) < 0.02


def test_the_unit_of_counts_is_found():
    cells = measure(pixels(1.0, 0.3, gain=13.5), RING_OF_CELL)
    plain = measure(pixels(1.0, 0.3), RING_OF_CELL)
    assert cells.gain == pytest.approx(13.5 * plain.gain)
    np.testing.assert_allclose(cells.shift, plain.shift)
    np.testing.assert_allclose(cells.shift_error, plain.shift_error)


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    offset, cell = rng.uniform(-4, 4, 5000), rng.integers(0, 60, 5000)
    counts, exposure = rng.poisson(1.0, 5000).astype(float), np.ones(5000)
    order = rng.permutation(5000)
    one = measure(Profiles.of(counts, exposure, offset, cell, 60), RING_OF_CELL)
    two = measure(
        Profiles.of(counts[order], exposure, offset[order], cell[order], 60), RING_OF_CELL
    )
    np.testing.assert_allclose(one.shift, two.shift, rtol=1e-6)


def test_a_cell_without_pixels_or_cut_in_half_tells_nothing():
    rng = np.random.default_rng(0)
    offset = rng.uniform(-4, 4, 3000)
    cell = rng.integers(0, 2, 3000)
    cell[offset > 3.99] = 2  # a cell that the frame cuts to a sliver
    profiles = Profiles.of(rng.poisson(1.0, 3000).astype(float), np.ones(3000), offset, cell, 4)
    cells = measure(profiles, np.zeros(4, int))
    assert np.isfinite(cells.amplitude[:2]).all()
    assert np.isnan(cells.amplitude[2:]).all()


@pytest.mark.parametrize("width", [0.85, 1.0, 1.2])
def test_the_width_is_found(width):
    change, error = widening(pixels(2.0, 0.2, width=width, n=300_000), RING_OF_CELL)
    # to first order: the template is as narrow as 1
    assert np.mean(change) == pytest.approx(width**2 - 1, abs=0.12)
    assert np.std(change) < 3 * np.mean(error)


def test_nothing_counted_is_no_ring():
    profiles = Profiles.of(
        np.zeros(100), np.ones(100), np.linspace(-4, 4, 100), np.zeros(100, int), 1
    )
    cells = measure(profiles, np.zeros(1, int))
    assert not cells.amplitude[0] > 3 * cells.amplitude_error[0]
