"""The commands that take runs through the analyses: `replay`, `convert` and `demo`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from femto_bluesky.cli.catalogs import CatalogName, PathMap, documents_from, mapped
from femto_bluesky.cli.shared import finish, in_words, made, progress_bar, told
from femto_bluesky.model.rois import Roi, RoiError
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
SettingsFile = Annotated[
    Path | None,
    typer.Option(help="settings: our JSON or YAML, or the predecessor's parameters (JSON, pickle)"),
]
Rois = Annotated[
    list[str] | None,
    typer.Option("--roi", metavar="NAME=x0,y0,x1,y1", help="a region of interest, half open"),
]
Callbacks = Annotated[
    list[str] | None,
    typer.Option(
        "--callback",
        metavar="MODULE:CLASS",
        help="a callback of your own; MODULE may be a .py file. An argument `directory` gets --out",
    ),
]
GeometryFile = Annotated[
    Path | None,
    typer.Option(help="where the detector stands (.poni, JSON, YAML): I(q), and its rings"),
]
CalibrantName = Annotated[
    str | None,
    typer.Option("--calibrant", help="LaB6, CeO2, Si, AgBh ...: its rings and lines are drawn"),
]
Out = Annotated[Path | None, typer.Option(help="where results are left (made where missing)")]


def replay(
    sources: Sources,
    settings: SettingsFile = None,
    roi: Rois = None,
    geometry: GeometryFile = None,
    calibrant: CalibrantName = None,
    callback: Callbacks = None,
    out: Out = None,
    catalog: CatalogName = None,
    path_map: PathMap = None,
) -> None:
    """Analyse recorded runs again: ROI means of each step, accumulated images, I(q), pictures."""
    from femto_bluesky.callbacks import LiveAnalysis
    from femto_bluesky.callbacks.result_files import ResultFiles
    from femto_bluesky.sources.replay import replay as replay_documents
    from femto_bluesky.stream.analysis import Analysis

    with told():
        # without --out nothing is left anywhere, no photon file beside the raw ones either
        wanted = _with_geometry(_settings(settings, roi), geometry, calibrant)
        live = LiveAnalysis(**wanted, directory=made(out), photon_files=out is not None)
        callbacks = [live, *(_loaded(spec, out) for spec in callback or ())]
        documents = documents_from(sources, catalog, mapped(path_map))
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
        replay_documents(_watched(documents, stops, keys), *guarded)
    except Exception as failure:
        problems.append(failure)
    problems += [failure for written in files for failure in written.failures]
    problems += map(RoiError, live.rois.left_out.values())
    show(live)
    if not live.accumulations.of and not callback and not problems:
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
        written = jsonl.write(_watched(documents_of(sources), stops), to)
    finish(written, stops, [])


def demo(
    out: Annotated[Path, typer.Option(help="where results are left")] = Path("demo-output"),
    steps: Annotated[int, typer.Option(min=1, help="motor positions")] = 17,
    frames: Annotated[int, typer.Option(min=1, help="frames at each position")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="seed of the simulated frames")] = 0,
) -> None:
    """Scan a simulated beamline with a live analysis: rings, few photons a frame, truth known."""
    from femto_bluesky.demo import run_demo  # the RunEngine takes a second to import

    with told():
        done = run_demo(out, steps=steps, frames=frames, seed=seed)
    show(done.live, done.truth)
    finish(done.paths, [], done.problems)
    regions = " ".join(
        f'--roi "{name}={r.x0},{r.y0},{r.x1},{r.y1}"'
        for name, r in done.live.rois.settings.rois.items()
    )
    Console(soft_wrap=True).print(
        "The raw run is kept too. Analyse it again with\n"
        f"  {_command()} replay {done.raw} {regions}",
        highlight=False,
    )


def _command() -> str:
    """The command as it was typed, for it may not be on the path."""
    path = Path(sys.argv[0])
    return str(path) if path.name == "femto-bluesky" else "femto-bluesky"


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
    for detector, found in live.accumulations.result().items():
        if found is not None:
            what = f"sum of {found.n_frames} images" if found.is_sum else "newest image"
            console.print(
                f"{detector}: {what}, total {found.total:.6g}, hottest {found.hottest:.6g}",
                highlight=False,
            )


def _settings(path: Path | None, rois: list[str] | None) -> dict[str, Any]:
    from femto_bluesky.callbacks.live_analysis import LiveAnalysisSettings
    from femto_bluesky.sources.settings import SettingsError, read_settings

    found = {} if path is None else read_settings(path)
    unknown = found.keys() - LiveAnalysisSettings.model_fields.keys()
    if unknown:
        raise SettingsError(
            f"{path}: unknown settings {sorted(unknown)}; known are "
            f"{sorted(LiveAnalysisSettings.model_fields)}"
        )
    try:
        known = dict(LiveAnalysisSettings.model_validate(found))
    except ValidationError as error:
        raise SettingsError(f"{path}: {in_words(error)}") from error
    given: dict[str, Roi] = {}
    for text in rois or ():
        name, _, numbers = text.rpartition("=")
        corners = numbers.split(",")
        if not name or len(corners) != 4 or not all(c.strip().isdigit() for c in corners):
            raise RoiError(
                f"--roi {text!r}: expected NAME=x0,y0,x1,y1 with four whole numbers, not below 0: "
                "columns and rows of the half-open box"
            )
        if name in given:
            raise RoiError(f"--roi {name!r} is given twice; give each region a name of its own")
        given[name] = Roi(**dict(zip(("x0", "y0", "x1", "y1"), map(int, corners), strict=True)))
    return known | {"rois": {**known["rois"], **given}}


def _with_geometry(
    settings: dict[str, Any], geometry: Path | None, calibrant: str | None
) -> dict[str, Any]:
    """The settings with the geometry in a file for every detector, and lines of a calibrant."""
    if geometry is not None:
        from femto_bluesky.files.geometries import read_geometry

        settings = settings | {"geometries": {"": read_geometry(geometry)}}
    if calibrant is not None:
        if not settings["geometries"]:
            raise ValueError(
                f"--calibrant {calibrant} has no rings without a geometry; give --geometry FILE"
            )
        settings = settings | {"azimuthal": {**dict(settings["azimuthal"]), "calibrant": calibrant}}
    return settings


def _loaded(spec: str, out: Path | None) -> Any:
    """An instance of the class that MODULE:CLASS names."""
    module_name, _, class_name = spec.rpartition(":")
    if not module_name:
        raise ValueError(f"--callback {spec}: expected MODULE:CLASS or PATH.py:CLASS")
    if module_name.endswith(".py"):
        path = Path(module_name)
        found = importlib.util.spec_from_file_location(path.stem, path)
        if not path.is_file() or found is None or found.loader is None:
            raise FileNotFoundError(f"--callback {spec}: no file {path}")
        module = importlib.util.module_from_spec(found)
        sys.modules[path.stem] = module
        try:
            found.loader.exec_module(module)
        except SyntaxError as error:
            raise ValueError(f"--callback {spec}: {error}") from error
    else:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"--callback {spec}: {error}; expected MODULE:CLASS with an installed module, or "
                "PATH.py:CLASS"
            ) from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        raise ValueError(f"--callback {spec}: {module_name} has no class {class_name!r}")
    if "__call__" not in dir(kind):
        raise ValueError(
            f"--callback {spec}: a {class_name} cannot be called with (name, document)"
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


def _watched(
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
