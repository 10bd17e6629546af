"""Which bursts are announced for an event, and which frames are given to one, found fast.

A run may have a million events: what is asked at each of them must not go through all before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from femto_bluesky.stream.events import Burst
from femto_bluesky.stream.frames import InlineFrames


@dataclass(slots=True)
class FrameRange:
    """A stream_datum: bursts [index, index + n_bursts) are those of the events [first, last)."""

    resource: str
    index: int
    n_bursts: int
    first: int
    last: int
    order: int = 0
    taken: Collection[int] = ()

    def take(self, seq_num: int) -> None:
        """Note that the burst of an event of the range has been found."""
        if self.last - self.first == 1:
            self.taken = range(self.first, self.last)  # most are so, and a set is large
        elif isinstance(self.taken, set):
            self.taken.add(seq_num)
        else:
            self.taken = {seq_num}


class Announced:
    """The stream_datum of one key, in the order in which they came.

    `n_came` and `n_bursts` also count those that were dropped. Ranges of one event are kept by
    their seq_num; of longer ones, which are few, the place is found by halving as long as each
    begins behind the one before.
    """

    def __init__(self) -> None:
        self.n_came = self.n_bursts = 0
        self._single: dict[int, list[FrameRange]] = {}
        self._long: list[FrameRange] = []
        self._is_ordered = True

    def add(self, found: FrameRange) -> None:
        """Note a range; it is newer than all others."""
        found.order = self.n_came
        self.n_came += 1
        self.n_bursts += found.n_bursts
        if found.last - found.first == 1:
            self._single.setdefault(found.first, []).append(found)
        elif found.last > found.first:
            if self._long and found.first < self._long[-1].last:
                self._is_ordered = False
            self._long.append(found)

    def __iter__(self) -> Iterator[FrameRange]:
        for ranges in self._single.values():
            yield from ranges
        yield from self._long

    def naming(self, seq_num: int) -> list[FrameRange]:
        """All ranges that an event is in, in no order."""
        return [*self._single.get(seq_num, ()), *self._naming_long(seq_num)]

    def newest(self, seq_num: int) -> FrameRange | None:
        """The range that counts for an event: the last that came of those that it is in."""
        single = self._single.get(seq_num)
        long = next(self._naming_long(seq_num), None)
        if single is None:
            return long
        return single[-1] if long is None or long.order < single[-1].order else long

    def _naming_long(self, seq_num: int) -> Iterator[FrameRange]:
        """The longer ranges that an event is in, the newest first."""
        ranges = self._long
        if self._is_ordered:
            place = bisect_right(ranges, seq_num, key=lambda r: r.first)
            ranges = ranges[max(place - 1, 0) : place]
        return (r for r in reversed(ranges) if r.first <= seq_num < r.last)

    def drop_before(self, seq_num: int) -> None:
        """Let go of ranges whose events are all before `seq_num`, the oldest first."""
        while self._single and (first := next(iter(self._single))) < seq_num:
            del self._single[first]
        n_old = 0
        while n_old < len(self._long) and self._long[n_old].last <= seq_num:
            n_old += 1
        if n_old:
            del self._long[:n_old]
            self._is_ordered = self._is_ordered or len(self._long) < 2


class Given:
    """The frames of files that the last events have been given, which no two events share."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, int], list[tuple[int, int, int]]] = {}

    def other(self, burst: Burst) -> tuple[int, int, int] | None:
        """Start, stop and seq_num of a burst that shares a frame with this one; None if none."""
        spans = self._spans.get(_place(burst), [])
        # they do not overlap each other, so only the neighbours can overlap this one
        at = bisect_left(spans, (burst.start, burst.stop))
        for span in spans[max(at - 1, 0) : at + 1]:
            if burst.start < span[1] and span[0] < burst.stop:
                return span
        return None

    def add(self, seq_num: int, bursts: Collection[Burst]) -> None:
        """Note the bursts of an event that has been handed out."""
        for burst in bursts:
            if _is_of_file(burst):
                span = (burst.start, burst.stop, seq_num)
                insort(self._spans.setdefault(_place(burst), []), span)

    def remove(self, seq_num: int, bursts: Collection[Burst]) -> None:
        """Forget the bursts of an event that was taken again, or is old."""
        for burst in bursts:
            if _is_of_file(burst):
                spans = self._spans[_place(burst)]
                del spans[bisect_left(spans, (burst.start, burst.stop, seq_num))]
                if not spans:
                    del self._spans[_place(burst)]


def _place(burst: Burst) -> tuple[str, int]:
    return burst.image.detector, id(burst.source)  # a run keeps its sources until it ends


def _is_of_file(burst: Burst) -> bool:
    return burst.source is not None and not isinstance(burst.source, InlineFrames)
