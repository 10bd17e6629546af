"""One face for all catalogs: runs are stored, found, read, and so is what was made of them."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from femto_bluesky.sources.catalogs.lines import LinesStore
from femto_bluesky.sources.catalogs.runs import Condition, Run, RunNotFoundError, Store
from femto_bluesky.sources.catalogs.writer import CatalogWriter
from femto_bluesky.sources.documents import Pair

log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long reading waits for the runs that are being stored."""

MIN_UID = 5
"""Letters of a uid that are taken for one."""

Moment = float | str | datetime


class Catalog:
    """Runs that are kept somewhere; `open_catalog` makes one.

    ``RE.subscribe(catalog.writer)`` and ``live.subscribe(catalog.writer)`` store raw and derived
    runs. ``catalog[-1]`` is the newest raw run, ``catalog[12]`` the newest with that scan_id,
    ``catalog["5f3a9c"]`` the run, raw or derived, whose uid begins so. Iteration goes over the raw
    runs, oldest first. Runs that the catalog has not taken yet are read from the disk; those that
    former processes left are taken in when the first run starts, or by `take_in`. `address` is what
    the catalog is called on a command line.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        *,
        frames: Path | None = None,
        prepare: Callable[[], object] | None = None,
        on_close: Callable[[], object] = lambda: None,
        address: str = "CATALOG",
    ) -> None:
        self.store = store
        self.directory = directory
        waiting = directory / "waiting"
        self._on_close = on_close
        self.writer = CatalogWriter(
            store.insert, waiting, frames or directory / "frames", store.where,
            prepare=prepare, to=address,
        )  # fmt: skip
        # what waits comes first: of a run that is in both, the lines are the exact ones
        self._waiting = LinesStore(waiting, is_growing=self.writer.is_growing)
        self._stores: list[Store] = [self._waiting, store]

    @property
    def where(self) -> str:
        """What it is, in words."""
        return self.store.where

    def __repr__(self) -> str:
        return f"<Catalog: {self.where}>"

    def __getitem__(self, key: int | str) -> Run:
        """The newest raw runs by -1, -2 ..., a raw run by its scan_id, any run by its uid.

        Raises `RunNotFoundError` where there is none, or a uid is not unique.
        """
        if isinstance(key, str):
            return self._by_uid(key)
        if key < 0:
            newest = (r for r in self._find([], newest_first=True) if not r.is_derived)
            for number, run in enumerate(newest, start=1):
                if number == -key:
                    return run
            raise RunNotFoundError(f"{self.where}: it has fewer than {-key} raw runs")
        wanted = [Condition("scan_id", equals=key)]
        for run in self._find(wanted, newest_first=True):
            if not run.is_derived:
                return run
        raise RunNotFoundError(
            f"{self.where}: no raw run has the scan_id {key}; count from the newest with -1, or "
            "give a uid"
        )

    def __iter__(self) -> Iterator[Run]:
        return (run for run in self._find([]) if not run.is_derived)

    def __len__(self) -> int:
        """The number of raw runs."""
        return sum(1 for _ in self)

    def search(
        self, *, since: Moment | None = None, until: Moment | None = None, **values: Any
    ) -> list[Run]:
        """The runs, raw and derived, whose start documents hold these values, oldest first.

        A value may be a range: ``range(10, 20)``, or a tuple (low, high) that includes both, None
        where it is open. `since` and `until` are seconds since 1970, a datetime, or ISO text. For
        keys that lie deeper: ``search(**{"sample.name": "LaB6"})``.
        """
        conditions = [_condition(key, value) for key, value in values.items()]
        if since is not None or until is not None:
            conditions.append(Condition("time", low=_seconds(since), high=_seconds(until)))
        return list(self._find(conditions))

    def derived_of(self, run: Run | str | int) -> list[Run]:
        """What analyses have made of a run, oldest first."""
        uid = run.uid if isinstance(run, Run) else self[run].uid
        return list(self._find([Condition("original_run_uid", equals=uid)]))

    def take_in(self, timeout_s: float = 0.0) -> bool:
        """Begin to store what former processes left; whether that is done within the time.

        A thread does it, and opens the catalog where that takes seconds. Nothing is raised.
        """
        return self.writer.take_in(timeout_s)

    def close(self) -> None:
        """Wait for what is being stored, and let go of the catalog."""
        self.writer.close()
        for store in self._stores:
            store.close()
        self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _by_uid(self, uid: str) -> Run:
        if len(uid) < MIN_UID:
            raise RunNotFoundError(
                f"{uid!r} is too short for a uid; give {MIN_UID} letters or more, a scan_id, or -1"
            )
        self._settle()
        # those that wait first: one that is stored meanwhile is then found where it has gone
        found: dict[str, Run] = {}
        for store in self._stores:
            for run in store.with_uid(uid):
                found.setdefault(run.uid, run)
        if len(found) != 1:
            raise RunNotFoundError(
                f"{self.where}: found {'no run' if not found else 'several runs'} whose uid "
                f"begins with {uid!r}; expected one"
            )
        return self._bound(next(iter(found.values())))

    def _find(
        self, conditions: Iterable[Condition], *, newest_first: bool = False
    ) -> Iterator[Run]:
        self._settle()
        wanted = list(conditions)
        found = [store.find(wanted, newest_first=newest_first) for store in self._stores]
        seen: set[str] = set()
        times = heapq.merge(*found, key=lambda run: float(run.start["time"]), reverse=newest_first)
        for run in times:
            if run.uid not in seen:  # stored, and not yet removed from those that wait
                seen.add(run.uid)
                yield self._bound(run)

    def _bound(self, run: Run) -> Run:
        read = partial(self._documents, run) if run.where == self._waiting.where else run.read
        return replace(run, derived=lambda: self.derived_of(run), read=read)

    def _documents(self, run: Run) -> Iterator[Pair]:
        """The documents of a run that waits, or that did so when it was asked for."""
        try:
            yield from run.read()
        except FileNotFoundError:
            stored = next((other for other in self.store.with_uid(run.uid)), None)
            if stored is None:
                raise
            yield from stored.read()

    def _settle(self) -> None:
        if not self.writer.wait(PATIENCE_S):
            log.warning("%s is still storing runs; those are read from the disk", self.where)


def _condition(key: str, value: Any) -> Condition:
    if isinstance(value, range):
        if value.step != 1 or not value:
            raise ValueError(f"{key}={value}: expected a range of steps of 1 that is not empty")
        return Condition(key, low=value.start, high=value.stop - 1)
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"{key}={value}: expected two limits (low, high), None where open")
        return Condition(key, low=value[0], high=value[1])
    return Condition(key, equals=value)


def _seconds(moment: Moment | None) -> float | None:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment).astimezone()
    return moment.timestamp() if isinstance(moment, datetime) else moment
