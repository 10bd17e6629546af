"""Pieces of runs: what is sent to a worker, which is references to frames and a few numbers.

A plan may be of millions of events. It is kept in a file without a name, and a piece is made of it
when its turn has come.
"""

from __future__ import annotations

import pickle
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.stream.events import Burst, Document, ImageKey, JoinedEvent
from femto_bluesky.stream.frames import FrameSource, InlineFrames
from femto_bluesky.stream.steps import Step

BLOCK_SHOTS = 512
"""So many shots, about, are put into the file together."""


class Place(NamedTuple):
    """Where something stands in the file of the plan."""

    offset: int
    length: int


class Read(NamedTuple):
    """The frames of one detector in one event: `start` to `stop` (half open) of a source."""

    detector: str
    image: ImageKey
    source: FrameSource | Place
    start: int
    stop: int


class PlannedEvent(NamedTuple):
    """An event as far as shots are made of it."""

    seq_num: int
    time: float
    data: Mapping[str, Any]
    descriptor: Document
    step: Step
    reads: tuple[Read, ...]


Cut = tuple[PlannedEvent, tuple[range, ...]]
"""An event, and which of its shots are meant, counted from 0: parts in ascending order."""


class Span(NamedTuple):
    """Shots of one run in one group: `first` to `stop` (half open) of those that it has there."""

    group: int
    run: str
    first: int
    stop: int

    @property
    def n_shots(self) -> int:
        """How many shots it is of."""
        return self.stop - self.first


def coalesced(spans: Iterable[Span]) -> frozenset[Span]:
    """The same shots in as few spans as can be.

    >>> coalesced({Span(0, "a", 0, 3), Span(0, "a", 5, 7), Span(0, "a", 3, 5)})
    frozenset({Span(group=0, run='a', first=0, stop=7)})
    """
    found: list[Span] = []
    for span in sorted(spans):
        if found and found[-1][:2] == span[:2] and found[-1].stop == span.first:
            found[-1] = found[-1]._replace(stop=span.stop)
        else:
            found.append(span)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Piece:
    """What a worker is given at a time."""

    span: Span
    start: Document
    where: str
    cuts: list[Cut]

    def events(self) -> Iterator[tuple[JoinedEvent, Step, tuple[range, ...]]]:
        """The events with their steps, and which of their shots are meant."""
        for event, parts in self.cuts:
            bursts = {
                read.detector: Burst(
                    read.image, read.source, read.start, read.stop, self.where, event.seq_num
                )
                for read in event.reads
                if not isinstance(read.source, Place)
            }
            doc = {"seq_num": event.seq_num, "time": event.time, "data": event.data}
            yield JoinedEvent(self.start, event.descriptor, doc, bursts), event.step, parts

    def close(self) -> None:
        """Let go of all files."""
        for source in {id(r.source): r.source for e, _ in self.cuts for r in e.reads}.values():
            if not isinstance(source, Place):
                source.close()


@dataclass(slots=True)
class Share:
    """The shots that a run has in one group, in their order; `numbers` are those in the run.

    `n_sent_bytes` is the size of the frames that stood in documents, and have to be sent;
    `n_pixels` are those of a shot, as its detectors declare them.
    """

    run: str
    start: Document
    where: str
    n_shots: int = 0
    n_sent_bytes: int = 0
    n_pixels: int = 0
    blocks: list[tuple[int, Place]] = field(default_factory=list)
    numbers: list[range] = field(default_factory=list)

    def shot_numbers(self) -> NDArray[np.int64]:
        """The numbers of the shots within their run."""
        if not self.numbers:
            return np.empty(0, np.int64)
        return np.concatenate([np.arange(r.start, r.stop, dtype=np.int64) for r in self.numbers])


class PlanFile:
    """Things that are put aside, and read again in about the order in which they were put there."""

    def __init__(self, directory: Path | None = None) -> None:
        is_there = directory is not None and directory.is_dir()
        self._file = tempfile.TemporaryFile(dir=directory if is_there else None)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._end = 0
        self._newest: tuple[Place | None, list[Cut]] = None, []

    @property
    def n_bytes(self) -> int:
        """How much is in it."""
        return self._end

    def put(self, value: Any) -> Place:
        """Put something aside."""
        content = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        place = Place(self._end, len(content))
        self._file.seek(self._end)
        self._file.write(content)
        self._end += len(content)
        return place

    def get(self, place: Place) -> Any:
        """Read it again."""
        self._file.seek(place.offset)
        return pickle.loads(self._file.read(place.length))  # noqa: S301 - put there by ourselves

    def put_share(self, share: Share, cuts: list[Cut]) -> None:
        """Put the events of a share aside."""
        block: list[Cut] = []
        n_shots = 0
        shapes = [read.image.shape or (0, 0) for read in cuts[0][0].reads] if cuts else []
        share.n_pixels = sum(rows * columns for rows, columns in shapes)
        for number, cut in enumerate(cuts, start=1):
            block.append(cut)
            n_shots += sum(map(len, cut[1]))
            held = [read.source.length for read in cut[0].reads if isinstance(read.source, Place)]
            share.n_sent_bytes += sum(held) * sum(map(len, cut[1])) // cut[0].step.n_shots
            if n_shots >= BLOCK_SHOTS or number == len(cuts):
                share.blocks.append((n_shots, self.put(block)))
                share.n_shots += n_shots
                block, n_shots = [], 0
            for part in cut[1]:
                first = cut[0].step.first_shot
                _extend(share.numbers, range(first + part.start, first + part.stop))

    def piece(self, share: Share, span: Span) -> Piece:
        """The piece of a span; frames that stood in documents are in it."""
        cuts: list[Cut] = []
        at = 0
        for n_shots, place in share.blocks:
            if at < span.stop and span.first < at + n_shots:
                for event, parts in self._block(place):
                    wanted, at = _within(parts, at, span)
                    if wanted:
                        cuts.append((self._with_frames(event, wanted), wanted))
            else:
                at += n_shots
        return Piece(span, share.start, share.where, cuts)

    def close(self) -> None:
        """Forget all of it."""
        self._file.close()

    def _block(self, place: Place) -> list[Cut]:
        if self._newest[0] != place:
            self._newest = place, self.get(place)
        return self._newest[1]

    def _with_frames(self, event: PlannedEvent, parts: tuple[range, ...]) -> PlannedEvent:
        """The event with the frames that stood in documents: of these parts, and those between."""
        first, stop = parts[0].start, parts[-1].stop
        reads = []
        for read in event.reads:
            if not isinstance(read.source, Place):
                reads.append(read)
            elif first < read.stop:
                source: InlineFrames = self.get(read.source)
                part = source.part(first, min(stop, read.stop))
                # its first frame is number `first` of the burst
                reads.append(read._replace(source=part, start=-first, stop=read.stop - first))
        return event._replace(reads=tuple(reads))


def _within(parts: tuple[range, ...], at: int, span: Span) -> tuple[tuple[range, ...], int]:
    """What of these parts is in a span, when `at` shots come before; how many then have come."""
    wanted = []
    for part in parts:
        first = max(part.start, part.start + span.first - at)
        stop = min(part.stop, part.start + span.stop - at)
        if first < stop:
            wanted.append(range(first, stop))
        at += len(part)
    return tuple(wanted), at


def _extend(numbers: list[range], more: range) -> None:
    if numbers and numbers[-1].stop == more.start:
        numbers[-1] = range(numbers[-1].start, more.stop)
    else:
        numbers.append(more)
