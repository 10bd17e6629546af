"""Stacks of frames: lossless, read by others while they grow, and never written over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (the filter that the frames are written with)
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from femto_bluesky.files import opening
from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.files.stacks import FrameFile, FrameStack, file_uri

DATASET = "/entry/data/data"
U2 = np.dtype("<u2")

READER = """
import sys
import h5py, hdf5plugin
with h5py.File(sys.argv[1], "r", swmr=True, libver="latest") as file:
    data = file[sys.argv[2]]
    for _ in sys.stdin:
        data.refresh()
        print(len(data), int(data[-1].sum()), flush=True)
"""


def read(path: Path, dataset: str = DATASET) -> np.ndarray:
    with h5py.File(path) as file:
        return file[dataset][()]


def test_another_process_reads_the_stack_while_it_grows(tmp_path):
    path = tmp_path / "a.h5"
    with FrameStack(path, DATASET, (30, 40), U2) as stack:
        stack.append(np.full((30, 40), 1, U2))
        command = [sys.executable, "-c", READER, str(path), DATASET]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            for n in (1, 2, 3):
                if n > 1:
                    assert stack.append(np.full((30, 40), n, U2)) == n - 1
                reader.stdin.write("now\n")
                reader.stdin.flush()
                assert reader.stdout.readline() == f"{n} {1200 * n}\n"
            reader.stdin.close()
            assert reader.wait() == 0


PIXELS = st.sampled_from(["u1", "<u2", ">u2", "<i4", "<u4", "<f4", ">f4", "<f8", "?"])


@given(st.data(), PIXELS, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
def test_every_bit_comes_back(tmp_path_factory, data, dtype, shape):
    frames = data.draw(hnp.arrays(dtype, shape))
    path = tmp_path_factory.mktemp("stack") / "a.h5"
    with FrameStack(path, DATASET, shape[1:], frames.dtype) as stack:
        assert [stack.append(frame) for frame in frames] == list(range(len(frames)))
        assert len(stack) == len(frames)
    found = read(path)
    assert found.dtype == frames.dtype
    assert found.tobytes() == frames.tobytes()


def test_a_sparse_frame_needs_a_few_percent(tmp_path):
    frame = np.zeros((500, 600), np.uint32)
    frame[::50, ::50] = 3
    with FrameStack(tmp_path / "a.h5", DATASET, frame.shape, frame.dtype) as stack:
        for _ in range(5):
            stack.append(frame)
    assert (tmp_path / "a.h5").stat().st_size < 0.05 * 5 * frame.nbytes


def test_documents_can_say_where_the_frames_are(tmp_path):
    with FrameStack(tmp_path / "a b.h5", DATASET, (3, 4), U2) as stack:
        assert stack.uri == f"file://localhost{tmp_path}/a%20b.h5" == file_uri(stack.path)
        assert stack.parameters == {"dataset": DATASET, "chunk_shape": [1, 3, 4], "swmr": True}


def test_a_frame_of_another_shape_is_refused(tmp_path):
    with (
        FrameStack(tmp_path / "a.h5", DATASET, (3, 4), U2) as stack,
        pytest.raises(ValueError, match=r"append frames of \[3, 4\].*found \[3, 1\]"),
    ):
        stack.append(np.zeros((3, 1), U2))


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("mine")
    for make in (lambda: FrameStack(path, DATASET, (3, 4), U2), lambda: FrameFile(path)):
        with pytest.raises(OutputExistsError, match=r"a\.h5 exists already, and nothing is over"):
            make()
    assert path.read_text() == "mine"


def test_a_file_that_another_makes_in_the_meantime_stays(tmp_path):
    file = FrameFile(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_text("theirs")
    with pytest.raises(OutputExistsError, match="exists already"):
        file.stack("a", (3, 4), U2)
    assert (tmp_path / "a.h5").read_text() == "theirs"


def test_a_file_that_appears_between_look_and_make_stays_too(tmp_path, monkeypatch):
    def look_too_early(path):
        monkeypatch.undo()
        path.write_text("theirs")

    monkeypatch.setattr(opening, "check_free", look_too_early)
    with pytest.raises(OutputExistsError, match="exists already"):
        FrameStack(tmp_path / "a.h5", DATASET, (3, 4), U2)
    assert (tmp_path / "a.h5").read_text() == "theirs"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"the folder .*none does not exist; create it"):
        FrameStack(tmp_path / "none" / "a.h5", DATASET, (3, 4), U2)


def test_a_file_holds_several_stacks_and_none_is_no_file(tmp_path):
    with FrameFile(tmp_path / "none.h5"):
        pass
    assert not (tmp_path / "none.h5").exists()
    with FrameFile(tmp_path / "a.h5") as file:
        one, other = file.stack("run/a", (2, 3), U2), file.stack("run/b", (4, 5), np.dtype("f4"))
        one.append(np.ones((2, 3), U2))
        other.append(np.full((4, 5), 2, "f4"))
        one.append(np.ones((2, 3), U2))
        assert other.parameters == {"dataset": "run/b", "chunk_shape": [1, 4, 5], "swmr": False}
    assert read(tmp_path / "a.h5", "run/a").shape == (2, 2, 3)
    np.testing.assert_array_equal(read(tmp_path / "a.h5", "run/b"), np.full((1, 4, 5), 2))
