"""Several datasets of one file that grows, and one dataset by two names."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import h5py
import pytest

from femto_bluesky.stream import datasets
from femto_bluesky.stream.frames import FrameError, Hdf5Frames

# frame i of dataset k is full of 10 * i + k
WRITER = """
    import sys
    import h5py
    with h5py.File(sys.argv[1], "w", libver="latest") as file:
        stacks = [
            file.create_dataset(name, (0, 4, 6), "u2", maxshape=(None, 4, 6), chunks=(1, 4, 6))
            for name in ("a", "b")
        ]
        file["hard"] = stacks[0]
        file["soft"] = h5py.SoftLink("/a")
        file.swmr_mode = True
        print("ready", flush=True)
        for line in sys.stdin:
            for k, stack in enumerate(stacks):
                n = len(stack)
                stack.resize(n + 1, axis=0)
                stack[n] = 10 * n + k
                stack.flush()
            print("ready", flush=True)
"""


@pytest.fixture
def growing(tmp_path):
    """A file and a function that adds a frame to each of its datasets, in another process."""
    script, path = tmp_path / "writer.py", tmp_path / "growing.h5"
    script.write_text(textwrap.dedent(WRITER))
    with subprocess.Popen(
        [sys.executable, script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def write():
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"

        assert process.stdout.readline() == "ready\n"
        yield path, write
        process.stdin.close()


def values(source):
    return [int(source.read(index)[0, 0]) for index in range(len(source))]


def test_two_datasets_of_one_growing_file_are_read(growing):
    path, write = growing
    a, b = Hdf5Frames(path, "a"), Hdf5Frames(path, "b")
    for n in range(1, 5):
        write()
        assert values(a) == [10 * i for i in range(n)]
        assert values(b) == [10 * i + 1 for i in range(n)]
    b.close()
    write()
    assert values(a) == [0, 10, 20, 30, 40]
    a.close()
    assert path.stat().st_ino not in {inode for _, inode, _ in datasets._open}


def test_a_handle_of_somebody_else_is_seen_beside_two_of_ours(growing):
    path, write = growing
    write()
    a, b = Hdf5Frames(path, "a"), Hdf5Frames(path, "b")
    assert len(a) == len(b) == 1
    with h5py.File(path, "r", swmr=True, libver="latest") as file:
        theirs = file["b"]
        write()
        with pytest.raises(FrameError, match=r"another open handle .* expected none but ours"):
            len(a)
        del theirs
    assert values(a) == [0, 10]
    a.close()
    b.close()


@pytest.mark.parametrize("name", ["hard", "soft", "//a"])
def test_one_dataset_by_two_names_has_one_handle(growing, name):
    path, write = growing
    write()
    a, link = Hdf5Frames(path, "a"), Hdf5Frames(path, name)
    assert len(a) == len(link) == 1
    for n in range(2, 5):
        write()
        assert values(link) == values(a) == [10 * i for i in range(n)]
    a.close()
    write()
    assert values(link) == [0, 10, 20, 30, 40]
    link.close()
    assert path.stat().st_ino not in {inode for _, inode, _ in datasets._open}


@pytest.mark.parametrize("share", [0.99, 0.5, 0.05, 0.001])
def test_a_file_that_was_cut_off_is_refused_at_once(tmp_path, share):
    """HDF5, asked to read while it is written, would wait for the rest for good."""
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w", libver="latest") as file:
        shape = (3, 100, 100)
        frames = file.create_dataset("frames", shape, "u2", maxshape=(None, *shape[1:]))
        frames[:] = 1
    with path.open("r+b") as file:
        file.truncate(int(share * path.stat().st_size))
    with pytest.raises(FrameError, match=r"not readable as HDF5|no dataset"):
        datasets.acquire(path, "frames")
