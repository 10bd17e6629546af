"""Files of the results, made when somebody asks for them and gone when they are sent.

    export/results.h5               everything, as it is written at the end of a run
    export/steps.csv                the columns of the steps: motors, and of each region its means
    export/csv/<path>.csv           one result, such as export/csv/step_means/pilatus_ROI_2.csv
    export/png/<path>.png           its picture; of a sum with regions and rings
    export/photons/<n>.csv          position, energy and frame of each photon of a run

With `?run=<uid>` they are of that run, without it of the newest.
"""

from __future__ import annotations

import csv
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from femto_bluesky.callbacks.result_files import title_of
from femto_bluesky.files import xye
from femto_bluesky.files.pictures import draw
from femto_bluesky.files.results import write_results
from femto_bluesky.model.maps import with_units
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import slug
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.known_runs import KnownRun

TYPES = {"h5": "application/x-hdf5", "csv": "text/csv", "png": "image/png"}


class ExportFiles:
    """Makes the files of an analysis, one at a time: they take memory, and time of the scan."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._making = threading.Lock()

    def routes(self) -> list[Route]:
        """Where the files are; what they need is done in threads."""
        return [
            Route("/export/results.h5", self._answer(self.results)),
            Route("/export/steps.csv", self._answer(self.steps)),
            Route("/export/csv/{path:path}.csv", self._answer(self.table)),
            Route("/export/png/{path:path}.png", self._answer(self.picture)),
            Route("/export/photons/{path:int}.csv", self._answer(self.photons)),
        ]

    def results(self, run: str, path: str, folder: Path) -> Path:
        """Everything as HDF5."""
        known, groups = self._known(run), self._groups(run)
        if not groups:
            raise LookupError("there is no result yet")
        file = folder / f"{_stem(known)}.h5"
        start, stop = ({}, None) if known is None else (known.start, known.stop)
        write_results(file, groups, title=_title(known), start=start, stop=stop)
        return file

    def steps(self, run: str, path: str, folder: Path) -> Path:
        """A row for each step: motors, shots, means and errors of each region, and of photons."""
        known, live = self._known(run), self._hub.live
        uid = run or (known.start["original_run_uid"] if known else None)
        with live.shell.lock:
            columns = {**live.rois.result(uid), **live.photons.result(uid)}
        if not columns:
            raise LookupError("there are no steps yet")
        units = {} if known is None else known.units
        quantities = [Quantity(name, v, units.get(name, "")) for name, v in columns.items()]
        return _csv(folder / f"{_stem(known)}_steps.csv", known, "steps", quantities)

    def table(self, run: str, path: str, folder: Path) -> Path:
        """One curve as columns, or one image as rows."""
        known, group = self._known(run), self._group(run, path)
        file = folder / f"{_stem(known)}_{slug(path)}.csv"
        if group.signal.values.ndim == 1:
            return _csv(file, known, group.title, _columns(group))
        rows, columns = group.axes or (None, None)
        names = range(group.signal.values.shape[1]) if columns is None else columns.values
        first = Quantity("row", np.arange(len(group.signal.values))) if rows is None else rows
        across = "" if columns is None else f", across: {_name(columns)}"
        values = [Quantity(f"{name:g}" if isinstance(name, float) else str(name), column)
                  for name, column in zip(names, group.signal.values.T, strict=True)]  # fmt: skip
        return _csv(file, known, f"{group.title}, {_name(group.signal)}{across}", [first, *values])

    def picture(self, run: str, path: str, folder: Path) -> Path:
        """One result as a picture."""
        known, group = self._known(run), self._group(run, path)
        file = folder / f"{_stem(known)}_{slug(path)}.png"
        draw(replace(group, title=f"{_title(known)} · {group.title}"), file)
        return file

    def photons(self, run: str, path: str, folder: Path) -> Path:
        """The photons of a run, from the file that they were written into."""
        known, number = self._known(run), int(path)
        files = [] if known is None else known.photon_files
        if number >= len(files):
            raise LookupError(f"the run has {len(files)} files of photons")
        found = xye.read(files[number])
        target = folder / f"{files[number].stem}.csv"
        with target.open("w", encoding="utf-8") as out:
            _head(out.write, known, f"photons of {files[number].name}")
            out.write("y [px],x [px],energy [adu],frame\n")
            np.savetxt(out, found, fmt=("%.4f", "%.4f", "%.2f", "%d"), delimiter=",")
        return target

    def _groups(self, run: str) -> list[DataGroup]:
        """All results of a run, with units."""
        known, snapshots = self._known(run), self._hub.snapshots
        curves = snapshots.curves_of(run) if run else snapshots.curves()
        units = {} if known is None else known.units
        groups = [with_units(group, units) for group in curves]
        return [*snapshots.sums(run or None), *groups]

    def _group(self, run: str, path: str) -> DataGroup:
        groups = self._groups(run)
        found = next((group for group in groups if group.path == path), None)
        if found is None:
            there = ", ".join(group.path for group in groups)
            raise LookupError(f"there is no result {path[:80]!r}; there are {there or 'none yet'}")
        return found

    def _known(self, run: str) -> KnownRun | None:
        """What is known of a run; of the newest that has results, where none is named."""
        runs = self._hub.runs.of
        if run:
            if run not in runs:
                raise LookupError(f"no run {run[:40]!r} was analysed since this start")
            return runs[run]
        return next((known for known in reversed(runs.values()) if known.has_results), None)

    def _answer(self, make: Callable[[str, str, Path], Path]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            run = request.query_params.get("run", "")
            path = str(request.path_params.get("path", ""))
            folder = Path(tempfile.mkdtemp(prefix="femto_bluesky_"))
            try:
                with self._making:
                    file = make(run, path, folder)
            except BaseException as error:
                rmtree(folder, ignore_errors=True)
                if isinstance(error, LookupError):
                    return JSONResponse({"detail": str(error.args[0])}, 404)
                if isinstance(error, ValueError | OSError):
                    return JSONResponse({"detail": str(error)}, 422)
                raise
            return FileResponse(
                file, media_type=TYPES[file.suffix[1:]], filename=file.name,
                headers={"Cache-Control": "no-store"},
                background=BackgroundTask(rmtree, folder, ignore_errors=True),
            )  # fmt: skip

        return answer


def _columns(group: DataGroup) -> list[Quantity]:
    """A curve as columns: where, what, its errors, and what stands beside it."""
    errors = []
    if group.errors is not None:
        errors = [Quantity(group.errors_name or "errors", group.errors, group.signal.units)]
    beside = [column for column in group.columns if column.values.ndim == 1]
    return [*group.axes, group.signal, *errors, *beside]


def _csv(file: Path, known: KnownRun | None, title: str, columns: Sequence[Quantity]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        _head(out.write, known, title)
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(_name, columns))
        rows: Iterable[Any] = zip(*(column.values.tolist() for column in columns), strict=True)
        writer.writerows(rows)
    return file


def _head(write: Callable[[str], Any], known: KnownRun | None, title: str) -> None:
    """Lines that programs skip: what the file holds, and of which run."""
    lines = [title, _title(known)]
    if known is not None:
        lines.append(f"run {known.start['original_run_uid']}")
    lines.append(f"written {datetime.now(UTC).astimezone():%Y-%m-%d %H:%M:%S %z}")
    for line in lines:
        write(f"# {' '.join(line.split())}\n")


def _name(quantity: Quantity) -> str:
    return f"{quantity.name} [{quantity.units}]" if quantity.units else quantity.name


def _title(known: KnownRun | None) -> str:
    if known is None:
        return "Results"
    with suppress(KeyError):
        return title_of(known.start, known.stop)
    return known.label


def _stem(known: KnownRun | None) -> str:
    return "results" if known is None else f"scan_{slug(known.number)}"
