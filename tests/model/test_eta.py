from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.kernels.photons import CLOSE, EDGE, HOT, OVERLAP, PHOTON
from femto_bluesky.model.eta import MIN_PHOTONS, N_BINS, correct, count_offsets


def photons_at(y: Any, x: Any, flags: Any = 0) -> Any:
    found = np.zeros(len(y), PHOTON)
    found["y"], found["x"], found["energy"], found["flags"] = y, x, 1200, flags
    return found


def anywhere(n: int = 20_000, seed: int = 0, squeeze: float = 1.0) -> Any:
    """Photons all over a sensor, their offsets squeezed towards the middle of their pixel."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(-0.5, 99.5, (2, n))
    pixel = np.floor(true + 0.5)
    offset = true - pixel
    squeezed = offset * (squeeze + (1 - squeeze) * 4 * offset**2)
    y, x = pixel + squeezed
    return photons_at(y, x), true


def test_offsets_are_counted_from_the_nearest_pixel() -> None:
    counts = count_offsets(photons_at([7.0, 7.25, 6.75, 6.5], [0.0, -0.5, 3.4999, 9.0]))
    assert counts.shape == (2, N_BINS)
    bins = [np.repeat(np.arange(N_BINS), row).tolist() for row in counts]
    assert bins == [[0, 250, 500, 750], [0, 500, 500, 999]]


@pytest.mark.parametrize("flag", [OVERLAP, HOT, EDGE, CLOSE, OVERLAP | CLOSE])
def test_photons_with_a_flag_teach_nothing_and_stay_as_they_are(flag: int) -> None:
    photons, _ = anywhere(squeeze=0.5)
    photons["flags"][::3] = flag
    counts = count_offsets(photons)
    assert counts.sum(axis=1).tolist() == [np.count_nonzero(photons["flags"] == 0)] * 2
    found = correct(photons, counts)
    assert found[::3].tobytes() == photons[::3].tobytes()
    assert (found["y"][1::3] != photons["y"][1::3]).mean() > 0.9


def test_counts_of_lots_add_up() -> None:
    photons, _ = anywhere()
    parts = [count_offsets(part) for part in np.array_split(photons, 7)]
    np.testing.assert_array_equal(sum(parts), count_offsets(photons))
    assert count_offsets(photons[:0]).sum() == 0


def test_positions_that_are_even_stay_where_they_are() -> None:
    """But for chance: the error of a share that was learned from n is at most 0.5 / sqrt(n)."""
    photons, _ = anywhere(200_000)
    found = correct(photons, count_offsets(photons))
    for axis in ("y", "x"):
        assert np.abs(found[axis] - photons[axis]).max() < 4 * 0.5 / np.sqrt(200_000)


@pytest.mark.parametrize("squeeze", [0.3, 0.6, 0.9])
def test_positions_that_crowd_towards_the_middle_are_put_right(squeeze: float) -> None:
    photons, true = anywhere(200_000, squeeze=squeeze)
    found = correct(photons, count_offsets(photons))
    for axis, expected in zip(("y", "x"), true, strict=True):
        assert np.abs(photons[axis] - expected).max() > 0.01
        assert np.abs(found[axis] - expected).max() < 4 * 0.5 / np.sqrt(200_000) + 1 / N_BINS


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1))
def test_corrected_offsets_are_even_and_keep_their_pixel_and_order(
    seed: int, squeeze: float
) -> None:
    photons, _ = anywhere(3000, seed, squeeze)
    before = photons.tobytes()
    counts = count_offsets(photons)
    found = correct(photons, counts)
    assert photons.tobytes() == before
    for name in ("energy", "flags"):
        np.testing.assert_array_equal(found[name], photons[name])
    for axis in ("y", "x"):
        pixel = np.floor(photons[axis] + 0.5)
        offsets = found[axis] - pixel
        assert (np.abs(offsets) <= 0.5).all()
        order = np.argsort(photons[axis] - pixel, kind="stable")
        assert (np.diff(offsets[order]) >= -1e-12).all()
        quarters = np.histogram(offsets, 4, (-0.5, 0.5))[0] / 3000
        np.testing.assert_allclose(quarters, 0.25, atol=0.02)


def test_each_axis_is_corrected_by_its_own_counts() -> None:
    even, _ = anywhere(50_000, seed=1)
    squeezed, _ = anywhere(50_000, seed=2, squeeze=0.3)
    mixed = photons_at(even["y"], squeezed["x"])
    found = correct(mixed, count_offsets(mixed))
    assert np.abs(found["y"] - mixed["y"]).max() < 0.01
    assert np.abs(found["x"] - mixed["x"]).max() > 0.05


def test_what_was_learned_serves_other_photons() -> None:
    counts = count_offsets(anywhere(100_000, seed=1, squeeze=0.5)[0])
    photons, true = anywhere(1000, seed=2, squeeze=0.5)
    found = correct(photons, counts)
    assert np.abs(found["y"] - true[0]).max() < 4 * 0.5 / np.sqrt(100_000) + 1 / N_BINS
    assert correct(photons[:0], counts).shape == (0,)


def test_too_few_to_learn_from() -> None:
    photons, _ = anywhere(MIN_PHOTONS)
    assert len(correct(photons, count_offsets(photons))) == MIN_PHOTONS
    with pytest.raises(ValueError, match="positions of 999 photons were counted, expected at leas"):
        correct(photons, count_offsets(photons[1:]))
    with pytest.raises(ValueError, match="use the raw positions, or count more frames"):
        correct(photons, count_offsets(photons[:0]))
