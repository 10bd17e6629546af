"""The commands that take recorded runs through something: `replay` and `convert`."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from femto_bluesky.cli.catalogs import CatalogName, PathMap, documents_from, mapped
from femto_bluesky.cli.keeping import Restore, keeping
from femto_bluesky.cli.loading import loaded_class
from femto_bluesky.cli.options import (
    CalibrantName,
    GeometryFile,
    Out,
    Rois,
    SettingsFile,
    analysis_of,
)
from femto_bluesky.cli.serving import Host, Port, kept_until_stopped, serving
from femto_bluesky.cli.shared import finish, progress_bar, told
from femto_bluesky.model.rois import RoiError
from femto_bluesky.model.step_text import TextColumn, text_columns, with_photons

if TYPE_CHECKING:
    from femto_bluesky.callbacks import LiveAnalysis

Sources = Annotated[
    list[str],
    typer.Argument(
        help="recorded streams of one scan (.cbors, .pkls, also .gz), JSON lines (.jsonl), or runs "
        "of a catalog: catalog:DIR#-1, tiled:URL#uid, broker:NAME#12-17",
        show_default=False,
    ),
]
Callbacks = Annotated[
    list[str] | None,
    typer.Option(
        "--callback",
        metavar="MODULE:CLASS",
        help="a callback of your own; MODULE may be a .py file. An argument `directory` gets --out",
    ),
]


def replay(
    sources: Sources,
    settings: SettingsFile = None,
    roi: Rois = None,
    geometry: GeometryFile = None,
    calibrant: CalibrantName = None,
    callback: Callbacks = None,
    out: Out = None,
    restore: Restore = False,
    catalog: CatalogName = None,
    path_map: PathMap = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="show it in a browser, also when it is done")
    ] = False,
    host: Host = None,
    port: Port = None,
) -> None:
    """Analyse recorded runs again: ROI means of each step, accumulated images, I(q), pictures."""
    with told():
        if (host is not None or port is not None) and not serve:
            raise ValueError("--host and --port are of the page; give --serve too")
        live = analysis_of(settings, roi, geometry, calibrant, out)
        callbacks = [live, *(_loaded(spec, out) for spec in callback or ())]
        documents = documents_from(sources, catalog, mapped(path_map))
        keeper = keeping(live, out, restore=True) if restore else None
    with ExitStack() as page:
        if keeper is not None:
            page.enter_context(keeper)
        if serve:
            page.enter_context(serving(live, host, port))
            page.enter_context(kept_until_stopped())
        _replay(documents, live, callbacks, out)


def _replay(
    documents: Iterable[tuple[str, Any]],
    live: LiveAnalysis,
    callbacks: list[Any],
    out: Path | None,
) -> None:
    """Take the documents through the callbacks, show what `live` has found, and name the files."""
    from femto_bluesky.callbacks.result_files import ResultFiles
    from femto_bluesky.sources.replay import replay as replay_documents
    from femto_bluesky.stream.analysis import Analysis

    files: list[ResultFiles] = []
    for analysis in callbacks:
        if out is not None and isinstance(analysis, Analysis):
            files.append(ResultFiles(analysis, out))
            analysis.subscribe(files[-1])
    stops: list[dict[str, Any]] = []
    keys: set[str] = set()
    problems: list[Exception] = []
    guarded = [c if isinstance(c, Analysis) else _Guarded(c, problems) for c in callbacks]
    try:
        replay_documents(watched(documents, stops, keys), *guarded)
    except Exception as failure:
        problems.append(failure)
    problems += [failure for written in files for failure in written.failures]
    problems += map(RoiError, live.rois.left_out.values())
    show(live)
    if not live.accumulations.of and callbacks == [live] and not problems:
        there = f"its data keys are {sorted(keys)}" if keys else "there are no events"
        problems.append(ValueError(f"no images to be analysed were found: {there}"))
    if live.accumulations.of and not live.rois.settings.rois:
        Console(stderr=True).print('No regions: give --roi "NAME=x0,y0,x1,y1" for step means.')
    written = [path for item in (*files, *callbacks) for path in getattr(item, "paths", ())]
    finish(written, stops, problems)


def convert(
    sources: Sources,
    to: Annotated[Path, typer.Option(help="the .jsonl to write; frames go into a .h5 beside it")],
) -> None:
    """Turn recordings into a Bluesky run: JSON lines, with the frames in an HDF5 file."""
    from femto_bluesky.sources import jsonl
    from femto_bluesky.sources.replay import documents_of

    stops: list[dict[str, Any]] = []
    with told():
        if not to.name.removesuffix(".gz").endswith(".jsonl"):
            raise ValueError(f"--to {to}: expected a name that ends in .jsonl")
        written = jsonl.write(watched(documents_of(sources), stops), to)
    finish(written, stops, [])


def show(live: LiveAnalysis, truth: dict[str, list[float]] | None = None) -> None:
    """Print what was found: the step means of each run, and the sums."""
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe or a file has no width to keep to
    for run in live.rois.table.runs:
        columns = text_columns(with_photons(live.rois.result(run), live.photons.result(run)))
        table = Table(title=f"Step means of run {run[:8]}", title_justify="left")
        columns += [
            TextColumn(name, "", [f"{value:.6g}" for value in values])
            for name, values in (truth or {}).items()
        ]
        for column in columns:
            head = f"{column.name}\n{column.below}" if column.below else column.name
            table.add_column(head, justify="right", no_wrap=bool(column.below))
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*row)
        console.print(table)
    show_sums(live, console)


def show_sums(live: LiveAnalysis, console: Console) -> None:
    """Print a line for the sum of each detector."""
    for detector, found in live.accumulations.result().items():
        if found is not None:
            what = f"sum of {found.n_frames} images" if found.is_sum else "newest image"
            console.print(
                f"{detector}: {what}, total {found.total:.6g}, hottest {found.hottest:.6g}",
                highlight=False,
            )


def _loaded(spec: str, out: Path | None) -> Any:
    """An instance of the class that MODULE:CLASS names."""
    kind = loaded_class("--callback", spec)
    if "__call__" not in dir(kind):
        raise ValueError(
            f"--callback {spec}: a {kind.__name__} cannot be called with (name, document)"
        )
    takes_directory = "directory" in inspect.signature(kind).parameters
    return kind(directory=out) if takes_directory else kind()


class _Guarded:
    """A callback of the user's: when it raises, the others go on without it, and it is named."""

    def __init__(self, callback: Any, problems: list[Exception]) -> None:
        self._callback, self._problems = callback, problems
        self._has_failed = False

    def __call__(self, name: str, doc: Any) -> None:
        if self._has_failed:
            return
        try:
            self._callback(name, doc)
        except Exception as failure:
            self._has_failed = True
            last = traceback.extract_tb(failure.__traceback__)[-1]
            who = f"{type(self._callback).__name__} ({last.filename}, line {last.lineno})"
            self._problems.append(
                RuntimeError(f"{who}: {type(failure).__name__} on a {name} document: {failure}")
            )


def watched(
    documents: Iterable[tuple[str, Any]],
    stops: list[dict[str, Any]],
    keys: set[str] | None = None,
) -> Iterator[tuple[str, Any]]:
    """The documents, with a bar of the events and their rate; stops and data keys are noted."""
    with progress_bar() as bar:
        task = bar.add_task("events", total=None)
        for name, doc in documents:
            if name == "start":
                bar.reset(task, total=doc.get("num_points"), description=_scan(doc))
            yield name, doc
            if name in ("event", "event_page"):
                bar.advance(task, 1 if name == "event" else len(doc["seq_num"]))
            elif name == "descriptor" and keys is not None:
                keys.update(doc["data_keys"])
            elif name == "stop":
                stops.append(dict(doc))


def _scan(start: dict[str, Any]) -> str:
    return f"scan {start['scan_id']}" if "scan_id" in start else f"run {start['uid'][:8]}"
