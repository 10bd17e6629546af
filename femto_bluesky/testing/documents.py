"""Record documents, and put recorded ones into the other forms in which they reach a callback."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from event_model import pack_datum_page, pack_event_page

from femto_bluesky.sources.documents import Document


class Recorder:
    """A callback that keeps what it is given, and notices when somebody changes it later.

    `documents` holds the very objects that were received, in order. Subscribe it first: it must
    see each document before the callbacks that it watches.
    """

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self._as_received: list[dict[str, Any]] = []

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Keep the document, and a deep copy to compare it with."""
        self.documents.append((name, doc))
        self._as_received.append(copy.deepcopy(doc))

    @property
    def names(self) -> list[str]:
        """The documents' names, in order."""
        return [name for name, _ in self.documents]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The documents of this name, in order."""
        return [doc for kind, doc in self.documents if kind == name]

    def assert_unchanged(self) -> None:
        """Raise `AssertionError` if a document is no longer what it was when it came."""
        for number, ((name, doc), before) in enumerate(
            zip(self.documents, self._as_received, strict=True)
        ):
            where = difference(before, doc)
            assert where is None, (
                f"document {number} ({name!r}) was changed after it was received: {where}; "
                "documents are shared by all callbacks: change a copy"
            )


def difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Where two documents differ, in words; None if they are the same.

    Arrays are compared by dtype, shape and values, and NaN equals NaN. A number is not the same
    as a number of another type, nor a list the same as a tuple. The order of keys says nothing.
    """
    here = path or "document"
    if type(expected) is not type(found):
        return f"{here} was a {type(expected).__name__}, is a {type(found).__name__}"
    if isinstance(expected, dict):
        if expected.keys() != found.keys():
            return f"{here} had the keys {list(expected)}, has {list(found)}"
        pairs = [(expected[key], found[key], f"{path}[{key!r}]") for key in expected]
        return next(filter(None, itertools.starmap(difference, pairs)), None)
    if isinstance(expected, list | tuple):
        if len(expected) != len(found):
            return f"{here} had {len(expected)} items, has {len(found)}"
        parts = zip(expected, found, strict=True)
        items = [(a, b, f"{path}[{number}]") for number, (a, b) in enumerate(parts)]
        return next(filter(None, itertools.starmap(difference, items)), None)
    if isinstance(expected, np.ndarray):
        same = (
            expected.dtype == found.dtype
            and expected.shape == found.shape
            and np.array_equal(expected, found, equal_nan=expected.dtype.kind in "fc")
        )
        return None if same else f"the array {here} has other values, shape or dtype"
    if expected == found or (expected != expected and found != found):
        return None
    return f"{here} was {expected!r}, is {found!r}"


def split_runs(docs: Iterable[Document]) -> list[list[Document]]:
    """The documents of each run, the runs in the order of their start documents.

    Raises `ValueError` for a document that belongs to no run that was started before it.
    """
    runs: dict[str, list[Document]] = {}
    owner: dict[str, str] = {}  # uid of a start, descriptor or resource: the run that it is of
    # Where a document says to what it belongs, and under which name it is referred to.
    parents = {
        "start": "uid",
        "descriptor": "run_start",
        "event": "descriptor",
        "event_page": "descriptor",
        "resource": "run_start",
        "datum": "resource",
        "datum_page": "resource",
        "stream_resource": "run_start",
        "stream_datum": "stream_resource",
        "stop": "run_start",
    }
    for name, doc in docs:
        if name == "start":
            owner[doc["uid"]] = doc["uid"]
            runs[doc["uid"]] = []
        parent = doc[parents[name]]
        if parent not in owner:
            raise ValueError(
                f"a {name!r} document refers to {parents[name]} {parent!r}, which was not seen "
                "before it; give the documents from the start of their run on"
            )
        run = owner[parent]
        if name in {"descriptor", "resource", "stream_resource"}:
            owner[doc["uid"]] = run
        runs[run].append((name, doc))
    return list(runs.values())


def as_pages(docs: Iterable[Document], size: int = 3) -> Iterator[Document]:
    """The same documents with events and datums in pages of at most `size`.

    As other sources (databroker, flyers) send them: the datum_page before the event_page that
    refers to it. A stream_datum passes at once, so it comes before its event still.
    """
    events: list[Any] = []
    datums: list[Any] = []

    def flush() -> Iterator[Document]:
        for _, group in itertools.groupby(datums, key=lambda doc: doc["resource"]):
            yield "datum_page", dict(pack_datum_page(*group))
        for _, group in itertools.groupby(events, key=lambda doc: doc["descriptor"]):
            yield "event_page", dict(pack_event_page(*group))
        datums.clear()
        events.clear()

    for name, doc in copy.deepcopy(list(docs)):
        if name == "datum":
            datums.append(doc)
        elif name == "event":
            events.append(doc)
            if len(events) >= size:
                yield from flush()
        else:
            if name not in {"stream_datum", "stream_resource", "resource"}:
                yield from flush()
            yield name, doc
    yield from flush()


def interleave(*runs: Sequence[Document]) -> Iterator[Document]:
    """The documents of several runs in turn, one of each, until all have ended."""
    for turn in itertools.zip_longest(*runs):
        yield from (document for document in turn if document is not None)


def cut(docs: Iterable[Document], n_events: int | None = None) -> Iterator[Document]:
    """A run that never stops, as a killed process leaves it.

    Everything up to its `n_events`-th event, or, if None, everything but the stop document.
    Raises `ValueError` for less than one event.
    """
    if n_events is not None and n_events < 1:
        raise ValueError(f"a run is cut after 1 event or more, not after {n_events}")
    seen = 0
    for name, doc in docs:
        if name == "stop":
            return
        yield name, doc
        seen += name == "event"
        if seen == n_events:
            return
