"""What is done already, kept beside the results, so that work goes on where it stopped.

Whatever was lost or is in doubt is done again: that costs time, and changes no result.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from femto_bluesky.files.held_directory import HeldDirectory, HeldElsewhereError
from femto_bluesky.reprocess.driving import Driver
from femto_bluesky.reprocess.engines import ReprocessError
from femto_bluesky.reprocess.folding import Partial, check_apart
from femto_bluesky.reprocess.kept_states import read_state
from femto_bluesky.reprocess.pieces import Span
from femto_bluesky.stream.analysis import Analysis

log = logging.getLogger(__name__)

FOLDER = ".reprocess"
EVERY_S = 60.0
"""So often what is in work is kept; more rarely where that takes more than a twentieth of it."""

SHARE = 19


@dataclass(frozen=True, slots=True)
class Kept:
    """A partial in a file."""

    path: Path
    digest: str
    spans: frozenset[Span]


@dataclass(slots=True)
class Before:
    """What former attempts have done."""

    told: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)


class Journal:
    """A folder in `out` with a list of what is done, and partials that have been kept.

    It is of one piece of work, by its fingerprint. One process has it at a time; `close` it. Raises
    `ReprocessError` where it is of another piece of work, or another process has it, and `OSError`
    where nothing can be written.
    """

    def __init__(
        self, out: Path, mark: str, pattern: Analysis, *, restart: bool = False
    ) -> None:  # fmt: skip
        self._folder = out / FOLDER
        self._held = HeldDirectory(self._folder)
        self._pattern = pattern
        self._next = time.monotonic() + EVERY_S
        self.before = Before()
        try:
            self._held.hold()
        except HeldElsewhereError as error:
            raise ReprocessError(
                f"another process works in {out} ({error}); wait for it, or give another folder"
            ) from None
        path = self._folder / "journal.jsonl"
        try:
            if restart:
                self._forget(path)
            self._read(path, out, mark)
            self._lines: IO[str] = path.open("a", encoding="utf-8")
        except BaseException:
            self._held.let_go()
            raise
        if path.stat().st_size == 0:
            self._write({"fingerprint": mark})

    def close(self) -> None:
        """Let another process have it."""
        self._lines.close()
        self._held.let_go()

    # what is noted

    def finish(self, number: int, name: str, told: Any) -> None:
        """Note that a group is finished, with what is to be known of it: plain data."""
        try:
            self._write({"group": name, "told": told})
        except TypeError as error:
            raise TypeError(
                f"on_group has returned {told!r:.80} ({error}), expected nothing, or plain data "
                "that JSON can hold"
            ) from error
        self._remove(kept for kept in self.before.kept if _group(kept) == number)

    def broke(self, uid: str, reason: str) -> None:
        """Note that a run is broken, and stays so."""
        if uid in self.before.broken:
            return
        self._write({"broken": uid, "reason": reason})

    def look(self, driver: Driver) -> None:
        """Keep what is in work, if that is due."""
        if time.monotonic() < self._next:
            return
        began = time.monotonic()
        there = {kept.spans for kept in self.before.kept}
        for _, held in driver.ready():
            if held.spans not in there:
                self.keep(driver.fetch(held))
        took = time.monotonic() - began
        self._next = time.monotonic() + max(EVERY_S, SHARE * took)

    def keep(self, partial: Partial) -> None:
        """Keep a partial; those that are in it are kept no more."""
        path = self._folder / f"state-{secrets.token_hex(6)}.pickle"
        content = pickle.dumps(partial, pickle.HIGHEST_PROTOCOL)
        try:
            with path.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # what cannot be kept now is done again later
            log.error("%s: what is done so far cannot be kept: %s", path, error)
            path.unlink(missing_ok=True)
            return
        kept = Kept(path, hashlib.sha256(content).hexdigest(), partial.spans)
        self._write({"kept": path.name, "sha256": kept.digest, "spans": sorted(partial.spans)})
        self._remove(old for old in self.before.kept if old.spans <= partial.spans)
        self.before.kept.append(kept)

    def partials(self) -> list[Partial]:
        """What was kept, each shot once, without runs that are broken."""
        found: list[Partial] = []
        for kept in reversed(self.before.kept):  # the newest have the most
            if any(span.run in self.before.broken for span in kept.spans):
                continue
            try:
                check_apart([*found, Partial(self._pattern, kept.spans)])
            except ValueError:
                continue
            try:
                found.append(read_state(kept.path, kept.digest, self._pattern))
            except (OSError, ValueError) as error:
                log.warning("%s; what it held is done again", error)
        return found

    # how it is written

    def _read(self, path: Path, out: Path, mark: str) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        for number, line in enumerate(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # cut off when the process ended
            if number == 0 and entry.get("fingerprint") != mark:
                raise ReprocessError(
                    f"{out} holds work that was begun with other runs, settings, groups or another "
                    "version of the code, expected the same; give another folder, or restart=True "
                    "(--restart) to begin anew there"
                )
            self._note(entry)
        if lines and not path.read_bytes().endswith(b"\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def _note(self, entry: Mapping[str, Any]) -> None:
        before = self.before
        if "group" in entry:
            before.told[entry["group"]] = entry["told"]
        elif "broken" in entry:
            before.broken[entry["broken"]] = entry["reason"]
        elif "kept" in entry:
            spans = frozenset(Span(*span) for span in entry["spans"])
            # a name and no path: what is not in this folder is none of ours
            path = self._folder / Path(entry["kept"]).name
            if path.is_file():
                before.kept.append(Kept(path, entry["sha256"], spans))

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._lines.write(json.dumps(entry) + "\n")
        self._lines.flush()
        os.fsync(self._lines.fileno())

    def _remove(self, found: Any) -> None:
        for kept in list(found):
            self.before.kept.remove(kept)
            kept.path.unlink(missing_ok=True)

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for state in self._folder.glob("state-*.pickle"):
            state.unlink()


def _group(kept: Kept) -> int:
    return next(iter(kept.spans)).group
