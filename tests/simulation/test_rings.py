from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from femto_bluesky.simulation.rings import RingFrames, RingSettings, cubic_lines

SMALL = RingSettings(
    shape=(120, 160),
    x0=61.0,
    y0=47.5,
    distance_m=0.02,
    ring_width_q=0.05,
    ring_photons=400.0,
    background_photons=150.0,
    has_gaps=False,
    n_dead_pixels=7,
    seed=5,
)


def test_the_mean_of_many_frames_is_the_expected_one():
    rings = RingFrames(SMALL)
    n, scale = 3000, 1.5
    photons = sum(
        np.where(rings.is_live, rings.frame(i, scale), np.nan).astype(np.float64) for i in range(n)
    ) / (n * SMALL.counts_per_photon)
    expected = rings.expected(scale) / SMALL.counts_per_photon
    live = rings.is_live
    # Each pixel is Poisson, so its mean strays by sqrt(expected / n): chi squared over all pixels.
    chi2 = np.sum((photons[live] - expected[live]) ** 2 / (expected[live] / n))
    assert abs(chi2 - live.sum()) < 6 * math.sqrt(2 * live.sum())
    total = SMALL.ring_photons * scale + SMALL.background_photons
    assert np.nansum(expected) == pytest.approx(total, rel=1e-12)
    assert abs(np.nansum(photons) - total) < 5 * math.sqrt(total / n)


def test_the_number_of_photons_is_poisson():
    rings = RingFrames(SMALL)
    totals = [
        rings.frame(i)[rings.is_live].sum(dtype=np.float64) / SMALL.counts_per_photon
        for i in range(2000)
    ]
    mean = SMALL.ring_photons + SMALL.background_photons
    assert np.mean(totals) == pytest.approx(mean, abs=5 * math.sqrt(mean / 2000))
    assert np.var(totals) == pytest.approx(mean, rel=5 * math.sqrt(2 / 2000))


def test_rings_lie_where_the_geometry_puts_them():
    settings = RingSettings(background_photons=0, has_gaps=False, n_dead_pixels=0)
    rings = RingFrames(settings)
    image = rings.expected()
    for q in settings.ring_q[:5]:
        two_theta = 2 * math.asin(q * 12.39842 / 13.5 / (4 * math.pi))
        radius = settings.distance_m * math.tan(two_theta) / settings.pixel_size_m
        assert rings.ring_radius_px(q) == pytest.approx(radius, rel=1e-6)
        # Along the row of the beam, to the right: the brightest pixel near the ring.
        row = image[int(settings.y0)]
        guess = int(settings.x0 + radius)
        peak = guess - 8 + int(np.argmax(row[guess - 8 : guess + 8]))
        assert abs(peak + 0.5 - settings.x0 - radius) < 1


def test_pixels_far_out_see_less_of_a_ring():
    settings = RingSettings(background_photons=0, has_gaps=False, n_dead_pixels=0)
    rings = RingFrames(settings)
    y, x = np.indices(settings.shape) + 0.5
    away = np.hypot(x - settings.x0, y - settings.y0) * settings.pixel_size_m
    solid_angle = (settings.distance_m / np.hypot(away, settings.distance_m)) ** 3
    heights = []
    for line in settings.ring_q:
        on_top = np.abs(rings.q - line) < 0.02 * settings.ring_width_q
        heights.append((rings.expected() / solid_angle)[on_top].mean())
    # Without the solid angle, the outermost ring would be half of the innermost.
    np.testing.assert_allclose(heights, heights[0], rtol=1e-3)


def test_the_default_lines_are_those_of_lab6():
    assert [round(q, 2) for q in RingSettings().ring_q[:5]] == [1.51, 2.14, 2.62, 3.02, 3.38]
    # h^2 + k^2 + l^2 = 7 does not exist: the eighth line is that of 9.
    assert cubic_lines(4.1569, 8)[6] / cubic_lines(4.1569, 8)[0] == pytest.approx(math.sqrt(8))
    assert len(cubic_lines(4.0, 40)) == 40


def test_gaps_and_dead_pixels_of_a_pilatus():
    rings = RingFrames()
    frame = rings.frame(0)
    assert frame.shape == (831, 1475)
    assert frame.dtype == np.float32
    assert (frame[195:212] == -1).all()
    assert (frame[:, 487:494] == -1).all()
    assert not (frame[:195, :487] == -1).any()
    assert (frame == -2).sum() == 40
    assert (frame == -1).sum() == 831 * 1475 - 4 * 195 * 3 * 487
    np.testing.assert_array_equal(np.isnan(rings.expected()), frame < 0)
    np.testing.assert_array_equal(rings.is_live, frame >= 0)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5), st.floats(0, 3))
def test_a_frame_is_the_same_whatever_was_drawn_before(indices, scale):
    rings = RingFrames(SMALL)
    drawn = {index: rings.frame(index, scale) for index in indices}
    for index, frame in drawn.items():
        assert (frame == RingFrames(SMALL).frame(index, scale)).all()


def test_frames_and_seeds_differ():
    rings = RingFrames(SMALL)
    assert (rings.frame(0) != rings.frame(1)).any()
    other = RingFrames(SMALL.model_copy(update={"seed": 6}))
    assert (rings.frame(0) != other.frame(0)).any()


def test_the_position_sets_the_scale():
    rings = RingFrames(SMALL, scale_at=lambda position: 2 * position)
    np.testing.assert_array_equal(rings(3, 0.75), rings.frame(3, 1.5))
    np.testing.assert_array_equal(RingFrames(SMALL)(3, 0.75), rings.frame(3, 1.0))


def test_without_rings_there_is_only_background():
    rings = RingFrames(SMALL.model_copy(update={"ring_q": ()}))
    assert np.nansum(rings.expected(7.0)) == pytest.approx(150 * SMALL.counts_per_photon)
    assert rings.frame(0, 7.0)[rings.is_live].sum() < 300 * SMALL.counts_per_photon


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        RingFrames(SMALL).frame(-1)
    with pytest.raises(ValueError, match="0 or more"):
        RingFrames(SMALL).frame(0, -0.5)
    with pytest.raises(ValueError, match=r"90 degrees or more at 13.5 keV.*smaller q"):
        RingFrames(SMALL).ring_radius_px(12.0)
    with pytest.raises(ValueError, match=r"no pixel .* alive with 12 dead pixels; ask for fewer"):
        RingFrames(SMALL.model_copy(update={"shape": (3, 4), "n_dead_pixels": 12}))
    with pytest.raises(ValidationError, match="distance_m"):
        RingSettings(distance_m=0)
