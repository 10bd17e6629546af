from __future__ import annotations

import h5py
import numpy as np
import pytest

from femto_bluesky.devices.frame_files import (
    DatumFrames,
    InlineFrames,
    StreamedFrames,
    TiffFrames,
)

FRAMES = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)


def every_kind(folder):
    dtype = np.dtype(np.uint16)
    return {
        "inline": InlineFrames(),
        "datum": DatumFrames(folder / "a.h5", 2, (3, 4), dtype),
        "stream": StreamedFrames(folder / "b.h5", "cam_image", (3, 4), dtype),
        "tiff": TiffFrames(folder, "cam", 2),
    }


def test_each_document_is_handed_out_once(tmp_path):
    names = {
        "inline": [],
        "datum": ["resource", "datum"],
        "stream": ["stream_resource", "stream_datum"],
        "tiff": ["resource", "datum"],
    }
    for kind, files in every_kind(tmp_path).items():
        files.append(FRAMES)
        handed = files.take_documents()
        assert [name for name, _ in handed] == names[kind]
        for _, document in handed[:1]:
            document["run_start"] = "noted by the RunEngine"
        assert files.take_documents() == []
        files.append(FRAMES)
        assert [name for name, _ in files.take_documents()] == names[kind][1:]
        files.close()
        files.close()


def test_one_frame_a_chunk_as_areadetector_writes(tmp_path):
    files = every_kind(tmp_path)["stream"]
    files.append(FRAMES)
    files.close()
    with h5py.File(tmp_path / "b.h5") as file:
        data = file["/entry/data/data"]
        assert data.chunks == (1, 3, 4)
        np.testing.assert_array_equal(data[:], FRAMES)


def test_stream_indices_count_bursts(tmp_path):
    files = every_kind(tmp_path)["stream"]
    for frames in (FRAMES, FRAMES[:1]):
        files.append(frames)
    ranges = [doc["indices"] for name, doc in files.take_documents() if name == "stream_datum"]
    assert ranges == [{"start": 0, "stop": 1}, {"start": 1, "stop": 2}]
    files.close()


def test_nothing_is_overwritten(tmp_path):
    for files in every_kind(tmp_path).values():
        files.append(FRAMES)
        files.close()
    dtype = np.dtype(np.uint16)
    with pytest.raises(FileExistsError):
        DatumFrames(tmp_path / "a.h5", 2, (3, 4), dtype)
    with pytest.raises(FileExistsError):
        StreamedFrames(tmp_path / "b.h5", "cam_image", (3, 4), dtype)
    with pytest.raises(FileExistsError):
        TiffFrames(tmp_path, "cam", 2).append(FRAMES)
