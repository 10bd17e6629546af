"""Frames that stand in an HDF5 file as they are come without HDF5; all others do not."""

from __future__ import annotations

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from femto_bluesky.stream.frames import FrameError, Hdf5Frames

DATASET = "/entry/data/data"


def images(n, dtype=np.uint16, shape=(4, 6)):
    return (np.arange(n * shape[0] * shape[1]).reshape(n, *shape) % 199).astype(dtype)


def written(path, data):
    with h5py.File(path, "x") as file:
        file[DATASET] = data
    return Hdf5Frames(path, DATASET)


def read_all(source):
    return np.stack([source.read(index).copy() for index in range(len(source))])


def is_plain(source):
    """Whether the frames that are read come straight from the file."""
    source.read(0)
    return source._plain is not None


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint8, np.int32, np.float32, np.float64])
def test_frames_that_stand_plainly_in_the_file_are_read_without_hdf5(tmp_path, dtype, is_mapped):
    data = images(5, dtype, (37, 61))
    path = tmp_path / "a.h5"
    with h5py.File(path, "x") as file:
        file["before"] = np.ones(3)
        file[DATASET] = data
    source = Hdf5Frames(path, DATASET, is_mapped=is_mapped)
    assert is_plain(source)
    frames = read_all(source)
    np.testing.assert_array_equal(frames, data)
    assert frames.dtype == dtype
    source.close()
    np.testing.assert_array_equal(source.read(3), data[3])
    source.close()


def test_a_mapped_frame_stays_and_is_not_the_file(tmp_path):
    written(tmp_path / "a.h5", images(2)).close()
    source = Hdf5Frames(tmp_path / "a.h5", DATASET, is_mapped=True)
    first, second = source.read(0), source.read(1)
    source.close()
    np.testing.assert_array_equal([first, second], images(2))
    first[:] = 7
    np.testing.assert_array_equal(source.read(0), images(2)[0])


@pytest.mark.parametrize("is_mapped", [False, True])
def test_one_plain_frame_of_two_dimensions(tmp_path, is_mapped):
    written(tmp_path / "a.h5", images(1)[0]).close()
    source = Hdf5Frames(tmp_path / "a.h5", DATASET, is_mapped=is_mapped)
    assert is_plain(source)
    np.testing.assert_array_equal(source.read(0), images(1)[0])


def test_what_only_hdf5_can_read_is_left_to_it(tmp_path):
    data = images(4)
    with h5py.File(tmp_path / "block.h5", "x", userblock_size=512) as file:
        file["data"] = data
    with h5py.File(tmp_path / "a.h5", "x") as file:
        file["plain"] = data
        file["swapped"] = data.astype(">u2")
        file["half"] = data.astype(np.float16)
        file["truth"] = data > 100
        file.create_dataset("chunked", data=data, chunks=(1, 4, 6))
        file.create_dataset("never_written", (4, 4, 6), "u2", fillvalue=9)
        file.create_dataset("elsewhere", data=data, external=[(str(tmp_path / "a.raw"), 0, 192)])
        layout = h5py.VirtualLayout((4, 4, 6), "u2")
        layout[:] = h5py.VirtualSource(file["plain"])
        file.create_virtual_dataset("virtual", layout)
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4, 4, 6))
        made = h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_UINT16, space, compact)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)
    expected = {
        "swapped": data, "half": data, "truth": data > 100, "chunked": data,
        "virtual": data, "compact": data, "never_written": np.full((4, 4, 6), 9),
    }  # fmt: skip
    for name, values in expected.items():
        source = Hdf5Frames(tmp_path / "a.h5", name, is_mapped=True)
        assert not is_plain(source), name
        np.testing.assert_array_equal(read_all(source), values, err_msg=name)
        source.close()
    with pytest.raises(FrameError, match=r"elsewhere has its pixels in other files: .*a\.raw"):
        Hdf5Frames(tmp_path / "a.h5", "elsewhere").read(0)
    source = Hdf5Frames(tmp_path / "block.h5", "data")
    assert not is_plain(source)
    np.testing.assert_array_equal(read_all(source), data)


def test_what_this_process_still_writes_is_left_to_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "x") as file:
        file[DATASET] = images(2)
        file[DATASET][1] = 5
        source = Hdf5Frames(tmp_path / "a.h5", DATASET)
        assert not is_plain(source)
        assert (source.read(1) == 5).all()
        source.close()


def test_a_plain_file_that_is_opened_anew_is_read_anew(tmp_path):
    """The place of the pixels and the file descriptor belong to one opening of the file."""
    source = written(tmp_path / "a.h5", images(3))
    assert is_plain(source)
    source.close()
    (tmp_path / "a.h5").unlink()
    with h5py.File(tmp_path / "a.h5", "x") as file:
        file["padding"] = np.zeros(1000)
        file[DATASET] = images(3)[::-1]
    np.testing.assert_array_equal(read_all(source), images(3)[::-1])


def test_a_plain_file_that_another_process_changes_is_read_where_it_is_then(tmp_path):
    path = tmp_path / "a.h5"
    source = written(path, images(3))
    assert is_plain(source)
    code = (  # the old place is taken by something else
        f"import h5py; file = h5py.File({str(path)!r}, 'a', locking=False);"
        f"data = file['{DATASET}'][:]; del file['{DATASET}'];"
        f"file['old place'] = data; file['{DATASET}'] = data + 1; file.close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(source) == 3
    np.testing.assert_array_equal(read_all(source), images(3) + 1)
    assert is_plain(source)
    source.close()


def test_short_reads_are_continued(tmp_path, monkeypatch):
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: whole(fd, [views[0][:7]], at))
    source = written(tmp_path / "a.h5", images(3))
    np.testing.assert_array_equal(read_all(source), images(3))
    assert is_plain(source)


@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_plain_file_that_is_cut_off_is_named(tmp_path, is_mapped):
    path = tmp_path / "a.h5"
    written(path, images(3, shape=(64, 64))).close()
    source = Hdf5Frames(path, DATASET, is_mapped=is_mapped)
    np.testing.assert_array_equal(source.read(2), images(3, shape=(64, 64))[2])
    os.truncate(path, source._plain.offset + 2 * 8192 + 100)
    np.testing.assert_array_equal(source.read(1), images(3, shape=(64, 64))[1])
    with pytest.raises(
        FrameError, match=r"a\.h5: frame 2 .* cut off: found 100 bytes of it, expec"
    ):
        source.read(2)
    source.close()


def test_a_disk_that_fails_is_named(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    source = written(tmp_path / "a.h5", images(3))
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(FrameError, match=r"frame 1 of .* is not readable .*Input/output error"):
        source.read(1)


def test_an_old_kernel_reads_where_it_cannot_map(tmp_path, monkeypatch):
    monkeypatch.setattr("femto_bluesky.stream.plain.MADV_POPULATE_READ", 12345)  # EINVAL
    written(tmp_path / "a.h5", images(3)).close()
    source = Hdf5Frames(tmp_path / "a.h5", DATASET, is_mapped=True)
    np.testing.assert_array_equal(read_all(source), images(3))
    assert is_plain(source)
    assert source.read(0) is source.read(1)
