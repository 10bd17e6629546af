from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from femto_bluesky.sources import recordings
from femto_bluesky.sources.predecessor.frames import Burst
from femto_bluesky.sources.recordings import RecordingError
from tests.sources import recorder
from tests.sources.documents import of, valid
from tests.sources.recorder import FRAMES, two_files


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<i4", ">f4", "f8", "?"])
@pytest.mark.parametrize("compression", ["none", "bslz4"])
def test_every_dtype_and_compression(tmp_path: Path, dtype: str, compression: str) -> None:
    frame = (np.arange(600).reshape(20, 30) % 200).astype(dtype)
    payload = frame.tobytes() if compression == "none" else bslz4(frame)
    header = recorder.js(htype="image", shape=[20, 30], type=dtype, compression=compression)
    path = recorder.cbors(tmp_path / "a", [(1, {"cam": ("STINS", [header, payload])})])
    (event,) = of("event", valid(recordings.read(path)))
    found = event["data"]["cam_image"][0]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, frame)


def bslz4(frame: np.ndarray) -> bytes:
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset(
            "a", data=frame, chunks=frame.shape, **hdf5plugin.Bitshuffle(cname="lz4")
        )
        return bytes(dataset.id.read_direct_chunk((0, 0))[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [3, 5]}, "the frame holds 24 bytes"),
        ({"shape": [-3, 4]}, r"the shape is \[-3, 4\]"),
        ({"shape": None}, "the shape is None"),
        ({"type": "object"}, "not a dtype of numbers"),
        ({"type": "i4,i4"}, "not a dtype of numbers"),
        ({"type": "nonsense"}, "not a numpy dtype"),
        ({"compression": "zip"}, "'zip' is not known"),
        ({"compression": "bslz4"}, "24 bytes, but the frame holds 0 bytes"),
        ({"htype": "dimage"}, "htype is 'dimage'"),
        ({"shape": [2, 6]}, "the frames before it in this step are"),
    ],
)
def test_wrong_frames_fail_the_run_and_name_the_event(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    good = {"htype": "image", "shape": [3, 4], "type": "<u2", "compression": "none"}
    messages = recorder.stins("cam", FRAMES)
    pixels = FRAMES[0].tobytes()
    messages[4] = (4, {"cam": ("STINS", [recorder.js(**{**good, **change}), pixels])})
    files = two_files(tmp_path)
    recorder.cbors(files[0], messages)
    (stop,) = of("stop", valid(recordings.read(files)))
    assert stop["exit_status"] == "fail"
    assert "event 4, stream 'cam'" in stop["reason"]
    assert re.search(words, stop["reason"])


def test_a_corrupt_compressed_frame_names_its_event(tmp_path: Path) -> None:
    payload = bytearray(bslz4(np.arange(6000, dtype="u2").reshape(60, 100)))
    payload[12:400] = b"\xff" * 388
    header = recorder.js(htype="image", shape=[60, 100], type="u2", compression="bslz4")
    path = recorder.cbors(tmp_path / "a", [(1, {"cam": ("STINS", [header, bytes(payload)])})])
    (event,) = of("event", list(recordings.read(path)))
    with pytest.raises(RecordingError, match="at event 1, byte 0: the bslz4 frame cannot"):
        event["data"]["cam_image"][0]


def test_a_burst_is_an_array_that_loads_when_asked(tmp_path: Path) -> None:
    for held_bytes in (0, 10**6):
        documents = list(recordings.read(two_files(tmp_path), held_bytes=held_bytes))
        burst = of("event", documents)[1]["data"]["cam_image"]
        assert isinstance(burst, Burst)
        assert (burst.shape, burst.ndim, burst.dtype, len(burst)) == ((2, 3, 4), 3, np.uint16, 2)
        np.testing.assert_array_equal(burst[-1], FRAMES[3])
        np.testing.assert_array_equal(np.asarray(burst, dtype=float), FRAMES[2:4])
        assert burst[1:].shape == (1, 3, 4)
        assert [frame[0, 0] for frame in burst] == [2, 3]
        assert burst == burst[:]
        assert burst != burst[1:]
        with pytest.raises(IndexError):
            burst[2]
        with pytest.raises(IndexError, match="holds no frame"):
            burst[5:]
        with pytest.raises(ValueError, match="is a copy"):
            np.asarray(burst, copy=False)
