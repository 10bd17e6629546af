"""What the photon finder promises, and each fault that its predecessor had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.kernels.photons import (
    CLOSE,
    EDGE,
    HOT,
    OVERLAP,
    PHOTON,
    PhotonSearch,
    find_photons,
)
from femto_bluesky.model.rois import Roi

DARK = 100
# What a photon leaves in 3x3 pixels when it falls on the middle of one: 1200 ADU.
SPOT = np.array([[30, 120, 30], [120, 600, 120], [30, 120, 30]])
WIDTHS = [5, 127, 128, 129, 130, 256, 257, 300]


def empty(shape: tuple[int, int] = (20, 300), dtype: str = "uint16") -> Any:
    return np.full(shape, DARK, dtype)


def put(frame: Any, y: int, x: int, spot: Any = SPOT) -> None:
    """Add what of a spot falls upon the frame."""
    for (dy, dx), value in np.ndenumerate(spot):
        row, column = y + dy - 1, x + dx - 1
        if 0 <= row < frame.shape[0] and 0 <= column < frame.shape[1]:
            frame[row, column] += value


def test_a_photon() -> None:
    frame = empty()
    put(frame, 7, 130)
    [photon] = find_photons(frame)
    assert photon.dtype == PHOTON
    assert photon.item() == (7.0, 130.0, 1200.0, 0)


def test_a_position_is_the_centre_of_gravity() -> None:
    frame = empty()
    put(frame, 7, 130, [[0, 0, 0], [0, 900, 300], [0, 100, 0]])
    [photon] = find_photons(frame)
    assert photon["y"] == 7 + 100 / 1300
    assert photon["x"] == 130 + 300 / 1300


def test_an_empty_frame() -> None:
    found = find_photons(empty())
    assert (found.shape, found.dtype) == ((0,), PHOTON)


def test_photons_are_in_reading_order_of_their_hottest_pixels() -> None:
    rng = np.random.default_rng(0)
    frame = empty((200, 300))
    places = sorted({(4 * y, 4 * x) for y, x in rng.integers(1, 49, (200, 2))})
    for y, x in places:
        put(frame, y, x, SPOT + rng.integers(0, 40, (3, 3)))
    found = find_photons(frame)
    assert [(round(y), round(x)) for y, x in found[["y", "x"]].tolist()] == places


# --- Faults of the predecessor -------------------------------------------------------------------


@given(st.integers(8, 30), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_the_tail_of_a_photon_is_no_second_photon(tenths: int, dy: float, dx: float) -> None:
    """A strong, wide spot: pixels two and three beside the hottest are far above the threshold."""
    y, x = np.ogrid[:41, :41]
    frame = empty((41, 41))
    frame += np.rint(
        9000 * np.exp(-((y - 20 - dy) ** 2 + (x - 20 - dx) ** 2) / (2 * (tenths / 10) ** 2))
    ).astype(np.uint16)
    assert np.count_nonzero(frame > 110) > 9
    assert len(find_photons(frame)) == 1


@pytest.mark.parametrize("offset", [(0, 1), (1, -1), (1, 0), (1, 1)])
def test_a_tie_is_one_photon(offset: tuple[int, int]) -> None:
    """Two pixels of one value: one photon, between the two."""
    frame = empty()
    for y, x in ((7, 127), (7 + offset[0], 127 + offset[1])):
        frame[y, x] += 600
    [photon] = find_photons(frame)
    assert photon.item() == (7 + offset[0] / 2, 127 + offset[1] / 2, 1200.0, 0)


def test_a_tie_of_four_and_of_nine_is_one_photon() -> None:
    frame = empty()
    frame[4:6, 127:129] += 300
    assert find_photons(frame).tolist() == [(4.5, 127.5, 1200.0, 0)]
    frame = empty()
    frame[4:7, 127:130] += 150
    [photon] = find_photons(frame, energy_min=500)  # the first of the nine sees four of them
    assert photon.item() == (4.5, 127.5, 600.0, 0)


@given(st.integers(100, 699), st.integers(0, 799))
def test_energy_and_position_do_not_depend_on_the_thresholds(
    threshold: int, energy_min: int
) -> None:
    rng = np.random.default_rng(1)
    frame = rng.normal(DARK, 2.5, (60, 300)).round().astype(np.uint16)
    for x in range(5, 295, 10):
        put(frame, 2 * (x // 10) + 1, x)
    expected = find_photons(frame)
    assert len(expected) == 29
    found = find_photons(frame, threshold=threshold, energy_min=energy_min)
    strong = found[found["energy"] > 800]
    assert strong.tobytes() == expected.tobytes()


def test_energy_is_not_low() -> None:
    """It is the sum less dark: the threshold of 110 ADU is not taken from each of its pixels."""
    frame = empty()
    put(frame, 7, 130)
    assert find_photons(frame, threshold=110)["energy"].tolist() == [1200]
    rng = np.random.default_rng(2)
    frame = rng.normal(DARK, 2.5, (1000, 1000)).round()
    for y in range(5, 995, 10):
        for x in range(5, 995, 10):
            put(frame, y, x)
    found = find_photons(frame.astype(np.uint16))
    assert len(found) == 99 * 99
    assert found["energy"].mean() == pytest.approx(1200, abs=0.5)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("rows", [2, 5])
def test_first_and_last_rows_and_columns_are_looked_at(rows: int, columns: int) -> None:
    """Each pixel of the rim in turn. What lies beyond is missing from the energy, so: EDGE."""
    for y, x in np.ndindex(rows, columns):
        if 0 < y < rows - 1 and 0 < x < columns - 1:
            continue
        frame = empty((rows, columns))
        put(frame, y, x)
        [photon] = find_photons(frame, energy_min=500)
        assert (round(photon["y"]), round(photon["x"])) == (y, x)
        assert photon["flags"] == EDGE
        assert photon["energy"] == frame.sum() - DARK * frame.size


def test_a_photon_whose_3x3_just_fits_has_no_edge() -> None:
    frame = empty((20, 300))
    for y, x in ((1, 1), (1, 298), (18, 1), (18, 298)):
        put(frame, y, x)
    assert find_photons(frame)["flags"].tolist() == [0, 0, 0, 0]


def test_the_edge_of_a_roi_is_looked_at_and_beyond() -> None:
    """All of the box, and no more; energies are whole, for the pixels outside are summed."""
    roi = Roi(x0=126, y0=5, x1=132, y1=9)
    for y, x in np.ndindex(14, 12):
        frame = empty((20, 300))
        put(frame, 1 + y, 123 + x)
        is_inside = 5 <= 1 + y < 9 and 126 <= 123 + x < 132
        expected = [(1 + y, 123 + x, 1200, 0)] if is_inside else []
        assert find_photons(frame, roi=roi).tolist() == expected


@pytest.mark.parametrize("size", [1, 7, 127, 128, 129, 200])
def test_rois_that_cover_the_frame_find_each_photon_once(size: int) -> None:
    """As the whole frame does, but for the flag CLOSE: what lies outside is not looked for."""
    rng = np.random.default_rng(size)
    frame = empty((60, 260))
    for y, x in rng.integers(0, (60, 260), (300, 2)):
        put(frame, y, x, rng.integers(0, 400, (3, 3)))
    parts = [
        find_photons(frame, roi=Roi(x0=x, y0=y, x1=min(x + size, 260), y1=min(y + size, 60)))
        for y in range(0, 60, size)
        for x in range(0, 260, size)
    ]
    found, expected = (
        np.sort(one, order=["y", "x"]) for one in (np.concatenate(parts), find_photons(frame))
    )
    assert len(expected) > 100
    for name in ("y", "x", "energy"):
        np.testing.assert_array_equal(found[name], expected[name])
    np.testing.assert_array_equal(found["flags"] | CLOSE, expected["flags"] | CLOSE)
    assert (found["flags"] <= expected["flags"]).all()


@pytest.mark.parametrize("value", [900, 1200, 3000, 60000])
def test_a_hot_pixel_is_flagged(value: int) -> None:
    rng = np.random.default_rng(3)
    frame = rng.normal(DARK, 2.5, (20, 300)).round().astype(np.uint16)
    frame[7, 130] += value
    [photon] = find_photons(frame)
    assert photon["flags"] & HOT


def test_a_photon_is_not_taken_for_a_hot_pixel() -> None:
    """The narrowest cloud known leaves at most 56 % in one pixel."""
    frame = empty()
    put(frame, 7, 130, [[30, 102, 30], [102, 672, 102], [30, 102, 30]])
    [photon] = find_photons(frame)
    assert photon["flags"] == 0


# --- Flags, masks, dark levels -------------------------------------------------------------------


def test_limits_are_those_that_are_said() -> None:
    """Above, not at, each of them."""
    frame = empty()
    put(frame, 7, 130)
    assert len(find_photons(frame, energy_min=1199)) == 1
    assert len(find_photons(frame, energy_min=1200)) == 0
    assert len(find_photons(frame, threshold=699)) == 1
    assert len(find_photons(frame, threshold=700)) == 0
    assert find_photons(frame, energy_max=1199)["flags"].tolist() == [OVERLAP]
    assert find_photons(frame, energy_max=1200)["flags"].tolist() == [0]
    assert find_photons(frame, hot_share=0.49)["flags"].tolist() == [HOT]
    assert find_photons(frame, hot_share=0.5)["flags"].tolist() == [0]


@pytest.mark.parametrize(("dy", "dx"), [(y, x) for y in range(4) for x in range(-3, 4)])
def test_close_are_photons_whose_3x3_share_pixels(dy: int, dx: int) -> None:
    if (dy, dx) <= (0, 0) or max(dy, abs(dx)) < 2:
        return  # the same place, one seen before, or one spot
    for x in (0, 128, 299):
        if not 0 <= x + dx < 300:
            continue
        frame = empty()
        frame[7, x] += 1000
        frame[7 + dy, x + dx] += 1000
        found = find_photons(frame)
        assert len(found) == 2
        is_close = max(dy, abs(dx)) <= 2
        assert ((found["flags"] & CLOSE) != 0).tolist() == [is_close] * 2


def test_what_stands_at_the_end_of_a_row_is_not_close_to_the_next() -> None:
    for columns in (5, 6, 128, 130):
        frame = empty((9, columns))
        frame[2::2, 0] += 1000
        frame[1:-1:2, -1] += 1000
        found = find_photons(frame)
        rows = np.rint(found["y"])
        same_column = np.abs(found["x"][:, None] - found["x"]) < 2
        near = same_column & (np.abs(rows[:, None] - rows) == 2)
        np.testing.assert_array_equal((found["flags"] & CLOSE) != 0, near.any(axis=1))
        frame = empty((9, columns))
        frame[3, -1] += 1000
        frame[4, 0] += 1000
        assert not (find_photons(frame)["flags"] & CLOSE).any()


def test_masked_pixels_are_in_no_sum_and_no_photon() -> None:
    frame = empty()
    put(frame, 7, 130)
    mask = np.zeros(frame.shape, bool)
    mask[6, 130] = True
    [photon] = find_photons(frame, mask=mask)
    assert photon["energy"] == 1080
    assert photon["flags"] == EDGE
    mask[:] = False
    mask[7, 130] = True
    assert len(find_photons(frame, mask=mask)) == 0
    # what is left is a ring, of whose largest four pixels the first is one
    [photon] = find_photons(frame, mask=mask, energy_min=0)
    assert (photon["energy"], photon["flags"]) == (420, EDGE)
    mask[:] = True
    assert len(find_photons(frame, mask=mask, energy_min=0)) == 0


def test_a_mask_is_nan_in_the_frame_and_nan_in_the_dark_image() -> None:
    rng = np.random.default_rng(5)
    frame = rng.normal(DARK, 2.5, (60, 300)).astype(np.float32)
    for y, x in rng.integers(0, (60, 300), (100, 2)):
        put(frame, y, x)
    mask = rng.random(frame.shape) < 0.05
    holed = np.where(mask, np.float32(np.nan), frame)
    dark = np.full(frame.shape, float(DARK), np.float32)
    expected = find_photons(frame, mask=mask)
    assert (expected["flags"] & EDGE).any()
    assert find_photons(holed).tobytes() == expected.tobytes()
    assert find_photons(frame, np.where(mask, np.nan, dark)).tobytes() == expected.tobytes()
    assert find_photons(frame, dark, mask=mask).tobytes() == expected.tobytes()


def test_a_dark_image_is_a_level_for_each_pixel() -> None:
    rng = np.random.default_rng(6)
    dark = rng.integers(0, 2000, (60, 300)).astype(np.float32)
    frame = empty((60, 300))
    for y, x in rng.integers(0, (60, 300), (100, 2)):
        put(frame, y, x)
    expected = find_photons(frame, DARK, 0)
    lifted = (frame.astype(np.float32) - DARK + dark).astype(np.uint16)
    assert find_photons(lifted, dark, 0).tobytes() == expected.tobytes()
    np.testing.assert_array_equal(
        find_photons(frame, np.full(frame.shape, DARK)), find_photons(frame)
    )


def test_a_search_is_for_many_frames() -> None:
    search = PhotonSearch()
    for columns in WIDTHS:
        frame = empty((9, columns))
        put(frame, 3, 2)
        assert search.find(frame).tobytes() == find_photons(frame).tobytes()
    kept = search.find(frame)
    again = kept.copy()
    search.find(empty((9, 300)))
    assert kept.tobytes() == again.tobytes()  # what was found is not written to by the next


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": -1}, "threshold is -1, expected ADU of 0 or more"),
        ({"threshold": np.nan}, "threshold is nan, expected ADU of 0 or more"),
        ({"energy_min": -0.5}, "energy_min is -0.5, expected ADU of 0 or more"),
        ({"energy_max": 700}, "energy_max is 700, expected at least energy_min, 800"),
        ({"energy_max": np.nan}, "energy_max is nan, expected at least energy_min, 800"),
        ({"dark": -3}, "the lowest dark level is -3.0, expected ADU of 0 or more; collect the"),
        ({"dark": np.full((2, 2), np.nan)}, "the lowest dark level is nan"),
        ({"dark": np.array([[5.0, -2.0]])}, "the lowest dark level is -2.0"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the words are asserted below)
        PhotonSearch(**settings)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros(5, np.uint16),
        np.zeros((1, 5, 6), np.uint16),
        np.zeros((0, 6), np.uint16),
        np.zeros((5, 0), np.uint16),
        np.zeros((5, 6), bool),
        np.zeros((5, 6), complex),
    ],
)
def test_what_is_no_frame(frame: Any) -> None:
    with pytest.raises(ValueError, match=r"expected one frame \(rows, columns\) of") as error:
        PhotonSearch().find(frame)
    assert f"the shape {frame.shape} and dtype {frame.dtype}" in str(error.value)


def test_a_mask_of_0_and_1_is_a_mask() -> None:
    """As it comes from many files; else it must be refused."""
    frame, mask = empty(), np.zeros((20, 300), np.uint8)
    put(frame, 1, 130)
    put(frame, 9, 130)
    mask[9, 130] = 1
    assert find_photons(frame, mask=mask).tobytes() == find_photons(frame, mask=mask != 0).tobytes()


@pytest.mark.parametrize("name", ["threshold", "energy_min", "dark"])
def test_numbers_without_end(name: str) -> None:
    with pytest.raises(ValueError, match="expected ADU of 0 or more"):
        find_photons(empty(), **{"energy_max": np.inf, name: np.inf})


def test_what_does_not_fit_the_frame() -> None:
    frame = empty((5, 6))
    with pytest.raises(
        ValueError, match=r"dark image has the shape \(6, 5\), the frame has \(5, 6"
    ):
        find_photons(frame, np.full((6, 5), 100.0))
    with pytest.raises(ValueError, match=r"mask has the shape \(5, 7\).*this readout region"):
        find_photons(frame, mask=np.zeros((5, 7), bool))
    for roi in (Roi(x0=0, y0=0, x1=7, y1=5), Roi(x0=0, y0=2, x1=6, y1=6)):
        with pytest.raises(ValueError, match="outside the frame of 5 rows and 6 columns; move it"):
            find_photons(frame, roi=roi)
