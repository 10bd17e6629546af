from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from femto_bluesky.sources import jsonl, recordings
from femto_bluesky.sources.replay import SourceError, replay
from tests.sources.test_recordings import normal, two_files

PAIRS = [("start", {"uid": "a", "hints": {"dimensions": [[["m"], "primary"]]}}), ("stop", {})]


class Keep:
    failure: BaseException | None = None

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
        return ((n, MappingProxyType({"a": [MappingProxyType(d)]})) for n, d in PAIRS)


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
    assert keep.seen == [(name, {"a": [document]}) for name, document in PAIRS]
    assert type(keep.seen[0][1]["a"][0]) is dict


def test_a_kept_failure_is_raised_behind_the_last_document() -> None:
    failed, other = Keep(), Keep()
    failed.failure = ValueError("kept")
    with pytest.raises(ValueError, match="kept"):
        replay(PAIRS, other, failed)
    assert len(other.seen) == 2


def test_a_callback_that_raises_is_heard() -> None:
    def fails(name: str, document: Any) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError, match="start"):
        replay(PAIRS, fails)


def test_other_things_are_refused() -> None:
    with pytest.raises(SourceError, match="a int cannot be replayed"):
        replay(5)  # type: ignore[arg-type]
