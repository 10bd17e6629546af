"""The picture of a photon file: everything is on it, whatever the file lacks."""

from __future__ import annotations

import itertools

import matplotlib.figure
import numpy as np
import pytest

from femto_bluesky.files.names import OutputExistsError
from femto_bluesky.files.photon_contents import NO_FRAME
from femto_bluesky.files.photon_pictures import draw_photons
from femto_bluesky.files.photon_summary import summary_of
from femto_bluesky.model.rois import Roi
from tests.files.counted import contents
from tests.files.drawn import read


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw what is in a file; give the figure, to look at what stands on it."""
    figures = []
    make = matplotlib.figure.Figure.__init__

    def remember(self, *arguments, **options):
        make(self, *arguments, **options)
        figures.append(self)

    monkeypatch.setattr(matplotlib.figure.Figure, "__init__", remember)

    def draw(given):
        path = tmp_path / f"{len(figures)}.png"
        draw_photons(given, summary_of(given), path, "scan_1_xye.h5 (andor3_balor)")
        picture = read(path)
        assert picture.shape == (1080, 2160, 3)
        return figures[-1]

    return draw


def texts(figure):
    found = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return " | ".join(" ".join(text.split()) for text in found if text.strip())


def panels(figure):
    return {axes.get_title().split(":")[0]: axes for axes in figure.axes if axes.get_title()}


def test_everything_is_on_the_picture(drawn):
    figure = drawn(contents())
    assert list(panels(figure)) == [
        "Energies", "Photons a frame", "Raw offsets", "Overlaps", "Clean image",
    ]  # fmt: skip
    told = texts(figure)
    for words in (
        "scan_1_xye.h5 (andor3_balor)", "Single photons: the peak is at", "20 above overlap: 0.50%",
        "energy_min 800", "view 1100", "photon 1200", "overlap 1400", "even", "mean 400",
        "by chance at this density", "above 1400 ADU", "Overlaps: 0.50%, by chance 0.50%",
    ):  # fmt: skip
        assert words in told
    assert panels(figure)["Energies"].get_yscale() == "log"


def test_no_text_is_cut_and_ticks_do_not_touch(drawn):
    for given in (contents(), contents(shape=(4104, 4128)), contents(shape=(2000, 81))):
        figure = drawn(given)
        size = figure.bbox
        for axes in figure.axes:
            boxes = [axis.get_tightbbox() for axis in (axes.xaxis, axes.yaxis)]
            for box in (box for box in boxes if box is not None):
                assert size.x0 <= box.x0 < box.x1 <= size.x1
                assert size.y0 <= box.y0 < box.y1 <= size.y1
            low, high = sorted(axes.get_xlim())
            shown = [
                tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_text()
            ]  # fmt: skip
            for left, right in itertools.pairwise(shown):
                assert left.x1 < right.x0


def test_single_photons_stay_visible_on_a_large_frame(drawn):
    given = contents(shape=(4104, 4128))
    given.photons["y"] *= 80
    given.photons["x"] *= 50
    (image,) = panels(drawn(given))["Clean image"].images
    pixels = np.asarray(image.get_array())
    assert max(pixels.shape) < 1000
    assert np.count_nonzero(pixels) > 3000


def test_crowded_frames_are_marked(drawn):
    given = contents()
    given.frames["is_crowded"][3:5] = True
    axes = panels(drawn(given))["Photons a frame"]
    (marks,) = (line for line in axes.lines if line.get_marker() == "x")
    assert marks.get_xdata().tolist() == [3, 4]
    assert "too crowded: 2" in texts(axes)


def test_the_roi_is_outlined(drawn):
    assert "ROI" in texts(drawn(contents(roi=Roi(x0=10, y0=5, x1=70, y1=45)))).split(" | ")


def test_a_file_without_photons_is_drawn(drawn):
    told = texts(drawn(contents(n=0, n_overlaps=0)))
    assert "Energies: none" in told
    assert "no photons" in told
    assert "nan" not in told


def test_a_file_of_the_predecessor_is_drawn(drawn):
    bare = {"frames": {}, "offsets": None, "shape": None, "detector": ""}
    told = texts(drawn(contents(**bare)))
    assert "the file does not say what is expected" in told
    assert "mean 400" in told
    unknown = texts(drawn(contents(**bare, frame_of_photon=np.full(4000, NO_FRAME))))
    assert "the file does not say on which frames" in unknown
    assert "nan" not in unknown
    empty = texts(drawn(contents(n=0, n_overlaps=0, **bare)))
    assert "is not drawn" in empty


def test_a_frame_that_is_too_large_is_not_drawn(drawn):
    assert "a frame of 1000000 x 1000000 pixels is not drawn" in texts(
        drawn(contents(shape=(10**6, 10**6)))
    )


def test_many_frames_and_one_frame_are_drawn(drawn):
    drawn(contents(n=4000, n_frames=2000))
    drawn(contents(n=400, n_frames=1))


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "a.png").write_text("mine")
    given = contents()
    with pytest.raises(OutputExistsError):
        draw_photons(given, summary_of(given), tmp_path / "a.png", "title")
    assert (tmp_path / "a.png").read_text() == "mine"
