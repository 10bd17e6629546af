"""The lines of a run that goes on, written as its documents come."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from femto_bluesky.files.lines import PatientLines
from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.locks import try_lock
from femto_bluesky.sources.documents import Document, Pair
from femto_bluesky.sources.externalise import externalise

_NOTHING_MORE = ""

log = logging.getLogger(__name__)


class Journal:
    """The lines of a run that goes on; its inline images leave the documents one by one.

    The file is locked until it is closed, so that no upload takes it for a run that was killed.
    """

    def __init__(self, path: Path, frames: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._lines = PatientLines(lambda: self._file)
        self._lock()
        self._given: deque[Pair] = deque()
        made = externalise(self._feed(), frames)
        self._documents = cast("Generator[Document, None, None]", made)

    def _lock(self) -> None:
        for _ in range(100):  # who looks whether a file is locked has it for a moment
            if try_lock(self._file):
                return
            time.sleep(0.01)

    def append(self, name: str, doc: Mapping[str, Any]) -> None:
        """Write a document, and let it reach the disk's cache: it survives the process.

        Where the disk is full, it waits in memory (see `PatientLines`).
        """
        self._given.append((name, doc))
        for kind, document in self._documents:
            if kind == _NOTHING_MORE:
                break
            self._lines.write(jsonl.line(kind, document))

    def finish(self) -> None:
        """Nothing more comes; the lines stay locked while the catalog takes them.

        Raises `OutputError` where lines could not be written.
        """
        self._documents.close()
        self._lines.settle()

    def close(self) -> None:
        """Close the files. Lines that could not be written are lost, which the log says."""
        self._documents.close()
        try:
            self._lines.close()
        except OSError as error:
            log.error("%s: %s", self.path, error)
        self._file.close()

    def _feed(self) -> Iterator[Pair]:
        """What was given, and then, again and again, that there is nothing more yet."""
        while True:
            # externalise hands on what it does not know
            yield self._given.popleft() if self._given else (_NOTHING_MORE, {})
