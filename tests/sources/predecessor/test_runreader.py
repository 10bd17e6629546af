from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.sources import recordings
from femto_bluesky.sources.recordings import DamagedRecordingError
from tests.sources import recorder
from tests.sources.documents import of, valid
from tests.sources.recorder import FRAMES, STEPS, two_files


def test_bursts_belong_to_the_step_that_closes_them(tmp_path: Path) -> None:
    documents = valid(recordings.read(two_files(tmp_path)))
    events = of("event", documents)
    assert [e["data"]["mot"] for e in events] == [0.0, 1.0, 2.0]
    bursts = [np.asarray(e["data"]["cam_image"])[:, 0, 0].tolist() for e in events]
    assert bursts == [[0, 1], [2, 3], [4, 5]]
    assert of("stop", documents)[0]["reason"] == ""


def test_no_end_of_scan_is_an_abort(tmp_path: Path) -> None:
    (stop,) = of("stop", valid(recordings.read(two_files(tmp_path, end=None))))
    assert stop["exit_status"] == "abort"
    assert "ends before the scan does" in stop["reason"]


def test_frames_of_no_step_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = recorder.sardana(STEPS[:2], [2, 4], end=7)
    files = two_files(tmp_path)
    recorder.cbors(files[1], told)
    (stop,) = of("stop", valid(recordings.read(files)))
    assert stop["exit_status"] == "success"
    assert "2 of 'cam'" in stop["reason"]
    assert "belong to no step" in caplog.text


def test_damaged_images_are_used_up_to_the_damage(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    messages = recorder.stins("cam", FRAMES)
    whole = [recorder.as_cbor(message) for message in messages]
    files[0].write_bytes(b"".join(whole[:4]) + whole[4][:30])
    documents = valid(recordings.read(files))
    events = of("event", documents)
    # Frame 2 was recorded: its step, which the other file still tells of, is short.
    assert [e["data"]["cam_image"].shape[0] for e in events] == [2, 1]
    assert [e["data"]["mot"] for e in events] == [0.0, 1.0]
    (stop,) = of("stop", documents)
    assert stop["exit_status"] == "fail"
    assert f"{files[0]} is damaged at byte {sum(map(len, whole[:4]))}" in stop["reason"]


def test_damaged_sardana_ends_the_run(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    files[1].write_bytes(files[1].read_bytes()[:-150])
    documents = valid(recordings.read(files))
    (stop,) = of("stop", documents)
    assert stop["exit_status"] == "fail"
    assert str(files[1]) in stop["reason"]
    assert len(of("event", documents)) == 2


def test_damage_outside_a_scan_is_raised_behind_the_documents(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(recorder.as_cbor(recorder.stins("cam", FRAMES)[0])[:40])
    with pytest.raises(DamagedRecordingError, match="damaged at byte 0"):
        list(recordings.read(tmp_path / "bad"))


def test_several_scans_are_several_runs(tmp_path: Path) -> None:
    one = recorder.sardana(STEPS, [2, 4, 6], end=7)
    two = recorder.sardana(STEPS, [12, 14, 16], first=10, end=17)
    images = recorder.stins("cam", FRAMES) + recorder.stins("cam", FRAMES, first=11)
    files = [
        recorder.cbors(tmp_path / "cam.cbors", images),
        recorder.pkls(tmp_path / "sardana.pkls", one + two),
    ]
    documents = valid(recordings.read(files))
    assert [s["exit_status"] for s in of("stop", documents)] == ["success", "success"]
    uids = {s["uid"] for s in of("start", documents)}
    assert len(uids) == 2
    assert len(of("event", documents)) == 6


def test_recordings_one_behind_the_other_stay_apart(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    for path in files:
        path.write_bytes(path.read_bytes() * 2)
    documents = valid(recordings.read(files))
    assert len({s["uid"] for s in of("start", documents)}) == 2
    assert [e["data"]["cam_image"].shape[0] for e in of("event", documents)] == [2] * 6


def test_without_a_control_stream_every_frame_is_an_event(tmp_path: Path) -> None:
    path = recorder.cbors(tmp_path / "cam.cbors", recorder.stins("cam", FRAMES))
    documents = valid(recordings.read(str(path)))
    (start,), (stop,) = of("start", documents), of("stop", documents)
    assert start["motors"] == ["frame"]
    assert start["hints"]["dimensions"] == [[["frame"], "primary"]]
    events = of("event", documents)
    assert [e["data"]["frame"] for e in events] == list(range(6))
    assert [e["data"]["cam_image"].shape for e in events] == [(1, 3, 4)] * 6
    assert stop["exit_status"] == "success"
    recorder.cbors(path, recorder.stins("cam", FRAMES)[:-1])
    assert of("stop", list(recordings.read(path)))[0]["exit_status"] == "abort"


def test_a_new_series_is_a_new_run(tmp_path: Path) -> None:
    cut_off = recorder.stins("cam", FRAMES[:2])[:-1]
    series = [*cut_off, *recorder.stins("cam", FRAMES[2:], first=4)]
    documents = valid(recordings.read(recorder.cbors(tmp_path / "cam", series)))
    assert [s["exit_status"] for s in of("stop", documents)] == ["abort", "success"]
    assert "a new series of 'cam' begins" in of("stop", documents)[0]["reason"]
    assert [e["data"]["frame"] for e in of("event", documents)] == [0, 1, 0, 1, 2, 3]


def test_unknown_streams_are_kept_as_lengths_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = two_files(tmp_path)
    odd = [(n, {"odd/1": ("mystery", [b"x" * n, b"y"])}) for n in range(1, 7)]
    files.append(recorder.cbors(tmp_path / "odd.cbors", odd))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        documents = valid(recordings.read(files))
    lengths = [e["data"]["odd_1_n_bytes"].tolist() for e in of("event", documents)]
    assert lengths == [[2, 3], [4, 5], [6, 7]]
    assert caplog.text.count("mystery") == 1


def test_a_stream_that_is_missing_at_a_step_is_missing(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    some = [m for m in recorder.stins("b", FRAMES) if m[0] not in (3, 4)]
    files.append(recorder.pkls(tmp_path / "b.pkls", some))
    events = of("event", valid(recordings.read(files)))
    assert ["b_image" in e["data"] for e in events] == [True, False, True]
    assert [e["seq_num"] for e in events] == [1, 2, 3]
