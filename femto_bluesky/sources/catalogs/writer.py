"""Write runs into a catalog without ever stopping, or holding up, the scan that makes them."""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from femto_bluesky.files.names import new_path
from femto_bluesky.sources.catalogs.ending import when_ending
from femto_bluesky.sources.catalogs.journal import Journal
from femto_bluesky.sources.catalogs.left_behind import left_in, take_in
from femto_bluesky.sources.catalogs.locks import is_locked
from femto_bluesky.sources.catalogs.runs import Owners, RunExistsError

log = logging.getLogger(__name__)

SLOW_S = 30.0
"""How long storing one run may take before the log calls the catalog slow."""

READY_S = 30.0
"""How long the end of the first run may wait for the catalog to be opened, once."""

AT_EXIT_S = 10.0
"""How long a process that ends waits for the catalog."""


class CatalogWriter:
    """A callback that stores runs: ``RE.subscribe(catalog.writer)``.

    Each document goes to disk at once, as a line in `waiting/<uid>.jsonl`, images that stand in
    events into `frames/<uid>.h5`. When the run has stopped, a thread hands the lines to the
    catalog (`insert`) and then removes them. What the catalog does not take stays in `waiting`,
    and so do the lines of a process that was killed; the thread takes them in when the catalog is
    opened the next time, while it has nothing else to store. Nothing is raised: what goes wrong is
    logged once, and is in `failures`.

    `prepare` opens the catalog, where that takes seconds: in the thread, from the start of the
    first run on. A run that is over sooner waits for it, for a process that ends then can start no
    threads, and opens nothing any more. `to` is what the catalog is called on a command line.
    """

    def __init__(
        self,
        insert: Callable[[Path], None],
        waiting: Path,
        frames: Path,
        where: str,
        *,
        slow_s: float = SLOW_S,
        prepare: Callable[[], object] | None = None,
        to: str = "CATALOG",
    ) -> None:
        self.waiting, self.where, self._to = waiting, where, to
        self.failures: list[Exception] = []
        self._insert = insert
        self._frames = frames
        self._slow_s = slow_s
        self._owners = Owners()
        self._journals: dict[str, Journal] = {}
        self._queue: queue.SimpleQueue[Journal | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._n_waiting = 0
        self._since: float | None = None  # when storing the present run began
        self._is_told = self._is_slow_told = False
        self._thread: threading.Thread | None = None
        self._prepare = prepare
        self._is_ready = threading.Event()
        self._left: deque[Path] = deque()
        self._taking: Path | None = None
        self._has_taken_in = threading.Event()
        self._is_closing = self._is_left_told = False

    def __call__(self, name: str, doc: Any) -> None:
        """Take a document."""
        try:
            self._take(name, doc)
        except Exception as failure:
            self.failures.append(failure)
            run = self._owners.run_of(name, doc) if isinstance(doc, Mapping) else None
            journal = self._journals.pop(run or "", None)
            if journal is not None:
                with contextlib.suppress(OSError):
                    journal.close()
            if journal is not None or name == "start":
                log.exception(
                    "run %s is not kept for %s: it cannot be written below %s; free the disk, or "
                    "choose another directory. The scan goes on",
                    run, self.where, self.waiting,
                )  # fmt: skip

    def wait(self, timeout_s: float = 60.0) -> bool:
        """Wait until every run that has stopped was stored, or refused; whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._n_waiting == 0, timeout_s)

    def take_in(self, timeout_s: float = 0.0) -> bool:
        """Begin to open the catalog and store what former processes left; whether it is done.

        It is done in the thread. What cannot be stored is told of and stays.
        """
        # what the thread is taking in right now is locked, and does not look left any more
        if self._thread is None and self._prepare is None and not left_in(self.waiting):
            return True
        self._start_thread()
        return self._has_taken_in.wait(timeout_s)

    def is_growing(self, path: Path) -> bool:
        """Whether a file in `waiting` is being written, here or by another process."""
        if any(journal.path == path for journal in list(self._journals.values())):
            return True
        return path != self._taking and is_locked(path)

    def close(self, timeout_s: float = AT_EXIT_S) -> None:
        """Wait for the catalog, as long as `timeout_s`, and end the thread."""
        self._is_closing = True
        if not self.wait(timeout_s):
            log.warning(
                "%s has not taken %d runs in %.0f s; they are kept in %s and taken in at the next "
                "start, or by: femto-bluesky upload %s --to %s",
                self.where, self._n_waiting, timeout_s, self.waiting, self.waiting, self._to,
            )  # fmt: skip
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()
        if self._thread is not None:
            atexit.unregister(self.close)
            self._queue.put(None)
            self._thread.join(0 if self._n_waiting else timeout_s)
            self._thread = None

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        run = self._owners.run_of(name, doc)
        if run is None or (name != "start" and run not in self._journals):
            return  # subscribed in the middle of it, or its lines cannot be written
        if name == "start":
            self.waiting.mkdir(parents=True, exist_ok=True)
            self._frames.mkdir(parents=True, exist_ok=True)
            self._journals[run] = Journal(
                new_path(self.waiting, run, "jsonl", reserve=True),
                new_path(self._frames, run, "h5"),
            )
            self._tell_if_slow()
            if self._prepare is not None:
                self._start_thread()
        journal = self._journals[run]
        journal.append(name, doc)
        if name == "stop":
            journal.finish()
            del self._journals[run]
            self._owners.forget(run)
            with self._changed:
                self._n_waiting += 1
            self._queue.put(journal)
            self._start_thread()
            self._is_ready.wait(READY_S)
            self._is_ready.set()

    def _start_thread(self) -> None:
        if self._thread is None:
            self._is_closing = False
            self._has_taken_in.clear()
            self._thread = threading.Thread(target=self._work, name="catalog", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _work(self) -> None:
        try:
            if self._prepare is not None:
                self._prepare()
        except Exception as failure:
            log.debug("%s is not opened yet: %s", self.where, failure)  # storing tells, if it fails
        close = weakref.WeakMethod(self.close)
        when_ending(lambda: (now := close()) and now())  # before what was opened just now is closed
        self._is_ready.set()
        self._left = deque(left_in(self.waiting))
        while (journal := self._next()) is not None:
            self._since = time.monotonic()
            try:
                self._insert(journal.path)
                journal.path.unlink()
                self._is_told = self._is_slow_told = False
            except Exception as failure:
                self._tell(journal.path, failure)
            with contextlib.suppress(OSError):
                journal.close()
            self._since = None
            with self._changed:
                self._n_waiting -= 1
                self._changed.notify_all()

    def _next(self) -> Journal | None:
        """The next run that has stopped; until there is one, what was left is taken in."""
        while self._left:
            try:
                return self._queue.get_nowait()
            except queue.Empty:
                self._take_in(self._left.popleft())
        self._has_taken_in.set()
        return self._queue.get()

    def _take_in(self, path: Path) -> None:
        self._taking = path
        try:
            if take_in(path, self._insert):
                log.info("%s was left by a former process; %s has it now", path, self.where)
        except Exception as failure:
            self.failures.append(failure)
            is_news = not (self._is_closing or self._is_left_told)
            log.log(
                logging.WARNING if is_news else logging.INFO,
                "%s was left by a former process, and %s does not take it (%s: %s). It stays, and "
                "is found and replayed from there. More that stay are in the log as information",
                path, self.where, type(failure).__name__, failure,
            )  # fmt: skip
            self._is_left_told = True
        self._taking = None

    def _tell(self, path: Path, failure: Exception) -> None:
        self.failures.append(failure)
        if not self._is_told or isinstance(failure, RunExistsError):
            log.error(
                "%s did not take a run (%s: %s); it is kept in %s, and found and replayed from "
                "there. The next start tries again, or, when this process has ended: "
                "femto-bluesky upload %s --to %s. More that fail are not told of",
                self.where, type(failure).__name__, failure, path, self.waiting, self._to,
            )  # fmt: skip
        self._is_told = True

    def _tell_if_slow(self) -> None:
        since = self._since
        if since is None or self._is_slow_told or time.monotonic() - since < self._slow_s:
            return
        self._is_slow_told = True
        log.warning(
            "%s has been storing a run for %.0f s; %d runs wait in %s. The scan goes on",
            self.where, time.monotonic() - since, self._n_waiting, self.waiting,
        )  # fmt: skip
