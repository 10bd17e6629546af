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
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from femto_bluesky.files.names import new_path
from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.ending import when_ending
from femto_bluesky.sources.catalogs.locks import try_lock
from femto_bluesky.sources.catalogs.runs import Owners, RunExistsError
from femto_bluesky.sources.documents import Document, Pair
from femto_bluesky.sources.externalise import externalise

log = logging.getLogger(__name__)

SLOW_S = 30.0
"""How long storing one run may take before the log calls the catalog slow."""

READY_S = 30.0
"""How long the end of the first run may wait for the catalog to be opened, once."""

AT_EXIT_S = 10.0
"""How long a process that ends waits for the catalog."""

_NOTHING_MORE = ""


class CatalogWriter:
    """A callback that stores runs: ``RE.subscribe(catalog.writer)``.

    Each document goes to disk at once, as a line in `waiting/<uid>.jsonl`, images that stand in
    events into `frames/<uid>.h5`. When the run has stopped, a thread hands the lines to the
    catalog (`insert`) and then removes them. What the catalog does not take stays in `waiting`,
    to be uploaded later. Nothing is raised: what goes wrong is logged once, and is in `failures`.

    `prepare` opens the catalog, where that takes seconds: in the thread, from the start of the
    first run on. A run that is over sooner waits for it, for a process that ends then can start no
    threads, and opens nothing any more.
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
    ) -> None:
        self.waiting, self.where = waiting, where
        self.failures: list[Exception] = []
        self._insert = insert
        self._frames = frames
        self._slow_s = slow_s
        self._owners = Owners()
        self._journals: dict[str, _Journal] = {}
        self._queue: queue.SimpleQueue[_Journal | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._n_waiting = 0
        self._since: float | None = None  # when storing the present run began
        self._is_told = self._is_slow_told = False
        self._thread: threading.Thread | None = None
        self._prepare = prepare
        self._is_ready = threading.Event()

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

    def close(self, timeout_s: float = AT_EXIT_S) -> None:
        """Wait for the catalog, as long as `timeout_s`, and end the thread."""
        if not self.wait(timeout_s):
            log.warning(
                "%s has not taken %d runs in %.0f s; they are kept in %s. Upload them later: "
                "femto-bluesky upload %s --to CATALOG",
                self.where, self._n_waiting, timeout_s, self.waiting, self.waiting,
            )  # fmt: skip
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()
        if self._thread is not None:
            atexit.unregister(self.close)
            self._queue.put(None)
            self._thread.join(0 if self._n_waiting else None)
            self._thread = None

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        run = self._owners.run_of(name, doc)
        if run is None or (name != "start" and run not in self._journals):
            return  # subscribed in the middle of it, or its lines cannot be written
        if name == "start":
            self.waiting.mkdir(parents=True, exist_ok=True)
            self._frames.mkdir(parents=True, exist_ok=True)
            self._journals[run] = _Journal(
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
        while (journal := self._queue.get()) is not None:
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

    def _tell(self, path: Path, failure: Exception) -> None:
        self.failures.append(failure)
        if not self._is_told or isinstance(failure, RunExistsError):
            log.error(
                "%s did not take a run (%s: %s); it is kept in %s. Upload it later: "
                "femto-bluesky upload %s --to CATALOG. More that fail are not told of",
                self.where, type(failure).__name__, failure, path, self.waiting,
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


class _Journal:
    """The lines of a run that goes on; its inline images leave the documents one by one.

    The file is locked until it is closed, so that no upload takes it for a run that was killed.
    """

    def __init__(self, path: Path, frames: Path) -> None:
        self.path = path
        self._lines: IO[str] = path.open("a")
        try_lock(self._lines)
        self._given: deque[Pair] = deque()
        made = externalise(self._feed(), frames)
        self._documents = cast("Generator[Document, None, None]", made)

    def append(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write a document, and let it reach the disk's cache: it survives the process."""
        self._given.append((name, doc))
        for kind, document in self._documents:
            if kind == _NOTHING_MORE:
                break
            self._lines.write(jsonl.line(kind, document))
        self._lines.flush()

    def finish(self) -> None:
        """Nothing more comes; the lines stay locked while the catalog takes them."""
        self._documents.close()

    def close(self) -> None:
        """Close the files."""
        self.finish()
        self._lines.close()

    def _feed(self) -> Iterator[Pair]:
        """What was given, and then, again and again, that there is nothing more yet."""
        while True:
            # externalise hands on what it does not know
            yield self._given.popleft() if self._given else (_NOTHING_MORE, {})
