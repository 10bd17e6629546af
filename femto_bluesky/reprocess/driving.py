"""What is done when: pieces are folded group by group, and merged as a tree.

A run counts whole or not at all. One that turns out to be broken takes out of every group what it
had gone into; the rest of that is folded again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from femto_bluesky.reprocess.engines import Engine, ReprocessError, Result, WorkerDiedError
from femto_bluesky.reprocess.folding import TELL_S, MergeError, Partial
from femto_bluesky.reprocess.pieces import Span, coalesced
from femto_bluesky.reprocess.planning import Plan, reason_of
from femto_bluesky.reprocess.results import Broken, Progress
from femto_bluesky.reprocess.tasks import GroupWork, Held, Task, without

log = logging.getLogger(__name__)

MIN_SHOTS, MAX_SHOTS = 16, 512
"""A piece has so many shots: sending it costs little beside folding it, and no worker waits long
for the last one."""

MANY_PIXELS, MIN_LARGE_SHOTS = 2**20, 64
"""A piece of large frames has more: what is made of it is merged at the cost of some 20 of them."""

MAX_SENT_BYTES = 64 * 2**20
"""Of frames that stood in documents, which are sent with a piece."""

TASKS_PER_WORKER = 3


class Keeper(Protocol):
    """Keeps what is done, for an attempt that is broken off."""

    def look(self, driver: Driver) -> None:
        """Keep what is in work, if that is due."""

    def keep(self, partial: Partial) -> None:
        """Keep what a group has become, whose runs are not all done."""

    def broke(self, uid: str, reason: str) -> None:
        """Note that a run is broken."""


class Driver:
    """Has an engine do a plan, and gives each group when all runs in it have turned out whole.

    At most three tasks for each worker are under way at a time, so that what waits is little. A
    piece that raises is tried `retries` times more.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        *,
        retries: int = 2,
        shots_per_piece: int | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.plan = plan
        self._engine = engine
        self._retries = retries
        self._shots_per_piece = shots_per_piece
        self._on_progress = on_progress
        self._keeper = keeper
        self._groups = [GroupWork() for _ in plan.groups]
        self._tasks: dict[int, Task] = {}
        self._n_begun = 0
        self._first = 0  # no group before this one has anything to be done
        self._told = 0.0
        self._failed: dict[Span, int] = {}
        # of each run, how many shots are in no result yet
        self._left = {uid: info.n_shots for uid, info in plan.runs.items()}
        self._at = 0
        for number, planned in enumerate(plan.groups):
            for uid, share in planned.shares.items():
                self._groups[number].todo.append(Span(number, uid, 0, share.n_shots))

    # what there is before it begins

    def give(self, partial: Partial) -> None:
        """Have a partial that was kept; what is in it is not done again."""
        (number,) = {span.group for span in partial.spans}
        self._have(number, partial.spans)
        self._groups[number].ready.append(Held(self._engine.put(partial), partial.spans))

    def skip(self, number: int) -> None:
        """Leave out a group that was finished before."""
        group = self._groups[number]
        self._have(number, frozenset(group.todo))
        group.is_done = True

    def _have(self, number: int, spans: frozenset[Span]) -> None:
        group = self._groups[number]
        for span in spans:
            self._left[span.run] -= span.n_shots
            group.todo = deque(part for held in group.todo for part in without(held, span))

    # while it goes on

    def run(self) -> Iterator[tuple[int, Partial]]:
        """Each group when it is finished: its number, and its result."""
        while True:
            if self._keeper is not None:
                self._keeper.look(self)  # before what is there is folded on
            self._submit()
            self._tell()
            yield from self._finished()
            if self._tasks:
                for number, outcome, place in self._engine.ended():
                    self._end(number, outcome, place)
            elif all(group.is_over for group in self._groups):
                self._tell(now=True)
                return

    def ready(self) -> Iterator[tuple[int, Held]]:
        """The results that there are of groups that are not finished."""
        for number, group in enumerate(self._groups):
            yield from ((number, held) for held in group.ready)

    def fetch(self, held: Held) -> Partial:
        """A result itself; it stays where it is."""
        return self._engine.fetch(held.result)

    def tell_more(self, n_shots: int) -> None:
        """Say that so many shots of a piece are done that is under way."""
        self._at += n_shots
        self._tell()

    def break_run(self, uid: str, reason: str) -> None:
        """Count a run no more."""
        info = self.plan.runs.pop(uid, None)
        if info is None:
            return
        log.error("run %s is broken, nothing of it is in any result: %s", uid, reason)
        if self._keeper is not None:
            self._keeper.broke(uid, reason)
        self.plan.broken.append(Broken(info, info.source, reason))
        del self._left[uid]
        for number, group in enumerate(self._groups):
            self.plan.groups[number].shares.pop(uid, None)
            group.todo = deque(span for span in group.todo if span.run != uid)
            tainted = [held for held in group.ready if uid in held.runs]
            group.ready = [held for held in group.ready if uid not in held.runs]
            for held in tainted:
                self._engine.drop(held.result)
                self._again(held.spans)
            if group.put_aside is not None and any(s.run == uid for s in group.put_aside[1]):
                self._again(group.put_aside[1])
                group.put_aside = None

    # what is done

    def _submit(self) -> None:
        limit = 1 if self._engine.folds_on else TASKS_PER_WORKER * self._engine.n_workers
        while self._first < len(self._groups) - 1 and self._groups[self._first].is_over:
            self._first += 1
        for number in range(self._first, len(self._groups)):
            group = self._groups[number]
            self._merge(number, group)
            while group.todo and len(self._tasks) < limit:
                self._fold(number, group)
            if len(self._tasks) >= limit:
                break

    def _fold(self, number: int, group: GroupWork) -> None:
        span = self._next(number, group)
        into = None
        if self._engine.folds_on and span not in self._failed:
            into = next((held for held in group.ready if held.runs == {span.run}), None)
        if into is not None:
            group.ready.remove(into)
        piece = self.plan.file.piece(self.plan.groups[number].shares[span.run], span)
        spans = frozenset({span}) if into is None else coalesced({*into.spans, span})
        task = self._begin(Task(number, spans, span, [] if into is None else [into]))
        self._engine.fold(task, piece, None if into is None else into.result)

    def _next(self, number: int, group: GroupWork) -> Span:
        """The next shots: fewer and fewer towards the end, so that no worker waits for the last."""
        span = group.todo.popleft()
        size = self._shots_per_piece
        share = self.plan.groups[number].shares[span.run]
        if size is None:
            left = sum(self._left.values())
            least = MIN_LARGE_SHOTS if share.n_pixels >= MANY_PIXELS else MIN_SHOTS
            size = max(least, min(MAX_SHOTS, left // (2 * self._engine.n_workers)))
        if share.n_sent_bytes:
            size = max(1, min(size, MAX_SENT_BYTES * share.n_shots // share.n_sent_bytes))
        if span.n_shots > size and span not in self._failed:
            group.todo.appendleft(span._replace(first=span.first + size))
            span = span._replace(stop=span.first + size)
        return span

    def _merge(self, number: int, group: GroupWork) -> None:
        """Merge what lies at one place; all of it, where nothing more will come."""
        if len(group.ready) < 2:
            return
        is_last = not (group.todo or group.n_tasks)
        going_on = {span.run for span in group.todo} if self._engine.folds_on else set()
        classes: dict[str, list[Held]] = {}
        for held in group.ready:
            if len(held.runs) > 1 or not held.runs <= going_on:
                classes.setdefault(self._class(held), []).append(held)
        for name, found in classes.items():
            if len(found) < 2:
                continue
            n_best = self._engine.n_merged
            at: dict[str, list[Held]] = {}
            for held in found:
                at.setdefault(held.place, []).append(held)
            is_whole = is_last or (name and self._left.get(name) == 0)
            for place in list(at):
                least = 2 if is_whole else n_best
                if len(at[place]) >= least:
                    self._begin_merge(number, group, at.pop(place)[:n_best])
            rest = [held for here in at.values() for held in here]
            too_many = 2 * n_best * self._engine.n_workers
            if (is_whole and not group.n_tasks and len(rest) > 1) or len(rest) > too_many:
                self._begin_merge(number, group, rest[: max(2, n_best)])

    def _begin_merge(self, number: int, group: GroupWork, held: list[Held]) -> None:
        for one in held:
            group.ready.remove(one)
        spans = coalesced(span for one in held for span in one.spans)
        task = self._begin(Task(number, spans, None, held))
        self._engine.merge(task, [one.result for one in held])

    def _class(self, held: Held) -> str:
        """Results of one name may be merged: of one run, or of runs that are surely whole.

        Else a run that breaks would take others along. Where runs are cut into groups, one is known
        to be whole at the very end only.
        """
        if not held.is_whole:
            by_all = self.plan.group_by.splits_runs
            held.is_whole = by_all or all(self._left[uid] == 0 for uid in held.runs)
        return "" if held.is_whole else " ".join(sorted(held.runs))

    def _begin(self, task: Task) -> int:
        self._n_begun += 1
        self._tasks[self._n_begun] = task
        self._groups[task.group].n_tasks += 1
        return self._n_begun

    def _end(self, number: int, outcome: Result | Exception, place: str) -> None:
        task = self._tasks.pop(number)
        group = self._groups[task.group]
        group.n_tasks -= 1
        self._at = 0
        if not self._engine.folds_on:
            for held in task.of:
                self._engine.drop(held.result)
        if not isinstance(outcome, Exception):
            if task.span is not None and task.span.run in self._left:
                self._left[task.span.run] -= task.span.n_shots
            self._keep(group, Held(outcome, task.spans, place))
        elif task.span is not None:
            self._fold_failed(task, task.span, outcome)
        else:
            self._merge_failed(task, outcome)

    def _keep(self, group: GroupWork, held: Held) -> None:
        if all(uid in self._left for uid in held.runs):
            group.ready.append(held)
            return
        # a run has turned out to be broken meanwhile
        self._engine.drop(held.result)
        self._again(held.spans)

    def _fold_failed(self, task: Task, span: Span, error: Exception) -> None:
        others = frozenset(s for held in task.of for s in held.spans)
        self._again(others)  # they were in what the piece was folded into
        self._failed[span] = self._failed.get(span, 0) + 1
        if span.run not in self._left:
            return
        # who was beside the one that killed a worker is tried once more, and last
        has_killed = isinstance(error, WorkerDiedError)
        if self._failed[span] > (min(1, self._retries) if has_killed else self._retries):
            self.break_run(span.run, reason_of(error))
            return
        log.warning(
            "shots %d to %d of run %s are tried again: %s",
            span.first, span.stop - 1, span.run, reason_of(error),
        )  # fmt: skip
        todo = self._groups[task.group].todo
        (todo.append if has_killed else todo.appendleft)(span)

    def _merge_failed(self, task: Task, error: Exception) -> None:
        group = self._groups[task.group]
        group.n_failed += 1
        if not isinstance(error, MergeError) and group.n_failed <= self._retries:
            # what was to be merged was lost and could not be had again: whose fault that is shows
            # when it is folded again
            self._again(task.spans)
            return
        raise ReprocessError(
            f"parts of the group {self.plan.groups[task.group].name!r} cannot be merged "
            f"({reason_of(error)}); an analysis has to merge what it has seen apart: check it with "
            "femto_bluesky.testing.laws.assert_laws"
        ) from error

    def _again(self, spans: frozenset[Span]) -> None:
        """Do again what was in a result that is gone."""
        for span in sorted(spans, reverse=True):
            if span.run in self._left:
                self._left[span.run] += span.n_shots
                self._groups[span.group].todo.appendleft(span)
                self._first = min(self._first, span.group)

    # what is finished

    def _finished(self) -> Iterator[tuple[int, Partial]]:
        file = self.plan.file
        for number, group in enumerate(self._groups):
            if group.is_complete:
                (held,) = group.ready
                if self._is_sure(held.spans):
                    group.ready.clear()
                    group.is_done = True
                    yield number, self._engine.take(held.result)
                else:
                    # it may have to wait long, for the last shots of its runs
                    partial = self._engine.fetch(held.result)
                    if self._keeper is not None:
                        self._keeper.keep(partial)
                    group.put_aside = file.put(partial), held.spans
                    group.ready.clear()
                    self._engine.drop(held.result)
            elif group.put_aside is not None and self._is_sure(group.put_aside[1]):
                place, _ = group.put_aside
                group.put_aside, group.is_done = None, True
                yield number, file.get(place)

    def _is_sure(self, spans: frozenset[Span]) -> bool:
        """Whether all runs that are in it have turned out to be whole."""
        return all(self._left.get(uid) == 0 for uid in {span.run for span in spans})

    def _tell(self, *, now: bool = False) -> None:
        if self._on_progress is None or (time.monotonic() < self._told + TELL_S and not now):
            return
        self._told = time.monotonic()
        n_shots = sum(self.plan.runs[uid].n_shots for uid in self._left)
        n_done = n_shots - sum(self._left.values()) + self._at
        working = next((task.group for task in self._tasks.values()), None)
        self._on_progress(
            Progress(
                n_done, n_shots, sum(g.is_done for g in self._groups), len(self._groups),
                len(self.plan.broken), "" if working is None else self.plan.groups[working].name,
            )
        )  # fmt: skip
