"""Leave the results of each run on disk: documents, an HDF5/NeXus file and pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from femto_bluesky.files.lines import PatientLines
from femto_bluesky.files.names import OutputError, new_path
from femto_bluesky.files.results import write_results
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import slug
from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.locks import try_lock
from femto_bluesky.stream.analysis import Analysis
from femto_bluesky.stream.frames import path_of_uri

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """A derived run whose documents are being written; `path` when the file of lines is there."""

    start: Mapping[str, Any]
    stem: str
    path: Path | None = None


class ResultFiles:
    """Subscribe it to an analysis: `analysis.subscribe(ResultFiles(analysis, "results"))`.

    Into the directory (made where it is missing) go, for each run, `scan_<scan_id>.jsonl` (the
    derived run, line by line as it comes), `scan_<scan_id>.h5` (results, when the run ends), and
    `scan_<scan_id>_<what>.png` for each image, with the regions of interest drawn, and for each
    kind of curves (means of the steps, of the shots). The stop document is written last, and the
    lines are locked until then. Where a name is taken, the new files get another. `paths` names
    what was written, `failures` what could not be; neither stops the analysis. Where the disk is
    full, lines wait in memory until there is room (see `PatientLines`).
    """

    def __init__(self, analysis: Analysis, directory: str | Path) -> None:
        self.paths: list[Path] = []
        self.failures: list[Exception] = []
        self._analysis = analysis
        self._directory = Path(directory)
        # the pipeline has the plain names, so that other analyses of the run find theirs free
        name = type(analysis).__name__
        self._suffix = "" if name == "LiveAnalysis" else f"_{name}"
        self._open: dict[str, tuple[_Run, PatientLines]] = {}
        self._run_of_descriptor: dict[str, str] = {}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take in a document of a derived run."""
        try:
            self._take(name, doc)
        except Exception as failure:
            self._failed(failure)

    def _failed(self, failure: Exception) -> None:
        self.failures.append(failure)
        # what the package says of a disk says it all; of other errors the place is needed
        is_told = isinstance(failure, OutputError)
        log.error(
            "results of a run could not be written into %s: %s", self._directory, failure,
            exc_info=None if is_told else failure,
        )  # fmt: skip

    def _begin(self, run: _Run) -> BinaryIO:
        """A new file for the lines of a run."""
        self._directory.mkdir(parents=True, exist_ok=True)
        run.path = new_path(self._directory, run.stem, "jsonl", reserve=True)
        self.paths.append(run.path)
        lines = run.path.open("ab", buffering=0)
        try_lock(lines)  # until it is closed: who finds a run broken off sees that it is not
        return lines

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            run = _Run(doc, f"scan_{doc.get('scan_id', '')}{self._suffix}")
            self._open[doc["uid"]] = run, PatientLines(partial(self._begin, run))
        uid = self._uid(name, doc)
        if uid not in self._open:
            return
        run, lines = self._open[uid]
        if name == "stream_resource":
            path = path_of_uri(doc["uri"])
            # as the other files are named, where it lies beside them
            beside = self._directory / path.name
            path = beside if beside.absolute() == path else path
            if path not in self.paths:  # the columns of a photon file are in one
                self.paths.append(path)
        if name != "stop":
            lines.write(jsonl.line(name, doc))
            return
        del self._open[uid]
        self._run_of_descriptor = {
            d: uid for d, uid in self._run_of_descriptor.items() if uid != doc["run_start"]
        }
        try:
            self._write(run, doc)
        except Exception as failure:
            self._failed(failure)
        # last of all: lines with a stop document say that all files of the run are there
        lines.write(jsonl.line(name, doc))
        lines.close()

    def _uid(self, name: str, doc: Mapping[str, Any]) -> str:
        if name == "descriptor":
            self._run_of_descriptor[doc["uid"]] = doc["run_start"]
        if name == "start":
            return str(doc["uid"])
        return str(doc.get("run_start") or self._run_of_descriptor.get(doc["descriptor"], ""))

    def _write(self, run: _Run, stop: Mapping[str, Any]) -> None:
        from femto_bluesky.files.pictures import draw, draw_curves  # matplotlib: half a second

        stem = run.stem if run.path is None else run.path.stem
        groups = self._analysis.groups(run.start["original_run_uid"])
        if not groups:
            return
        path = new_path(self._directory, stem, "h5")
        title = title_of(run.start, stop)
        write_results(path, groups, title=title, start=run.start, stop=stop)
        self.paths.append(path)
        for group in groups:
            if len(group.axes) == 2:
                picture = new_path(self._directory, f"{stem}_{slug(group.path)}", "png")
                draw(replace(group, title=f"{title} · {group.title}"), picture)
                self.paths.append(picture)
        curves: dict[str, list[DataGroup]] = {}
        for group in groups:
            if len(group.axes) == 1:
                curves.setdefault(group.path.partition("/")[0], []).append(group)
        for kind, of_kind in curves.items():
            picture = new_path(self._directory, f"{stem}_{slug(kind)}", "png")
            draw_curves(of_kind, picture, title=title)
            self.paths.append(picture)


def title_of(start: Mapping[str, Any], stop: Mapping[str, Any] | None = None) -> str:
    """What the results of a derived run are called: number, plan and time, and how it ended."""
    title = f"Scan {start.get('scan_id')}: {start.get('plan_name')}"
    if start.get("original_time"):
        when = datetime.fromtimestamp(start["original_time"], UTC).astimezone()
        title += f", {when:%Y-%m-%d %H:%M}"
    if stop is not None and stop["exit_status"] != "success":
        title += f" ({stop['exit_status']})"
    return title
