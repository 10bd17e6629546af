from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from femto_bluesky.callbacks import Accumulation, RoiMeans
from femto_bluesky.kernels.photons import HOT, PHOTON, find_photons
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.photons import (
    TILE_PX,
    CrowdedFrame,
    EnergyBins,
    PhotonCounter,
    PhotonFrame,
    expected_overlap_share,
)
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Shot

SHAPE = (40, 150)
SPOT = np.array([[30, 120, 30], [120, 600, 120], [30, 120, 30]], np.uint16)
BOXES = [Roi(x0=0, y0=0, x1=150, y1=40), Roi(x0=60, y0=10, x1=140, y1=30)]
FINDING = PhotonFinding(max_overlap_share=0.5)


def camera_frame(n_photons: int = 60, seed: int = 0, dtype: str = "uint16") -> Any:
    rng = np.random.default_rng(seed)
    frame = np.full((SHAPE[0] + 2, SHAPE[1] + 2), 100, np.uint16)
    for y, x in rng.integers(0, SHAPE, (n_photons, 2)):
        frame[y : y + 3, x : x + 3] += SPOT
        frame[y + 1, x + rng.integers(3)] += rng.integers(0, 200, dtype=np.uint16)
    frame = frame[1:-1, 1:-1].copy()
    frame[19:22, 99:102] = 100
    frame[20, 100] += 2500  # a hot pixel
    return frame.astype(dtype)


def a_mask(seed: int = 0) -> Any:
    return np.random.default_rng(seed).random(SHAPE) < 0.05


def shot(frame: Any, number: int = 0, step: int = 0) -> Shot:
    return Shot("r", step, number, "cam", frame, position={"x": float(step)})


def counted(pixels: Any, finding: PhotonFinding = FINDING, dark: Any = 100.0, **given: Any) -> Any:
    return PhotonCounter(finding, dark, **given).count(pixels)


def no_data(mask: Any, roi: Any) -> Any:
    """Where nobody looked, or the sensor is masked."""
    outside = np.zeros(SHAPE, bool) if mask is None else mask.copy()
    if roi is not None:
        inside = np.zeros(SHAPE, bool)
        inside[roi.box] = True
        outside |= ~inside
    return outside


# --- Frames of photons ---------------------------------------------------------------------------


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("roi", [None, BOXES[1]])
def test_a_frame_of_photons_does_what_its_clean_image_does(is_masked: bool, roi: Any) -> None:
    pixels, mask = camera_frame(), a_mask() if is_masked else None
    before = pixels.tobytes()
    frame = counted(pixels, roi=roi, mask=mask)
    assert isinstance(frame, PhotonFrame)
    assert pixels.tobytes() == before

    hits = find_photons(pixels, roi=roi, mask=mask)
    photons = hits[(hits["flags"] & HOT) == 0]
    assert frame.photons.tobytes() == photons.tobytes()
    assert frame.n_hot == len(hits) - len(photons) >= (0 if is_masked else 1)
    image = np.zeros(SHAPE)
    for y, x, energy, _ in photons.tolist():
        place = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        if roi is not None:
            place = int(np.clip(place[0], 10, 29)), int(np.clip(place[1], 60, 139))
        if energy > 1100 and not (is_masked and mask[place]):
            image[place] += energy
    assert np.count_nonzero(image) > (5 if is_masked else 10)

    assert (frame.shape, frame.dtype) == (SHAPE, np.float32)
    without_data = no_data(mask, roi)
    np.testing.assert_array_equal(
        np.zeros(SHAPE, bool) if frame.mask is None else frame.mask, without_data
    )
    dense = frame.dense()
    assert dense.dtype == np.float32
    np.testing.assert_array_equal(dense, image)
    total = np.ones(SHAPE)
    frame.add_to(total)
    frame.add_to(total)
    np.testing.assert_array_equal(total, 1 + 2 * image)
    for box in BOXES:
        n_valid = np.count_nonzero(~without_data[box.box])
        assert frame.sum_and_count(box) == (image[box.box].sum(), n_valid)


def test_what_is_seen_begins_at_its_own_energy() -> None:
    """All photons are in the list; those above the view threshold are in the image."""
    for least in (0, 1100, 1500):
        frame = counted(camera_frame(), FINDING.model_copy(update={"view_min_adu": least}))
        n_above = np.count_nonzero(frame.photons["energy"] > least)
        assert len(frame.pixels.energies) == n_above
        assert len(frame.photons) > 40


def test_the_accumulation_and_the_roi_means_take_frames_of_photons() -> None:
    accumulation, means = Accumulation(), RoiMeans({"a": BOXES[1]})
    expected, of_shots = np.zeros(SHAPE), []
    for number in range(5):
        frame = counted(camera_frame(seed=number))
        means.update(accumulation.update(shot(frame, number)))
        expected += frame.dense()
        of_shots.append(frame.dense()[BOXES[1].box].mean(dtype=np.float64))
    np.testing.assert_array_equal(accumulation.result().image, expected)
    assert means.step_row("r", 0)["cam_a_mean"] == pytest.approx(np.mean(of_shots), rel=1e-12)


# --- Faults of the predecessor, further down -----------------------------------------------------


def test_a_sum_of_saturated_frames_does_not_wrap() -> None:
    """Neither of frames that are too full, nor of one photon in the same pixel each time."""
    pixels = np.full(SHAPE, 100, np.uint16)
    pixels[::2, ::2] = 65535
    frame = counted(pixels, PhotonFinding(hot_share=1))
    assert isinstance(frame, CrowdedFrame)
    accumulation = Accumulation()
    for number in range(70):
        accumulation.update(shot(frame, number))
    assert accumulation.result().image[0, 0] == 70 * 65435
    assert accumulation.result().hottest > np.iinfo(np.uint16).max

    pixels = np.full(SHAPE, 100, np.uint16)
    pixels[4:7, 4:7] = 30000
    pixels[5, 5] = 65535
    frame = counted(pixels)
    for number in range(70, 140):
        accumulation.update(shot(frame, number))
    assert accumulation.result().image[5, 5] == 70 * (65435 + 8 * 29900)
    assert accumulation.result().image[4, 4] == 70 * 65435


def test_a_missing_frame_is_not_a_mean_of_0() -> None:
    """Neither one that never came, nor one whose pixels are all masked."""
    means = RoiMeans({"a": BOXES[0]})
    values = []
    for number in (0, 1, 3):
        frame = counted(camera_frame(seed=number), mask=np.full(SHAPE, number == 1))
        means.update(shot(frame, number))
        values.append(frame.dense().mean(dtype=np.float64))
    row = means.step_row("r", 0)
    assert row["cam_a_n"] == 2
    assert row["cam_a_mean"] == pytest.approx((values[0] + values[2]) / 2, rel=1e-12)
    assert means.shot_row("r", 1) == {"cam_a": None}
    assert means.shot_row("r", 2) == {}


# --- Frames that are too full --------------------------------------------------------------------


def grid(n_rows: int) -> Any:
    """A photon in every fourth pixel of so many rows."""
    frame = np.full(SHAPE, 100, np.uint16)
    for y, x in np.ndindex(n_rows, 37):
        frame[4 * y : 4 * y + 3, 4 * x : 4 * x + 3] += SPOT
    return frame


def test_the_limit_is_where_it_is_said() -> None:
    """At the limit a frame is counted, above it is thresholded."""
    share = expected_overlap_share(find_photons(grid(5)), SHAPE)
    assert share > 0.1
    at, above = (
        counted(grid(5), PhotonFinding(max_overlap_share=limit))
        for limit in (share, np.nextafter(share, 0))
    )
    assert (type(at), type(above), len(at.photons)) == (PhotonFrame, CrowdedFrame, 37 * 5)
    assert at.overlap_share == above.overlap_share == share


def test_density_is_that_of_the_roi() -> None:
    """Few photons of a frame may be many of a box."""
    pixels, box = grid(2), Roi(x0=0, y0=0, x1=150, y1=8)
    finding = PhotonFinding(max_overlap_share=0.2)
    assert isinstance(counted(pixels, finding), PhotonFrame)
    crowded = counted(pixels, finding, roi=box)
    assert isinstance(crowded, CrowdedFrame)
    assert crowded.overlap_share == expected_overlap_share(find_photons(pixels), SHAPE, box)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("roi", [None, BOXES[1]])
@pytest.mark.parametrize("dark_is", ["a level", "an image"])
def test_a_frame_that_is_too_full_is_thresholded(
    dtype: str, is_masked: bool, roi: Any, dark_is: str
) -> None:
    pixels, mask = camera_frame(600, dtype=dtype), a_mask() if is_masked else None
    dark: Any = 100.0
    if dark_is == "an image":
        dark = np.random.default_rng(1).integers(80, 120, SHAPE).astype(np.float32)
    before = pixels.tobytes()
    counter = PhotonCounter(PhotonFinding(), dark, threshold_adu=35, roi=roi, mask=mask)
    for _ in range(2):  # the second time with what the first has prepared
        frame = counter.count(pixels)
    assert isinstance(frame, CrowdedFrame)
    above = pixels.astype(np.int64) - np.asarray(dark).astype(np.int64)
    image = np.where(above >= 35, above, 0)
    if roi is not None:
        outside = np.ones(SHAPE, bool)
        outside[roi.box] = False
        image[outside] = 0
    np.testing.assert_array_equal(frame.dense(), image)
    total = np.zeros(SHAPE, np.uint32 if dtype == "uint16" else np.float64)
    frame.add_to(total)
    np.testing.assert_array_equal(total, image if mask is None else np.where(mask, 0, image))
    for box in BOXES:
        valid = ~no_data(mask, roi)[box.box]
        assert frame.sum_and_count(box) == (image[box.box][valid].sum(), np.count_nonzero(valid))
    assert pixels.tobytes() == before


def test_what_was_found_with_which_settings_goes_with_the_frame() -> None:
    given, bins = {"dark_adu": 100}, EnergyBins(5, 100)
    for pixels in (camera_frame(), camera_frame(600)):
        frame = counted(pixels, PhotonFinding(), settings=given, bins=bins, roi=BOXES[0])
        assert frame.found_with.settings == given
        assert (frame.found_with.bins, frame.found_with.roi) == (bins, BOXES[0])


def test_numbers_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match=r"overlap_adu is 500, expected at least energy_min_adu"):
        PhotonCounter(PhotonFinding(overlap_adu=500), 100.0)
    with pytest.raises(ValueError, match=r"the lowest dark level is -1.*, expected ADU of 0 or"):
        PhotonCounter(PhotonFinding(), -1.0)


def test_a_dark_image_may_lack_levels_also_where_a_frame_is_too_full() -> None:
    """As `PhotonSearch` takes it: such a pixel carries no data."""
    dark = np.full(SHAPE, 100.0)
    dark[3, 4] = np.nan
    assert isinstance(counted(camera_frame(), dark=dark), PhotonFrame)
    crowded = counted(camera_frame(600), PhotonFinding(), dark)
    assert crowded.sum_and_count(Roi(x0=4, y0=3, x1=5, y1=4))[0] == 0


def photons_at(places: Any) -> Any:
    return np.array([(y, x, 1200, 0) for y, x in places], PHOTON)


def overlap_share(places: Any, boxsize: Any = None) -> float:
    """The share of photons that have another one in their own 3x3, counted."""
    pixels = np.floor(places + 0.5)
    distances, _ = cKDTree(pixels, boxsize=boxsize).query(pixels, k=2, p=np.inf)
    return float(np.mean(distances[:, 1] <= 1))


@pytest.mark.parametrize("density", [0.002, 0.005, 0.02, 0.1])
def test_the_expected_overlap_share_against_photons_at_random(density: float) -> None:
    """On a frame whose edges meet, so that every photon has nine pixels around it."""
    side = 1024
    n = int(density * side**2)
    pixels = np.random.default_rng(0).integers(0, side, (n, 2)).astype(float)
    expected = expected_overlap_share(photons_at(pixels), (side, side))
    assert expected == pytest.approx(1 - np.exp(-9 * density), rel=0.03)
    chance = np.sqrt(2 * expected / n)  # those that overlap come in pairs
    assert overlap_share(pixels, side) == pytest.approx(expected, abs=4 * chance)


@pytest.mark.parametrize("sigma", [40, 80, 160])
def test_the_photons_of_a_bright_spot_overlap_the_rest_do_not(sigma: float) -> None:
    """What a spot holds is not spread over the sensor; one of many tiles is told well."""
    rng = np.random.default_rng(1)
    n_in_spot = sigma**2 // 4
    spot = rng.normal((1000, 1300), sigma, (n_in_spot, 2))
    places = np.concatenate([spot, rng.uniform(-0.5, 2047.5, (2000, 2))])
    expected = expected_overlap_share(photons_at(places), (2048, 2048))
    assert expected > 2 * -np.expm1(-9 * len(places) / 2048**2)
    assert overlap_share(places) == pytest.approx(expected, rel=0.25)


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(1, 140), st.integers(1, 140),
    st.booleans(),
)  # fmt: skip
def test_the_expected_overlap_share_tile_by_tile(
    seed: int, n: int, rows: int, columns: int, is_roi: bool
) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(-0.5, (rows - 0.5, columns - 0.5), (n, 2))
    roi = Roi(x0=7, y0=3, x1=7 + columns, y1=3 + rows) if is_roi else None
    offset, shape = ((3, 7), (200, 200)) if is_roi else ((0, 0), (rows, columns))
    weighted = 0.0
    inside = np.clip(places, 0, (rows - 1, columns - 1))
    for y in range(0, rows, TILE_PX):
        for x in range(0, columns, TILE_PX):
            end = min(y + TILE_PX, rows), min(x + TILE_PX, columns)
            here = int(((inside >= (y, x)) & (inside < end)).all(axis=1).sum())
            if here:
                n_pixels = (end[0] - y) * (end[1] - x)
                weighted += here * (1 - np.exp(-9 * (here - 1) / n_pixels))
    found = expected_overlap_share(photons_at(places + offset), shape, roi)
    assert found == pytest.approx(weighted / n if n else 0, rel=1e-9, abs=1e-12)


def test_one_photon_does_not_overlap() -> None:
    assert expected_overlap_share(photons_at(np.zeros((0, 2))), SHAPE) == 0
    assert expected_overlap_share(photons_at(np.array([[3.0, 4.0]])), SHAPE) == 0
    assert expected_overlap_share(photons_at(np.full((10_000, 2), 9.0)), SHAPE) > 0.999


def with_energies(*energies: float) -> Any:
    return np.array([(0, 0, energy, 0) for energy in energies], PHOTON)


@given(st.lists(st.floats(0, 2e4, width=32), max_size=50), st.sampled_from([1, 10, 12.5, 64]))
def test_energies_are_counted_in_bins(energies: list[float], width: float) -> None:
    bins = EnergyBins(width, 100)
    found = bins.count(with_energies(*energies))
    expected = [0] * 100
    for energy in np.array(energies, np.float32):
        expected[min(int(energy / np.float32(width)), 99)] += 1
    assert found.tolist() == expected
    assert found.sum() == len(energies)


def test_bins() -> None:
    bins = EnergyBins()
    assert bins.centres[:3].tolist() == [5, 15, 25]
    assert len(bins.centres) == len(bins.count(with_energies())) == 500
    found = bins.count(with_energies(9.99, 10, 1200, 1e6))
    assert np.flatnonzero(found).tolist() == [0, 1, 120, 499]


@given(st.lists(st.floats(1, 1e4, width=32), max_size=30))
@example([801, 1200, 1799, 1800, 2400, 3001])
def test_photons_are_counted_in_units_of_ones_energy(energies: list[float]) -> None:
    counter = PhotonCounter(PhotonFinding(), 100.0)
    expected = sum(max(1, int(energy / 1200 + 0.5)) for energy in energies)
    assert counter.count_by_energy(with_energies(*energies)) == expected


def test_a_flooded_frame_is_no_photon() -> None:
    """A saturated plateau has one maximum: taken for one photon, the frame would look empty."""
    flooded = np.full(SHAPE, 65535, np.uint16)
    frame = counted(flooded)
    assert isinstance(frame, CrowdedFrame)
    assert frame.overlap_share == 1
    np.testing.assert_array_equal(frame.dense(), flooded - 100)
    cosmic = camera_frame(0)
    cosmic[5, 5:8] = 65535
    assert isinstance(counted(cosmic), PhotonFrame)
