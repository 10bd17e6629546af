from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

SMALL = BalorSettings(
    shape=(120, 160), n_photons=30, spot_photons=12, spot_y=40.3, spot_x=90.8, spot_sigma_px=2.5,
    n_hot_pixels=5, has_electron_statistics=True, dark_spread_adu=3, gain_spread=0.05, seed=5,
)  # fmt: skip
QUIET = BalorSettings(
    shape=(60, 70), n_photons=0, n_hot_pixels=0, read_noise_adu=0, energy_spread=0, dark_adu=100
)


def but(settings, **changes):
    return BalorSettings(**{**settings.model_dump(), **changes})


def one_photon_at(y, x, **changes):
    """A frame without noise, less dark, with one photon at a place: a spot without a width."""
    spot = {"spot_photons": 1e-9, "spot_y": y, "spot_x": x, "spot_sigma_px": 0}
    # the mean number is tiny, so the scale makes it one photon in some frame with certainty
    frames = BalorFrames(but(QUIET, **spot, **changes), scale_at=lambda position: 1e9)
    index = next(i for i in range(100) if len(frames.truth(i)) == 1)
    truth = frames.truth(index)[0]
    assert (truth["y"], truth["x"]) == (y, x)
    return frames(index).astype(float) - 100, truth, frames


def test_the_defaults_are_those_of_a_balor():
    frames = BalorFrames()
    frame = frames(0)
    assert (frame.shape, frame.dtype) == ((4104, 4128), np.uint16)
    n_photons = len(frames.truth(0))
    assert abs(n_photons - 1000) < 5 * math.sqrt(1000)
    assert len(frames.hot_pixels[0]) == 50
    background = frame[frame < 115]
    assert np.mean(background) == pytest.approx(100, abs=0.05)
    # rounding to whole numbers adds a variance of a twelfth
    assert np.std(background) == pytest.approx(math.sqrt(2.5**2 + 1 / 12), abs=0.02)


@given(st.floats(10, 40), st.floats(10, 40))
@settings(max_examples=25)
def test_the_centre_of_a_cloud_is_where_the_photon_is(y, x):
    # so much charge that rounding to whole numbers does not tell
    image, truth, frames = one_photon_at(y, x, photon_adu=20000)
    row, column = round(y), round(x)
    box = image[row - 4 : row + 5, column - 4 : column + 5]
    away = np.arange(-4, 5)
    total = box.sum()
    assert row + away @ box.sum(axis=1) / total == pytest.approx(y, abs=0.01)
    assert column + away @ box.sum(axis=0) / total == pytest.approx(x, abs=0.01)
    assert total * frames.mean_3x3_share == pytest.approx(truth["energy"], rel=2e-3)


@pytest.mark.parametrize("cloud", [(0.45, 0.06), (0.55, 0.0), (1.0, 0.0)])
def test_the_energy_is_the_mean_3x3_sum_over_all_places(cloud):
    sigma, halo = cloud
    sums = []
    for dy, dx in np.random.default_rng(0).uniform(-0.5, 0.5, (150, 2)):
        image, truth, _ = one_photon_at(
            20 + dy, 30 + dx, cloud_sigma_px=sigma, halo_share=halo, photon_adu=20000
        )
        sums.append(image[19:22, 29:32].sum() / truth["energy"])
    assert np.mean(sums) == pytest.approx(1, abs=5 * np.std(sums) / math.sqrt(len(sums)) + 1e-4)


def test_a_photon_in_the_middle_of_a_pixel_leaves_what_the_cloud_says():
    image, truth, frames = one_photon_at(
        20.0, 30.0, cloud_sigma_px=0.45, halo_share=0, photon_adu=20000
    )
    one, two = (math.erf(k / 2 / 0.45 / math.sqrt(2)) for k in (1, 3))
    charge = truth["energy"] / frames.mean_3x3_share
    assert image[20, 30] == pytest.approx(charge * one**2, abs=1)
    assert image[20, 31] == pytest.approx(charge * one * (two - one) / 2, abs=1)
    assert image[19, 29] == pytest.approx(charge * ((two - one) / 2) ** 2, abs=1)


def test_charge_beyond_the_sensor_is_lost():
    inside = one_photon_at(20.0, 30.0, photon_adu=20000)[0].sum()
    assert one_photon_at(-0.5, 30.0, photon_adu=20000)[0].sum() == pytest.approx(
        inside / 2, rel=1e-3
    )
    corner = one_photon_at(-0.5, -0.5, photon_adu=20000)[0]
    assert corner.sum() == pytest.approx(inside / 4, rel=1e-3)
    # and does not come in at the other side
    assert not corner[20:].any()
    assert not corner[:, 20:].any()


def test_a_photon_that_misses_the_sensor_is_none():
    frames = BalorFrames(but(QUIET, spot_photons=400, spot_y=-0.5, spot_x=30, spot_sigma_px=3))
    truth = frames.truth(0)
    assert 130 < len(truth) < 270
    assert truth["y"].min() >= -0.5


def test_photons_are_spread_evenly_and_their_number_is_poisson():
    frames = BalorFrames(but(SMALL, spot_photons=0))
    truths = [frames.truth(i) for i in range(2000)]
    n = np.array([len(truth) for truth in truths])
    assert n.mean() == pytest.approx(30, abs=5 * math.sqrt(30 / 2000))
    assert n.var() == pytest.approx(30, rel=5 * math.sqrt(2 / 2000))
    photons = np.concatenate(truths)
    for axis, size in (("y", 120), ("x", 160)):
        counts = np.histogram(photons[axis], bins=40, range=(-0.5, size - 0.5))[0]
        assert counts.sum() == len(photons)
        expected = len(photons) / 40
        assert np.sum((counts - expected) ** 2 / expected) < 40 + 5 * math.sqrt(80)
    energy = photons["energy"]
    assert energy.mean() == pytest.approx(1200, abs=5 * 42 / math.sqrt(len(photons)))
    assert energy.std() == pytest.approx(0.035 * 1200, rel=0.02)


def test_the_number_of_photons_may_be_exact():
    frames = BalorFrames(but(SMALL, is_exact=True, spot_photons=0))
    assert {len(frames.truth(i)) for i in range(20)} == {30}


def test_the_mean_of_frames_is_that_of_the_photons():
    frames = BalorFrames(but(SMALL, spot_photons=0, n_hot_pixels=0, gain_spread=0.3))
    n = 600
    mean = sum(frames(i).astype(float) for i in range(n)) / n
    inner = np.s_[8:-8, 8:-8]
    light = (mean - frames.dark)[inner]
    charge = 1200 / frames.mean_3x3_share
    assert light.mean() == pytest.approx(charge * 30 / (120 * 160), rel=0.03)
    # the light follows the gain: a line through all pixels has its slope
    slope = np.polyfit(frames.gain[inner].ravel(), light.ravel(), 1)[0]
    assert slope == pytest.approx(light.mean(), rel=0.25)


def test_patterns_of_gain_and_dark_level_are_fixed():
    frames = BalorFrames(but(QUIET, dark_spread_adu=4, gain_spread=0.1, shape=(300, 300)))
    np.testing.assert_array_equal(frames(0), np.rint(frames.dark))
    assert frames.dark.mean() == pytest.approx(100, abs=0.1)
    assert frames.dark.std() == pytest.approx(4, rel=0.02)
    assert frames.gain.mean() == pytest.approx(1, abs=0.002)
    assert frames.gain.std() == pytest.approx(0.1, rel=0.02)
    assert abs(np.corrcoef(frames.gain.ravel(), frames.dark.ravel())[0, 1]) < 0.02
    plain = BalorFrames(QUIET)
    assert (plain.dark == 100).all()
    assert (plain.gain == 1).all()


def test_electrons_are_a_poisson_number():
    spot = {"spot_photons": 1e6, "spot_y": 30, "spot_x": 30, "spot_sigma_px": 0}
    lit = but(QUIET, **spot, has_electron_statistics=True, adu_per_electron=2, photon_adu=1e3)
    # of one photon: draw it often, and look at one pixel
    frames = BalorFrames(lit, scale_at=lambda position: 1e-6)
    ones = [i for i in range(4000) if len(frames.truth(i)) == 1]
    values = np.array([frames(i)[30, 31] for i in ones[:1200]], float) - 100
    assert values.var() / values.mean() == pytest.approx(2, rel=5 * math.sqrt(2 / len(values)))
    smooth = BalorFrames(but(lit, has_electron_statistics=False), lambda position: 1e-6)
    assert len({int(smooth(i)[30, 31]) for i in ones[:20]}) == 1
    expected = float(smooth(ones[0])[30, 31]) - 100
    assert values.mean() == pytest.approx(
        expected, abs=5 * math.sqrt(2 * expected / len(values)) + 0.5
    )


def test_hot_pixels_fire_where_and_as_often_as_they_say():
    frames = BalorFrames(but(QUIET, n_hot_pixels=9, hot_share_of_frames=(0.2, 1.0)))
    rows, columns = frames.hot_pixels
    assert len(set(zip(rows, columns, strict=True))) == 9
    n = 1500
    fired = np.zeros((60, 70))
    for i in range(n):
        frame = frames(i)
        fired += frame > 100
        excess = frame[rows, columns] - 100.0
        assert (np.abs(excess[excess > 0] - frames.hot_excess_adu[excess > 0]) <= 0.5).all()
    share = fired[rows, columns] / n
    np.testing.assert_allclose(share, frames.hot_shares, atol=5 * 0.5 / math.sqrt(n))
    assert fired.sum() == fired[rows, columns].sum()
    assert ((frames.hot_shares >= 0.2) & (frames.hot_shares <= 1)).all()
    assert ((frames.hot_excess_adu >= 200) & (frames.hot_excess_adu <= 3000)).all()


def test_pixels_saturate():
    spot = {"spot_photons": 500, "spot_y": 30, "spot_x": 30, "spot_sigma_px": 0}
    assert BalorFrames(but(QUIET, **spot))(0)[30, 30] == 65535


def test_the_position_scales_the_spot_and_nothing_else():
    frames = BalorFrames(SMALL, scale_at=lambda position: 2 * position)
    dark = but(SMALL, spot_photons=0)
    np.testing.assert_array_equal(frames(3, 0.0), BalorFrames(dark)(3))
    even = BalorFrames(dark).truth(3)
    for position in (0.25, 1.0):
        np.testing.assert_array_equal(frames.truth(3, position)[: len(even)], even)
    n_even = [len(BalorFrames(dark).truth(i)) for i in range(1000)]
    n_spot = [len(frames.truth(i, 0.75)) for i in range(1000)]
    spot = np.subtract(n_spot, n_even)
    assert spot.mean() == pytest.approx(18, abs=5 * math.sqrt(18 / 1000))
    photons = np.concatenate([frames.truth(i, 0.75)[n_even[i] :] for i in range(1000)])
    for axis, centre in (("y", 40.3), ("x", 90.8)):
        assert photons[axis].mean() == pytest.approx(centre, abs=5 * 2.5 / math.sqrt(len(photons)))
        assert photons[axis].std() == pytest.approx(2.5, rel=0.03)
    # without a scale, it is 1 everywhere
    np.testing.assert_array_equal(BalorFrames(SMALL)(3, 7.0), frames(3, 0.5))


@given(st.lists(st.integers(0, 2**33), min_size=1, max_size=4), st.floats(0, 3))
@settings(max_examples=25)
def test_a_frame_is_the_same_whatever_was_drawn_before(indices, position):
    frames = BalorFrames(SMALL, scale_at=abs)
    drawn = {index: frames(index, position) for index in indices}
    for index, frame in drawn.items():
        np.testing.assert_array_equal(frame, BalorFrames(SMALL, scale_at=abs)(index, position))


def test_frames_and_seeds_differ_and_settings_do_not_disturb_each_other():
    frames = BalorFrames(SMALL)
    assert (frames(0) != frames(1)).any()
    other = BalorFrames(but(SMALL, seed=6))
    assert (frames(0) != other(0)).any()
    assert (frames.dark != other.dark).any()
    assert (np.array(frames.hot_pixels) != np.array(other.hot_pixels)).any()
    # the same photons on a better camera, and the same hot pixels under other light
    better = BalorFrames(but(SMALL, read_noise_adu=0, gain_spread=0, n_hot_pixels=0))
    np.testing.assert_array_equal(better.truth(4), frames.truth(4))
    darker = BalorFrames(but(SMALL, n_photons=0, energy_spread=0))
    np.testing.assert_array_equal(darker.hot_pixels, frames.hot_pixels)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"0 or more, not -1 and 1\.0"):
        BalorFrames(SMALL)(-1)
    with pytest.raises(ValueError, match="0 or more, not 0 and -2"):
        BalorFrames(SMALL, scale_at=lambda position: -2)(0)
    with pytest.raises(ValidationError, match=r"2 x 3 with 50 hot pixels.*no more hot pixels"):
        BalorSettings(shape=(2, 3))
    with pytest.raises(ValidationError, match=r"hot_share_of_frames is 0\.9, 0\.5; expected"):
        BalorSettings(hot_share_of_frames=(0.9, 0.5))
    with pytest.raises(ValidationError, match=r"hot_excess_adu is 5\.0, 1\.0; expected"):
        BalorSettings(hot_excess_adu=(5, 1))
    with pytest.raises(ValidationError, match=r"n_photons is 2\.5, expected a whole number"):
        BalorSettings(n_photons=2.5, is_exact=True)
    with pytest.raises(ValidationError, match="extra"):
        BalorSettings(photons=5)
