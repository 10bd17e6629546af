"""The results file: what is in it, what silx makes of it, and that nothing is overwritten."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from femto_bluesky.files import results
from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.files.results import write_results
from femto_bluesky.model.results import DataGroup, DataGroupError, Quantity
from femto_bluesky.model.rois import Roi

START = {
    "uid": "d-1",
    "time": 1732190400.5,
    "scan_id": 7,
    "original_run_uid": "raw-1",
    "analysis": {"name": "LiveAnalysis", "version": "1.2", "settings": {"dark": np.int64(100)}},
}


def curve(path="step_means/ROI_2", mean=(1.0, 2.0), x=(0.5, 1.0), errors=(0.1, 0.2), **more):
    return DataGroup(
        path=path,
        title="mean of ROI 2",
        signal=Quantity("mean", np.array(mean, float), "counts", "mean of ROI 2"),
        axes=(Quantity("motor", np.array(x), "mm"),),
        errors=None if errors is None else np.array(errors, float),
        errors_name="standard deviation",
        **more,
    )


def image(path="accumulated/image", shape=(40, 50), **more):
    pixels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape)
    return DataGroup(path, "sum of 3 images", Quantity("image", pixels, "counts"), (), **more)


def write(folder: Path, *groups: DataGroup, start=START, **more) -> Path:
    path = folder / "results.h5"
    write_results(path, groups, title="a scan", start=start, **more)
    return path


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def silx_default(path: Path):
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed: no viewer to ask")
    file = h5py.File(path)
    default = nxdata.get_default(file)
    assert default is not None, "silx finds no default plot"
    assert default.is_valid, default.issues
    return default


# --- What silx makes of it --------------------------------------------------------------------


def test_silx_opens_with_the_curve_and_its_errors(tmp_path):
    default = silx_default(write(tmp_path, curve(), image()))
    assert default.group.name == "/entry/step_means/ROI_2"
    assert default.signal_name == "mean of ROI 2 [counts]"
    assert default.axes_names == ["motor [mm]"]
    assert default.title == "mean of ROI 2"
    assert default.interpretation == "spectrum"
    np.testing.assert_array_equal(default.signal, [1.0, 2.0])
    np.testing.assert_array_equal(default.axes[0], [0.5, 1.0])
    np.testing.assert_array_equal(default.errors, [0.1, 0.2])


def test_silx_opens_with_the_image_and_its_pixels(tmp_path):
    group = image(mask=np.eye(40, 50, dtype=bool), rois={"ROI 2": Roi(x0=1, y0=2, x1=3, y1=4)})
    path = write(tmp_path, group, curve())
    default = silx_default(path)
    assert default.group.name == "/entry/accumulated/image"
    assert default.interpretation == "image"
    assert default.axes_names == ["y [px]", "x [px]"]
    assert default.errors is None
    assert default.plot_style.signal_scale_type == "log"
    with h5py.File(path) as file:
        data = file["entry/accumulated/image"]
        np.testing.assert_array_equal(data["image"], group.signal.values)
        np.testing.assert_array_equal(data["mask"], np.eye(40, 50))
        assert (data["image"].compression, data["image"].shuffle) == ("gzip", True)
        assert json.loads(data["rois"][()])["ROI 2"]["x1"] == 3


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_silx_shows_curves_of_any_length(tmp_path, n):
    default = silx_default(write(tmp_path, curve(mean=np.ones(n), x=np.arange(n), errors=None)))
    assert default.signal.shape == (n,)
    assert default.errors is None


def test_a_curve_without_steps_is_kept_but_is_not_the_default(tmp_path):
    empty = curve("step_means/empty", mean=(), x=(), errors=())
    default = silx_default(write(tmp_path, empty, curve("step_means/full")))
    assert default.group.name == "/entry/step_means/full"
    assert default.group.parent["empty/mean"].shape == (0,)


def test_a_file_of_empty_curves_opens_all_the_same(tmp_path):
    assert silx_default(write(tmp_path, curve(mean=(), x=(), errors=()))).signal.shape == (0,)


def test_each_collection_leads_to_its_first_plot(tmp_path):
    path = write(tmp_path, image(), curve("means/a/ROI_1"), curve("means/a/ROI_2"))
    with h5py.File(path) as file:
        assert file["entry"].attrs["default"] == "accumulated"
        assert file["entry/means"].attrs["default"] == "a"
        assert file["entry/means/a"].attrs["default"] == "ROI_1"
        assert file["entry/means/a"].attrs["NX_class"] == "NXcollection"


def test_text_on_the_axis_is_kept_and_the_curve_goes_against_its_index(tmp_path):
    default = silx_default(write(tmp_path, curve(x=["LaB6", "Si"])))
    assert default.axes_names == ["motor [mm] (index)"]
    np.testing.assert_array_equal(default.axes[0], [0, 1])
    assert list(default.group["motor"].asstr()) == ["LaB6", "Si"]


def test_names_that_viewers_would_misread_are_changed(tmp_path):
    n = np.array([3, 3])
    group = DataGroup(
        "a",
        "same name thrice",
        Quantity("m/x", np.array([1.0, 2.0])),
        (Quantity("m/x", np.array([True, False])),),
        errors=np.array([0.1, 0.1]),
        columns=tuple(Quantity(name, n) for name in ("m/x", "errors", "title", "m_x_errors")),
    )
    default = silx_default(write(tmp_path, group))
    assert default.title == "same name thrice"
    assert set(default.group) == {
        *("title", "m_x", "m_x_errors", "m_x_2", "m_x_3"),
        *("errors_2", "title_2", "m_x_errors_2"),
    }
    np.testing.assert_array_equal(default.errors, [0.1, 0.1])


# --- Laws -------------------------------------------------------------------------------------

FLOATS = st.lists(st.tuples(*[st.floats(width=64)] * 2), max_size=8)
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PARTS = NAMES.filter(lambda name: name.strip() not in {"", ".", ".."})


@settings(max_examples=40, deadline=None)
@given(FLOATS)
def test_errors_are_never_nan_or_negative_and_the_signal_is_as_it_was(rows):
    mean, errors = np.array(rows, float).reshape(-1, 2).T
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), curve(mean=mean, x=np.arange(len(mean)), errors=errors))
        with h5py.File(path) as file:
            data = file["entry/step_means/ROI_2"]
            written = data["mean_errors"][()]
            np.testing.assert_array_equal(data["mean"], mean)
    assert np.isfinite(written).all()
    assert (written >= 0).all()
    good = np.isfinite(errors) & (errors >= 0)
    np.testing.assert_array_equal(written[good], errors[good])


@settings(max_examples=40, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=3).map("/".join), NAMES, NAMES)
def test_any_name_is_found_at_its_path(name, title, signal):
    group = DataGroup(
        f"results/{name}", title, Quantity(signal, np.ones(2)), (Quantity("m", np.ones(2)),)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), group)
        with h5py.File(path) as file:
            data = file[f"entry/results/{name}"]
            assert data["title"].asstr()[()] == title
            np.testing.assert_array_equal(data[data.attrs["signal"]], [1, 1])


# --- Where it comes from ----------------------------------------------------------------------


def test_the_file_names_the_raw_run_and_the_settings(tmp_path):
    path = write(
        tmp_path,
        curve(attributes={"n_frames": 30}),
        stop={"exit_status": "fail", "reason": "no beam"},
    )
    with h5py.File(path) as file:
        entry = file["entry"]
        keys = ("title", "start_time", "exit_status", "reason", "entry_identifier", "program_name")
        text = {key: entry[key].asstr()[()] for key in keys}
        assert text == {
            "title": "a scan",
            "start_time": "2024-11-21T12:00:00.500000+00:00",
            "exit_status": "fail",
            "reason": "no beam",
            "entry_identifier": "d-1",
            "program_name": "femto_bluesky",
        }
        assert entry["program_name"].attrs["version"] == "1.2"
        assert entry["scan_id"][()] == 7
        process = entry["process"]
        assert process["original_run_uid"].asstr()[()] == "raw-1"
        assert json.loads(process["settings/data"][()]) == {"dark": 100}
        assert json.loads(entry["start_document/data"][()])["scan_id"] == 7
        assert entry["step_means/ROI_2"].attrs["n_frames"] == 30
        classes = {key: file[key].attrs["NX_class"] for key in ("/", "entry", "entry/process")}
        assert classes == {"/": "NXroot", "entry": "NXentry", "entry/process": "NXprocess"}


def test_an_empty_start_document_and_no_results_still_make_a_file(tmp_path):
    with h5py.File(write(tmp_path, start={})) as file:
        assert file["entry"].attrs["NX_class"] == "NXentry"
        assert "default" not in file["entry"].attrs


# --- Nothing is overwritten, nothing is left half done ----------------------------------------


def test_an_existing_file_stays_as_it_is(tmp_path):
    (tmp_path / "results.h5").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"results\.h5 exists already.*another name"):
        write(tmp_path, curve())
    assert (tmp_path / "results.h5").read_text() == "mine"
    assert listed(tmp_path) == ["results.h5"]


def no_links(*_):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_disk_without_hard_links_gets_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    assert silx_default(write(tmp_path, curve())).signal.shape == (2,)
    assert listed(tmp_path) == ["results.h5"]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(results, "_set_defaults", fail)
    with pytest.raises(OSError, match="No space left") as info:
        write(tmp_path, image())
    assert "nothing was written to" in info.value.__notes__[0]
    assert listed(tmp_path) == []


def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    umask = os.umask(0o022)
    try:
        path = write(tmp_path, curve())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"the folder .*nowhere does not exist; create it"):
        write(tmp_path / "nowhere", curve())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, but a folder is needed"):
        write(tmp_path / "file", curve())


def test_a_folder_that_refuses_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=r"cannot create .*Permission denied; choose a folder"):
        write(tmp_path, curve())


# --- Results that do not fit ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/a", "a//b", "a/", "a/../b", "a\0"])
def test_a_path_that_is_none_is_refused(tmp_path, path):
    with pytest.raises(DataGroupError, match="cannot stand in a file: give it a path of names"):
        write(tmp_path, curve(path))


@pytest.mark.parametrize("other", ["a/b", "a/b/c", "a"])
def test_two_results_at_one_place_are_refused(tmp_path, other):
    with pytest.raises(DataGroupError, match="need the same place in the file"):
        write(tmp_path, curve("a/b"), curve(other))


def test_names_of_nexus_are_refused(tmp_path):
    with pytest.raises(DataGroupError, match="'process' is kept for NeXus; rename"):
        write(tmp_path, curve("process/x"))
    with pytest.raises(DataGroupError, match="attribute 'signal' is kept for NeXus"):
        write(tmp_path, curve(attributes={"signal": "x"}))


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (curve(x=(1.0,)), r"its axis 'motor' has the shape \(1,\).*needs \(2,\)"),
        (curve(errors=(1.0, 2.0, 3.0)), r"its errors has the shape \(3,\)"),
        (curve(columns=(Quantity("n", np.ones(5)),)), r"its column 'n' has the shape \(5,\)"),
        (image(mask=np.ones((2, 2), bool)), r"its mask has the shape \(2, 2\)"),
        (DataGroup("a", "", Quantity("s", np.ones(3)), ()), "needs 1 axes, but it has 0"),
        (DataGroup("a", "", Quantity("s", np.ones((1, 1, 1))), ()), "1 .a curve. or 2 dimensions"),
        (DataGroup("a", "", Quantity("s", np.array(["x"])), ()), "must be real numbers"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, group, words):
    with pytest.raises(DataGroupError, match=words):
        write(tmp_path, group)
    assert listed(tmp_path) == []
