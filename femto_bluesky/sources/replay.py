"""Feed the documents of a run, wherever it is kept, to callbacks."""

from __future__ import annotations

import inspect
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from femto_bluesky.sources import jsonl, recordings
from femto_bluesky.sources.catalogs.runs import Run
from femto_bluesky.sources.documents import Pair, with_stops
from femto_bluesky.sources.moved import moved

PathLike = str | os.PathLike[str]
Callback = Callable[[str, Any], object]


class CatalogRun(Protocol):
    """A run as a catalog hands it out."""

    @property
    def documents(self) -> Callable[..., Iterable[Any]]:
        """The method that gives the run's (name, document) pairs."""
        ...


class SourceError(TypeError):
    """Something that cannot be replayed."""


Source = PathLike | Iterable[PathLike] | CatalogRun | Iterable[Pair]


def replay(source: Source, *callbacks: Callback, path_map: Mapping[str, str] | None = None) -> None:
    """Feed every document of `source` to every callback, in order.

    `source` is a path (or a list of paths) of recorded streams or of JSON lines, a run of a
    catalog, or an iterable of (name, document) pairs. Documents are handed on unchanged. A run
    that has no stop document gets one that says 'fail'.

    Frames are read from the files that the documents name. Where these were moved, `path_map` says
    where they are now, folder by folder: ``{"/data/old": "/mnt/new"}``; the longest folder counts.
    Where there is no such file, and a Tiled server keeps the run, the server is asked for the
    frames: the log says so, for that is slow.

    What a callback raises is raised. An analysis isolates what goes wrong in it and keeps it in its
    `failures`; the first that was added there during this replay is raised after the last document.
    """
    for callback in callbacks:
        if isinstance(callback, type):
            raise SourceError(
                f"{callback.__name__} is a class; give an instance: {callback.__name__}(...)"
            )
    before = [len(_failures(callback)) for callback in callbacks]
    for name, document in documents_of(source, path_map):
        for callback in callbacks:
            callback(name, document)
            # in an event loop, as that of a notebook, an analysis would take it in later
            getattr(callback, "wait", _nothing)()
    for callback, n in zip(callbacks, before, strict=True):
        if added := _failures(callback)[n:]:
            raise added[0]


def _nothing() -> None:
    """What there is to wait for where a callback does all at once."""


def _failures(callback: Callback) -> list[Exception]:
    failures: list[Exception] = getattr(callback, "failures", [])
    return failures


def documents_of(source: Source, path_map: Mapping[str, str] | None = None) -> Iterator[Pair]:
    """The (name, document) pairs of whatever `replay` takes; each run has a stop document."""
    served = source.served if isinstance(source, Run) else None
    return with_stops(moved(_checked(_pairs(source)), path_map or {}, served))


def _pairs(source: Source) -> Iterable[Pair]:
    if isinstance(source, (str, os.PathLike)):
        return _from_paths([Path(source)])
    if isinstance(source, (list, tuple)) and source and _are_paths(source):
        return _from_paths([Path(path) for path in source])
    if hasattr(source, "documents"):
        return _from_catalog(source.documents)
    if not isinstance(source, Iterable):
        raise SourceError(
            f"a {type(source).__name__} cannot be replayed; give a path, a list of paths, a run "
            "of a catalog, or (name, document) pairs"
        )
    return source  # type: ignore[return-value]


def _checked(pairs: Iterable[Any]) -> Iterator[Pair]:
    """The same pairs. Raises `SourceError` at what is none."""
    for number, pair in enumerate(pairs, 1):
        match pair:
            case (str(name), Mapping() as document):
                yield name, document
            case ("stop", None):  # so a catalog gives that of a run that has none
                yield pair
            case _:
                raise SourceError(
                    f"number {number} of the documents is {reprlib.repr(pair)}; expected a name "
                    "and a document, such as ('start', {...})"
                )


def _are_paths(values: Iterable[object]) -> bool:
    return all(isinstance(value, (str, os.PathLike)) for value in values)


def _from_paths(paths: list[Path]) -> Iterator[Pair]:
    lines = [path for path in paths if path.name.removesuffix(".gz").endswith(".jsonl")]
    if not lines:
        return recordings.read(paths)
    twice = sorted({str(path) for path in lines if lines.count(path) > 1})
    if twice:
        raise SourceError(
            f"{twice} is given twice, and its frames would be added twice; name it once"
        )
    if len(lines) < len(paths):
        raise SourceError(
            f"{lines[0]} is JSON lines and the other files are not; replay them one after the other"
        )
    return (pair for path in paths for pair in jsonl.read(path))


def _from_catalog(documents: Callable[..., Iterable[Any]]) -> Iterator[Pair]:
    """The pairs of a catalog's run, frames left behind their references."""
    fill = inspect.signature(documents).parameters.get("fill")
    # Where `fill` is a bool, False is the default; elsewhere it is a word and may have no default.
    worded = fill is not None and not isinstance(fill.default, bool)
    for name, document in documents(fill="no") if worded else documents():
        yield str(name), _plain(document)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value):
        return [_plain(inner) for inner in value]
    return value
