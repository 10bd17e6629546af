"""The runs that were analysed since the analysis was made: what they were called, and their files.

What an analysis finds is kept by the uid of the run; this knows the number of the scan, the plan,
the units of the motors and where its photons were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.callbacks.photon_columns import COLUMNS
from femto_bluesky.stream.frames import path_of_uri

N_REMEMBERED: Final = 100
"""So many runs back it is known what they were called."""


@dataclass(slots=True)
class KnownRun:
    """A run that was analysed: the start document of its derived run, units by names, files."""

    start: Mapping[str, Any]
    units: dict[str, str] = field(default_factory=dict)
    photon_files: list[Path] = field(default_factory=list)
    stop: Mapping[str, Any] | None = None
    has_results: bool = False

    @property
    def number(self) -> str:
        """The number of the scan; of one without, how its uid begins."""
        return str(self.start.get("scan_id", self.start["original_run_uid"][:8]))

    @property
    def label(self) -> str:
        """What it is called in a list."""
        return f"scan {self.number}, {self.start.get('plan_name', 'run')}"


class KnownRuns:
    """Notes the derived runs of an analysis; `of` are those by the raw runs' uids, newest last.

    It is called in the thread of the RunEngine, and does no more there than to note.
    """

    def __init__(self, live: LiveAnalysis) -> None:
        self.of: dict[str, KnownRun] = {}
        self._live = live
        self._open: dict[str, str] = {}
        self._token = live.subscribe(self._note)

    def close(self) -> None:
        """Note no more."""
        self._live.unsubscribe(self._token)

    def _note(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            uid = doc["original_run_uid"]
            # one that is analysed again is the newest
            others = {run: known for run, known in self.of.items() if run != uid}
            for run in list(others)[: len(others) + 1 - N_REMEMBERED]:
                del others[run]
            # in one go: those in other threads see the one or the other
            self.of = {**others, uid: KnownRun(doc)}
            self._open[doc["uid"]] = uid
        elif name == "descriptor":
            if (known := self._known(doc)) is not None:
                known.has_results = True
                keys = doc["data_keys"].items() if doc["name"] == "primary" else ()
                known.units |= {key: entry.get("units") or "" for key, entry in keys}
        elif name == "stream_resource":
            known, column = self._known(doc), doc["data_key"].rpartition("_photon_")[2]
            if known is not None and column in COLUMNS:
                path = path_of_uri(doc["uri"])
                if path not in known.photon_files:
                    known.photon_files.append(path)
        elif name == "stop":
            if (known := self._known(doc)) is not None:
                known.stop = doc
            self._open.pop(doc["run_start"], None)

    def _known(self, doc: Mapping[str, Any]) -> KnownRun | None:
        return self.of.get(self._open.get(doc.get("run_start", ""), ""))
