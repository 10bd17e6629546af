"""Scan numbers that go on: after a restart, and with several prompts side by side."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from femto_bluesky.sources.catalogs import Catalog

log = logging.getLogger(__name__)


class ScanNumbers:
    """Counts scans in a file: ``RunEngine(scan_id_source=ScanNumbers(path))``.

    bluesky's PersistentDict would keep the number too, but only for one process at a time, and a
    disk that is full would stop the scan. Here the file is locked while it counts, so that no two
    prompts give the same number; where it cannot be written, the log says so once and the session
    counts on by itself. What somebody sets as ``RE.md["scan_id"]`` is followed.
    """

    def __init__(self, path: Path, at_least: int = 0) -> None:
        self._path = path
        self._at_least = at_least
        self._given: int | None = None
        self._is_told = False

    @property
    def last(self) -> int:
        """The number of the last scan, as far as this session and the file know."""
        try:
            return max(self._at_least, _number(self._path.read_text(encoding="ascii")))
        except (OSError, UnicodeDecodeError):
            return self._at_least

    def __call__(self, md: Mapping[str, Any]) -> int:
        """The number of the next scan."""
        set_by_hand = None
        if md.get("scan_id") != self._given and isinstance(md.get("scan_id"), int):
            set_by_hand = int(md["scan_id"])
        try:
            number = self._count(set_by_hand)
        except OSError as error:
            number = 1 + (self._at_least if set_by_hand is None else set_by_hand)
            if not self._is_told:
                log.warning(
                    "scan numbers cannot be kept in %s (%s); this session goes on with %d, and the "
                    "next one may give the same numbers again", self._path, error, number,
                )  # fmt: skip
                self._is_told = True
        self._at_least = self._given = number
        return number

    def _count(self, set_by_hand: int | None) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+", encoding="ascii", errors="replace") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            kept = max(self._at_least, _number(file.read()))
            number = 1 + (kept if set_by_hand is None else set_by_hand)
            file.seek(0)
            file.truncate()
            file.write(f"{number}\n")
        return number


def last_in(catalog: Catalog) -> int:
    """The number of the newest raw run of a catalog; 0 where there is none."""
    try:
        found = catalog[-1].start.get("scan_id", 0)
    except Exception as error:  # a catalog that cannot be read stops nobody
        log.debug("no last scan number from %s: %s", catalog.where, error)
        return 0
    return found if isinstance(found, int) else 0


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0
