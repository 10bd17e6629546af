"""Runs as JSON lines: one ``["name", {document}]`` a line, as suitcase.jsonl writes them.

Read is also what bluesky's own `JSONLinesWriter` writes, ``{"name": ..., "doc": {document}}``.

Images are not written as text: they go into an HDF5 file beside the JSON lines.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import numpy as np

from femto_bluesky.files.names import OutputExistsError, check_free, new_file
from femto_bluesky.files.stacks import file_uri
from femto_bluesky.model.repeated import is_repeated
from femto_bluesky.sources.documents import Document, Pair, with_stops
from femto_bluesky.sources.externalise import externalise

NAMES: Final = frozenset(
    "start descriptor event event_page datum datum_page resource stream_resource stream_datum "
    "stop bulk_events bulk_datum".split()
)


LONGEST_LINE: Final = 1 << 24
"""Bytes that any line may have; more where the file itself is large."""


class JsonLinesError(ValueError):
    """A file that does not hold documents as JSON lines."""


def write(documents: Iterable[Pair], path: str | os.PathLike[str]) -> list[Path]:
    """Write documents to `path` (".gz" compresses), images to ``<stem>.h5`` beside it.

    Every line is strict JSON: arrays are lists, NaN and infinities are null. Returns the files
    that were written. Raises `OutputExistsError` where either exists and `OutputError` where the
    folder does not, before anything is written; `OutputError` where the disk is full. Whatever is
    raised, no file is left.
    """
    path = Path(path)
    images = _beside(path)
    check_free(path)
    check_free(images)
    try:
        with new_file(path) as part, _new(part, path.suffix) as lines:
            for name, document in externalise(documents, images):
                lines.write(line(name, document))
    except OutputExistsError:
        raise  # another process has made one of them meanwhile
    except BaseException:
        with suppress(OSError):
            images.unlink(missing_ok=True)
        raise
    return [path, images] if images.exists() else [path]


def read(path: str | os.PathLike[str], *, tell: bool = True) -> Iterator[Pair]:
    """The documents in `path` (".gz" is decompressed) as (name, document) pairs.

    A run that was cut off gets a stop document that says 'fail' and where; the log says so
    too, with `tell`. An HDF5 file that is
    not where its document says, but beside `path`, is taken from there: both were moved.

    Raises FileNotFoundError at once, and `JsonLinesError` where a line is no document and no run
    is open that could tell of it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; check the name")
    lines = _Lines(path)
    return with_stops(lines, ending=lines.ending, damage=JsonLinesError, tell=tell)


def line(name: str, document: Mapping[str, Any]) -> str:
    """A document as one line of the file, with its end."""
    return json.dumps([name, strict(document)], allow_nan=False) + "\n"


def _refuse(value: Any) -> Any:
    raise JsonLinesError(
        f"a {type(value).__name__} in a document cannot be written as JSON; use plain numbers, "
        "text, lists and dicts"
    )


def strict(value: Any, otherwise: Callable[[Any], Any] = _refuse) -> Any:
    """`value` as strict JSON holds it: plain dicts, lists and scalars, null for what is no number.

    An object that JSON does not know becomes what `otherwise` makes of it; without one,
    `JsonLinesError` is raised.
    """
    if isinstance(value, Mapping):
        return {str(k): strict(v, otherwise) for k, v in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.generic):
        return strict(value.item(), otherwise)
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if is_repeated(array):
            return otherwise(value)
        if array.dtype.kind in "biuU" or (array.dtype.kind == "f" and np.isfinite(array).all()):
            return array.tolist()
        return strict(array.tolist(), otherwise)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [strict(v, otherwise) for v in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return otherwise(value)


def _beside(path: Path) -> Path:
    stem = path.name.removesuffix(".gz")
    return path.with_name(Path(stem).stem + ".h5")


class _Lines:
    """The documents in a file of JSON lines, and how far it has been read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._n_lines = 0
        self._offset = 0

    def __iter__(self) -> Iterator[Document]:
        # a compressed line may become a thousand times as long
        longest = LONGEST_LINE + 20 * self._path.stat().st_size
        with _binary(self._path) as lines:
            while True:
                try:
                    line = lines.readline(longest + 1)
                    if not line:
                        return
                    if len(line) > longest:
                        raise JsonLinesError(
                            f"the line is longer than {longest} bytes, which is more than a file "
                            "of this size is trusted with; write images into files"
                        )
                    self._n_lines += 1
                    name, document = _parse(line)
                except (JsonLinesError, EOFError, OSError, zlib.error) as error:
                    at = f"line {max(self._n_lines, 1)} (byte {self._offset})"
                    raise JsonLinesError(f"{self._path} is damaged at {at}: {error}") from error
                self._offset += len(line)
                yield name, _found_or_said(name, document, self._path)

    def ending(self) -> str:
        """What to say of a run that is open at the end."""
        at = f"line {self._n_lines} (byte {self._offset})"
        return f"{self._path} ends at {at} without a stop document"


def _new(path: Path, suffix: str) -> IO[str]:
    return gzip.open(path, "wt") if suffix == ".gz" else path.open("w")


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
        case {"name": str(name), "doc": dict(document)} if name in NAMES:
            return name, document
    raise JsonLinesError(
        'it is not a document; expected ["name", {...}] or {"name": ..., "doc": {...}}'
    )


def _found_or_said(name: str, document: dict[str, Any], path: Path) -> dict[str, Any]:
    """As `_found`; a document whose place cannot be one stays as it is, for whoever reads there."""
    try:
        return _found(name, document, path)
    except (OSError, TypeError, ValueError):
        return document


def _found(name: str, document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The document of an external file, pointing beside `path` where one of that name lies there.

    Lines and frames that are moved or copied together stay together, whatever became of the place
    where they were.
    """
    if name == "stream_resource" and str(document.get("uri", "")).startswith("file:"):
        said = Path(unquote(urlsplit(document["uri"]).path))
        beside = (path.parent / said.name).absolute()
        if said != beside and beside.exists():
            return {**document, "uri": file_uri(beside)}
    elif name == "resource" and "resource_path" in document:
        said = Path(str(document.get("root", "")), document["resource_path"])
        beside = (path.parent / said.name).absolute()
        if said != beside and beside.exists():
            return {**document, "root": str(beside.parent), "resource_path": beside.name}
    return document
