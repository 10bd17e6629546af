"""Pictures: that what matters is on them, whole and at the right place."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.colors import AsinhNorm, to_rgb
from PIL import Image

from femto_bluesky.files import pictures
from femto_bluesky.files.names import OutputExistsError
from femto_bluesky.files.pictures import draw
from femto_bluesky.model.results import DataGroupError, Quantity
from femto_bluesky.model.rois import Roi
from tests.files.drawn import GREY, curve, image, places, read

# --- Images -----------------------------------------------------------------------------------


def bright(picture: np.ndarray) -> np.ndarray:
    """Where the hottest colour stands; the colour bar at the right is left out."""
    image = picture[:, :-140].astype(int)
    return np.argwhere((image[..., 0] > 240) & (image[..., 1] > 240) & (image[..., 2] < 180))


def test_each_pixel_of_an_image_is_one_of_the_picture(tmp_path):
    pixels = np.zeros((831, 1475))
    rows, columns = np.random.default_rng(1).integers(0, pixels.shape, (200, 2)).T
    rows, columns = [*rows, 0, 830, 400, 0], [*columns, 0, 1474, 0, 700]
    pixels[rows, columns] = 12
    draw(image(pixels), tmp_path / "a.png")
    found = bright(read(tmp_path / "a.png"))
    np.testing.assert_array_equal(found - found[0], np.argwhere(pixels))


def test_one_photon_in_seventeen_million_pixels_is_seen(tmp_path):
    pixels = np.zeros((4104, 4128), np.uint32)
    pixels[10, 4000] = 1
    draw(image(pixels), tmp_path / "a.png")
    picture = read(tmp_path / "a.png")
    ((y, x),) = bright(picture)
    # Row 0 is on top, column 0 on the left.
    assert y < 0.1 * picture.shape[0]
    assert x > 0.8 * picture.shape[1]


def test_no_photon_is_lost_on_small_axes(axes):
    pixels = np.zeros((831, 1475))
    pixels[::100, ::100] = 12
    draw(image(pixels), axes)
    canvas = axes.get_figure().canvas
    canvas.draw()
    box = axes.get_window_extent()
    shown = np.asarray(canvas.buffer_rgba())[:, int(box.x0) : int(box.x1) + 2].astype(int)
    hot = (shown[..., 0] > 240) & (shown[..., 1] > 240) & (shown[..., 2] < 180)
    assert hot.sum() >= np.count_nonzero(pixels)
    assert axes.get_xlabel() == "x [px]\neach point: hottest of 3x3 pixels"


def test_masked_and_nan_pixels_are_grey_and_do_not_set_the_colours(tmp_path, axes):
    pixels = np.ones((100, 120))
    pixels[:10] = -2
    pixels[10:20] = np.nan
    pixels[20:30] = 1e9
    mask = np.zeros(pixels.shape, bool)
    mask[:10] = mask[20:30] = True
    group = image(pixels, mask=mask)
    draw(group, axes)
    assert axes.images[0].get_clim() == (0.0, 1.0)
    assert "grey: no data" in axes.get_xlabel()
    draw(group, tmp_path / "a.png")
    grey = places(read(tmp_path / "a.png"), GREY)
    zoom = 9
    assert len(grey) == pytest.approx(30 * 120 * zoom**2, rel=0.02)


def test_few_hot_pixels_do_not_darken_the_photons(axes):
    pixels = np.zeros((200, 200))
    pixels[::10, ::10] = 12
    pixels[100, 101] = 3842
    draw(image(pixels), axes)
    norm = axes.images[0].norm
    assert norm(12) > 0.4
    assert axes.images[0].colorbar.extend == "max"


@pytest.mark.parametrize(
    "pixels", [np.zeros((5, 4)), np.full((5, 4), np.nan), np.ones((1, 1)), -np.ones((3, 3), int)]
)
def test_images_without_counts_are_drawn(tmp_path, pixels):
    draw(image(pixels), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape[0] > 200


def test_an_image_without_pixels_is_refused(tmp_path):
    with pytest.raises(DataGroupError, match="'image' is an image without pixels"):
        draw(image(np.zeros((0, 5))), tmp_path / "a.png")


def test_the_colour_bar_has_round_numbers_and_its_label(axes):
    draw(image(np.arange(12, dtype=np.uint32).reshape(3, 4)), axes)
    bar = axes.images[0].colorbar
    assert [tick.get_text() for tick in bar.ax.get_yticklabels()] == ["0", "1", "2", "5", "10"]
    assert bar.ax.get_ylabel() == "accumulated [counts]"


@settings(max_examples=30)
@given(st.floats(1e-3, 1e9), st.floats(0, 1e9), st.booleans())
def test_ticks_lie_within_the_colours_and_apart(highest, lowest, whole):
    norm = AsinhNorm(linear_width=highest / 100, vmin=-lowest, vmax=highest)
    ticks = pictures._ticks(norm, whole=whole)
    assert 0 in ticks
    assert all(-lowest <= tick <= highest for tick in ticks)
    assert (np.diff([float(norm(tick)) for tick in ticks]) > 0.045).all()


def naive(pixels: np.ndarray, mask: np.ndarray, factor: int) -> np.ma.MaskedArray:
    rows, columns = (-(-size // factor) for size in pixels.shape)
    out = np.ma.masked_all((rows, columns))
    for y in range(rows):
        for x in range(columns):
            box = np.s_[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            if (valid := pixels[box][~mask[box]]).size:
                out[y, x] = valid.max()
    return out


@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), st.integers(1, 4))
def test_binning_takes_the_hottest_valid_pixel(data, shape, factor):
    dtype = data.draw(st.sampled_from([np.uint16, np.int32, np.float32, np.bool_]))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype is np.float32 else None
    pixels = data.draw(hnp.arrays(dtype, shape, elements=finite))
    mask = data.draw(hnp.arrays(bool, shape))
    before = pixels.copy()
    found, expected = pictures._binned(pixels, mask, factor), naive(pixels, mask, factor)
    np.testing.assert_array_equal(found.mask, np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(found.compressed(), expected.compressed())
    np.testing.assert_array_equal(pixels, before)


def test_the_rows_of_a_map_go_up_and_its_axes_are_the_motors(axes):
    x = Quantity("sx", np.array([2.0, 1.0, 0.0]), "mm")
    y = Quantity("sy", np.array([0.0, 0.5]), "mm")
    draw(image([[1, 2, 3], [4, 5, 6]], axes=(y, x)), axes)
    assert axes.get_xlim() == (-0.5, 2.5)
    assert axes.get_ylim() == (-0.25, 0.75)
    assert axes.images[0].get_extent() == [2.5, -0.5, 0.75, -0.25]
    assert axes.get_xlabel() == "sx [mm]"


def test_a_map_of_uneven_motors_goes_against_the_index(axes):
    x = Quantity("sx", np.array([0.0, 1.0, 10.0]), "mm")
    y = Quantity("phase", np.array(["on", "off"]))
    draw(image([[1, 2, 3], [4, 5, 6]], axes=(y, x)), axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("sx [mm] (index)", "phase (index)")


# --- ROIs -------------------------------------------------------------------------------------


def test_a_roi_encloses_its_pixels(axes):
    draw(image(np.zeros((50, 60)), rois={"ROI 2": Roi(x0=10, y0=20, x1=13, y1=21)}), axes)
    assert axes.patches[0].get_bbox().bounds == (9.5, 19.5, 3, 1)
    assert axes.texts[0].get_text() == "ROI 2"


def test_names_of_rois_are_whole_and_apart(axes):
    rois = {
        "top left": Roi(x0=0, y0=0, x1=10, y1=10),
        "at the right edge with a long name": Roi(x0=590, y0=100, x1=600, y1=120),
        "below": Roi(x0=200, y0=390, x1=300, y1=400),
        "one": Roi(x0=200, y0=200, x1=260, y1=240),
        "on one": Roi(x0=202, y0=200, x1=262, y1=240),
        "on both": Roi(x0=204, y0=200, x1=264, y1=240),
        "everything": Roi(x0=0, y0=0, x1=600, y1=400),
        "very long " * 12: Roi(x0=300, y0=300, x1=310, y1=310),
    }
    draw(image(np.zeros((400, 600)), rois=rois), axes)
    inside = axes.get_window_extent()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(rois)
    for number, box in enumerate(boxes):
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1, axes.texts[number]
        assert inside.y0 <= box.y0 < box.y1 <= inside.y1, axes.texts[number]
        assert box.count_overlaps(boxes[:number]) == 0, axes.texts[number]


@pytest.mark.parametrize("name", ["$x_$", "Überlapp µ", "区域", "a\nb", r"\frac"])
def test_any_name_can_be_drawn(tmp_path, name):
    roi = {name: Roi(x0=1, y0=1, x1=5, y1=5)}
    draw(image(np.ones((20, 20)), title=name, rois=roi), tmp_path / "image.png")
    draw(curve([name, "b"], [1, 2], title=name), tmp_path / "curve.png")


# --- Files ------------------------------------------------------------------------------------


def test_the_file_is_eight_bits_deep_and_says_what_it_is(tmp_path):
    draw(image(np.ones((20, 20)), title="Σ of 3"), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as file:
        assert file.mode == "RGBA"
        assert file.text["Title"] == "Σ of 3"
        assert file.text["Software"].startswith("femto_bluesky")


def test_a_picture_is_never_overwritten(tmp_path):
    draw(curve([1], [2]), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OutputExistsError, match=r"a\.png exists already"):
        draw(curve([1], [3]), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before


def test_no_display_and_no_pyplot_are_needed():
    code = (
        "import sys, femto_bluesky.files.pictures\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_the_colour_of_masked_pixels_is_none_of_the_map():
    assert len(set(to_rgb(pictures._MASKED))) == 1
