from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.sources import recordings
from femto_bluesky.sources.recordings import RecordingError
from tests.sources import recorder
from tests.sources.documents import FLUORESCENCE, LAB6, needs_data, normal, of, valid
from tests.sources.recorder import FRAMES, two_files


@needs_data
@pytest.mark.parametrize("control", ["sardana.cbors", "sardana.pkls"])
def test_lab6_is_a_burst_scan_of_30_frames(control: str) -> None:
    documents = valid(recordings.read([LAB6 / "pilatus.cbors.gz", LAB6 / control]))
    (start,), (stop,) = of("start", documents), of("stop", documents)
    assert start["scan_id"] == 123374
    assert start["plan_name"] == "burstscan"
    assert start["motors"] == ["dummy_mot_01"]
    assert start["hints"] == {"dimensions": [[["dummy_mot_01"], "primary"]]}
    assert (start["num_points"], start["detectors"]) == (5, ["pilatus"])
    assert (stop["exit_status"], stop["num_events"]) == ("success", {"primary": 5})
    events = of("event", documents)
    assert [e["data"]["dummy_mot_01"] for e in events] == [1.0, 1.25, 1.5, 1.75, 2.0]
    total = np.zeros((831, 1475))
    means = []
    for event in events:
        burst = event["data"]["pilatus_image"]
        assert burst.shape == (6, 831, 1475)
        boxes = [frame[220:400, 600:700].astype(float) for frame in burst]
        means.append(np.mean([box[box >= 0].mean() for box in boxes]))
        for frame in burst:
            total += frame
    expected = [0.0667569, 0.0645572, 0.0615973, 0.0588731, 0.0654475]
    np.testing.assert_allclose(means, expected, atol=1e-6)
    assert total.sum() == pytest.approx(-1701250.4, abs=0.1)
    assert total.max() == pytest.approx(3841.6, abs=0.1)
    (descriptor,) = of("descriptor", documents)
    assert descriptor["configuration"]["pilatus"]["data"]["pilatus_energy"] == 8048
    assert descriptor["data_keys"]["panda_femtopcap_ctrl_4"]["dims"] == ["frame"]
    assert descriptor["object_keys"]["pilatus"] == ["pilatus_image"]


@needs_data
def test_lab6_is_the_same_from_both_formats() -> None:
    one = recordings.read([LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"])
    other = recordings.read([LAB6 / "sardana.pkls", LAB6 / "pilatus.cbors.gz"])
    for a, b in zip(one, other, strict=True):
        assert normal([a]) == normal([b])


@needs_data
def test_fluorescence_is_a_mesh_of_20_points() -> None:
    names = ["contrast_ingest.pkls", "xspress_ingest.pkls"]
    documents = valid(recordings.read([FLUORESCENCE / name for name in names]))
    (start,) = of("start", documents)
    assert (start["plan_name"], start["scan_id"], start["shape"]) == ("mesh", 2, [4, 5])
    assert start["motors"] == ["sx", "sy"]
    assert start["hints"]["dimensions"] == [[["sx"], "primary"], [["sy"], "primary"]]
    events = of("event", documents)
    counts = [int(e["data"]["xspress3_spectra"].sum()) for e in events]
    assert counts == [1, 2, 1, 3, 4, 2, 2, 2, 3, 1, 5, 1, 1, 4, 3, 4, 2, 1, 2, 3]
    assert events[0]["data"]["sx"] == pytest.approx(-2.000431, abs=1e-6)
    assert events[-1]["data"]["sy"] == pytest.approx(2.000813, abs=1e-6)
    (descriptor,) = of("descriptor", documents)
    assert descriptor["data_keys"]["xspress3_spectra"]["dims"] == ["channel", "bin"]
    assert descriptor["data_keys"]["xspress3_ocr"]["dims"] == ["channel"]
    assert list(events[0]["data"]["xspress3_AllEvents"]) == [2, 0, 0, 3]


def test_reading_twice_gives_equal_documents(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    assert normal(list(recordings.read(files))) == normal(list(recordings.read(files[::-1])))


@pytest.mark.parametrize("suffix", ["cbors", "cbors.gz", "pkls", "pkls.gz"])
def test_every_format_gives_the_same(tmp_path: Path, suffix: str) -> None:
    expected = normal(list(recordings.read(two_files(tmp_path))))
    write = recorder.cbors if "cbors" in suffix else recorder.pkls
    image = write(tmp_path / f"other.{suffix}", recorder.stins("cam", FRAMES))
    found = list(recordings.read([image, tmp_path / "sardana.cbors"]))
    assert normal(found) == expected
    found = list(recordings.read([image, tmp_path / "sardana.cbors"], held_bytes=0))
    assert normal(found) == expected


@pytest.mark.parametrize("suffix", ["cbors", "cbors.gz", "pkls"])
def test_one_step_of_many_frames_needs_the_memory_of_a_few(tmp_path: Path, suffix: str) -> None:
    write = recorder.pkls if suffix == "pkls" else recorder.cbors
    frames = [np.full((512, 512), i, np.uint16) for i in range(64)]
    files = [
        write(tmp_path / f"cam.{suffix}", recorder.stins("cam", frames)),
        recorder.cbors(tmp_path / "s", recorder.sardana([{"mot": 1.0}], [64], end=65)),
    ]
    nbytes = frames[0].nbytes
    del frames
    tracemalloc.start()
    try:
        for name, document in recordings.read(files, held_bytes=4 * nbytes):
            if name == "event":
                values = [int(frame[5, 5]) for frame in document["data"]["cam_image"]]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert values == list(range(64))
    assert peak < 12 * nbytes


def test_wrong_calls_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording is given"):
        recordings.read([])
    with pytest.raises(FileNotFoundError):
        recordings.read(tmp_path / "none")
    files = two_files(tmp_path)
    with pytest.raises(RecordingError, match="given twice"):
        recordings.read([files[0], files[0]])
    copy = tmp_path / "copy"
    copy.write_bytes(files[1].read_bytes())
    with pytest.raises(RecordingError, match="both hold the stream 'sardana'"):
        list(recordings.read([*files, copy]))
