from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from femto_bluesky.sources import recordings
from tests.sources import recorder
from tests.sources.documents import of, valid
from tests.sources.recorder import FRAMES, two_files


def test_sardana_columns_become_readings(tmp_path: Path) -> None:
    steps = [
        {"mot": i, "tango://host:1/a/b/ct_1": 5.5, "x.y": [1, 2], "none": None, "same": "a"}
        for i in range(3)
    ]
    columns = [{"name": "mot", "dtype": "float64"}, {"name": "point_nb", "max_value": 2}]
    told = recorder.sardana(
        steps, [2, 4, 6], end=7, column_desc=columns, counters=["tango://host:1/a/b/ct_1"]
    )
    files = two_files(tmp_path)
    recorder.cbors(files[1], told)
    documents = valid(recordings.read(files))
    (descriptor,) = of("descriptor", documents)
    keys = descriptor["data_keys"]
    assert set(keys) == {"mot", "b_ct_1", "x_y", "same", "cam_image"}
    assert keys["mot"]["dtype"] == "number"
    assert keys["x_y"] == {
        "source": "recording:x_y",
        "object_name": "x_y",
        "dtype": "array",
        "shape": [2],
        "dtype_numpy": "<i8",
        "dims": ["frame"],
    }
    assert descriptor["hints"]["b_ct_1"] == {"fields": ["b_ct_1"]}
    assert of("start", documents)[0]["num_points"] == 3


def test_a_sardana_mesh_is_a_grid_with_its_first_motor_fast(tmp_path: Path) -> None:
    told = recorder.sardana([], [], title="mesh a 0 1 1 b 0 2 2 0.1", motors=["a", "b"], end=7)
    (start,) = of("start", valid(recordings.read(recorder.cbors(tmp_path / "s", told))))
    assert start["hints"]["dimensions"] == [[["b"], "primary"], [["a"], "primary"]]
    assert (start["shape"], start["num_points"]) == ([3, 2], 6)


def contrast(messages: list[dict[str, Any]]) -> list[recorder.Message]:
    return [
        (n, {"contrast": ("contrast", [pickle.dumps(message)])})
        for n, message in enumerate(messages)
    ]


def test_contrast_takes_the_frames_of_every_running_message(tmp_path: Path) -> None:
    started = {"status": "started", "scannr": 3, "description": "ascan sx 0 2 2 0.1", "path": "/d"}
    running = [{"status": "running", "sx": float(i), "p": {"a.b": i}} for i in range(3)]
    told = contrast([started, *running, {"status": "finished"}])
    files = [
        recorder.pkls(tmp_path / "contrast.pkls", told),
        recorder.cbors(tmp_path / "cam.cbors", recorder.stins("cam", FRAMES[:3])),
    ]
    documents = valid(recordings.read(files))
    (start,) = of("start", documents)
    assert (start["motors"], start["num_points"], start["scan_id"]) == (["sx"], 3, 3)
    events = of("event", documents)
    assert [e["data"]["p_a_b"] for e in events] == [0, 1, 2]
    assert [e["data"]["cam_image"].shape for e in events] == [(1, 3, 4)] * 3


class _Trap:
    def __reduce__(self) -> Any:
        return print, ("executed",)


def test_a_hostile_contrast_message_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = {"status": "started", "description": "ascan sx 0 2 2 0.1"}
    path = recorder.cbors(tmp_path / "c", contrast([started, {"status": _Trap()}]))
    (stop,) = of("stop", valid(recordings.read(path)))
    assert stop["exit_status"] == "fail"
    assert "builtins.print" in stop["reason"]
    assert capsys.readouterr().out == ""


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep
    told = contrast([{"status": "started"}, {"status": "running", "deep": deep}])
    (stop,) = of("stop", valid(recordings.read(recorder.cbors(tmp_path / "c", told))))
    assert "nested deeper" in stop["reason"]
