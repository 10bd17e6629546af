"""What is to be done, what is under way, and what there is of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from femto_bluesky.reprocess.engines import Result
from femto_bluesky.reprocess.pieces import Place, Span


@dataclass(slots=True)
class Held:
    """A result, and what is in it; `is_whole` when it may be merged with those of other runs."""

    result: Result
    spans: frozenset[Span]
    place: str = ""
    is_whole: bool = False

    @property
    def runs(self) -> set[str]:
        """The runs that have a part in it."""
        return {span.run for span in self.spans}


@dataclass(slots=True)
class Task:
    """What an engine does at the moment: a fold has a span of its own."""

    group: int
    spans: frozenset[Span]
    span: Span | None
    of: list[Held]


class GroupWork:
    """What is to be done for a group, what has been, and what is under way."""

    def __init__(self) -> None:
        self.todo: deque[Span] = deque()
        self.ready: list[Held] = []
        self.n_tasks = 0
        self.n_failed = 0
        self.put_aside: tuple[Place, frozenset[Span]] | None = None
        self.is_done = False

    @property
    def is_complete(self) -> bool:
        """Whether all of it is in one result."""
        return not (self.todo or self.n_tasks) and len(self.ready) == 1

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done for now."""
        return not (self.todo or self.n_tasks or self.ready)


def without(span: Span, other: Span) -> Iterator[Span]:
    """What is left of a span without another one."""
    if span[:2] != other[:2] or other.stop <= span.first or span.stop <= other.first:
        yield span
        return
    if span.first < other.first:
        yield span._replace(stop=other.first)
    if other.stop < span.stop:
        yield span._replace(first=other.stop)
