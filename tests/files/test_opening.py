"""New HDF5 files on disks that are full: HDF5 never finds out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from femto_bluesky.files import opening, photon_header, xye
from femto_bluesky.files.names import OutputError
from femto_bluesky.files.opening import close_hdf5, create_hdf5, open_hdf5, take_room
from femto_bluesky.files.photon_file import PhotonFile
from femto_bluesky.files.stacks import FrameStack
from femto_bluesky.model import eta
from tests.disks import size_limit
from tests.files.found import info, photons, row

NOISE = np.random.default_rng(0).integers(0, 65535, (500, 500)).astype(np.uint16)


def append_many(stack):
    for _ in range(20):
        stack.append(NOISE)


def test_frames_are_written_up_to_a_limit_and_go_on_when_it_is_gone(tmp_path):
    with FrameStack(tmp_path / "a.h5", "/entry/data", NOISE.shape, NOISE.dtype) as stack:
        with size_limit(6_000_000):
            with pytest.raises(OutputError, match=r"a\.h5: no room for 0\.\d MB more: File too l"):
                append_many(stack)
            assert 5 < len(stack) < 12
            with open_hdf5(stack.path) as file:
                np.testing.assert_array_equal(file["/entry/data"][len(stack) - 1], NOISE)
        n_before = len(stack)
        assert stack.append(NOISE) == n_before
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(file["/entry/data"]) == n_before + 1
    assert (tmp_path / "a.h5").stat().st_size < (n_before + 1) * NOISE.nbytes * 1.01 + 10_000


def test_a_stack_that_reaches_its_limit_can_be_closed(tmp_path):
    """HDF5 would end the process."""
    with size_limit(6_000_000):
        stack = FrameStack(tmp_path / "a.h5", "/entry/data", NOISE.shape, NOISE.dtype)
        with pytest.raises(OutputError, match="no room for"):
            append_many(stack)
        stack.close()
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(file["/entry/data"]) == len(list(file["/entry/data"])) > 5


@pytest.mark.parametrize("n_bytes", [0, 1000, 4_000_000])
def test_a_file_for_which_there_is_no_room_is_not_made(tmp_path, n_bytes):
    with size_limit(n_bytes), pytest.raises(OutputError, match=r"a\.h5.*(room for|too large)"):
        create_hdf5(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [5_400_000, 6_600_000])
def test_photons_are_written_up_to_a_limit_and_go_on_when_it_is_gone(tmp_path, limit):
    """Flushes of all lengths, over the end of two chunks."""
    path, rng = tmp_path / "a_xye.h5", np.random.default_rng(limit)
    lengths = rng.integers(0, 9000, 40)
    expected = np.concatenate([photons(n, shot) for shot, n in enumerate(lengths)])
    with PhotonFile(path, info(), row(0)) as file:
        n_written = 0
        for shot, n in enumerate(lengths):
            with size_limit(limit):
                file.append(row(shot), photons(n, shot))
                try:
                    file.flush()
                    n_written = shot + 1
                except OutputError:
                    pass
                with h5py.File(path, "r", swmr=True, libver="latest") as seen:
                    assert len(seen["entry/frames/n_photons"]) == n_written
                    there = sum(lengths[:n_written])
                    np.testing.assert_array_equal(
                        seen["entry/photons/y"][:there], expected["y"][:there]
                    )
        assert 5 < n_written < 40
    with h5py.File(path) as seen:
        np.testing.assert_array_equal(seen["entry/photons/y"], expected["y"])


def test_a_photon_file_that_reaches_its_limit_can_be_closed(tmp_path):
    path = tmp_path / "a_xye.h5"
    with size_limit(6_000_000):
        file = PhotonFile(path, info(), row(0))
        file.append(row(0), photons(60_000))
        file.flush()
        file.append(row(1), photons(130_000, 1))
        file.append(row(0), photons(10, 2))
        with pytest.raises(OutputError, match=r"no room for .*make room on the disk"):
            file.close()
    with h5py.File(path) as seen:  # plainly: it was closed as it should be
        assert seen["entry/frames/shot"][()].tolist() == [0]
        assert seen["entry/frames/superseded"][()].tolist() == [0]
        np.testing.assert_array_equal(seen["entry/photons/y"][:60_000], photons(60_000)["y"])


def test_what_was_taken_again_counts_no_more_though_the_new_has_no_room(tmp_path):
    """To mark it takes none."""
    path = tmp_path / "a_xye.h5"
    with size_limit(6_000_000):
        file = PhotonFile(path, info(), row(0))
        for shot in range(3):
            file.append(row(shot), photons(10_000, shot))
        file.flush()
        file.append(row(1), photons(10, 9))
        file.append(row(1), photons(140_000, 10))
        file.append(row(3), photons(20, 11))
        with pytest.raises(OutputError, match="no room for"):
            file.flush()
        taken_back = file.take_back()
        file.close()
    assert [(of.shot, len(found)) for of, found, _ in taken_back] == [(1, 140_000), (3, 20)]
    seen = xye.contents(path)
    assert seen.frames["shot"].tolist() == [0, 2]
    expected = np.concatenate([photons(10_000, 0), photons(10_000, 2)])
    np.testing.assert_array_equal(seen.photons, expected)
    np.testing.assert_array_equal(seen.histogram, seen.bins.count(expected))
    np.testing.assert_array_equal(seen.offsets, eta.count_offsets(expected))


@pytest.mark.parametrize("n_shots", [100, pytest.param(2000, marks=pytest.mark.long)])
def test_hdf5_never_goes_beyond_what_was_taken_for_it(tmp_path, monkeypatch, n_shots):
    """Over many chunks, of which the columns' own tables grow."""
    monkeypatch.setattr(photon_header, "PHOTON_ROWS", 16)
    monkeypatch.setattr(photon_header, "FRAME_ROWS", 4)
    taken, allocate = [0], os.posix_fallocate

    def noted(descriptor, start, length):
        allocate(descriptor, start, length)
        taken.append(start + length)

    monkeypatch.setattr(os, "posix_fallocate", noted)
    rng, margins = np.random.default_rng(0), []
    with PhotonFile(tmp_path / "a_xye.h5", info(), row(0)) as file:
        for shot in range(n_shots):
            file.append(row(shot), photons(int(rng.integers(0, 200)), shot))
            file.flush()
            margins.append(max(taken[-2:]) - file._file.id.get_filesize())
    assert min(margins) > opening.TABLE_BYTES / 2


def test_where_room_cannot_be_taken_files_are_written_all_the_same(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    with FrameStack(tmp_path / "a.h5", "/entry/data", NOISE.shape, NOISE.dtype) as stack:
        stack.append(NOISE)
    monkeypatch.delattr(os, "posix_fallocate")
    with FrameStack(tmp_path / "b.h5", "/entry/data", NOISE.shape, NOISE.dtype) as stack:
        stack.append(NOISE)
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5") as file:
            np.testing.assert_array_equal(file["/entry/data"][0], NOISE)


def test_what_was_taken_and_not_needed_is_given_back(tmp_path):
    with create_hdf5(tmp_path / "a.h5") as file:
        file["a"] = np.arange(10)
        take_room(file, 20_000_000)
        assert (tmp_path / "a.h5").stat().st_size > 20_000_000
        close_hdf5(file)
        close_hdf5(file)
    assert (tmp_path / "a.h5").stat().st_size < 10_000
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["a"][()].tolist() == list(range(10))


def test_who_may_not_write_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        OutputError, match=r"cannot create .*a\.h5: Permission denied; choose a fol"
    ):
        create_hdf5(Path(tmp_path / "a.h5"))
