"""Documents as pairs with their names, and the stop document that a run lacks."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)

Document = tuple[str, dict[str, Any]]
"""A document that a source makes, with its name."""

Pair = tuple[str, Mapping[str, Any]]
"""A document that comes from elsewhere, with its name; it is never changed."""


def is_image(described: Mapping[str, Any]) -> bool:
    """Whether a data key holds frames: an array of 2 or 3 dimensions.

    An array whose `dims` name a "channel" is a set of spectra, not an image.
    """
    dims = described.get("dims") or ()
    is_list = isinstance(dims, list | tuple)
    names = [name for name in dims if isinstance(name, str)] if is_list else []
    return len(described.get("shape") or ()) in (2, 3) and "channel" not in names


def detector_names(descriptor: Mapping[str, Any]) -> dict[str, str]:
    """The detector of each image key of a descriptor: the object that the key belongs to.

    A key of no object is its own detector; an object with two images is two detectors, named by
    their keys. Whoever writes or reads `<detector>_first_frame` must take the name from here.
    """
    owner = {key: name for name, keys in descriptor.get("object_keys", {}).items() for key in keys}
    keys = [key for key, described in descriptor["data_keys"].items() if is_image(described)]
    n_images = Counter(owner.get(key, key) for key in keys)
    return {key: owner[key] if key in owner and n_images[owner[key]] == 1 else key for key in keys}


def with_stops(
    documents: Iterable[Pair],
    *,
    ending: Callable[[], str] = lambda: "the documents end without a stop document",
    damage: type[Exception] | tuple[type[Exception], ...] = (),
    tell: bool = True,
) -> Iterator[Pair]:
    """The same documents, and a stop that says 'fail' for each run that has none at the end.

    A stop document that names no run is what a catalog gives for a run that never stopped: it is
    left out. `ending` is asked, behind the last document, for the reason that the stops give. Where
    the source raises, the stops give the error as their reason; then it is raised, but for an error
    of the type `damage`, if there was a stop to tell of it. With `tell`, the log has the reasons.
    """
    open_runs = _OpenRuns(tell)
    try:
        for name, document in documents:
            run = document.get("run_start") if document else None
            if name == "stop" and (run is None or (isinstance(run, str) and not run)):
                continue
            open_runs.note(name, document)
            yield name, document
    except Exception as error:
        stops = list(open_runs.stops(str(error)))
        yield from stops
        if not (stops and isinstance(error, damage)):
            raise
    else:
        yield from open_runs.stops(ending())


class _OpenRuns:
    """Which runs have begun and not ended, and how many events each stream of them has."""

    def __init__(self, tell: bool) -> None:
        self._tell = tell
        self._events: dict[str, Counter[str]] = {}
        self._streams: dict[str, tuple[str, str]] = {}
        self._time = 0.0

    def note(self, name: str, document: Mapping[str, Any]) -> None:
        moment = document.get("time")
        if isinstance(moment, (int, float)):
            with suppress(OverflowError):  # JSON has integers that no float can hold
                self._time = max(self._time, float(moment))
        if name == "start" and "uid" in document:
            self._events[str(document["uid"])] = Counter()
        elif name == "descriptor":
            run = str(document.get("run_start"))
            self._streams[str(document.get("uid"))] = run, str(document.get("name", "primary"))
        elif name in ("event", "event_page"):
            run, stream = self._streams.get(str(document.get("descriptor")), ("", ""))
            numbers = document.get("seq_num", 0)
            several = numbers if isinstance(numbers, list) else [numbers]
            if run in self._events:
                known = [n for n in several if isinstance(n, int)]  # of others nobody can tell
                self._events[run][stream] = max([self._events[run][stream], *known])
        elif name == "stop":
            self._events.pop(str(document.get("run_start")), None)

    def stops(self, reason: str) -> Iterator[Document]:
        """A stop document that says 'fail', and why, for each run that is open; then none is."""
        while self._events:
            run = next(iter(self._events))
            events = self._events.pop(run)
            told = run.encode("utf-8", "replace").decode()  # JSON knows text that UTF-8 does not
            if self._tell:
                log.error("run %s did not stop: %s", told, reason)
            yield (
                "stop",
                {
                    "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{told} stop")),
                    "run_start": run,
                    "time": self._time,
                    "exit_status": "fail",
                    "reason": reason,
                    "num_events": dict(events),
                },
            )
