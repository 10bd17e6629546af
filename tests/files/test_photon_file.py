"""The photon file: what is written, when others see it, and what the file looks like to them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import silx.io
from hypothesis import given
from hypothesis import strategies as st
from silx.io.nxdata import get_default

from femto_bluesky.files import opening, xye
from femto_bluesky.files.checked import CheckedFile
from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.files.photon_file import PhotonFile
from femto_bluesky.files.photon_header import PHOTON_COLUMNS, PhotonFileError
from femto_bluesky.kernels.photons import PHOTON
from femto_bluesky.model import eta
from tests.files.found import BINS, info, photons, row, write, writing_process

# --- while it grows ---------------------------------------------------------------------------


def test_another_process_sees_what_is_flushed_and_it_survives_a_kill(tmp_path):
    path = tmp_path / "a_xye.h5"
    expected = [photons(300 * shot, shot) for shot in range(4)]
    with writing_process(path) as do:
        assert len(xye.read(path)) == 0
        for shot, found in enumerate(expected):
            do("append", shot, len(found))
            assert len(xye.read(path)) == 300 * sum(range(shot))
            do("flush")
            seen = xye.contents(path)
            np.testing.assert_array_equal(seen.photons, np.concatenate(expected[: shot + 1]))
            np.testing.assert_array_equal(seen.histogram, seen.bins.count(seen.photons))
        do("append", 99, 1000)
    seen = xye.contents(path)
    np.testing.assert_array_equal(seen.photons, np.concatenate(expected))
    np.testing.assert_array_equal(seen.offsets, eta.count_offsets(seen.photons))
    assert seen.frames["shot"].tolist() == [0, 1, 2, 3]
    assert seen.positions["motor"].tolist() == ["out"] * 4


def test_many_frames_and_chunks_survive_a_kill(tmp_path):
    path = tmp_path / "a_xye.h5"
    with writing_process(path) as do:
        for shot in range(8):
            do("append", shot, 20_000)
            do("flush")
    read = xye.read(path)
    assert len(read) == 160_000
    assert read["frame"].tolist() == np.repeat(range(8), 20_000).tolist()
    np.testing.assert_array_equal(read["y"][-20_000:], photons(20_000, 7)["y"])
    with silx.io.open(str(path)) as file:
        assert get_default(file).signal[()].sum() == 160_000


def test_what_this_process_writes_it_can_read(tmp_path):
    path = tmp_path / "a_xye.h5"
    with PhotonFile(path, info(), row(0)) as file:
        for shot in range(3):
            file.append(row(shot), photons(10, shot))
            file.flush()
            assert len(xye.read(path)) == 10 * (shot + 1)


KILLED_WRITERS = """
import os
import signal
import sys
from pathlib import Path

import h5py

from femto_bluesky.files import growing
from femto_bluesky.files.photon_file import PhotonFile
from tests.files.found import info, photons, row

def counted(function):
    def count(*args, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **more)
    return count

for moment in range(200):
    if child := os.fork():
        if os.waitpid(child, 0)[1] == 0:
            break  # it came to its end
        continue
    file = PhotonFile(Path(sys.argv[1]) / f"{moment}_xye.h5", info(), row(0))
    file.append(row(0), photons(10))
    file.append(row(1), photons(10, 1))
    file.flush()
    file.append(row(0, frame=2), photons(20))
    file.append(row(3), photons(5))
    left = moment
    growing.Column.write = counted(growing.Column.write)
    h5py.File.flush = counted(h5py.File.flush)
    h5py.Dataset.__setitem__ = counted(h5py.Dataset.__setitem__)
    file.flush()
    os._exit(0)
"""

BEFORE = [(0, 10), (1, 10)], np.r_[photons(10), photons(10, 1)]
AFTER = [(0, 20), (1, 10), (3, 5)], np.r_[photons(20), photons(10, 1), photons(5)]


def assert_is_before_or_after(seen):
    """Before a flush of a retake of shot 0 and a new shot 3, or after it; nothing in between."""
    frames = [*zip(seen.frames["shot"].tolist(), seen.frames["n_photons"].tolist(), strict=True)]
    expected, found = BEFORE if frames == BEFORE[0] else AFTER
    assert frames == expected
    np.testing.assert_array_equal(seen.photons, found)
    np.testing.assert_array_equal(seen.histogram, seen.bins.count(found))
    np.testing.assert_array_equal(seen.offsets, eta.count_offsets(found))
    return found is AFTER[1]


def test_a_writer_that_is_killed_while_it_flushes_leaves_the_file_before_or_after(tmp_path):
    command = [sys.executable, "-c", KILLED_WRITERS, str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    n_files = len(list(tmp_path.iterdir()))
    assert 20 < n_files < 200
    is_after = [
        assert_is_before_or_after(xye.contents(tmp_path / f"{moment}_xye.h5"))
        for moment in range(n_files)
    ]
    assert is_after == sorted(is_after)
    assert set(is_after) == {False, True}


@pytest.mark.parametrize("moment", range(12))
def test_a_file_that_grows_while_it_is_read_is_read_as_it_was_at_one_moment(
    tmp_path, monkeypatch, moment
):
    path = tmp_path / "a_xye.h5"
    with PhotonFile(path, info(), row(0)) as file:
        file.append(row(0), photons(10))
        file.append(row(1), photons(10, 1))
        file.flush()
        check_rows, n_read = CheckedFile.check_rows, iter(range(100))

        def check_and_grow(self, name, n):
            if next(n_read) == moment:
                file.append(row(0, frame=2), photons(20))
                file.append(row(3), photons(5))
                file.flush()
            check_rows(self, name, n)

        monkeypatch.setattr(CheckedFile, "check_rows", check_and_grow)
        seen = xye.contents(path)
        monkeypatch.undo()
        assert next(n_read) > moment
    assert_is_before_or_after(seen)


def test_the_file_does_not_grow_beyond_its_photons(tmp_path):
    """Filtered chunks would be written anew with each flush, to a new place each time."""
    path = write(tmp_path / "a_xye.h5", [(row(shot), photons(2000, shot)) for shot in range(100)])
    of_one = sum(np.dtype(dtype).itemsize for dtype, _, _ in PHOTON_COLUMNS.values())
    assert path.stat().st_size < 200_000 * of_one + 3e6


def test_a_flush_that_fails_says_so_and_can_be_repeated(tmp_path, monkeypatch):
    with PhotonFile(tmp_path / "a_xye.h5", info(), row(0)) as file:
        file.append(row(0), photons(10))
        with monkeypatch.context() as patch:

            def full(*_):
                raise OSError("No space left on device")

            patch.setattr(file._file.__class__, "flush", full)
            with pytest.raises(OutputError, match=r"cannot write photons to .*No space left.*make"):
                file.flush()
        assert file.append(row(1), photons(5, 1)) == 10
    read = xye.read(tmp_path / "a_xye.h5")
    np.testing.assert_array_equal(read["y"], [*photons(10)["y"], *photons(5, 1)["y"]])


# --- retakes ----------------------------------------------------------------------------------


def test_a_shot_that_comes_again_replaces_the_first(tmp_path):
    path = tmp_path / "a_xye.h5"
    with PhotonFile(path, info(bins=BINS), row(0)) as file:
        assert [file.append(row(shot), photons(10, shot)) for shot in range(3)] == [0, 10, 20]
        file.flush()
        assert file.append(row(1, frame=3), photons(7, 9)) == 30
        assert file.append(row(2, frame=4), photons(8, 9)) == 37
        assert file.append(row(2, frame=5), photons(9, 9)) == 45  # once more, before a flush
    seen = xye.contents(path)
    expected = [photons(10, 0), photons(7, 9), photons(9, 9)]
    np.testing.assert_array_equal(seen.photons, np.concatenate(expected))
    assert seen.frames["frame"].tolist() == [0, 3, 5]
    assert seen.n_superseded == 3
    with h5py.File(path) as file:
        assert file["entry/frames/superseded"][()].tolist() == [0, 1, 1, 0, 1, 0]
        assert len(file["entry/photons/y"]) == 54


def test_a_shot_can_be_taken_back(tmp_path):
    with PhotonFile(tmp_path / "a_xye.h5", info(), row(0)) as file:
        file.append(row(0), photons(3))
        file.append(row(1), photons(4))
        file.flush()
        file.retract(0)
        file.flush()
        assert len(xye.read(tmp_path / "a_xye.h5")) == 4
        with pytest.raises(PhotonFileError, match="no frame of shot 0 that counts"):
            file.retract(0)


FRAMES = st.tuples(st.just("append"), st.integers(0, 5), st.integers(0, 12))
STEPS = FRAMES | st.sampled_from([("flush",), ("retract",), ("settings",)])


@given(st.lists(STEPS, max_size=25), st.data())
def test_the_file_holds_the_last_frame_of_each_shot(tmp_path_factory, steps, data):
    """However often is flushed, and whatever comes again or is taken back."""
    path = tmp_path_factory.mktemp("law") / "a_xye.h5"
    kept, settings = {}, [{"dark": 100}]
    with PhotonFile(path, info(bins=BINS), row(0)) as file:
        for number, (step, *numbers) in enumerate(steps):
            if step == "append":
                shot, n = numbers
                found = photons(n, number)
                file.append(row(shot, frame=number), found)
                kept[shot] = number, found, len(settings) - 1
            elif step == "flush":
                file.flush()
            elif step == "settings":
                settings.append({"dark": number})
                file.change_settings(settings[-1])
            elif kept:
                shot = data.draw(st.sampled_from(sorted(kept)))
                file.retract(shot)
                del kept[shot]
    seen = xye.contents(path)
    ours = [kept[shot] for shot in sorted(kept)]
    assert seen.frames["shot"].tolist() == sorted(kept)
    assert seen.frames["frame"].tolist() == [number for number, _, _ in ours]
    assert [seen.settings[i] for i in seen.frames["settings_index"]] == [
        settings[i] for _, _, i in ours
    ]
    every = np.concatenate([np.zeros(0, PHOTON), *(found for _, found, _ in ours)])
    np.testing.assert_array_equal(seen.photons, every)
    with h5py.File(path) as file:
        counts = file["entry/energy_histogram/counts"][()]
        offsets = [file[f"entry/offsets/{axis}"][()] for axis in "yx"]
    np.testing.assert_array_equal(seen.histogram, counts)
    np.testing.assert_array_equal(counts, BINS.count(every))
    np.testing.assert_array_equal(seen.offsets, offsets)
    np.testing.assert_array_equal(offsets, eta.count_offsets(every))
    for (_, found, _), first in zip(ours, seen.frames["first_photon"], strict=True):
        np.testing.assert_array_equal(seen.photons[first : first + len(found)], found)


# --- columns ----------------------------------------------------------------------------------


def test_motors_and_labels_have_names_that_are_safe(tmp_path, caplog):
    position = {"time": 1.5, "stage/x": 2.5, "filter": "20 µm"}
    path = tmp_path / "a_xye.h5"
    with PhotonFile(path, info(), row(0, position=position, labels={"shot": 1.0})) as file:
        file.append(row(0, position=position, labels={"shot": 1.0}), photons(1))
        file.append(row(1, position={"filter": "µ" * 200, "time": "far", "new": 3.0}), photons(1))
        file.append(row(2, position={"new": 4.0, "filter": 7}), photons(1))
    seen = xye.contents(path)
    np.testing.assert_array_equal(seen.positions["time"], [1.5, np.nan, np.nan])
    np.testing.assert_array_equal(seen.positions["stage/x"], [2.5, np.nan, np.nan])
    assert seen.positions["filter"].tolist() == ["20 µm", "µ" * 128, "7"]
    np.testing.assert_array_equal(seen.labels["shot"], [1.0, np.nan, np.nan])
    assert seen.frames["shot"].tolist() == [0, 1, 2]
    assert {"time_2", "stage_x", "filter", "shot_2"} <= seen.frames.keys()
    said = "\n".join(caplog.messages)
    assert "position 'new': there is no column for it and it is left out" in said
    assert "position 'filter': its text is cut to 256 bytes" in said
    assert "position 'time': 'far' is not a number as before; written as NaN" in said
    assert len(caplog.messages) == 3


def test_documents_can_say_where_the_columns_are(tmp_path):
    with PhotonFile(tmp_path / "a b_xye.h5", info(), row(0)) as file:
        assert file.uri == f"file://localhost{tmp_path}/a%20b_xye.h5"
        assert list(file.columns) == ["y", "x", "energy", "frame", "flags"]
        assert file.columns["y"] == {
            "dataset": "/entry/photons/y", "chunk_shape": [65536], "swmr": True
        }  # fmt: skip
        assert {name: dtype.str for name, dtype in file.dtypes.items()} == {
            "y": "<f8", "x": "<f8", "energy": "<f4", "frame": "<i8", "flags": "|u1"
        }  # fmt: skip


def test_settings_need_room(tmp_path):
    with PhotonFile(tmp_path / "a_xye.h5", info(), row(0)) as file:
        file.change_settings({"dark": 100})  # the same: no new record
        with pytest.raises(PhotonFileError, match=r"have 9\d\d\d bytes as JSON, but 8192 were set"):
            file.change_settings({"mask": "x" * 9000})
        with pytest.raises(PhotonFileError, match=r"cannot be kept as JSON .*give numbers, text"):
            file.change_settings({(1, 2): 3})
        file.append(row(0), photons(1))
    assert xye.contents(tmp_path / "a_xye.h5").settings == [{"dark": 100}]


def test_what_is_no_photon_is_refused(tmp_path):
    with PhotonFile(tmp_path / "a_xye.h5", info(), row(0)) as file:
        with pytest.raises(PhotonFileError, match=r"append photons as a list of .*found 1 dim"):
            file.append(row(0), np.zeros(3))
        assert file.n_photons == 0
    with pytest.raises(PhotonFileError, match=r"a_xye\.h5 is closed; append to it before"):
        file.append(row(0), photons(1))
    file.close()


# --- the file ---------------------------------------------------------------------------------


def test_silx_opens_it_with_the_histogram(tmp_path):
    path = write(tmp_path / "a_xye.h5", [(row(0), photons(500)), (row(1), photons(0))], bins=BINS)
    with silx.io.open(str(path)) as file:
        plot = get_default(file)
        assert plot.is_valid
        assert plot.signal_dataset_name == "counts"
        np.testing.assert_array_equal(plot.signal, BINS.count(photons(500)))
        np.testing.assert_array_equal(plot.axes[0], BINS.centres)
        for name, signal in (("frames", "n_photons"), ("offsets", "y")):
            plot = get_default(file[f"entry/{name}"])
            assert plot.is_valid
            assert plot.signal_dataset_name == signal
        assert plot.auxiliary_signals_dataset_names == ["x"]


def test_it_says_where_it_comes_from(tmp_path):
    start = {"uid": "d", "scan_id": 12, "time": 0, "analysis": {"name": "photons"}}
    path = write(tmp_path / "a_xye.h5", [], start=start, run="abc", pixel_size_m=(1e-5, 2e-5))
    with h5py.File(path) as file:
        entry = file["entry"]
        assert entry["title"].asstr()[()] == "scan 12: photons of balor"
        assert entry["start_time"].asstr()[()] == "1970-01-01T00:00:00+00:00"
        assert entry["entry_identifier"].asstr()[()] == "abc"
        assert entry["scan_id"][()] == 12
        assert json.loads(entry["start_document/data"][()]) == start
        assert entry["process/program"].asstr()[()] == "femto_bluesky"
        assert entry["pixel_size"].attrs["units"] == "m"


def test_the_raw_frames_are_found_after_the_tree_has_moved(tmp_path):
    raw = tmp_path / "visit" / "raw" / "scan.h5"
    raw.parent.mkdir(parents=True)
    with h5py.File(raw, "w") as file:
        file["entry/data"] = np.arange(6).reshape(1, 2, 3)
    path = xye.path_for(raw, None, "")
    write(path, [(row(0), photons(1))], raw=(raw, "/entry/data"))
    assert xye.contents(path).raw == (raw, "/entry/data")
    moved = tmp_path / "archive"
    shutil.move(tmp_path / "visit", moved)
    path = moved / "process" / "xye" / "scan_xye.h5"
    with h5py.File(path) as file:
        assert file["entry/raw"].shape == (1, 2, 3)
        assert file["entry/raw_file"].asstr()[()] == str(raw)
    assert xye.contents(path).raw == (moved / "raw" / "scan.h5", "/entry/data")
    (moved / "raw" / "scan.h5").unlink()
    assert xye.contents(path).raw == (raw, "/entry/data")  # where it was


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a_xye.h5"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"a_xye\.h5 exists already, and nothing is over"):
        PhotonFile(path, info(), row(0))

    def look_too_early(path):
        monkeypatch.undo()

    monkeypatch.setattr(opening, "check_free", look_too_early)
    with pytest.raises(OutputExistsError, match="exists already"):
        PhotonFile(path, info(), row(0))
    assert path.read_text() == "mine"
    with pytest.raises(OutputError, match=r"the folder .*none does not exist; create it"):
        PhotonFile(tmp_path / "none" / "a_xye.h5", info(), row(0))


def test_a_file_that_cannot_be_begun_is_not_left(tmp_path):
    with pytest.raises(PhotonFileError, match="cannot be kept as JSON"):
        PhotonFile(tmp_path / "a_xye.h5", info(settings={(1,): 2}), row(0))
    assert not list(tmp_path.iterdir())
