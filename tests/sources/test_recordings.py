from __future__ import annotations

import logging
import pickle
import re
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import event_model
import h5py
import hdf5plugin
import numpy as np
import pytest

from femto_bluesky.sources import recordings
from femto_bluesky.sources.bursts import Burst
from femto_bluesky.sources.recordings import DamagedRecordingError, RecordingError
from tests.sources import recorder

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the recordings of shared/data are not beside the project"
)
LAB6, FLUORESCENCE = DATA / "lab6", DATA / "fluorescence"

Documents = list[tuple[str, dict[str, Any]]]
FRAMES = [np.full((3, 4), i, np.uint16) for i in range(6)]
STEPS = [{"point_nb": i, "mot": float(i)} for i in range(3)]


def valid(pairs: Iterable[tuple[str, dict[str, Any]]]) -> Documents:
    """The documents, each held against the schema and the keys against the descriptor."""
    documents = list(pairs)
    descriptors = {d["uid"]: d for name, d in documents if name == "descriptor"}
    for name, document in documents:
        kind = event_model.DocumentNames[name]
        event_model.schema_validators[kind].validate(document)
        if name == "event":
            keys = descriptors[document["descriptor"]]["data_keys"]
            assert set(document["data"]) == set(document["timestamps"]) == set(keys)
            for key, value in document["data"].items():
                assert list(np.shape(value)) == keys[key]["shape"], key
                if "dtype_numpy" in keys[key]:
                    assert np.asarray(value).dtype == np.dtype(keys[key]["dtype_numpy"])
    return documents


def normal(documents: Documents) -> str:
    """Documents as text, arrays with every byte."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if hasattr(value, "__array__"):
            array = np.asarray(value)
            return array.shape, array.dtype.str, array.tobytes()
        return value

    return repr([(name, plain(document)) for name, document in documents])


def of(name: str, documents: Documents) -> list[dict[str, Any]]:
    return [document for kind, document in documents if kind == name]


def two_files(folder: Path, **sardana: Any) -> list[Path]:
    defaults: dict[str, Any] = {"end": 7}
    told = recorder.sardana(STEPS, [2, 4, 6], **{**defaults, **sardana})
    return [
        recorder.cbors(folder / "cam.cbors", recorder.stins("cam", FRAMES)),
        recorder.cbors(folder / "sardana.cbors", told),
    ]


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


def test_bursts_belong_to_the_step_that_closes_them(tmp_path: Path) -> None:
    documents = valid(recordings.read(two_files(tmp_path)))
    events = of("event", documents)
    assert [e["data"]["mot"] for e in events] == [0.0, 1.0, 2.0]
    bursts = [np.asarray(e["data"]["cam_image"])[:, 0, 0].tolist() for e in events]
    assert bursts == [[0, 1], [2, 3], [4, 5]]
    assert of("stop", documents)[0]["reason"] == ""


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
