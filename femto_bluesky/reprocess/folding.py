"""Pieces into partial results, and these into larger ones: what workers do.

Nothing that was made is changed later: what is merged is merged into something new. So whatever
runs these functions may run one again, on another worker, and gets the same.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from femto_bluesky.model.detectors import DETECTORS
from femto_bluesky.model.shots import Shot
from femto_bluesky.reprocess.pieces import Piece, Span, coalesced
from femto_bluesky.stream.analysis import Analysis
from femto_bluesky.stream.events import Burst
from femto_bluesky.stream.shots import ShotMaker

Told = Callable[[int], object]
"""Is told of so many shots more that are done."""

TELL_S = 0.1


class MergeError(ValueError):
    """An analysis that cannot merge what it has seen apart."""


class PartWriter(Protocol):
    """What takes shots as the analysis hands them on, and keeps something of one piece.

    A piece may be written more than once, by several workers: names must differ, and only what the
    last `end` gives back counts.
    """

    def take(self, handed_on: Shot, burst: Burst, index: int) -> None:
        """Take a shot, which was frame `index` of a burst."""

    def end(self) -> Any:
        """What there is of it: little, such as the name of a file; None where there is nothing."""

    def abandon(self) -> None:
        """Delete what there is: the piece could not be read to its end."""


class Parts(Protocol):
    """Makes a `PartWriter` for each piece; it is sent to the workers."""

    def begin(self, piece: Piece) -> PartWriter:
        """What will keep something of this piece."""


@dataclass(slots=True)
class Partial:
    """What an analysis has made of some pieces."""

    analysis: Analysis
    spans: frozenset[Span]
    seconds: float = 0.0
    parts: Mapping[Span, Any] = field(default_factory=dict)

    @property
    def n_shots(self) -> int:
        """Of how many shots it is."""
        return sum(span.n_shots for span in self.spans)


class Folder:
    """Folds pieces, each with an analysis that has seen nothing.

    One that has geometries makes bins of q for the frames that come, which takes a second for large
    ones. It is kept and used again: after `clear()` it is as new, and has what it has made. What is
    given out is a copy then. Several threads may fold at a time.
    """

    def __init__(self, pattern: Analysis, parts: Parts | None = None) -> None:
        self._pattern = pattern
        self._parts = parts
        self._idle: deque[tuple[Analysis, ShotMaker]] = deque()
        self._prepares = bool(getattr(pattern.settings, "geometries", None))

    def fold(self, piece: Piece) -> Partial:
        """What the analysis makes of a piece, as something of its own."""
        started = time.perf_counter()
        try:
            analysis, shots = self._idle.pop()
        except IndexError:
            analysis, shots = self.new()
        part = self.add(analysis, shots, piece)
        found, new = analysis, self._pattern.fresh()
        if self._prepares:
            new.merge(analysis)
            found, new = new, analysis
            new.clear()
        _disown_parts(found)
        self._idle.append((new, shots))
        kept = {} if part is None else {piece.span: part}
        return Partial(found, frozenset({piece.span}), time.perf_counter() - started, kept)

    def new(self) -> tuple[Analysis, ShotMaker]:
        """An analysis that has seen nothing, and what makes its shots."""
        return self._pattern.fresh(), ShotMaker({**DETECTORS, **self._pattern._reading.detectors})

    def add(
        self, analysis: Analysis, shots: ShotMaker, piece: Piece, tell: Told | None = None
    ) -> Any:
        """Show an analysis the shots of a piece; what was kept of them."""
        writer = None if self._parts is None else self._parts.begin(piece)
        last, n_shots = time.monotonic(), 0
        try:
            for event, step, parts in piece.events():
                for shot in shots.shots(event, step, parts):
                    handed_on = analysis.update(shot)
                    if writer is not None:
                        burst = event.bursts[shot.detector]
                        writer.take(handed_on, burst, shot.number - step.first_shot)
                n_shots += sum(map(len, parts))
                if tell is not None and (now := time.monotonic()) > last + TELL_S:
                    tell(n_shots)
                    last, n_shots = now, 0
            return None if writer is None else writer.end()
        except BaseException:
            if writer is not None:
                writer.abandon()
            raise
        finally:
            piece.close()

    def merge(self, partials: Sequence[Partial]) -> Partial:
        """All of these in one, which shares nothing with them. Raises `MergeError`."""
        found = merged(self._pattern.fresh(), partials)
        _disown_parts(found.analysis)
        return found


def merged(into: Analysis, partials: Sequence[Partial], *, n_in: int = 0) -> Partial:
    """Partials, merged into an analysis, which the first `n_in` of them are in already.

    Raises `MergeError` where the analysis cannot do so, and where a piece is in two of them.
    """
    check_apart(partials)
    try:
        for partial in partials[n_in:]:
            into.merge(partial.analysis)
    except Exception as error:
        raise MergeError(f"{type(error).__name__}: {error}") from error
    return together(into, partials)


def together(analysis: Analysis, partials: Sequence[Partial]) -> Partial:
    """What is known of partials, with the analysis that holds all of them."""
    return Partial(
        analysis,
        coalesced(span for partial in partials for span in partial.spans),
        sum(partial.seconds for partial in partials),
        {span: part for partial in partials for span, part in partial.parts.items()},
    )


def _disown_parts(analysis: Analysis) -> None:
    """Have parts of an analysis know it no more, as where it has been sent.

    A part waits for documents that the whole has been given, and here there are none. With parts
    that know it, a state of 100 MB would not be freed before the interpreter looks for circles.
    """
    analysis._owner = None
    for value in vars(analysis).values():
        held = list(value.values()) if isinstance(value, dict) else value
        for part in held if isinstance(held, list | tuple) else [held]:
            if isinstance(part, Analysis):
                _disown_parts(part)


def check_apart(partials: Sequence[Partial]) -> None:
    """Raise `MergeError` where shots are in two of them."""
    spans = sorted(span for partial in partials for span in partial.spans)
    for one, other in pairwise(spans):
        if one[:2] == other[:2] and other.first < one.stop:
            raise MergeError(
                f"shots {other.first} to {min(one.stop, other.stop) - 1} of run {one.run} are in "
                "two parts that are to be merged, expected each shot once"
            )
