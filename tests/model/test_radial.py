from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.kernels import sparse
from femto_bluesky.kernels.photons import PHOTON
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.photons import PhotonFrame
from femto_bluesky.model.radial import (
    RadialBinning,
    RadialBins,
    RadialError,
    RadialSums,
    profile_of,
)
from femto_bluesky.model.shots import DenseFrame
from femto_bluesky.model.sums import AccumulatedImage
from femto_bluesky.simulation.rings import RingFrames, RingSettings

SHAPE = (120, 150)
PIXEL = (172e-6, 172e-6)
GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.02, x0_px=31.3, y0_px=47.8, tilt_deg=7, rotation_deg=-130,
    pixel_size_m=PIXEL,
)  # fmt: skip
CSR = ("no", "csr", "cython")


def image(mean=3.0, seed=0):
    return np.random.default_rng(seed).poisson(mean, SHAPE).astype(np.float64)


def accumulated(pixels, mask=None, n_frames=1, n_valid=None):
    masked = np.zeros(pixels.shape, bool) if mask is None else mask
    return AccumulatedImage(
        np.where(masked, 0, pixels),
        masked,
        n_frames,
        n_valid,
        PIXEL,
        "cam",
        True,
        {"run": n_frames},
    )


def photons(y, x, energy=1000.0):
    found = np.zeros(len(y), PHOTON)
    found["y"], found["x"], found["energy"] = y, x, energy
    return found


@pytest.mark.parametrize("polarisation", [None, 0.95])
@pytest.mark.parametrize("solid_angle", [True, False])
def test_i_of_q_is_pyfais_to_the_last_bit(polarisation, solid_angle):
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 100, None, solid_angle, polarisation))
    pixels = image()
    mask = np.zeros(SHAPE, bool)
    mask[70:80] = True  # neither the smallest nor the largest q: pyFAI's bins reach to valid pixels
    for masked in (None, mask):
        theirs = GEOMETRY.integrator(SHAPE).integrate1d_ng(
            pixels, 100, unit="q_A^-1", method=CSR, mask=masked, polarization_factor=polarisation,
            correctSolidAngle=solid_angle, error_model="poisson",
        )  # fmt: skip
        ours = binning.of_accumulated(accumulated(pixels, masked), 1.0)
        np.testing.assert_array_equal(ours.signal, theirs.sum_signal)
        np.testing.assert_array_equal(ours.norm, theirs.sum_normalization)
        there = ours.norm > 0
        np.testing.assert_array_equal(
            ours.intensity[there].astype(np.float32), theirs.intensity[there]
        )
        np.testing.assert_allclose(ours.q, theirs.radial, rtol=1e-13)
        assert np.isnan(ours.intensity[~there]).all()
        assert ours.signal.sum() == pixels[~(mask & (masked is not None))].sum()


def test_errors_are_pyfais_where_no_pixel_is_empty():
    pixels = image(50.0)
    theirs = GEOMETRY.integrator(SHAPE).integrate1d_ng(
        pixels, 100, unit="q_A^-1", method=CSR, error_model="poisson"
    )
    ours = RadialBinning(RadialBins(GEOMETRY, SHAPE, 100)).of_accumulated(accumulated(pixels), 1.0)
    np.testing.assert_allclose(ours.sigma, theirs.sigma, rtol=3e-7)


def test_one_way_or_the_other_sums_are_the_same():
    """Frames one by one, their image with its masks counted, and the accumulated image."""
    rng = np.random.default_rng(1)
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 60, None, True, 0.9))
    frames = [image(0.2, seed).astype(np.float32) * np.float32(1.07) for seed in range(5)]
    masks = [rng.random(SHAPE) < 0.1 for _ in frames]
    one_by_one, total = RadialSums(binning.q), np.zeros(SHAPE)
    for number, (pixels, mask) in enumerate(zip(frames, masks, strict=True)):
        one_by_one.add(*binning.of_frame(DenseFrame(pixels, mask)), {number})
        DenseFrame(pixels, mask).add_to(total)
    n_masked = np.sum(masks, axis=0).astype(np.uint32)
    signal, norm = binning.of_image(total, len(frames), n_masked)
    np.testing.assert_array_equal(signal, one_by_one.signal)
    np.testing.assert_array_equal(norm / 2**30, one_by_one.norm)
    expected = profile_of([one_by_one], 2.0)
    n_valid = (len(frames) - n_masked).astype(np.uint32)
    found = binning.of_accumulated(accumulated(total, n_masked == 5, 5, n_valid), 2.0)
    for name in ("q", "intensity", "sigma", "signal", "norm"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    for number, (pixels, mask) in enumerate(zip(frames, masks, strict=True)):
        one_by_one.take_out(*binning.of_frame(DenseFrame(pixels, mask)), number)
    assert not one_by_one.signal.any()
    assert not one_by_one.norm.any()


def test_photons_are_counted_where_they_fell():
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 200))
    rng = np.random.default_rng(2)
    y, x = rng.uniform(-0.5, SHAPE[0] - 0.5, 5000), rng.uniform(-0.5, SHAPE[1] - 0.5, 5000)
    found = photons(y, x)
    found["energy"][::10] = 500  # too weak to be seen
    y[::10], x[::10] = y[1::10], x[1::10] + 0.4  # and beside one that is
    found["y"], found["x"] = y, x
    frame = PhotonFrame(found, sparse.pixels_of(found, SHAPE, 800), SHAPE)
    signal, norm = binning.of_photons(frame)
    assert signal.sum() == frame.dense().sum() == 4500 * 1000.0
    seen = found[found["energy"] > 800]
    half = binning.width / 2
    q = np.clip(GEOMETRY.q(seen["y"], seen["x"]), binning.q[0], binning.q[-1])
    reach = binning.q[0] - half, binning.q[-1] + half
    expected, _ = np.histogram(q, 200, reach, weights=seen["energy"])
    np.testing.assert_array_equal(signal, expected)
    whole = binning.of_image(np.zeros(SHAPE), 1, None)[1]
    assert norm.sum() == pytest.approx(whole.sum(), rel=1e-9)


def test_photons_and_their_image_agree():
    """Sub-pixel positions and whole pixels give one flat curve, within its errors."""
    rng = np.random.default_rng(3)
    n = 200_000
    found = photons(rng.uniform(-0.5, SHAPE[0] - 0.5, n), rng.uniform(-0.5, SHAPE[1] - 0.5, n))
    mask = rng.random(SHAPE) < 0.2
    frame = PhotonFrame(found, sparse.pixels_of(found, SHAPE, 0, mask=mask), SHAPE, mask)
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 50, correct_solid_angle=False))
    fine, coarse = RadialSums(binning.q), RadialSums(binning.q)
    fine.add(*binning.of_frame(frame), {0})
    coarse.add(*binning.of_frame(DenseFrame(frame.dense(), mask)), {0})
    a, b = profile_of([fine], 1000.0), profile_of([coarse], 1000.0)
    mean = 1000.0 * n / mask.size
    for profile in (a, b):
        pull = (profile.intensity - mean) / profile.sigma
        assert abs(pull.mean()) < 3 / np.sqrt(50)
        assert 0.75 < pull.std() < 1.25
    there = b.norm > 100
    np.testing.assert_allclose(a.intensity[there], b.intensity[there], rtol=0.1)
    assert a.signal.sum() == b.signal.sum()


def test_a_mask_of_the_detector_leaves_out_photons_and_pixels():
    mask = np.zeros(SHAPE, bool)
    mask[:, :75] = True
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 20), mask)
    found = photons([10.0, 10.0], [74.4, 74.6])
    frame = PhotonFrame(found, sparse.pixels_of(found, SHAPE, 0), SHAPE)
    signal, norm = binning.of_photons(frame)
    assert signal.sum() == 1000.0
    assert norm.sum() == pytest.approx(binning.of_image(np.zeros(SHAPE), 1, None)[1].sum())
    assert binning.of_image(image(), 1, None)[0].sum() == image()[:, 75:].sum()


def test_errors_of_rings_have_unit_pull():
    """The truth is known: what frames are around it, in units of sigma, has a spread of 1."""
    settings = RingSettings(
        shape=(200, 260), x0=50.0, y0=80.0, distance_m=0.04, ring_photons=4000,
        background_photons=4000, counts_per_photon=13.5,
    )  # fmt: skip
    rings = RingFrames(settings)
    geometry = Geometry(energy_kev=13.5, distance_m=0.04, x0_px=50, y0_px=80, pixel_size_m=PIXEL)
    binning = RadialBinning(RadialBins(geometry, settings.shape, 80))
    truth = binning.of_image(np.nan_to_num(rings.expected()), 1, rings.flags < 0)
    expected = RadialSums(binning.q)
    expected.add(*truth, {0})
    true = profile_of([expected], 13.5)
    pulls = []
    for index in range(40):
        pixels = rings.frame(index)
        sums = RadialSums(binning.q)
        sums.add(*binning.of_frame(DenseFrame(pixels, pixels < 0)), {index})
        found = profile_of([sums], 13.5)
        assert found.signal.sum() == pytest.approx(pixels[pixels >= 0].sum(dtype=float), rel=1e-12)
        # a bin of few photons is not Gaussian
        many = true.signal > 40 * 13.5
        pulls.append((found.intensity - true.intensity)[many] / found.sigma[many])
    assert many.sum() > 30
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.15  # fewer photons than true have smaller errors: a known bias
    assert 0.95 < pull.std() < 1.05


def test_an_empty_bin_has_the_error_of_one_photon():
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 10))
    found = binning.of_accumulated(accumulated(np.zeros(SHAPE), n_frames=4), 13.5)
    np.testing.assert_allclose(found.sigma, 13.5 / found.norm)
    assert not found.intensity.any()
    one = binning.of_accumulated(accumulated(image()), 1.0)
    four = binning.of_accumulated(accumulated(4 * image(), n_frames=4), 1.0)
    np.testing.assert_allclose(four.intensity, one.intensity)  # a frame's, not the sum's
    np.testing.assert_allclose(four.sigma, one.sigma / 2)


def test_a_range_of_q_leaves_out_the_rest():
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 10, (2.0, 4.0)))
    y, x = np.indices(SHAPE)
    q = GEOMETRY.q(y, x)
    inside = (q >= 2) & (q < 4)
    assert binning.of_image(image(), 1, None)[0].sum() == image()[inside].sum()
    found = photons(y.ravel().astype(float), x.ravel().astype(float))
    frame = PhotonFrame(found, sparse.pixels_of(found, SHAPE, 0), SHAPE)
    assert binning.of_photons(frame)[0].sum() == 1000 * inside.sum()
    assert (binning.q[0], binning.q[-1]) == (pytest.approx(2.1), pytest.approx(3.9))


def test_a_cake_holds_the_same_counts():
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 60))
    n_valid = np.full(SHAPE, 3, np.uint32)
    n_valid[:60] = 2
    flat = accumulated(5.0 * n_valid, n_frames=3, n_valid=n_valid)
    for found in (flat, accumulated(np.full(SHAPE, 15.0), n_frames=3)):
        intensity, q, chi = RadialBinning(
            RadialBins(GEOMETRY, SHAPE, 60, correct_solid_angle=False)
        ).cake(found, 12)
        assert (intensity.shape, q.shape, chi.shape) == ((12, 48), (48,), (12,))
        there = ~np.isnan(intensity)
        assert 0.2 < there.mean() < 1
        np.testing.assert_allclose(intensity[there], 5.0, rtol=1e-6)
    assert binning.cake(flat, 90)[0].shape == (90, 60)


def test_a_cake_is_pyfais():
    own = np.zeros(SHAPE, bool)
    own[:, 7] = True
    mask = np.zeros(SHAPE, bool)
    mask[30:35] = True
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 60, polarisation=0.9), own)
    n_valid = np.where(mask, 0, 3).astype(np.uint32)
    for found in (accumulated(image(), mask, 3), accumulated(image(), mask, 3, n_valid)):
        intensity, q, chi = binning.cake(found, 12)
        theirs = GEOMETRY.integrator(SHAPE).integrate2d_ng(
            found.image, 48, 12, unit="q_A^-1", polarization_factor=0.9, mask=mask | own,
            normalization_factor=3.0, method=("no", "histogram", "cython"),
        )  # fmt: skip
        np.testing.assert_allclose(q, theirs.radial, rtol=1e-12)
        np.testing.assert_allclose(chi, theirs.azimuthal, atol=1e-4)
        expected = np.where(theirs.count > 0, theirs.intensity, np.nan)
        np.testing.assert_allclose(intensity, expected, rtol=1e-6)


def test_norms_do_not_wrap_in_a_run_of_hours():
    sums, norm = RadialSums(np.arange(3.0)), np.array([2**62 - 1, 2**50, 0])
    for number in range(9):
        sums.add(np.ones(3), norm, {number})
    np.testing.assert_allclose(sums.norm, 9 * (norm / 2**30), rtol=1e-15)
    both = RadialSums(sums.q)
    both.merge(sums)
    both.merge(sums)
    np.testing.assert_allclose(both.norm, 18 * (norm / 2**30), rtol=1e-15)
    for number in range(9):
        sums.take_out(np.ones(3), norm, number)
    assert not sums.norm.any()
    assert not sums.shots


@pytest.mark.parametrize(
    ("mask", "q_range", "words"),
    [
        (np.ones(SHAPE, bool), None, "no pixel is left to integrate: all are masked"),
        (None, (50.0, 60.0), r"outside 50 to 60 1/A; check mask_files and q_range"),
        (np.ones((3, 4), bool), None, r"the mask has the shape \(3, 4\), the frames \(120, 150\)"),
    ],
)
def test_what_cannot_be_integrated_is_told(mask, q_range, words):
    with pytest.raises(RadialError, match=words):
        RadialBinning(RadialBins(GEOMETRY, SHAPE, 10, q_range), mask)


def test_too_many_frames_are_refused_rather_than_rounded():
    binning = RadialBinning(RadialBins(GEOMETRY, SHAPE, 2))
    with pytest.raises(RadialError, match="more than can be added exactly; use more bins"):
        binning.of_image(np.zeros(SHAPE), 10**7, None)
    assert binning.of_accumulated(accumulated(image(), n_frames=10**7), 1.0).n_frames == 10**7
