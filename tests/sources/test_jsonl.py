from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import event_model
import h5py
import hdf5plugin  # noqa: F401  (the filter that the frames are written with)
import numpy as np
import pytest
from suitcase.jsonl import export

from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.sources import jsonl, recordings
from femto_bluesky.sources.externalise import ImageError, externalise
from femto_bluesky.sources.jsonl import JsonLinesError
from tests.sources import recorder
from tests.sources.documents import DATA, Documents, needs_data, of, valid
from tests.sources.recorder import two_files


def run(n_frames: int = 2, *, events: int = 3, **data_key: Any) -> Documents:
    """A small run with inline images and a motor."""
    bundle = event_model.compose_run(time=1.0)
    documents: Documents = [("start", bundle.start_doc)]
    shape = [n_frames, 2, 3]
    described = bundle.compose_descriptor(
        name="primary",
        data_keys={
            "m": {"source": "x", "dtype": "number", "shape": []},
            "cam_image": {
                "source": "x",
                "dtype": "array",
                "shape": shape,
                "dtype_numpy": "<u2",
                "dims": ["frame", "y", "x"],
                **data_key,
            },
        },
        object_keys={"m": ["m"], "cam": ["cam_image"]},
    )
    documents.append(("descriptor", described.descriptor_doc))
    for i in range(events):
        image = np.full(shape, i, np.uint16)
        data = {"m": float(i), "cam_image": image}
        event = described.compose_event(data=data, timestamps=dict.fromkeys(data, 2.0))
        documents.append(("event", event))
    documents.append(("stop", bundle.compose_stop()))
    return documents


def frames(resource: dict[str, Any], event: dict[str, Any]) -> np.ndarray:
    path = resource["uri"].removeprefix("file://localhost")
    first, n = event["data"]["cam_first_frame"], event["data"]["cam_n_frames"]
    with h5py.File(path) as file:
        return file[resource["parameters"]["dataset"]][first : first + n]


def test_images_go_beside_the_lines(tmp_path: Path) -> None:
    before = run()
    copy = json.dumps(before, default=lambda a: a.tolist())
    assert jsonl.write(before, tmp_path / "r.jsonl") == [tmp_path / "r.jsonl", tmp_path / "r.h5"]
    assert json.dumps(before, default=lambda a: a.tolist()) == copy
    documents = list(jsonl.read(tmp_path / "r.jsonl"))
    for name, document in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
    assert [name for name, _ in documents] == [
        "start",
        "descriptor",
        "stream_resource",
        *["stream_datum", "event"] * 3,
        "stop",
    ]
    (resource,), (descriptor,) = of("stream_resource", documents), of("descriptor", documents)
    assert resource["mimetype"] == "application/x-hdf5"
    assert resource["parameters"]["chunk_shape"] == [1, 2, 3]
    assert resource["parameters"]["dataset"].startswith(f"/{before[0][1]['uid']}/")
    assert descriptor["data_keys"]["cam_image"]["external"] == "STREAM:"
    assert descriptor["object_keys"]["cam"] == ["cam_image", "cam_first_frame", "cam_n_frames"]
    for i, event in enumerate(of("event", documents)):
        assert set(event["data"]) == {"m", "cam_first_frame", "cam_n_frames"}
        np.testing.assert_array_equal(frames(resource, event), np.full((2, 2, 3), i))
    datums = of("stream_datum", documents)
    assert [d["indices"] for d in datums] == [{"start": i, "stop": i + 1} for i in range(3)]
    assert [d["seq_nums"]["start"] for d in datums] == [1, 2, 3]
    with h5py.File(tmp_path / "r.h5") as file:
        dataset = file[resource["parameters"]["dataset"]]
        assert dataset.chunks == (1, 2, 3)
        assert "32008" in dataset._filters  # Bitshuffle


def test_recorded_bursts_of_changing_length_keep_their_frames(tmp_path: Path) -> None:
    told = recorder.sardana([{"mot": 0.0}, {"mot": 1.0}, {"mot": 2.0}], [1, 4, 6], end=7)
    files = two_files(tmp_path)
    recorder.cbors(files[1], told)
    jsonl.write(recordings.read(files), tmp_path / "r.jsonl")
    documents = list(jsonl.read(tmp_path / "r.jsonl"))
    by_uid = {r["uid"]: r for r in of("stream_resource", documents)}
    found = []
    for datum, event in zip(of("stream_datum", documents), of("event", documents), strict=True):
        found.append(frames(by_uid[datum["stream_resource"]], event)[:, 0, 0].tolist())
        assert datum["descriptor"] == event["descriptor"]
        n = event["data"]["cam_n_frames"]
        assert event["data"]["cam_first_frame"] == datum["indices"]["start"] * n
    assert found == [[0], [1, 2, 3], [4, 5]]


def test_spectra_stay_in_the_event(tmp_path: Path) -> None:
    documents = run(dims=["frame", "channel", "bin"])
    assert jsonl.write(documents, tmp_path / "r.jsonl") == [tmp_path / "r.jsonl"]
    (event, *_) = of("event", list(jsonl.read(tmp_path / "r.jsonl")))
    assert event["data"]["cam_image"] == np.zeros((2, 2, 3)).tolist()


@needs_data
def test_the_recordings_survive_the_lines(tmp_path: Path) -> None:
    folder = DATA / "fluorescence"
    files = [folder / "contrast_ingest.pkls", folder / "xspress_ingest.pkls"]
    before = valid(recordings.read(files))
    jsonl.write(before, tmp_path / "r.jsonl")
    after = list(jsonl.read(tmp_path / "r.jsonl"))
    assert [name for name, _ in after] == [name for name, _ in before]
    for one, other in zip(of("event", before), of("event", after), strict=True):
        assert one["uid"] == other["uid"]
        for key, value in one["data"].items():
            np.testing.assert_array_equal(value, other["data"][key])


def test_suitcase_writes_what_is_read(tmp_path: Path) -> None:
    before = run(dims=["channel"])
    export(iter(before), tmp_path, "r")
    assert [name for name, _ in jsonl.read(tmp_path / "r.jsonl")] == [n for n, _ in before]


def test_event_pages_and_plain_images_are_moved_too(tmp_path: Path) -> None:
    before = run(events=2)
    page = event_model.pack_event_page(*of("event", before))
    before[2:4] = [("event_page", page)]
    jsonl.write(before, tmp_path / "r.jsonl")
    assert len(of("stream_datum", list(jsonl.read(tmp_path / "r.jsonl")))) == 2

    flat = run(events=1, shape=[2, 3])
    event = of("event", flat)[0]
    event["data"]["cam_image"] = [[1, 2, 3], [4, 5, 6]]
    documents = list(externalise(flat, tmp_path / "flat.h5"))
    (resource,), (moved,) = of("stream_resource", documents), of("event", documents)
    np.testing.assert_array_equal(frames(resource, moved), [[[1, 2, 3], [4, 5, 6]]])


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for name in ("r.jsonl", "r.h5"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputExistsError, match=f"{name} exists already"):
            jsonl.write(run(), tmp_path / "r.jsonl")
        assert [p.read_text() for p in tmp_path.iterdir()] == ["mine"]
        (tmp_path / name).unlink()
    with pytest.raises(OutputError, match=r"the folder .* does not exist"):
        jsonl.write(run(), tmp_path / "none" / "r.jsonl")


def test_wrong_images_are_named(tmp_path: Path) -> None:
    documents = run()
    of("event", documents)[1]["data"]["cam_image"] = np.zeros((2, 5, 5), np.uint16)
    with pytest.raises(ImageError, match=r"event 2: the frames of 'cam_image' are \[5, 5\]"):
        list(externalise(documents, tmp_path / "a.h5"))
    of("event", documents)[0]["data"]["cam_image"] = np.zeros(3)
    with pytest.raises(ImageError, match=r"has the shape \[3\]"):
        list(externalise(documents, tmp_path / "b.h5"))


def test_lines_are_strict_json(tmp_path: Path) -> None:
    odd = {"a": np.nan, "b": [np.inf, np.float32(2)], "c": np.array([1.0, np.nan]), "d": {3: (1,)}}
    jsonl.write([("start", odd)], tmp_path / "r.jsonl")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    (line,) = (tmp_path / "r.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=refuse) == [
        "start",
        {"a": None, "b": [None, 2.0], "c": [1.0, None], "d": {"3": [1]}},
    ]
    with pytest.raises(JsonLinesError, match="a object in a document"):
        jsonl.write([("start", {"a": object()})], tmp_path / "s.jsonl")


def test_files_moved_together_find_each_other(tmp_path: Path) -> None:
    jsonl.write(run(), tmp_path / "r.jsonl")
    moved = tmp_path / "moved here"
    moved.mkdir()
    for name in ("r.jsonl", "r.h5"):
        (tmp_path / name).rename(moved / name)
    (resource,) = of("stream_resource", list(jsonl.read(moved / "r.jsonl")))
    assert resource["uri"] == f"file://localhost{tmp_path}/moved%20here/r.h5"


def test_gzip_is_read_and_written(tmp_path: Path) -> None:
    jsonl.write(run(), tmp_path / "r.jsonl.gz")
    assert (tmp_path / "r.h5").exists()
    with gzip.open(tmp_path / "r.jsonl.gz", "rt") as lines:
        assert len(lines.readlines()) == 10
    assert len(list(jsonl.read(tmp_path / "r.jsonl.gz"))) == 10


def broken(text: str, path: Path) -> Iterator[Any]:
    path.write_text(text)
    return jsonl.read(path)


def test_a_killed_run_gets_a_stop_that_says_where(tmp_path: Path) -> None:
    jsonl.write(run(dims=["channel"]), tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    before = "".join(lines[:4])
    (*used, (name, stop)) = broken(before + lines[4][:50], tmp_path / "cut.jsonl")
    assert [n for n, _ in used] == ["start", "descriptor", "event", "event"]
    assert (name, stop["exit_status"], stop["num_events"]) == ("stop", "fail", {"primary": 2})
    assert f"line 5 (byte {len(before)})" in stop["reason"]
    assert "cut off" in stop["reason"]
    event_model.schema_validators[event_model.DocumentNames.stop].validate(stop)
    *_, (_, stop) = broken(before, tmp_path / "clean.jsonl")
    assert re.search(r"ends at line 4 \(byte \d+\) without a stop", stop["reason"])


def test_a_time_that_no_float_can_hold_is_left_alone(tmp_path: Path) -> None:
    text = f'["start", {{"uid": "a", "time": 1{"0" * 400}}}]\n'
    (start, (name, stop)) = broken(text, tmp_path / "a.jsonl")
    assert start[1]["time"] == 10**400
    assert (name, stop["time"]) == ("stop", 0.0)


def test_damage_that_no_run_tells_of_is_raised(tmp_path: Path) -> None:
    for text in ("nonsense\n", '{"a": 1}\n', '["what", {}]\n', '["start", 3]\n', "\n", "[" * 10**5):
        with pytest.raises(JsonLinesError, match=r"damaged at line 1 \(byte 0\)"):
            list(broken(text, tmp_path / "a.jsonl"))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        jsonl.read(tmp_path / "none.jsonl")


def test_the_lines_of_blueskys_own_writer_are_read(tmp_path: Path) -> None:
    docs = list(run())
    path = tmp_path / "run.jsonl"
    pairs = [{"name": name, "doc": jsonl.strict(doc)} for name, doc in docs]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    assert [name for name, _ in jsonl.read(path)] == [name for name, _ in docs]
