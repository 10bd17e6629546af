"""The command that analyses many runs again, on many cores: `reprocess`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from femto_bluesky.cli.catalogs import CatalogName, PathMap, mapped
from femto_bluesky.cli.clusters import client_of
from femto_bluesky.cli.loading import loaded_class
from femto_bluesky.cli.options import CalibrantName, GeometryFile, Rois, SettingsFile, analysis_of
from femto_bluesky.cli.photons import INTERRUPTED
from femto_bluesky.cli.raw_runs import raw_runs
from femto_bluesky.cli.shared import in_words, made, progress_bar, told

if TYPE_CHECKING:
    from distributed import Client

    from femto_bluesky.reprocess import Broken, Progress, Reprocessed
    from femto_bluesky.reprocess.outputs import Outputs
    from femto_bluesky.reprocess.summary import GroupSummary
    from femto_bluesky.sources.catalogs import Run
    from femto_bluesky.stream.analysis import Analysis


MOST_NUMBERS = 4
"""So many numbers of each group are printed; all are in summary.h5."""


def reprocess(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="the runs, as for `replay`: catalog:DIR#12-40, catalog:DIR#sample=LaB6, "
            "scan_*.jsonl, recordings; a catalog without runs (catalog:DIR) means all of them, "
            "@FILE the sources that a file names, one a line",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="where results are left (made where missing); needed")
    ] = None,
    settings: SettingsFile = None,
    roi: Rois = None,
    geometry: GeometryFile = None,
    calibrant: CalibrantName = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="what is put together: `run`, a motor or label (delay, or delay:0.1 to round), "
            "start.KEY of the start document, or several joined by commas; else all",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="the group that others are compared with; the first"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes on this machine; else one a processor")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="a Dask cluster that runs already: tcp://HOST:8786"),
    ] = None,
    analysis: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:CLASS", help="an analysis of your own; MODULE may be a .py file"
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="begin anew, and remove what was left in --out")
    ] = False,
    catalog: CatalogName = None,
    path_map: PathMap = None,
) -> None:
    """Analyse many runs again, on all cores or a cluster: an image, I(q) and means of each group.

    The same command goes on where it was interrupted.
    """
    with told(), ExitStack() as opened:
        if out is None:
            raise ValueError("--out is missing; say where results are to be left")
        if scheduler is not None and workers is not None:
            raise ValueError("--workers are of this machine, and --scheduler has its own; give one")
        pattern = _analysis(analysis, settings, roi, geometry, calibrant)
        named = _listed(sources or [])
        runs, unreadable = _runs(named, catalog, mapped(path_map), opened)
        made(out)
        outputs = _outputs(
            out, pattern, runs, named, group_by=group_by, reference=reference,
            analysis=analysis, catalog=catalog, path_map=path_map,
        )  # fmt: skip
        outputs.begin(restart=restart)
        client = client_of(opened, scheduler, workers, analysis)
        done, written = _finished(
            outputs, unreadable, partial(_work, runs, pattern, client, outputs, group_by, restart)
        )
    if done is None:
        Console(stderr=True, soft_wrap=True).print(
            f"stopped; what is finished is kept in {out}, and the same command goes on",
            highlight=False,
        )
        raise typer.Exit(INTERRUPTED)
    _show(done, written, outputs)


def _finished(
    outputs: Outputs, unreadable: Sequence[Broken], work: Callable[[], Reprocessed]
) -> tuple[Reprocessed | None, list[Path]]:
    """What came of the work, and all files; None where Ctrl-C has ended it."""
    try:
        done = work()
        done = replace(done, broken=[*unreadable, *done.broken])
        return done, outputs.finish(done)
    except KeyboardInterrupt:
        return None, []


def _listed(sources: Sequence[str]) -> list[str]:
    """The sources, with those that a file names (@FILE, a line each) in its place."""
    found: list[str] = []
    for text in sources:
        if not text.startswith("@"):
            found.append(text)
            continue
        path = Path(text[1:])
        if not path.is_file():
            raise FileNotFoundError(f"{text}: there is no file {path} that names sources")
        found += [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    return found


def _analysis(
    spec: str | None,
    settings: Path | None,
    rois: list[str] | None,
    geometry: Path | None,
    calibrant: str | None,
) -> Analysis:
    """The analysis that the options ask for; it leaves no files by itself."""
    from femto_bluesky.stream.analysis import Analysis

    if spec is None:
        return analysis_of(settings, rois, geometry, calibrant, None)
    if rois or geometry or calibrant:
        raise ValueError(
            f"--roi, --geometry and --calibrant are settings of the beamline's own analysis; give "
            f"those of {spec} with --settings"
        )
    kind = loaded_class("--analysis", spec)
    if not issubclass(kind, Analysis):
        raise ValueError(f"--analysis {spec}: a {kind.__name__} is no Analysis")
    from femto_bluesky.sources.settings import SettingsError, read_settings

    given = {} if settings is None else read_settings(settings)
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        where = f"{settings}: " if settings is not None else ""
        raise SettingsError(f"{where}{spec}: {in_words(error)}") from error


def _runs(
    sources: Sequence[str], catalog: str | None, folders: Mapping[str, str], opened: ExitStack
) -> tuple[list[Run], list[Broken]]:
    """The runs that are meant, in the order of time, and the files that hold none that is read."""
    from femto_bluesky.reprocess import Broken
    from femto_bluesky.sources.jsonl import JsonLinesError
    from femto_bluesky.sources.replay import documents_of

    unreadable: list[Broken] = []
    good = list(sources)
    if catalog is None and len(sources) > 1:
        # one that is damaged must not cost the others
        for text in [s for s in sources if s.removesuffix(".gz").endswith(".jsonl")]:
            try:
                raw_runs([text], None, opened)
            except JsonLinesError as error:
                unreadable.append(Broken(None, text, in_words(error)))
                good.remove(text)
    if sources and not good:
        raise ValueError(f"no run can be read: {unreadable[0].reason}")
    found = [run for run, _ in raw_runs(good, catalog, opened)]
    found.sort(key=lambda run: (float(run.start["time"]), run.uid))
    if folders:
        found = [replace(run, read=partial(documents_of, run, folders)) for run in found]
    return found, unreadable


def _outputs(
    out: Path,
    pattern: Analysis,
    runs: Sequence[Run],
    sources: Sequence[str],
    *,
    group_by: str | None,
    reference: str | None,
    analysis: str | None,
    catalog: str | None,
    path_map: list[str] | None,
) -> Outputs:
    from femto_bluesky.reprocess import GroupBy
    from femto_bluesky.reprocess.outputs import Outputs
    from femto_bluesky.reprocess.provenance import Recipe

    by = GroupBy.parse(group_by)
    options = [] if catalog is None else ["--catalog", catalog]
    for pair in path_map or ():
        options += ["--path-map", pair]
    recipe = Recipe.of(
        pattern, [run.uid for run in runs], sources=tuple(sources), options=tuple(options),
        group_by=str(by), reference=reference or "", spec=analysis or "",
    )  # fmt: skip
    return Outputs(out, recipe, _units(runs[0], [key.name for key in by.keys]))


def _units(run: Run, keys: Sequence[str]) -> dict[str, str]:
    """The units of motors and labels, as the first run describes them."""
    wanted = [key for key in keys if key != "run" and not key.startswith("start.")]
    found: dict[str, str] = {}
    try:
        for name, doc in run.documents() if wanted else ():
            if name == "descriptor":
                found |= {
                    key: str(entry["units"])
                    for key, entry in doc["data_keys"].items()
                    if key in wanted and entry.get("units")
                }
            elif name in ("event", "event_page"):
                break
    except Exception:  # what is wrong with it is told when it is analysed
        return found
    return found


def _work(
    runs: Sequence[Run],
    pattern: Analysis,
    client: Client | None,
    outputs: Outputs,
    group_by: str | None,
    restart: bool,
) -> Reprocessed:
    """Analyse all of it behind a bar of the shots, with their rate and the time left."""
    from femto_bluesky.reprocess import reprocess as reprocess_runs

    with progress_bar() as bar:
        task = bar.add_task("reading documents", total=None)

        def show(progress: Progress) -> None:
            what = f"group {min(progress.n_groups_done + 1, progress.n_groups)}"
            what += f" of {progress.n_groups}"
            broken = f", {progress.n_broken} broken" if progress.n_broken else ""
            bar.update(
                task, completed=progress.n_done, total=progress.n_shots,
                description=f"shots, {what}{broken}",
            )  # fmt: skip

        return reprocess_runs(
            runs, pattern, client, workers=1 if client is None else None, group_by=group_by,
            out=outputs.directory, on_group=outputs.take, on_progress=show, parts=outputs.parts,
            restart=restart,
        )  # fmt: skip


def _show(done: Reprocessed, written: Sequence[Path], outputs: Outputs) -> None:
    """Name the files and the runs that are broken; with such, the exit code is 1."""
    from femto_bluesky.reprocess.report_words import counted, duration

    console = Console(soft_wrap=True)
    for path in written:
        console.print(f"wrote {path}", highlight=False, markup=False)
    if outputs.groups:
        _show_groups(outputs.groups)
    console.print(
        f"{counted(done.n_shots, 'shot')} of {counted(len(done.runs), 'run')} in "
        f"{counted(len(outputs.groups), 'group')}, {duration(done.seconds)} with "
        f"{counted(done.n_workers, 'worker')}; to make it again:",
        highlight=False, markup=False,
    )  # fmt: skip
    command = outputs.recipe.command(outputs.directory)
    console.print(command, highlight=False, markup=False)
    if not done.broken:
        return
    table = Table(title="In no result", title_justify="left")
    for name in ("run", "reason"):
        table.add_column(name, overflow="fold")
    for one in done.broken:
        table.add_row(_named(one), one.reason)
    told_to = Console(stderr=True)
    if not told_to.is_terminal:
        told_to.width = 200
    told_to.print(table, markup=False)
    raise typer.Exit(1)


def _show_groups(groups: Sequence[GroupSummary]) -> None:
    """The means of the first numbers of each group."""
    from femto_bluesky.reprocess.report_words import with_error

    names = list(dict.fromkeys(name for group in groups for name in group.numbers))[:MOST_NUMBERS]
    table = Table(title="Means, with their standard errors", title_justify="left")
    for head in ("group", "runs", "shots", *names):
        table.add_column(head, justify="left" if head == "group" else "right")
    for group in groups:
        means = (group.numbers.get(name) for name in names)
        cells = ["" if one is None else with_error(one.mean, one.sem) for one in means]
        table.add_row(group.name, str(len(group.runs)), str(group.n_shots), *cells)
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe or a file has no width to keep to
    console.print(table, markup=False)


def _named(broken: Broken) -> str:
    run = broken.run
    if run is None:
        return broken.source
    return run.uid[:8] if run.scan_id is None else f"scan {run.scan_id} ({run.uid[:8]})"
