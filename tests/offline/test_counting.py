"""A raw file in, a photon file out: every layout, any number of processes, words of errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings
from femto_bluesky.files import xye
from femto_bluesky.files.photon_file import PhotonFile
from femto_bluesky.kernels.photons import HOT, OVERLAP, find_photons
from femto_bluesky.model.rois import RoiError
from femto_bluesky.offline import (
    CountingError,
    RawFileError,
    WorkerDiedError,
    Workers,
    count_photons,
    dataset_of,
    learn_hot_pixels,
)
from femto_bluesky.offline.workers import Eye
from femto_bluesky.simulation.photons import BalorFrames
from femto_bluesky.stream.frames import FrameError
from tests.offline.raw import DATASET, LAYOUTS, SETTINGS, SHAPE, frames, write


@pytest.fixture(scope="module")
def two():
    """Two processes for all tests of this file: they take seconds to start."""
    with Workers(2) as workers:
        yield workers


def expected(data):
    found = [find_photons(frame) for frame in data]
    return [photons[(photons["flags"] & HOT) == 0] for photons in found]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_photons_of_its_frames(tmp_path, layout, two):
    data = frames()
    raw = write(tmp_path / "a.h5", data, **LAYOUTS[layout])
    done = count_photons(raw, out=tmp_path / "one")
    also = count_photons(raw, out=tmp_path / "two", workers=two)
    truth = expected(data)
    found = xye.contents(done.path)
    np.testing.assert_array_equal(found.photons, np.concatenate(truth))
    np.testing.assert_array_equal(
        found.frame_of_photon, np.repeat(np.arange(7), [len(photons) for photons in truth])
    )
    assert found.frames["frame"].tolist() == found.frames["shot"].tolist() == list(range(7))
    assert found.raw == (raw, DATASET)
    assert found.shape == SHAPE
    assert found.detector == "andor3_balor"
    assert found.pixel_size_m == (12e-6, 12e-6)
    assert found.settings[0]["energy_min_adu"] == 800
    assert done.n_photons == len(found.photons) > 150
    assert done.n_frames == 7
    assert done.n_overlaps == np.count_nonzero(found.photons["flags"] & OVERLAP)
    assert done.n_hot == found.frames["n_hot_pixels"].sum() > 0
    assert 0 < done.expected_overlap_share < 0.1
    assert also.path.read_bytes() == done.path.read_bytes()


def test_many_frames_and_blocks_make_the_same_file(tmp_path, two):
    raw = write(tmp_path / "a.h5", frames(78))  # blocks of 4 and of 3 frames
    one = count_photons(raw, out=tmp_path / "one")
    other = count_photons(raw, out=tmp_path / "two", workers=two)
    assert one.path.read_bytes() == other.path.read_bytes()
    assert xye.read(one.path)["frame"].max() == 77


def test_where_the_photon_file_goes(tmp_path):
    raw = write(tmp_path / "2026" / "raw" / "day" / "scan_1.h5", frames(1))
    assert count_photons(raw).path == tmp_path / "2026/process/xye/day/scan_1_xye.h5"
    assert count_photons(str(raw), out=str(tmp_path / "x")).path == tmp_path / "x/scan_1_xye.h5"


def test_progress_is_told_in_order(tmp_path, two):
    raw = write(tmp_path / "a.h5", frames(25))
    told = []
    count_photons(raw, workers=two, progress=lambda done, of: told.append((done, of)))
    assert told == sorted(told)
    assert told[-1] == (25, 25)
    assert len(told) > 10


def test_settings_count(tmp_path):
    data = frames(3)
    dark, hot = tmp_path / "dark.npy", tmp_path / "hot.npy"
    np.save(dark, np.full(SHAPE, 90, np.float32))
    np.save(hot, np.zeros(SHAPE, bool))
    raw = write(tmp_path / "a.h5", data)
    settings = PhotonDetectionSettings(
        dark_file=dark, hot_pixel_file=hot, roi={"x0": 10, "y0": 20, "x1": 90, "y1": 80},
        energy_min_adu=1000, histogram_bin_adu=20,
    )  # fmt: skip
    found = xye.contents(count_photons(raw, settings=settings).path)
    lists = [
        find_photons(frame, dark=np.load(dark), energy_min=1000, roi=settings.roi) for frame in data
    ]
    alone = np.concatenate([photons[(photons["flags"] & HOT) == 0] for photons in lists])
    np.testing.assert_array_equal(found.photons["energy"], alone["energy"])
    assert found.roi == settings.roi
    assert found.bins.width_adu == 20
    assert found.settings[0]["dark_file"] == str(dark)


def test_a_crowded_frame_has_no_photons_but_is_named(tmp_path):
    data = frames(3)
    data[1] = frames(1, SETTINGS.model_copy(update={"n_photons": 2500}))[0]
    done = count_photons(write(tmp_path / "a.h5", data))
    found = xye.contents(done.path)
    assert done.n_crowded == 1
    assert found.frames["is_crowded"].tolist() == [False, True, False]
    assert found.frames["n_photons"][1] == 0
    assert found.frames["overlap_share"][1] > 0.1


def test_no_photons_at_all(tmp_path):
    done = count_photons(write(tmp_path / "a.h5", np.full((2, *SHAPE), 100, np.uint16)))
    assert done.n_photons == 0
    assert np.isnan([done.overlap_share, done.expected_overlap_share]).all()
    assert len(xye.read(done.path)) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float16, ">u2"])
def test_other_types_of_pixels(tmp_path, dtype):
    data = np.zeros((2, *SHAPE))
    data[1, 5:8, 9:12] = 20
    data[1, 6, 10] = 30
    settings = PhotonDetectionSettings(
        dark_adu=0, pixel_threshold_adu=10, energy_min_adu=100, overlap_adu=200, hot_share=1
    )
    done = count_photons(write(tmp_path / "a.h5", data.astype(dtype)), settings=settings)
    assert xye.read(done.path)[["y", "x", "energy", "frame"]].tolist() == [(6, 10, 190, 1)]


# --- files that still grow, change, or are damaged ----------------------------------------

WRITER = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "x", libver="latest") as file:
    data = file.create_dataset(
        "/entry/data/data", (0, 8, 9), maxshape=(None, 8, 9), chunks=(1, 8, 9), dtype="u2"
    )
    file.swmr_mode = True
    for line in sys.stdin:
        data.resize(int(line), axis=0)
        data[-1, 3:6, 3:6] = 200
        data[-1, 4, 4] = 300
        data.flush()
        print(flush=True)
"""


def test_a_file_that_is_written_gives_the_frames_that_are_there(tmp_path, two):
    raw = tmp_path / "growing.h5"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, raw],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:

        def grow(n):
            writer.stdin.write(f"{n}\n")
            writer.stdin.flush()
            writer.stdout.readline()

        grow(1)
        assert count_photons(raw, out=tmp_path, workers=two).n_frames == 1
        grow(2)
        done = count_photons(raw, out=tmp_path, workers=two)
        assert (done.n_frames, done.n_photons) == (2, 2)
        assert count_photons(raw, out=tmp_path).n_photons == 2
        writer.stdin.close()
        assert writer.wait(20) == 0


def test_a_file_without_a_frame_yet(tmp_path):
    raw = write(tmp_path / "a.h5", np.zeros((0, 8, 9), np.uint16), maxshape=(None, 8, 9))
    with pytest.raises(RawFileError, match=r"a\.h5: /entry/data/data holds no frame yet; wait"):
        count_photons(raw)


def test_a_file_that_was_written_anew_is_read_anew(tmp_path, two):
    raw = write(tmp_path / "a.h5", frames(3))
    count_photons(raw, workers=two)
    raw.unlink()
    write(raw, frames(6)[3:])
    done = count_photons(raw, workers=two)
    np.testing.assert_array_equal(
        xye.contents(done.path).photons, np.concatenate(expected(frames(6)[3:]))
    )


@pytest.mark.parametrize("n", [1, 2])
def test_what_was_found_before_a_damaged_frame_is_kept(tmp_path, n, two):
    data = frames(40)
    raw = write(tmp_path / "a.h5", data, chunks=(1, *SHAPE), compression="gzip")
    with h5py.File(raw) as file:
        chunk = file[DATASET].id.get_chunk_info(30)
    content = bytearray(raw.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    raw.write_bytes(content)
    with pytest.raises(
        CountingError, match=r"frame 30 of .* not readable .*; \d+ of 40 frames of .* are in .*_xye"
    ):
        count_photons(raw, workers=two if n == 2 else None)
    kept = xye.contents(tmp_path / "a_xye.h5")
    assert 28 <= len(kept.frames["frame"]) <= 30
    assert count_photons(write(tmp_path / "b.h5", data[:3]), workers=two).n_frames == 3


def test_a_damaged_first_frame_leaves_no_photon_file(tmp_path):
    raw = write(tmp_path / "a.h5", frames(2))
    with h5py.File(raw) as file:
        offset = file[DATASET].id.get_offset()
    os.truncate(raw, offset + 10)
    with pytest.raises(FrameError, match=r"a\.h5"):
        count_photons(raw)
    assert list(tmp_path.iterdir()) == [raw]


# --- processes -----------------------------------------------------------------------------
@pytest.mark.long
def test_a_worker_that_dies_is_named_and_the_next_file_goes_on(tmp_path):
    raw = write(tmp_path / "a.h5", frames(200))
    with Workers(2) as workers:

        def kill(done, of):
            for process in workers._pool._processes.values():
                os.kill(process.pid, signal.SIGKILL)

        with pytest.raises(
            CountingError, match=r"has died; .* \d+ of 200 frames of .* are in"
        ) as e:
            count_photons(raw, workers=workers, progress=kill)
        assert isinstance(e.value.__cause__, WorkerDiedError)
        assert 0 < len(xye.contents(tmp_path / "a_xye.h5").frames["frame"]) < 200
        assert count_photons(raw, workers=workers).n_frames == 200


def test_ctrl_c_keeps_what_was_found(tmp_path, two):
    raw = write(tmp_path / "a.h5", frames(60))

    def interrupt(done, of):
        if done > 40:
            raise KeyboardInterrupt

    for workers, name in ((None, "a_xye.h5"), (two, "a_xye_2.h5")):
        with pytest.raises(KeyboardInterrupt):
            count_photons(raw, workers=workers, progress=interrupt)
        kept = xye.contents(tmp_path / name)
        assert 40 < len(kept.frames["frame"]) < 60
        np.testing.assert_array_equal(
            kept.photons, np.concatenate(expected(frames(len(kept.frames["frame"]))))
        )


def test_a_disk_that_is_full_says_so(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("no space left")

    raw = write(tmp_path / "a.h5", frames(40))
    with monkeypatch.context() as patch:
        patch.setattr(PhotonFile, "_write_photons", fail)
        with pytest.raises(OSError, match=r"no space left; make room"):
            count_photons(raw)
    assert raw.exists()


def test_no_processes_are_refused():
    with pytest.raises(ValueError, match="0 processes cannot work; give 1 or more"):
        Workers(0)


def test_one_process_is_this_one_and_lets_go_of_the_file(tmp_path, monkeypatch):
    closed = []
    whole = Eye.close
    monkeypatch.setattr(Eye, "close", lambda self: (closed.append(self), whole(self)))
    count_photons(write(tmp_path / "a.h5", frames(2)))
    assert closed


# --- which dataset ---------------------------------------------------------------------------


def test_several_stacks_are_named(tmp_path):
    raw = write(tmp_path / "a.h5", frames(2))
    write(raw, frames(1), "/entry/other")
    write(raw, np.zeros((5, 1, 3), np.uint16), "/entry/numbers")
    with pytest.raises(
        RawFileError,
        match=r"found 2 stacks of images: /entry/data/data \(2, 96, 160\), /entry/other .* --data",
    ):
        count_photons(raw)
    assert count_photons(raw, dataset="entry/other").n_frames == 1
    with pytest.raises(FrameError, match=r"no dataset '/nothing'; datasets .*entry/other"):
        count_photons(raw, dataset="/nothing")


def test_one_image_is_a_stack_of_one(tmp_path):
    raw = write(tmp_path / "a.h5", frames(1)[0], "image")
    assert dataset_of(raw) == "/image"
    assert count_photons(raw).n_frames == 1


def test_what_is_no_raw_file_is_named(tmp_path):
    with pytest.raises(FrameError, match=r"none\.h5: no such file"):
        count_photons(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(FrameError, match=r"text\.h5: not readable as HDF5 .* name a raw file"):
        count_photons(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "x") as file:
        file["numbers"] = [1, 2]
    with pytest.raises(RawFileError, match=r"found no dataset of frames, expected one of"):
        count_photons(tmp_path / "empty.h5")
    done = count_photons(write(tmp_path / "a.h5", frames(1)))
    with pytest.raises(RawFileError, match=r"is a photon file already; look at it with .*inspect"):
        count_photons(done.path)


def test_settings_that_do_not_fit_are_named_before_anything_is_written(tmp_path):
    raw = write(tmp_path / "a.h5", frames(1))
    np.save(tmp_path / "image.npy", np.eye(5))
    for field, what in (("dark_file", "dark image"), ("hot_pixel_file", "mask")):
        settings = PhotonDetectionSettings(**{field: tmp_path / "image.npy"})
        with pytest.raises(ValueError, match=rf"the {what} has the shape \(5, 5\), the frames of"):
            count_photons(raw, settings=settings)
    settings = PhotonDetectionSettings(roi={"x0": 0, "y0": 0, "x1": 161, "y1": 5})
    with pytest.raises(RoiError, match="reaches outside"):
        count_photons(raw, settings=settings)
    with pytest.raises(ValueError, match="no dark level; give dark_adu"):
        count_photons(raw, detector="my_camera")
    assert {path.suffix for path in tmp_path.iterdir()} == {".h5", ".npy"}
    assert not list(tmp_path.glob("*xye*"))


# --- hot pixels ------------------------------------------------------------------------------


def test_hot_pixels_are_learned_from_several_files(tmp_path):
    from femto_bluesky.model.hot_pixels import HotPixelSearch

    data, told = frames(60), []
    paths = [write(tmp_path / "a.h5", data[:20]), write(tmp_path / "b.h5", data[20:])]
    search = learn_hot_pixels(
        paths, HotPixelSearch(), progress=lambda done, of: told.append((done, of))
    )
    rows, columns = BalorFrames(SETTINGS).hot_pixels
    assert set(zip(*np.nonzero(search.mask()), strict=True)) == set(zip(rows, columns, strict=True))
    assert search.n_frames == 60
    assert told[-1] == (60, 60)


def test_hot_pixels_of_frames_of_different_shapes(tmp_path):
    from femto_bluesky.model.hot_pixels import HotPixelSearch

    paths = [write(tmp_path / "a.h5", frames(2)), write(tmp_path / "b.h5", frames(2)[:, :50])]
    with pytest.raises(ValueError, match=r"b\.h5, frame 0: .* shape"):
        learn_hot_pixels(paths, HotPixelSearch())
