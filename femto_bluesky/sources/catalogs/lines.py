"""A directory of JSON lines as a catalog: every `.jsonl` and `.jsonl.gz` in it."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from femto_bluesky.files.names import new_path
from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.runs import CatalogError, Condition, Owners, Run, RunExistsError
from femto_bluesky.sources.documents import Pair

log = logging.getLogger(__name__)

Listed = list[tuple[dict[str, Any], dict[str, Any] | None]]


class LinesStore:
    """Runs in the files of a directory, one or several in a file.

    A file is looked through when it is new or has changed. What is no JSON lines is left out, and
    the log says so. With `is_growing`, which is asked of files, a run without a stop document is
    left out while its file grows, and has one that says 'fail' when it does not: it was killed.
    """

    def __init__(
        self, directory: Path, *, is_growing: Callable[[Path], bool] | None = None
    ) -> None:
        self._directory = directory
        self._is_growing = is_growing
        self._listed: dict[Path, tuple[tuple[int, int], Listed]] = {}

    @property
    def where(self) -> str:
        """How it is called in messages."""
        return f"the JSON lines in {self._directory}"

    def find(self, conditions: Iterable[Condition], *, newest_first: bool = False) -> Iterator[Run]:
        """The runs for which all conditions hold, by the time of their start."""
        wanted = list(conditions)
        found = [run for run in self._runs() if all(c.holds(run.start) for c in wanted)]
        yield from sorted(found, key=lambda run: float(run.start["time"]), reverse=newest_first)

    def with_uid(self, uid: str) -> list[Run]:
        """The runs whose uid is this or begins so, two at most."""
        return [run for run in self._runs() if run.uid.startswith(uid)][:2]

    def insert(self, path: Path) -> None:
        """Copy a file of JSON lines into the directory, under the run's number and uid.

        A run without a stop document gets one that says 'fail'. Raises `RunExistsError` where the
        run is there already, and `CatalogError` where it is there in part.
        """
        listed = list_runs(path)
        if not listed:
            raise CatalogError(f"{path} holds no run; expected JSON lines with a start document")
        start = listed[0][0]
        for there in self.with_uid(start["uid"]):
            if there.stop is None and _without_stops(there.read()) != _without_stops(
                jsonl.read(path, tell=False)
            ):
                raise CatalogError(
                    f"run {there.uid} is in {self._directory}, but cut off; put that file aside"
                )
            raise RunExistsError(f"run {there.uid} is in {self._directory} already")
        self._directory.mkdir(parents=True, exist_ok=True)
        stem = f"scan_{start['scan_id']}_" if "scan_id" in start else ""
        to = new_path(self._directory, f"{stem}{start['uid'][:8]}", "jsonl", reserve=True)
        # who is killed meanwhile leaves no file that looks like a run that was stored
        part = to.with_name(f"{to.name}.part")
        try:
            if all(stop for _, stop in listed):
                shutil.copyfile(path, part)
            else:
                with part.open("w") as lines:
                    lines.writelines(jsonl.line(*pair) for pair in jsonl.read(path))
            part.replace(to)
        except BaseException:
            # a full disk, for one: neither a part nor an empty file is left
            for left in (part, to):
                left.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Nothing is kept open."""

    def _runs(self) -> Iterator[Run]:
        for path in sorted([*self._directory.glob("*.jsonl"), *self._directory.glob("*.jsonl.gz")]):
            try:
                state = path.stat().st_mtime_ns, path.stat().st_size
                if self._is_growing and not state[1]:
                    continue  # whoever has made it has written nothing yet
                if self._listed.get(path, ((0, 0),))[0] != state:
                    self._listed[path] = state, list_runs(path)
            except (OSError, EOFError, zlib.error, jsonl.JsonLinesError) as error:
                if path.exists():
                    log.warning("%s is left out: %s", path, error)
                continue
            listed = self._listed[path][1]
            if self._is_growing and not all(stop for _, stop in listed):
                if self._is_growing(path):
                    listed = [(start, stop) for start, stop in listed if stop]
                else:
                    listed = _with_stops(path, listed)
                    self._listed[path] = state, listed
            for start, stop in listed:
                read = partial(_documents, path, start["uid"] if len(listed) > 1 else None)
                yield Run(start, stop, self.where, read)


def list_runs(path: Path) -> Listed:
    """The start and the stop document (or None) of every run in a file of JSON lines.

    Lines that are cut off end the list. Raises `JsonLinesError` where no line is a start document.
    """
    starts: dict[str, dict[str, Any]] = {}
    stops: dict[str, dict[str, Any]] = {}
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as lines:
        for line in lines:
            if not line.startswith(('["start"', '["stop"')):
                continue
            try:
                name, document = json.loads(line)
            except ValueError:
                break
            if name == "start":
                starts[document["uid"]] = document
            else:
                stops[document["run_start"]] = document
    if not starts:
        raise jsonl.JsonLinesError("no run starts in it")
    return [(start, stops.get(uid)) for uid, start in starts.items()]


def _with_stops(path: Path, listed: Listed) -> Listed:
    documents = jsonl.read(path, tell=False)
    stops = {doc["run_start"]: dict(doc) for name, doc in documents if name == "stop"}
    return [(start, stop or stops.get(start["uid"])) for start, stop in listed]


def _without_stops(documents: Iterable[Pair]) -> list[Pair]:
    return [(name, document) for name, document in documents if name != "stop"]


def _documents(path: Path, run: str | None) -> Iterator[Pair]:
    owners = Owners()
    for name, document in jsonl.read(path):
        if run is None or owners.run_of(name, document) == run:
            yield name, document
