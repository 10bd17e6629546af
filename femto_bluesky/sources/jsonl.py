"""Runs as JSON lines: one ``["name", {document}]`` a line, as suitcase.jsonl writes them.

Images are not written as text: they go into an HDF5 file beside the JSON lines.
"""

from __future__ import annotations

import gzip
import json
import logging
import math
import os
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from femto_bluesky.sources.externalise import (
    Document,
    PathExistsError,
    externalise,
    refuse_existing,
)

__all__ = ["JsonLinesError", "PathExistsError", "read", "write"]

log = logging.getLogger(__name__)

NAMES: Final = frozenset(
    "start descriptor event event_page datum datum_page resource stream_resource stream_datum "
    "stop bulk_events bulk_datum".split()
)


class JsonLinesError(ValueError):
    """A file that does not hold documents as JSON lines."""


def write(
    documents: Iterable[tuple[str, Mapping[str, Any]]], path: str | os.PathLike[str]
) -> list[Path]:
    """Write documents to `path` (".gz" compresses), images to ``<stem>.h5`` beside it.

    Every line is strict JSON: arrays are lists, NaN and infinities are null. Returns the files
    that were written. Raises `PathExistsError`, before anything is written, where either exists.
    """
    path = Path(path)
    images = _beside(path)
    refuse_existing(path)
    refuse_existing(images)
    with gzip.open(path, "xt") if path.suffix == ".gz" else path.open("x") as lines:
        for name, document in externalise(documents, images):
            lines.write(json.dumps([name, strict(document)], allow_nan=False) + "\n")
    return [path, images] if images.exists() else [path]


def read(path: str | os.PathLike[str]) -> Iterator[Document]:
    """The documents in `path` (".gz" is decompressed) as (name, document) pairs.

    A run that was cut off gets a stop document that says 'fail' and where. An HDF5 file that is
    not where its document says, but beside `path`, is taken from there: both were moved.

    Raises FileNotFoundError at once, and `JsonLinesError` where a line is no document and no run
    is open that could tell of it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; check the name")
    return _documents(path)


def strict(value: Any) -> Any:
    """`value` as strict JSON holds it: plain dicts, lists and scalars, null for what is no number.

    Raises `JsonLinesError` where it holds an object that JSON does not know.
    """
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.generic):
        return strict(value.item())
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind in "biuU" or (array.dtype.kind == "f" and np.isfinite(array).all()):
            return array.tolist()
        return strict(array.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [strict(v) for v in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise JsonLinesError(
        f"a {type(value).__name__} in a document cannot be written as JSON; use plain numbers, "
        "text, lists and dicts"
    )


def _beside(path: Path) -> Path:
    stem = path.name.removesuffix(".gz")
    return path.with_name(Path(stem).stem + ".h5")


def _documents(path: Path) -> Iterator[Document]:
    open_runs = _OpenRuns()
    number, offset = 0, 0
    damage = ""
    with _binary(path) as lines:
        while not damage:
            try:
                line = lines.readline()
                if not line:
                    break
                number += 1
                name, document = _parse(line)
            except (JsonLinesError, EOFError, OSError, zlib.error) as error:
                damage = f"{path} is damaged at line {max(number, 1)} (byte {offset}): {error}"
                break
            offset += len(line)
            open_runs.note(name, document)
            yield name, _found(name, document, path)
    if damage:
        log.error("%s", damage)
    reason = damage or f"{path} ends at line {number} (byte {offset}) without a stop document"
    stops = list(open_runs.stops(reason))
    if stops and not damage:
        log.error("%s", reason)
    yield from stops
    if damage and not stops:
        raise JsonLinesError(damage)


def _binary(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _parse(line: bytes) -> Document:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        end = "" if line.endswith(b"\n") else ", the last line is cut off"
        raise JsonLinesError(f"it is not JSON{end} ({error})") from error
    match value:
        case [str(name), dict(document)] if name in NAMES:
            return name, document
    raise JsonLinesError('it is not a document; expected ["name", {...}]')


class _OpenRuns:
    """Which runs have begun and not ended, and how many events each stream of them has."""

    def __init__(self) -> None:
        self._events: dict[str, Counter[str]] = {}
        self._streams: dict[str, tuple[str, str]] = {}
        self._time = 0.0

    def note(self, name: str, document: Mapping[str, Any]) -> None:
        moment = document.get("time")
        if isinstance(moment, (int, float)):
            self._time = max(self._time, float(moment))
        if name == "start":
            self._events[str(document.get("uid"))] = Counter()
        elif name == "descriptor":
            run = str(document.get("run_start"))
            self._streams[str(document.get("uid"))] = run, str(document.get("name", "primary"))
        elif name in ("event", "event_page"):
            run, stream = self._streams.get(str(document.get("descriptor")), ("", ""))
            numbers = document.get("seq_num", 0)
            last = max(numbers, default=0) if isinstance(numbers, list) else numbers
            if run in self._events:
                self._events[run][stream] = max(self._events[run][stream], last)
        elif name == "stop":
            self._events.pop(str(document.get("run_start")), None)

    def stops(self, reason: str) -> Iterator[Document]:
        """A stop document that says 'fail' for each open run."""
        for run, events in self._events.items():
            yield (
                "stop",
                {
                    "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run} stop")),
                    "run_start": run,
                    "time": self._time,
                    "exit_status": "fail",
                    "reason": reason,
                    "num_events": dict(events),
                },
            )


def _found(name: str, document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The document of an external file, pointing beside `path` where the file was moved there."""
    if name == "stream_resource" and str(document.get("uri", "")).startswith("file:"):
        said = Path(unquote(urlsplit(document["uri"]).path))
        beside = (path.parent / said.name).absolute()
        if not said.exists() and beside.exists():
            return {**document, "uri": f"file://localhost{quote(beside.as_posix())}"}
    elif name == "resource" and "resource_path" in document:
        said = Path(str(document.get("root", "")), document["resource_path"])
        beside = (path.parent / said.name).absolute()
        if not said.exists() and beside.exists():
            return {**document, "root": str(beside.parent), "resource_path": beside.name}
    return document
