"""Photon files are read as they are meant, whoever wrote them; bad ones are refused in words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.files import xye
from femto_bluesky.files.names import OutputError
from femto_bluesky.files.photon_file import PhotonFile
from femto_bluesky.files.xye import XyeError, XyeFileError
from femto_bluesky.kernels.photons import PHOTON
from femto_bluesky.model import eta
from femto_bluesky.model.rois import Roi
from tests.files.found import BINS, SHAPE, info, photons, row, write

# --- what was written -------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-5, 10**12)), max_size=6))
def test_what_is_written_is_read(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("law") / "a_xye.h5"
    found = [photons(n, shot) for shot, (n, _) in enumerate(frames)]
    rows = [row(shot, frame) for shot, (_, frame) in enumerate(frames)]
    write(path, list(zip(rows, found, strict=True)))
    read = xye.read(path)
    assert read.dtype == xye.XYE == np.dtype(
        [("y", "f8"), ("x", "f8"), ("energy", "f4"), ("frame", "i8")]
    )  # fmt: skip
    every = np.concatenate([np.zeros(0, PHOTON), *found])
    for name in ("y", "x", "energy"):
        np.testing.assert_array_equal(read[name], every[name])
    assert read["frame"].tolist() == [frame for n, frame in frames for _ in range(n)]


def test_photons_come_in_the_order_of_the_shots(tmp_path):
    found = {shot: photons(shot + 1, shot) for shot in range(4)}
    path = write(
        tmp_path / "a_xye.h5",
        [(row(shot, frame=10 + shot), found[shot]) for shot in (2, 0, 3, 1)],
    )
    seen = xye.contents(path)
    np.testing.assert_array_equal(seen.photons, np.concatenate([found[s] for s in range(4)]))
    assert seen.frame_of_photon.tolist() == [10, 11, 11, 12, 12, 12, 13, 13, 13, 13]
    assert seen.frames["first_photon"].tolist() == [0, 1, 3, 6]


def test_all_that_is_said_comes_back(tmp_path):
    roi = Roi(x0=3, y0=4, x1=30, y1=40, detector="balor")
    rows = [
        row(0, step=0, time=1.5, n_hot=3, position={"delay": 0.5}, labels={"laser": 1.0}),
        row(1, step=1, time=2.5, is_crowded=True, overlap_share=0.2, position={"delay": 0.6}),
        row(2, step=1),
    ]
    frames = list(zip(rows, [photons(4), photons(5), photons(0)], strict=True))
    settings = {"dark": 100, "mask_file": Path("/m.npy"), "thresholds": np.arange(2)}
    path = write(
        tmp_path / "a_xye.h5", frames, settings=settings, roi=roi, run="abc", bins=BINS,
        pixel_size_m=(12e-6, 13e-6), raw=(tmp_path / "raw.h5", "/entry/data"),
    )  # fmt: skip
    seen = xye.contents(path)
    assert (seen.detector, seen.shape, seen.roi, seen.run) == ("balor", SHAPE, roi, "abc")
    assert (seen.pixel_size_m, seen.bins) == ((12e-6, 13e-6), BINS)
    assert seen.raw == (tmp_path / "raw.h5", "/entry/data")
    assert seen.settings == [{"dark": 100, "mask_file": "/m.npy", "thresholds": [0, 1]}]
    assert seen.frames["is_crowded"].tolist() == [False, True, False]
    assert seen.frames["overlap_share"].tolist() == [0, 0.2, 0]
    assert seen.frames["n_hot_pixels"].tolist() == [3, 0, 0]
    assert seen.frames["n_photons"].tolist() == [4, 5, 0]
    assert seen.frames["step"].tolist() == [0, 1, 1]
    assert seen.frames["time"].tolist() == [1.5, 2.5, 0]
    np.testing.assert_array_equal(seen.positions["delay"], [0.5, 0.6, np.nan])
    np.testing.assert_array_equal(seen.labels["laser"], [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(seen.photons["flags"], np.r_[photons(4), photons(5)]["flags"])
    np.testing.assert_array_equal(seen.histogram, BINS.count(seen.photons))


@pytest.mark.parametrize("frames", [[], [(row(0), photons(0))]], ids=["no frame", "no photon"])
def test_a_file_without_photons_is_one(tmp_path, frames):
    path = write(tmp_path / "a_xye.h5", frames)
    assert xye.read(path).shape == (0,)
    seen = xye.contents(path)
    assert seen.histogram.sum() == 0
    assert len(seen.frames["shot"]) == len(frames)
    assert (seen.roi, seen.raw, seen.pixel_size_m, seen.run) == (None, None, None, "")


def test_positions_are_corrected_with_what_the_file_counted(tmp_path):
    found = photons(5000)
    path = write(tmp_path / "a_xye.h5", [(row(0), found[:3000]), (row(1), found[3000:])])
    expected = eta.correct(found, eta.count_offsets(found))
    read = xye.read(path, eta=True)
    np.testing.assert_array_equal(read["y"], expected["y"])
    np.testing.assert_array_equal(read["x"], expected["x"])
    np.testing.assert_array_equal(xye.read(path)["y"], found["y"])


def test_few_photons_teach_no_correction(tmp_path):
    path = write(tmp_path / "a_xye.h5", [(row(0), photons(50))])
    with pytest.raises(XyeError, match=r"of \d\d photons were counted, expected at least 1000"):
        xye.read(path, eta=True)


# --- the predecessor's files ------------------------------------------------------------------


def predecessors(path, hits, frames=None, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("hits/hits_xye", data=hits, **options)
        if frames is not None:
            file["hits/hits_frame_number"] = frames
    return path


@pytest.mark.parametrize("options", [{}, {"chunks": (10, 3), "compression": "gzip"}])
def test_the_predecessors_files_are_read(tmp_path, options):
    hits = np.column_stack([np.arange(30.0), np.arange(30.0) + 100, np.arange(30.0) + 1000])
    path = predecessors(tmp_path / "a.h5", hits, np.repeat([2, 5, 3], 10), **options)
    read = xye.read(path)
    assert read.dtype == xye.XYE
    for index, name in enumerate(("y", "x", "energy")):
        assert read[name].tolist() == hits[:, index].tolist()
    assert read["frame"].tolist() == np.repeat([2, 5, 3], 10).tolist()
    seen = xye.contents(path)
    assert seen.photons.dtype == PHOTON
    assert not seen.photons["flags"].any()
    assert (seen.shape, seen.offsets, seen.frames, seen.settings) == (None, None, {}, [])
    assert seen.histogram.sum() == 30
    with pytest.raises(XyeError, match=r"predecessor's files count no offsets; read it without"):
        xye.read(path, eta=True)


def test_a_frame_that_is_not_said_is_not_0(tmp_path):
    path = predecessors(tmp_path / "a.h5", np.ones((2, 3)))
    assert xye.read(path)["frame"].tolist() == [-1, -1] == [xye.NO_FRAME] * 2
    assert len(xye.read(predecessors(tmp_path / "b.h5", np.ones((0, 3))))) == 0


@pytest.mark.parametrize(
    ("hits", "frames", "words"),
    [
        (np.ones((4, 2)), None, r"hits_xye has the shape \(4, 2\).*expected \(photons, 3\)"),
        (np.ones(3), None, r"hits_xye has the shape \(3,\), expected 2 dimensions"),
        (np.ones((4, 3)), np.arange(3), r"has 3 rows, but /hits/hits_xye has 4; each photon"),
        (np.ones((4, 3), "S3"), None, r"the type \|S3, expected .* real numbers"),
        (np.ones((2, 3)), np.array([b"a", b"b"]), r"has the type \|S1, expected integers or fl"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, hits, frames, words):
    with pytest.raises(XyeError, match=words):
        xye.read(predecessors(tmp_path / "a.h5", hits, frames))


# --- files that are damaged, or meant to do damage --------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(XyeFileError, match=r"none\.h5: no such file; give the photon file"):
        xye.read(tmp_path / "none.h5")
    with pytest.raises(OSError, match="no such file"):
        xye.read(tmp_path)


def test_what_is_no_photon_file_is_refused(tmp_path):
    (tmp_path / "a.h5").write_text("y,x,energy")
    with pytest.raises(XyeError, match=r"a\.h5: not readable as HDF5 .*give a photon file"):
        xye.read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["images"] = 1
    with pytest.raises(ValueError, match=r"no photons: found \['/images'\], expected /entry/ph"):
        xye.read(tmp_path / "b.h5")
    h5py.File(tmp_path / "c.h5", "w").close()
    with pytest.raises(XyeError, match="holds no photons: found nothing"):
        xye.read(tmp_path / "c.h5")


def put(file, name, value, **options):
    """Another dataset in the place of one."""
    del file[name]
    file.create_dataset(name, data=value, **options)


def huge(file, name, dtype="f8", **options):
    del file[name]
    file.create_dataset(name, **{"shape": (10**15,), "dtype": dtype, "chunks": (1024,)} | options)


def huge_table(file):
    file.create_dataset("hits/hits_xye", (10**13, 3), "f8", chunks=(1024, 3))
    del file["entry"]


def settings(file, *records):
    put(file, "entry/process/settings", np.array(records))


def virtual(file, name):
    layout = h5py.VirtualLayout((30,), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "y", (30,))
    del file[name]
    file.create_virtual_dataset(name, layout)


P, F = "entry/photons/", "entry/frames/"
DAMAGES = {
    "a column too short": (lambda f: f[P + "x"].resize((29,)), "photons from row 10 on, but"),
    "a column missing": (lambda f: f.__delitem__(P + "x"), "found no dataset /entry/photons/x"),
    "a group for a column": (
        lambda f: (f.__delitem__(P + "x"), f.create_group(P + "x")),
        "found no dataset /entry/photons/x",
    ),
    "text": (lambda f: put(f, P + "x", np.full(30, b"a")), r"the type \|S1, expected floats"),
    "objects": (lambda f: put(f, P + "x", ["a"] * 30), r"the type object, expected floats"),
    "a table": (lambda f: put(f, P + "x", np.ones((30, 2))), r"shape \(30, 2\), expected 1 dim"),
    "frames too short": (lambda f: f[F + "time"].resize((1,)), "has 1 rows, but the columns bes"),
    "photons outside": (lambda f: put(f, F + "first_photon", [0, 25]), "row 1 names 20 photons"),
    "negative": (lambda f: put(f, F + "n_photons", [-1, 20]), "row 0 names -1 photons from"),
    "before": (lambda f: put(f, F + "first_photon", [-5, 10]), "row 0 names 10 photons from row"),
    "overflowing": (
        lambda f: put(f, F + "n_photons", [10, 2**63 - 1]), "names 9223372036854775807 photons"
    ),
    "shared": (lambda f: put(f, F + "n_photons", [30, 20]), "50 photons in 30 rows, some"),
    "huge frames": (lambda f: huge(f, F + "n_photons", "i8"), "n_photons declares 10+ rows, 80+"),
    "huge photons": (
        lambda f: (
            *(huge(f, P + n) for n in ("y", "x", "energy")),
            *(huge(f, P + n, "i8") for n in ("frame", "flags")),
            put(f, F + "n_photons", [10, 10**14 - 10]),
        ),
        r"declares 10+ rows, 80+ bytes, but the file holds no more than 0 bytes",
    ),
    "huge settings": (
        lambda f: huge(f, "entry/process/settings", "S1000000000", shape=(1,), chunks=None),
        "settings declares 1 rows, 10+ bytes, but",
    ),
    "huge and packed": (
        lambda f: (
            huge(f, F + "n_photons", "i8", compression="gzip", fillvalue=0),
            f[F + "n_photons"].__setitem__(0, 1),
        ),
        "declares 10+ rows",
    ),
    "huge table": (huge_table, r"hits_xye declares 10+ rows, 240+ bytes"),
    "elsewhere": (lambda f: virtual(f, P + "x"), "holds no more than 0 bytes"),
    "outside the file": (
        lambda f: (f.__delitem__(P + "x"),
                   f.create_dataset(P + "x", (30,), "f8", external=[("/etc/passwd", 0, 240)])),
        "damaged, or not to be trusted",
    ),
    "no bins": (
        lambda f: f["entry/energy_histogram"].attrs.__delitem__("bin_width_adu"),
        "the bins of the histogram are None ADU wide",
    ),
    "offsets": (lambda f: put(f, "entry/offsets/y", [1, 2]), "offsets are 2 and 1000 counts"),
    "settings": (lambda f: settings(f, b"{"), "its settings are no JSON"),
    "deep settings": (lambda f: settings(f, b"[" * 100_000), "its settings are no JSON"),
    "listed settings": (lambda f: settings(f, b"[1]"), r"are \[1\], expected a dictionary"),
    "settings outside": (
        lambda f: put(f, F + "settings_index", [0, 7]), "name the settings 0 to 7, but there are 1"
    ),
    "shape": (lambda f: put(f, "entry/shape", [1, 2, 3]), r"/entry/shape is .*expected 2 numbers"),
    "detector": (lambda f: put(f, "entry/detector", 3), "/entry/detector is .*expected a text"),
    "roi": (lambda f: put(f, "entry/roi/x1", 0), r"its ROI cannot be one: [\s\S]*an empty ROI"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_words(tmp_path, damage):
    path = tmp_path / "a_xye.h5"
    write(path, [(row(0), photons(10)), (row(1), photons(20))], roi=Roi(x0=1, y0=1, x1=9, y1=9))
    assert len(xye.read(path)) == 30
    spoil, words = DAMAGES[damage]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(XyeError, match=words) as found:
        xye.contents(path)
    assert str(path) in str(found.value)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    path = write(tmp_path / "a_xye.h5", [(row(shot), photons(30_000, shot)) for shot in range(4)])
    n_bytes = int(path.stat().st_size * share)
    with path.open("r+b") as file:
        file.truncate(n_bytes)
    with pytest.raises(XyeError, match=r"not readable as HDF5|damaged"):
        xye.read(path)


@pytest.mark.parametrize("n_missing", [1, 100_000])
def test_a_growing_file_that_is_cut_off_is_refused_too(tmp_path, n_missing):
    """HDF5 would wait for its end, for good."""
    path = tmp_path / "b_xye.h5"
    with PhotonFile(tmp_path / "a_xye.h5", info(), row(0)) as file:
        file.append(row(0), photons(10))
        file.flush()
        shutil.copy(tmp_path / "a_xye.h5", path)
    assert len(xye.read(path)) == 10
    n_bytes = path.stat().st_size
    with path.open("r+b") as copy:
        copy.truncate(n_bytes - n_missing)
    with pytest.raises(XyeError, match=f"truncated file: eof = {n_bytes - n_missing}"):
        xye.read(path)


# --- where it goes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("visit/raw/scan_1.h5", "visit/process/xye/scan_1_xye.h5"),
        ("raw/visit/raw/day/scan.1.h5", "raw/visit/process/xye/day/scan.1_xye.h5"),
        ("visit/raw_data/raw.h5", "visit/raw_data/raw_xye.h5"),
    ],
)
def test_it_goes_near_the_raw_file(tmp_path, raw, expected):
    path = xye.path_for(tmp_path / raw, None, "unused")
    assert path == tmp_path / expected
    assert path.parent.is_dir()


def test_a_relative_raw_file_knows_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path / "raw")
    assert xye.path_for(Path("a.h5"), None, "") == tmp_path / "process" / "xye" / "a_xye.h5"


def test_it_goes_where_it_is_told(tmp_path, caplog):
    folder = tmp_path / "new" / "folder"
    assert xye.path_for(Path("/raw/scan_1.h5"), folder, "run") == folder / "scan_1_xye.h5"
    assert xye.path_for(None, folder, "run") == folder / "run_xye.h5"
    (folder / "run_xye.h5").touch()
    assert xye.path_for(None, folder, "run") == folder / "run_xye_2.h5"
    assert "run_xye.h5 exists already and is kept" in caplog.messages[0]


def test_no_place_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"no folder for the photons of 'run'.*give a directory"):
        xye.path_for(None, None, "run")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot make the folder .*file/b for photons: Not a d"):
        xye.path_for(None, tmp_path / "file" / "b", "run")


def test_reading_needs_no_bluesky():
    """A script that looks at photons is light."""
    code = "import sys, femto_bluesky.files.xye; print({'bluesky', 'matplotlib'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
