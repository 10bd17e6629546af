"""The derived runs that `ResultFiles` has left in a directory: what they say, how far they go."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.lines import list_runs
from femto_bluesky.sources.catalogs.runs import path_of
from femto_bluesky.stream.derived import start_keys

log = logging.getLogger(__name__)

STOPPED: Final = "the analysis was stopped"
"""Why a derived run stops that goes no further because somebody has ended the analysis."""

_N_ACCUMULATED = "_n_accumulated"


@dataclass(frozen=True, slots=True)
class Page:
    """The shots of one event of the raw run, and the settings with which they were analysed."""

    first_shot: int
    settings: Mapping[str, Any]


@dataclass(slots=True)
class DerivedFile:
    """A derived run as its lines tell of it, as far as they are whole.

    `start` is empty where not even the start document is whole. `stop` is None where there is none.
    `n_times` says how often each shot was analysed, `n_accumulated` of how many frames each
    detector's sum was in the end; `files` are those that its documents name.
    """

    path: Path
    start: Mapping[str, Any] = field(default_factory=dict)
    stop: Mapping[str, Any] | None = None
    pages: list[Page] = field(default_factory=list)
    n_times: Counter[int] = field(default_factory=Counter)
    n_accumulated: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    @property
    def raw(self) -> str:
        """The uid of the raw run; empty where it is not known."""
        return str(self.start.get("original_run_uid", ""))

    @property
    def analysis(self) -> str:
        """The name of the analysis."""
        return str((self.start.get("analysis") or {}).get("name", ""))

    @property
    def taken_at(self) -> float:
        """When the raw run was begun, in seconds since 1970."""
        return float(self.start.get("original_time") or 0.0)

    @property
    def is_finished(self) -> bool:
        """Whether the whole raw run was analysed, and all files are there."""
        return self.stop is not None and self.stop.get("reason") != STOPPED

    @property
    def begun_with(self) -> Mapping[str, Any]:
        """The settings at its start; empty where they are not known."""
        begun: Mapping[str, Any] = (self.start.get("analysis") or {}).get("settings") or {}
        # not every name is allowed in a start document; in descriptors they are as they were
        first = self.pages[0].settings if self.pages else {}
        return first if start_keys(first) == begun else begun

    @property
    def ended_with(self) -> Mapping[str, Any]:
        """The settings with which the last event was analysed that is in it."""
        return self.pages[-1].settings if self.pages else self.begun_with


def derived_in(directory: Path) -> list[DerivedFile]:
    """The derived runs in a directory, by the names of their files; what is none is left out."""
    found = (read_derived(path) for path in sorted(directory.glob("*.jsonl")))
    return [one for one in found if one is not None]


def read_derived(path: Path) -> DerivedFile | None:
    """What the lines of a derived run tell; None where they are of something else.

    A file that was broken off before its first line was whole may be one.
    """
    found = DerivedFile(path)
    known: dict[str, tuple[str, Mapping[str, Any]]] = {}
    last: Mapping[str, Any] | None = None
    try:
        for name, document in jsonl.read(path, tell=False):
            if name == "start":
                if "original_run_uid" not in document or found.start:
                    return None
                found.start = document
            elif name == "descriptor":
                known[document["uid"]] = str(document.get("name")), _settings_in(document)
            elif name in ("event", "event_page"):
                _take_rows(found, document, *known.get(document["descriptor"], ("", {})))
            elif name == "stream_resource":
                found.files.append(path_of(document["uri"]))
            elif name == "stop":
                last = document
    except (jsonl.JsonLinesError, OSError) as error:
        if not _is_torn(path):
            log.warning("%s is left out: %s", path, error)
            return None
    if not found.start:
        return found
    # who reads lines that were cut off is given a stop document that is not in the file
    _, stop = list_runs(path)[0]
    if stop is not None and last is not None and stop["uid"] == last["uid"]:
        found.stop = stop
    return found


def _is_torn(path: Path) -> bool:
    """Whether not even the first line is whole."""
    try:
        with path.open("rb") as file:
            return b"\n" not in file.read(1 << 16)
    except OSError:
        return False


def _settings_in(descriptor: Mapping[str, Any]) -> Mapping[str, Any]:
    for configured in descriptor.get("configuration", {}).values():
        if "settings" in configured.get("data", {}):
            settings: Mapping[str, Any] = json.loads(configured["data"]["settings"])
            return settings
    return {}


def _take_rows(
    found: DerivedFile, document: Mapping[str, Any], stream: str, settings: Mapping[str, Any]
) -> None:
    data = document["data"]
    if stream == "shots":
        shots = data["shot"] if isinstance(data["shot"], list) else [data["shot"]]
        found.pages.append(Page(int(shots[0]), settings))
        found.n_times.update(map(int, shots))
    elif stream == "accumulated":
        for key, value in data.items():
            if key.endswith(_N_ACCUMULATED) and value is not None:
                found.n_accumulated[key.removesuffix(_N_ACCUMULATED)] = int(value)
