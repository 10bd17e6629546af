"""Rings on pictures: that they lie where they belong, and that what they lie on is still seen."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from femto_bluesky.files import picture_rings
from femto_bluesky.files.pictures import draw
from femto_bluesky.files.results import write_results
from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.results import DataGroupError, Quantity
from femto_bluesky.model.rois import Roi
from tests.files.drawn import curve, image, read

SHAPE = (400, 700)
GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.06, x0_px=100, y0_px=180, tilt_deg=20, pixel_size_m=172e-6
)
RINGS = {
    line.label: GEOMETRY.ring(line.q, shape=SHAPE) for line in calibrant_lines("LaB6", (0, 6.6))
}
WHOLE = np.array([*to_rgb(picture_rings._COLOUR)]) * 255


def green(picture: np.ndarray) -> np.ndarray:
    """Where the colour of rings is, also on black and half covered."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return np.argwhere((green > 60) & (green > 1.3 * red) & (green > 1.2 * blue))


def names(axes) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.get_position() for text in axes.texts}


def test_whole_numbers_are_the_centres_of_pixels(tmp_path):
    # One line down the middle of column 20; a zoom of 9 gives every pixel 9 of the screen.
    pixels = np.zeros((100, 120))
    pixels[:, 20] = 5
    rows = np.linspace(0, 99, 50)
    draw(image(pixels, rings={"": (rows, np.full(50, 20.0))}), tmp_path / "a.png")
    picture = read(tmp_path / "a.png")
    hot = np.argwhere((picture[:, :-140, 0] > 240) & (picture[:, :-140, 2] < 180))
    lines = green(picture)
    assert lines.size
    assert np.mean(lines[:, 1]) == pytest.approx(np.mean([hot[:, 1].min(), hot[:, 1].max()]), abs=1)
    assert np.ptp(lines[:, 1]) <= 3


def test_a_ring_goes_where_the_axes_of_the_image_say(axes):
    y, x = Quantity("y", np.arange(50) * 2.0 + 7, "px"), Quantity("x", np.arange(60) * 0.5, "px")
    ring = np.array([0.0, 10.0, np.nan, 20.0, 30.0])
    draw(image(np.zeros((50, 60)), axes=(y, x), rings={"": (ring, ring)}), axes)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), ring * 2 + 7)
    np.testing.assert_array_equal(line.get_xdata(), ring / 2)
    assert axes.get_ylim() == (7 + 99, 7 - 1)


def test_what_lies_under_a_ring_is_still_seen(tmp_path):
    pixels = np.zeros(SHAPE)
    for y, x in RINGS.values():
        there = np.isfinite(y)
        at = np.rint(np.c_[y, x][there]).astype(int)
        at = at[((at >= 0) & (at < SHAPE)).all(axis=1)]
        pixels[tuple(at.T)] = 5
    draw(image(pixels), tmp_path / "without.png")
    draw(image(pixels, rings={f"{'':{i}}": r for i, r in enumerate(RINGS.values())}),
         tmp_path / "with.png")  # fmt: skip
    without, with_rings = read(tmp_path / "without.png"), read(tmp_path / "with.png")
    hot = (without[:, :-140, 0] > 240) & (without[:, :-140, 2] < 180)
    changed = (without != with_rings).any(axis=-1)[:, :-140]
    assert 0.05 < changed[hot].mean() < 0.5


def test_every_ring_has_its_name_on_it_and_none_covers_another(axes):
    draw(
        image(np.zeros(SHAPE), rings=RINGS, rois={"ROI 2": Roi(x0=300, y0=150, x1=380, y1=250)}),
        axes,
    )
    found = names(axes)
    shown = {label for label, (y, _x) in RINGS.items() if len(y)}
    assert len(shown) > 10
    assert len(shown - set(found)) <= 2
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    inside = axes.get_window_extent()
    for name, box in boxes.items():
        assert box.count_overlaps([b for other, b in boxes.items() if other != name]) == 0, name
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1
    for label in shown & set(found):
        y, x = RINGS[label]
        assert np.nanmin(np.hypot(y - found[label][1], x - found[label][0])) < 0.1


def test_names_without_room_are_left_out(axes):
    ring = (np.linspace(10, 30, 40), np.full(40, 20.0))
    draw(image(np.zeros((40, 40)), rings={f"ring {i}": ring for i in range(50)}), axes)
    assert 0 < len(axes.texts) < 20
    assert len(axes.lines) == 50


def test_a_closed_ring_has_its_name_to_the_right_and_a_cut_one_on_its_longest_piece(axes):
    straight = GEOMETRY.model_copy(update={"tilt_deg": 0.0})
    small, large = straight.ring(1.5, shape=SHAPE), straight.ring(3.0, shape=SHAPE)
    draw(image(np.zeros(SHAPE), rings={"small": small, "large": large}), axes)
    found = names(axes)
    assert found["small"][1] == pytest.approx(179.5, abs=2)
    assert found["small"][0] == pytest.approx(np.nanmax(small[1]), abs=0.5)
    assert found["large"][0] > 150


def test_names_are_text_and_odd_letters_make_no_trouble(axes):
    ring = (np.linspace(10, 300, 400), np.full(400, 200.0))
    draw(image(np.zeros(SHAPE), rings={"$x^2$ \u754c": ring}), axes)
    assert axes.texts[0].get_text() == "$x^2$ \N{WHITE SQUARE}"
    draw(image(np.zeros(SHAPE), rings={"none": (np.empty(0), np.empty(0))}), axes)


def test_the_calibrant_is_named_below(axes):
    draw(image(np.zeros(SHAPE), rings=RINGS, attributes={"calibrant": "LaB6"}), axes)
    assert "dashed: rings of LaB6" in axes.get_xlabel()


def test_rings_are_kept_with_the_results(tmp_path):
    rings = {"1 0 0": RINGS["1 0 0"], "a/b": (np.array([1.0, np.nan]), np.array([2.0, np.nan]))}
    path = tmp_path / "a.h5"
    write_results(path, [image(np.zeros(SHAPE), rings=rings)], title="a", start={})
    with h5py.File(path) as file:
        kept = file["entry/image/rings"]
        assert {dataset.attrs["label"] for dataset in kept.values()} == {"1 0 0", "a/b"}
        np.testing.assert_array_equal(kept["1 0 0"], RINGS["1 0 0"])
        np.testing.assert_array_equal(kept["a_b"], [[1, np.nan], [2, np.nan]])
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed: no viewer to ask")
    with h5py.File(path) as file:
        default = nxdata.get_default(file)
        assert default is not None
        assert default.is_valid
        assert default.group.name == "/entry/image"


def test_rings_that_do_not_fit_are_refused():
    with pytest.raises(
        DataGroupError, match=r"its ring 'a' has y of the shape \(2,\) and x of \(3,\)"
    ):
        image(np.zeros((4, 4)), rings={"a": (np.zeros(2), np.zeros(3))}).check()
    group = curve([1, 2], [3, 4])
    with pytest.raises(DataGroupError, match="two lists of one length, on an image"):
        type(group)(
            group.path, "", group.signal, group.axes, rings={"a": (np.zeros(2), np.zeros(2))}
        ).check()
