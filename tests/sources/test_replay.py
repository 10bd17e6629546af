from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import event_model
import numpy as np
import pytest

from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Shot
from femto_bluesky.sources import jsonl, recordings
from femto_bluesky.sources.replay import SourceError, replay
from tests.sources.documents import normal
from tests.sources.recorder import two_files

PAIRS = [
    ("start", {"uid": "a", "hints": {"dimensions": [[["m"], "primary"]]}}),
    ("stop", {"run_start": "a"}),
]
WHOLE = {"all": Roi(x0=0, y0=0, x1=4, y1=3)}


class Keep:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def __call__(self, name: str, document: Any) -> None:
        self.seen.append((name, document))


def test_every_document_goes_to_every_callback_unchanged() -> None:
    before = copy.deepcopy(PAIRS)
    one, other = Keep(), Keep()
    assert replay(iter(PAIRS), one, other) is None  # type: ignore[func-returns-value]
    assert one.seen == other.seen == PAIRS == before
    assert one.seen[0][1] is PAIRS[0][1]


def test_paths_are_recordings_or_lines(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    expected = list(recordings.read(files))
    direct = Keep()
    replay(files, direct)
    assert normal(direct.seen) == normal(expected)
    jsonl.write(expected, tmp_path / "r.jsonl")
    lines = Keep()
    replay(str(tmp_path / "r.jsonl"), lines)
    assert lines.seen == list(jsonl.read(tmp_path / "r.jsonl"))
    with pytest.raises(SourceError, match="one after the other"):
        replay([tmp_path / "r.jsonl", files[0]])


class Worded:
    def documents(self, *, fill: str) -> Iterator[Any]:
        assert fill == "no"
        return ((n, MappingProxyType({**d, "a": [MappingProxyType(d)]})) for n, d in PAIRS)


class Flagged:
    def documents(self, fill: bool = False) -> Iterator[Any]:
        assert fill is False
        return iter(PAIRS)


class Bare:
    def documents(self) -> Iterator[Any]:
        return iter(PAIRS)


def test_catalog_runs_are_asked_as_they_can_answer() -> None:
    for run in (Flagged(), Bare()):
        keep = Keep()
        replay(run, keep)
        assert keep.seen == PAIRS
    keep = Keep()
    replay(Worded(), keep)
    assert keep.seen == [(name, {**document, "a": [document]}) for name, document in PAIRS]
    assert type(keep.seen[0][1]["a"][0]) is dict


def test_an_analysis_sees_a_recording(tmp_path: Path) -> None:
    rois, derived = RoiMeans(WHOLE), Keep()
    rois.subscribe(derived)
    replay(two_files(tmp_path), rois)
    found = rois.result()
    np.testing.assert_array_equal(found["mot"], [0, 1, 2])
    np.testing.assert_array_equal(found["cam_all_mean"], [0.5, 2.5, 4.5])
    assert derived.seen[-1][1]["exit_status"] == "success"


class Broken(RoiMeans):
    """Fails at each shot, with the words of the day."""

    words = ""

    def update(self, shot: Shot) -> Shot:
        if self.words:
            raise ValueError(self.words)
        return super().update(shot)


def test_what_fails_in_an_analysis_is_raised_behind_the_last_document(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    rois, other = Broken(WHOLE), Keep()
    rois.words = "no light"
    with pytest.raises(ValueError, match="no light"):
        replay(files, rois, other)
    assert normal(other.seen) == normal(list(recordings.read(files)))
    # It is told once: the next replay is only to blame for its own failures.
    rois.words = ""
    replay(files, rois)
    assert len(rois.failures) == 1
    rois.words = "no air"
    with pytest.raises(ValueError, match="no air"):
        replay(files, rois)


def killed(tmp_path: Path) -> list[tuple[str, Any]]:
    """A run whose stop document is missing."""
    (*documents, (name, _)) = recordings.read(two_files(tmp_path))
    assert name == "stop"
    return documents


class Catalogued:
    def __init__(self, documents: list[tuple[str, Any]], stop: Any) -> None:
        self._documents = [*documents, ("stop", stop)]

    def documents(self, fill: bool = False) -> Iterator[Any]:
        return iter(self._documents)


@pytest.mark.parametrize("way", ["pairs", "catalog", "catalog with None", "lines"])
def test_a_run_that_never_stopped_gets_a_stop_that_says_so(tmp_path: Path, way: str) -> None:
    documents = killed(tmp_path)
    source: Any = iter(documents)
    if way.startswith("catalog"):
        source = Catalogued(documents, None if "None" in way else {})
    elif way == "lines":
        jsonl.write(documents, tmp_path / "r.jsonl")
        source = tmp_path / "r.jsonl"
    rois, raw, derived = RoiMeans(WHOLE), Keep(), Keep()
    rois.subscribe(derived)
    replay(source, raw, rois)
    assert [name for name, _ in raw.seen].count("stop") == 1
    for name, stop in (raw.seen[-1], derived.seen[-1]):
        assert (name, stop["exit_status"]) == ("stop", "fail")
        assert "without a stop document" in stop["reason"]
        event_model.schema_validators[event_model.DocumentNames.stop].validate(stop)
    assert raw.seen[-1][1]["run_start"] == documents[0][1]["uid"]
    assert raw.seen[-1][1]["num_events"] == {"primary": 3}
    np.testing.assert_array_equal(rois.result()["cam_all_mean"], [0.5, 2.5, 4.5])


def test_each_of_several_open_runs_is_stopped(tmp_path: Path) -> None:
    one = killed(tmp_path)
    other = [(name, {**document, "uid": f"other {document['uid']}"}) for name, document in one[:1]]
    raw = Keep()
    replay([*one[:1], *other, *one[1:]], raw)
    stops = [document["run_start"] for name, document in raw.seen if name == "stop"]
    assert sorted(stops) == sorted([one[0][1]["uid"], other[0][1]["uid"]])


def test_a_source_that_breaks_off_stops_its_run_first(tmp_path: Path) -> None:
    def breaks() -> Iterator[tuple[str, Any]]:
        yield from killed(tmp_path)
        raise OSError("the disk is gone")

    raw = Keep()
    with pytest.raises(OSError, match="the disk is gone"):
        replay(breaks(), raw)
    name, stop = raw.seen[-1]
    assert (name, stop["exit_status"], stop["reason"]) == ("stop", "fail", "the disk is gone")


def test_a_callback_that_raises_is_heard() -> None:
    def fails(name: str, document: Any) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError, match="start"):
        replay(PAIRS, fails)


@pytest.mark.parametrize(
    "odd", [None, (), ("start",), "ab", ("start", 5), ({}, {}), ("event", None)]
)
def test_what_is_no_document_is_named(odd: Any) -> None:
    start = ("start", {"uid": "a", "time": 1.0})
    seen: list[str] = []
    with pytest.raises(SourceError, match=r"number 2 of the documents is .*; expected a name and"):
        replay(iter([start, odd]), lambda name, doc: seen.append(name))
    assert seen == ["start", "stop"]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("descriptor", {}), ("stream_datum", {}), ("stop", {"run_start": np.zeros(2)}),
        ("start", {"raw_frames_not_kept": 5}),
        ("stream_resource", {"uri": "file://[::1"}), ("stream_resource", {"uri": ["file:"]}),
        ("resource", {"resource_path": 5}), ("resource", {"resource_path": "a", "root": {}}),
    ],
)  # fmt: skip
def test_what_a_document_lacks_is_for_the_callback(name: str, document: Any) -> None:
    seen: list[Any] = []
    replay(iter([(name, document)]), lambda name, doc: seen.append((name, doc)))
    assert seen[0][0] == name
    assert seen[0][1] is document


def test_other_things_are_refused() -> None:
    with pytest.raises(SourceError, match="a int cannot be replayed"):
        replay(5)  # type: ignore[arg-type]
