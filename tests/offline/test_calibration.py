"""Calibration on simulated rings: the truth is found, and the uncertainties are honest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.sums import AccumulatedImage
from femto_bluesky.offline.calibration import CalibrationError, calibrate
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from tests.offline import powder


@pytest.fixture(scope="module")
def share():
    return powder.expected()


def test_the_truth_is_found_and_the_errors_are_honest(share):
    found = []
    for seed in range(8):
        image = powder.image_of(share, 10_000, seed)
        found.append(powder.pulls(calibrate(image, "LaB6", start=powder.off(seed))))
    found = np.array(found)
    # 40 numbers, correlated in fives: standard errors too small by half would give 2
    assert 0.65 < np.sqrt((found**2).mean()) < 1.4
    assert np.abs(found).max() < 4
    assert np.abs(found.mean(axis=0)).max() < 1.4  # 4 standard errors of a mean of 8


@pytest.mark.long
@pytest.mark.parametrize("n_photons", [3000, 10_000, 100_000])
def test_the_errors_are_honest_for_few_counts_and_many(share, n_photons):
    found, refused = [], []
    for seed in range(60):
        image = powder.image_of(share, n_photons, seed)
        try:
            found.append(powder.pulls(calibrate(image, "LaB6", start=powder.off(seed))))
        except CalibrationError as error:
            refused.append(str(error))
    assert all("would be uncertain" in words for words in refused)
    found = np.array(found)
    assert len(found) > 50
    assert (np.sqrt((found**2).mean(axis=0)) < 1.3).all()
    assert (np.sqrt((found**2).mean(axis=0)) > 0.65).all()
    assert np.abs(found.mean(axis=0)).max() < 0.6


def test_where_it_begins_changes_nothing(share):
    image = powder.image_of(share, 30_000)
    one, other = (calibrate(image, "LaB6", start=powder.off(seed)) for seed in (1, 2))
    names = one.names
    apart = powder.values(one.geometry, names) - powder.values(other.geometry, names)
    assert (np.abs(apart) < 0.7 * np.sqrt(np.diag(one.covariance))).all()
    assert one.start != other.start


def test_the_unit_of_counts_does_not_matter(share):
    image = powder.image_of(share, 20_000)
    one = calibrate(image, "LaB6", start=powder.off(3))
    other = calibrate(image * 1000.0, "lab6", start=powder.off(3))
    assert other.geometry.x0_px == pytest.approx(one.geometry.x0_px, abs=1e-6)
    assert other.uncertainties["x0_px"] == pytest.approx(one.uncertainties["x0_px"], rel=1e-6)
    assert one.counts_per_photon == pytest.approx(powder.COUNTS_PER_PHOTON, rel=0.15)


def test_the_image_is_not_changed(share):
    image = powder.image_of(share, 20_000)
    before = image.copy()
    mask = np.zeros(image.shape, bool)
    calibrate(image, "LaB6", start=powder.off(3), mask=mask)
    assert np.array_equal(image, before)
    assert not mask.any()


def test_energy_and_distance_are_told_apart_by_rings_at_large_angles():
    truth = powder.TRUTH.model_copy(update={"distance_m": 0.05, "energy_kev": 13.4})
    image = powder.image_of(powder.expected(truth, width=0.03), 200_000)
    start = powder.off(5, truth, share=0.01).model_copy(update={"energy_kev": 13.5})
    found = calibrate(image, start=start, refine=("distance", "centre", "tilt", "energy"))
    assert set(found.uncertainties) == {
        "distance_m", "energy_kev", "y0_px", "x0_px", "tilt_deg", "rotation_deg"
    }  # fmt: skip
    assert found.uncertainties["energy_kev"] < 0.03
    assert np.abs(powder.pulls(found, truth)).max() < 4


def test_what_is_not_refined_stays(share):
    start = powder.off(0).model_copy(update={"tilt_deg": 1.0, "rotation_deg": 40.0})
    image = powder.image_of(share, 20_000)
    found = calibrate(image, start=start, refine=("centre", "distance"))
    assert (found.geometry.tilt_deg, found.geometry.energy_kev) == (pytest.approx(1), 13.5)
    assert set(found.uncertainties) == {"distance_m", "y0_px", "x0_px"}
    assert np.abs(powder.pulls(found)).max() < 4


def test_the_simulated_powder_of_the_package():
    frames = RingFrames(RingSettings(shape=(420, 700), x0=100.3, y0=200.6, energy_kev=13.5))
    image = sum(np.where(frames.is_live, frames.frame(i), 0) for i in range(12))
    image[~frames.is_live] = -12  # flags, added up as those of a raw sum are
    truth = Geometry(
        energy_kev=13.5, distance_m=0.131, x0_px=100.3, y0_px=200.6, pixel_size_m=(172e-6, 172e-6)
    )
    found = calibrate(image, "LaB6", start=powder.off(4, truth))
    assert np.abs(powder.pulls(found, truth)).max() < 4
    assert found.geometry.tilt_deg < 4 * found.uncertainties["tilt_deg"]
    assert found.uncertainties["rotation_deg"] > 10  # without a tilt, it has no direction


@pytest.mark.long
def test_pyfai_finds_the_same_on_the_sectors(share):
    """The sectors, given to pyFAI as control points, lead it to the same geometry."""
    from pyFAI.geometryRefinement import GeometryRefinement

    found = calibrate(powder.image_of(share, 300_000), "LaB6", start=powder.off(6))
    cells, poni = found.residuals, found.geometry.poni()
    # where the ring was seen in each sector: from its place by the fit, outwards by the shift
    lines = sorted(set(cells.line))
    q_here = found.geometry.q(cells.y, cells.x)
    slope = (found.geometry.q(cells.y, cells.x + 0.01) - q_here) / 0.01
    rise = (found.geometry.q(cells.y + 0.01, cells.x) - q_here) / 0.01
    along = (cells.line + cells.shift - q_here) / np.hypot(slope, rise) ** 2
    points = [
        (y, x, lines.index(line))
        for y, x, line in zip(
            cells.y + along * rise, cells.x + along * slope, cells.line, strict=True
        )
    ]
    refined = GeometryRefinement(
        np.array(points), dist=poni.dist, poni1=poni.poni1, poni2=poni.poni2, rot1=0, rot2=0,
        rot3=poni.rot3, pixel1=poni.pixel1, pixel2=poni.pixel2, wavelength=poni.wavelength,
        calibrant="LaB6",
    )  # fmt: skip
    refined.refine2(1_000_000, fix=["wavelength", "rot3"])
    fit2d = refined.getFit2D()
    for ours, theirs, error in (
        (found.geometry.distance_m, fit2d["directDist"] / 1e3, found.uncertainties["distance_m"]),
        (found.geometry.x0_px, fit2d["centerX"], found.uncertainties["x0_px"]),
        (found.geometry.y0_px, fit2d["centerY"], found.uncertainties["y0_px"]),
        (found.geometry.tilt_deg, fit2d["tilt"], found.uncertainties["tilt_deg"]),
    ):
        assert abs(ours - theirs) < 2.5 * error  # its points have no weights


def test_pixels_that_were_valid_in_part_count_for_less(share):
    y, x = np.mgrid[: powder.SHAPE[0], : powder.SHAPE[1]]
    q = powder.TRUTH.q(y, x)
    n_valid = np.full(powder.SHAPE, 30, np.uint32)
    for line in calibrant_lines("LaB6", (1, 3)):
        # just outside each ring: who does not know would see the rings further in
        n_valid[(q > line.q) & (q < line.q + 0.05)] = 5
    image = powder.image_of(share * n_valid / 30, 300_000)
    held = AccumulatedImage(
        image, np.zeros(powder.SHAPE, bool), 30, n_valid, None, "pilatus", True, {}
    )
    found = calibrate(held, start=powder.off(7))
    assert np.abs(powder.pulls(found)).max() < 4


def grainy(seed, n_grains=400):
    """The share of the photons for each pixel, of a powder of few grains: (q, azimuth) of each."""
    y, x = np.mgrid[: powder.SHAPE[0], : powder.SHAPE[1]]
    q, chi = powder.TRUTH.q(y, x), powder.TRUTH.chi(y, x)
    rng = np.random.default_rng(seed)
    grid = np.zeros((1600, 720))  # q in steps of 0.002, azimuth in steps of half a degree
    for line in calibrant_lines("LaB6", (1, 3)):
        # each somewhere within the ring's width
        at = ((line.q + rng.normal(0, 0.012, n_grains)) / 0.002).astype(int)
        np.add.at(grid, (at, rng.integers(0, 720, n_grains)), rng.exponential(1, n_grains))
    grid = gaussian_filter(grid, (4, 3), mode="wrap")
    image = grid[(q / 0.002).astype(int), ((chi + 180) * 2).astype(int) % 720]
    return 0.7 * image / image.sum() + 0.3 / image.size


def test_a_grainy_powder_is_seen_as_such_and_goes_into_the_errors(share):
    found, grains, errors = [], [], []
    tilt = {"tilt_deg": powder.TRUTH.tilt_deg, "rotation_deg": powder.TRUTH.rotation_deg}
    refine = ("distance", "centre")
    for seed in range(4):
        image = powder.image_of(grainy(seed), 60_000, seed)
        start = powder.off(seed).model_copy(update=tilt)
        calibration = calibrate(image, start=start, refine=refine)
        found.append(powder.pulls(calibration))
        grains.append(calibration.graininess)
        errors.append(calibration.uncertainties["x0_px"])
    fine = calibrate(powder.image_of(share, 60_000), start=start, refine=refine)
    assert min(grains) > 0.15
    assert fine.graininess < 0.1
    assert "a grainy powder, or modules out of place" in calibration.summary()
    assert "grainy" not in fine.summary()
    assert min(errors) > 1.5 * fine.uncertainties["x0_px"]
    assert np.sqrt(np.mean(np.square(found))) < 1.6


def test_a_mask_hides_what_would_mislead(share):
    image = powder.image_of(share, 30_000)
    image[60:180, 40:90] += 500  # light beside the beam
    mask = np.zeros(image.shape, bool)
    mask[58:182, 38:92] = True
    found = calibrate(image, start=powder.off(8), mask=mask)
    assert np.abs(powder.pulls(found)).max() < 4
    is_there = ~mask[found.residuals.y.astype(int), found.residuals.x.astype(int)]
    assert is_there.all()


def test_spots_do_not_lead_astray(share):
    image = powder.image_of(share, 30_000)
    rng = np.random.default_rng(0)
    image[rng.integers(0, 240, 40), rng.integers(0, 400, 40)] += 4000.0
    found = calibrate(image, start=powder.off(9))
    assert np.abs(powder.pulls(found)).max() < 4.5


def test_what_is_said_of_it(share):
    found = calibrate(powder.image_of(share, 30_000), start=powder.off(10))
    words = found.summary()
    n = len(found.rings)
    assert words.startswith(f"LaB6: {n} of {found.n_rings_on_frame} rings on the frame are seen")
    assert "refined: distance, centre, tilt" in words
    assert f"(before: {found.start.x0_px:g})" in words
    assert "% of the table (rms)" in words
    assert found.rms_percent < 0.2
    assert [ring.label for ring in found.rings][:3] == ["1 0 0", "1 1 0", "1 1 1"]
    first = found.rings[0]
    assert abs(first.shift_q) < 4 * first.shift_error_q
    assert first.width_q == pytest.approx(0.012, rel=0.3)
    assert sum(ring.n_sectors for ring in found.rings) == len(found.residuals.shift)
