from __future__ import annotations

from types import SimpleNamespace

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.console.regions import Regions, RoiNameError
from femto_bluesky.model.rois import Roi
from femto_bluesky.testing.shots import make_shots

ROI = Roi(x0=1, y0=2, x1=5, y1=6)


@pytest.fixture
def regions() -> Regions:
    return Regions(LiveAnalysis({"ROI 2": ROI}), ["pilatus", "andor3_zyla12"])


def test_a_region_is_added_moved_and_deleted(regions):
    found = regions.add_roi("new", 1, 2, 3, 4, detector="pilatus").rois
    assert found == {"ROI 2": ROI, "new": Roi(x0=1, y0=2, x1=3, y1=4, detector="pilatus")}
    assert regions.move_roi("new", dx=2, dy=-1).rois["new"].box == (slice(1, 3), slice(3, 5))
    moved = regions.move_roi("new", x1=9, dx=1).rois["new"]
    assert (moved.x0, moved.x1, moved.detector) == (4, 10, "pilatus")
    assert regions.delete_roi("ROI 2").rois == {"new": moved} == regions.list_rois().rois


def test_a_detector_is_given_itself_or_by_its_name(regions):
    pilatus = SimpleNamespace(name="pilatus")
    assert regions.add_roi("new", 1, 2, 3, 4, detector=pilatus).rois["new"].detector == "pilatus"


def test_several_regions_are_deleted_or_none(regions):
    regions.add_roi("a", 1, 2, 3, 4)
    regions.add_roi("b", 1, 2, 3, 4)
    with pytest.raises(RoiNameError, match="no ROI 'c'"):
        regions.delete_roi(["a", "c"])
    assert list(regions.delete_roi(["a", "b"]).rois) == ["ROI 2"]


def test_a_list_is_a_table(regions):
    regions.add_roi("x", x0=10, y0=20, x1=300, y1=400, detector="pilatus")
    assert repr(regions.list_rois()).splitlines() == [
        "ROI       x0     y0     x1     y1  detector",
        "ROI 2      1      2      5      6  all",
        "x         10     20    300    400  pilatus",
    ]
    regions.delete_roi("ROI 2")
    assert repr(regions.delete_roi("x")).startswith("no ROI; add_roi(")


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        (lambda r: r.move_roi("ROI 3", dx=1), "there is no ROI 'ROI 3'; there are: 'ROI 2'"),
        (lambda r: r.move_roi(["ROI 2"], dx=1), "the name of a ROI is text; found ['ROI 2']"),
        (lambda r: r.add_roi(3, 1, 2, 3, 4), "the name of a ROI is text; found 3"),
        (lambda r: r.delete_roi("x"), "there is no ROI 'x'; there are: 'ROI 2'"),
        (
            lambda r: r.add_roi("ROI 2", 1, 2, 3, 4),
            "there is a ROI 'ROI 2' already (x0=1, y0=2, x1=5, y1=6); move_roi('ROI 2', ...)",
        ),
        (lambda r: r.add_roi("a", 5, 2, 3, 4), "an empty ROI: x 5..3"),
        (
            lambda r: r.add_roi("a", 1, 2, 3, 4, detector="pilatsu"),
            "there is no detector 'pilatsu'; there are pilatus, andor3_zyla12",
        ),
        (lambda r: r.add_roi("ROI/2", 1, 2, 3, 4), "both become 'ROI_2' in a data key; rename"),
        (lambda r: r.add_roi("a", 1.5, 2, 3, 4), "x0: Input should be a valid integer"),
        (lambda r: r.move_roi("ROI 2", dx=-2), "x0: Input should be greater than or equal to 0"),
    ],
)
def test_a_slip_changes_nothing_and_says_what_to_do(regions, slip, words):
    before = regions.list_rois().rois
    with pytest.raises(ConsoleError) as error:
        slip(regions)
    assert words in str(error.value)
    # IPython shows this in place of a traceback
    (line,) = error.value._render_traceback_()
    assert line == f"{type(error.value).__name__}: {error.value}"
    assert regions.list_rois().rois == before


def test_a_region_outside_the_frames_is_refused_once_they_are_known():
    live = LiveAnalysis({"ROI 2": ROI})
    for shot in make_shots(("pilatus",), n_frames=1):
        live.update(shot)
    with pytest.raises(ConsoleError, match=r"reaches outside the frames of 'pilatus'"):
        Regions(live, ["pilatus"]).move_roi("ROI 2", dx=1000)
    assert issubclass(RoiNameError, ValueError)
