"""Where pieces are folded: in this process, or on the workers of a cluster (`dask_engine`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from femto_bluesky.reprocess.folding import Folder, Partial, Parts, Told, merged, together
from femto_bluesky.reprocess.pieces import Piece
from femto_bluesky.stream.analysis import Analysis
from femto_bluesky.stream.shots import ShotMaker

Result = Any
"""A partial that lies wherever an engine has it."""

Outcome = tuple[int, "Result | Exception", str]
"""Which task has ended, by its number, and how; and where its result is."""


class ReprocessError(RuntimeError):
    """Reprocessing that cannot go on; the message says what to do."""


class WorkerDiedError(RuntimeError):
    """The process that had a task died, more than once."""


class Engine(Protocol):
    """Does tasks, each with a number, in any order.

    `folds_on`: a piece may be folded into a result that there is, which is gone then, also where
    that fails. Else results stay as they are until they are dropped.
    """

    folds_on: bool
    n_merged: int
    """So many results at one place are best merged at a time."""

    @property
    def n_workers(self) -> int:
        """How many tasks are done at a time."""

    def fold(self, number: int, piece: Piece, into: Result | None) -> None:
        """Begin to fold a piece."""

    def merge(self, number: int, results: Sequence[Result]) -> None:
        """Begin to merge results."""

    def ended(self) -> list[Outcome]:
        """Wait until a task has ended; what has. Results at one place are merged unsent."""

    def fetch(self, result: Result) -> Partial:
        """The partial itself, here; it is not changed as long as nothing else is done."""

    def take(self, result: Result) -> Partial:
        """The partial itself, here, whoever has it from now on; the result is gone."""

    def put(self, partial: Partial) -> Result:
        """Have a partial that was kept."""

    def drop(self, result: Result) -> None:
        """Forget a result."""

    def close(self) -> None:
        """Forget everything."""


class InProcess:
    """Does one task after the other, here; nothing else is needed.

    Consecutive pieces of a run are folded into one analysis: it costs what a replay does.
    """

    folds_on = True
    n_merged = 2

    def __init__(
        self, pattern: Analysis, parts: Parts | None = None, tell: Told | None = None
    ) -> None:
        self._folder = Folder(pattern, parts)
        self.tell = tell
        self._waiting: deque[tuple[int, Piece | None, list[Partial]]] = deque()
        self._idle: list[Analysis] = []
        self._shots: ShotMaker | None = None

    @property
    def n_workers(self) -> int:
        """One: this process."""
        return 1

    def fold(self, number: int, piece: Piece, into: Partial | None) -> None:
        """Put a piece on the list."""
        self._waiting.append((number, piece, [] if into is None else [into]))

    def merge(self, number: int, results: Sequence[Partial]) -> None:
        """Put a merger on the list, before all pieces."""
        self._waiting.appendleft((number, None, list(results)))

    def ended(self) -> list[Outcome]:
        """Do what is next."""
        number, piece, partials = self._waiting.popleft()
        try:
            found = self._merge(partials) if piece is None else self._fold(piece, partials)
        except Exception as error:
            return [(number, error, "")]
        return [(number, found, "")]

    def fetch(self, result: Partial) -> Partial:
        """It is here."""
        return result

    def take(self, result: Partial) -> Partial:
        """It is here, and used for nothing else."""
        return result

    def put(self, partial: Partial) -> Partial:
        """It is here."""
        return partial

    def drop(self, result: Partial) -> None:
        """Its analysis is used again."""
        self._reuse(result.analysis)

    def close(self) -> None:
        """Do nothing more."""
        self._waiting.clear()
        self._idle.clear()

    def _fold(self, piece: Piece, into: list[Partial]) -> Partial:
        if self._shots is None:
            analysis, self._shots = self._folder.new()
            self._idle.append(analysis)
        if into:
            analysis = into[0].analysis
        else:
            analysis = self._idle.pop() if self._idle else self._folder.new()[0]
        part = self._folder.add(analysis, self._shots, piece, self.tell)
        kept: Mapping[Any, Any] = {} if part is None else {piece.span: part}
        here = Partial(analysis, frozenset({piece.span}), 0.0, kept)
        return together(analysis, [*into, here])

    def _merge(self, partials: list[Partial]) -> Partial:
        first, *others = partials
        found = merged(first.analysis, partials, n_in=1)
        for other in others:
            self._reuse(other.analysis)
        return found

    def _reuse(self, analysis: Analysis) -> None:
        analysis.clear()
        if not self._idle:
            self._idle.append(analysis)
