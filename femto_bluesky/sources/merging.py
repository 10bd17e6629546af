"""Several recorded files of one scan, merged by event number."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from femto_bluesky.sources.envelopes import DamagedRecordingError, Item, RecordingError, items


@dataclass(frozen=True, slots=True)
class Event:
    """All messages of one event number, in the order of the files."""

    number: int
    messages: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Damage:
    """Where one of the files ends unreadable. It stands behind the last event of that file."""

    error: DamagedRecordingError


def merge(paths: Sequence[Path]) -> Iterator[Event | Damage]:
    """The events of all files in rising order; an event number that falls begins a new part.

    Recordings that were written one behind the other stay one behind the other: their event
    numbers begin again. One message of each file is held at a time. Raises `RecordingError`
    where two files hold the same stream.
    """
    numbered = [_numbered(path, place) for place, path in enumerate(paths)]
    key: tuple[int, int] | None = None
    group: list[Item] = []
    for entry in heapq.merge(*numbered, key=lambda entry: entry.order):
        if group and (entry.damage is not None or entry.order[:2] != key):
            yield Event(group[0].event_number, tuple(group))
            group = []
        if entry.damage is not None:
            yield Damage(entry.damage)
        elif entry.item is not None:
            key = entry.order[:2]
            _check_streams(group, entry.item)
            group.append(entry.item)
        del entry
    if group:
        yield Event(group[0].event_number, tuple(group))


@dataclass(frozen=True, slots=True)
class _Entry:
    order: tuple[int, int, int, int]
    item: Item | None = None
    damage: DamagedRecordingError | None = None


def _numbered(path: Path, place: int) -> Iterator[_Entry]:
    part, number = 0, -1
    streams: set[str] = set()
    try:
        for item in items(path):
            again = item.event_number == number and not streams.isdisjoint(item.streams)
            if item.event_number < number or again:
                part += 1
            streams = set(item.streams) | (streams if item.event_number == number else set())
            number = item.event_number
            yield _Entry((part, number, 0, place), item)
    except DamagedRecordingError as error:
        yield _Entry((part, number, 1, place), damage=error)


def _check_streams(group: list[Item], item: Item) -> None:
    for other in group:
        both = sorted(set(other.streams) & set(item.streams))
        if both:
            raise RecordingError(
                f"{other.path} and {item.path} both hold the stream {both[0]!r} at event "
                f"{item.event_number}; give one recording of each stream"
            )
