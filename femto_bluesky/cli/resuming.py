"""The command that finishes what a crash has interrupted: `resume`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from femto_bluesky.cli.catalogs import CatalogName, PathMap, mapped
from femto_bluesky.cli.keeping import SUMS
from femto_bluesky.cli.options import (
    CalibrantName,
    GeometryFile,
    Rois,
    SettingsFile,
    analysis_of,
)
from femto_bluesky.cli.raw_runs import raw_runs
from femto_bluesky.cli.replaying import show_sums, watched
from femto_bluesky.cli.shared import finish, in_words, made, told

if TYPE_CHECKING:
    from femto_bluesky.callbacks import Checkpoints, ResultFiles
    from femto_bluesky.callbacks.followed_settings import FollowedSettings
    from femto_bluesky.callbacks.unfinished import Task
    from femto_bluesky.stream.analysis import Analysis

LOCK: Final = ".resuming"


def resume(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="the raw runs, as for `replay`; a catalog without runs (catalog:DIR, or --catalog "
            "alone) means all that were taken since the first one that was analysed",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the --out of the command that was interrupted")
    ] = None,
    settings: SettingsFile = None,
    roi: Rois = None,
    geometry: GeometryFile = None,
    calibrant: CalibrantName = None,
    catalog: CatalogName = None,
    path_map: PathMap = None,
) -> None:
    """Finish what was interrupted: replay what is missing in --out, and in its running sums.

    Runs that were broken off are analysed anew, with the settings that they have recorded, unless
    others are given. What was there of them is kept in the folder `interrupted`.
    """
    with told(), ExitStack() as opened:
        if out is None or not out.is_dir():
            raise ValueError(
                f"--out {out or ''}: expected the directory into which the runs were analysed; "
                "give the --out of the command that was interrupted"
            )
        made(out)
        opened.enter_context(_alone_in(out))
        folders = mapped(path_map)
        given = _given(settings, roi, geometry, calibrant)
        runs = raw_runs(sources or [], catalog, opened)
        work = _Work(out, folders, given, is_given=settings is not None)
        work.restore(opened)
        tasks = work.tasks(runs)
        work.do(tasks)
        _show(tasks, work)
    finish(work.written, work.stops, work.problems)


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Raise `RuntimeError` where another process is at work in the directory."""
    from femto_bluesky.sources.catalogs.locks import LockedError, is_locked, lock_directory

    written = [path for path in sorted(out.glob("*.jsonl")) if is_locked(path)]
    if written:
        raise RuntimeError(
            f"{written[0]} is being written: an analysis is at work in {out}; let it finish or end "
            "it, and resume then"
        )
    try:
        lock = lock_directory(out / LOCK)
    except LockedError as error:
        raise RuntimeError(
            f"{error.owner} resumes in {out} already; wait until it is done"
        ) from None
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _given(
    settings: Path | None, roi: list[str] | None, geometry: Path | None, calibrant: str | None
) -> dict[str, Any]:
    """The settings that options give, as plain data; with a file of settings, all of them."""
    options = {"rois": roi, "geometries": geometry, "azimuthal": calibrant}
    if settings is None and not any(options.values()):
        return {}
    record = analysis_of(settings, roi, geometry, calibrant, None).settings_record()
    return {key: value for key, value in record.items() if settings is not None or options.get(key)}


class _Work:
    """Finishes runs in a directory, one after the other, and notes what came of each.

    `given` are settings that count whatever was recorded; with `is_given` they are all.
    """

    def __init__(
        self, out: Path, folders: Mapping[str, str], given: Mapping[str, Any], *, is_given: bool
    ) -> None:
        from femto_bluesky.callbacks import LiveAnalysis, ResultFiles
        from femto_bluesky.callbacks.derived_files import derived_in
        from femto_bluesky.callbacks.interrupted import set_apart
        from femto_bluesky.callbacks.unfinished import Sums, noted

        self.out, self.folders, self.given, self.is_given = out, folders, given, is_given
        self.problems: list[Exception] = []
        self.stops: list[dict[str, Any]] = []
        self.done: dict[str, str] = {}
        self.derived = derived_in(self.out)
        self.apart = set_apart(self.out)
        known = [one for one in self.derived + self.apart if one.start and one.begun_with]
        known.sort(key=lambda one: (one.is_finished, one.taken_at))
        self._is_recorded = bool(known)
        self._begun = noted(self.out / SUMS)
        like = next(iter(known), self._begun.like if self._begun else None)
        recorded = {} if like is None or is_given else like.begun_with
        try:
            self.live = LiveAnalysis(**{**recorded, **self.given}, directory=self.out)
        except (TypeError, ValueError) as error:
            if like is None or is_given:
                raise
            raise ValueError(
                f"{like.path}: its settings cannot be used ({in_words(error)}); give --settings"
            ) from error
        self._files: ResultFiles = ResultFiles(self.live, self.out)
        self.live.subscribe(self._files)
        self._sums = Sums()
        self._keeper: Checkpoints | None = None

    @property
    def written(self) -> list[Path]:
        """The files that were written."""
        return self._files.paths

    def restore(self, opened: ExitStack) -> None:
        """Bring back the running sums, where any were kept."""
        from femto_bluesky.callbacks import Checkpoints
        from femto_bluesky.callbacks.unfinished import Sums

        if not (self.out / SUMS).is_dir():
            return
        self._keeper = keeper = opened.enter_context(Checkpoints(self.live, self.out / SUMS))
        # each run is analysed with the settings of its own, as it was
        # what was there before an analysis that did not go on from it is of another sum
        since = self._begun.at if self._begun and not self._begun.is_restored else None
        found = keeper.restore(other_settings=self._is_recorded and not self.is_given, since=since)
        for one in found:
            Console(soft_wrap=True).print(f"restored: {one}", highlight=False, markup=False)
        with self.live.shell.lock:
            parts = self.live.accumulations.of.values()
            taken = {key: n for part in parts for key, n in part.to_keep().taken.items()}
        self._sums = Sums.of(found, taken)

    def tasks(self, runs: Sequence[tuple[Any, bool]]) -> list[Task]:
        """What is to be done; what cannot be is noted."""
        from femto_bluesky.callbacks.unfinished import others_in, tasks, without_run

        for one in without_run(self.derived, self.apart, [run for run, _ in runs]):
            self.problems.append(
                ValueError(
                    f"{one.path} was broken off, and its raw run {one.raw[:8]} is not among the "
                    "sources; name where it is"
                )
            )
        for one in others_in(self.derived):
            self._say(f"left: {one.path} was broken off by {one.analysis}; replay its run with it")
        begun = self._begun.like if self._begun else None
        return tasks(runs, self.derived, self.apart, self._sums, begun)

    def do(self, tasks: Sequence[Task]) -> None:
        """Replay what is to be replayed, in this order."""
        from femto_bluesky.callbacks.followed_settings import IntoSums
        from femto_bluesky.callbacks.interrupted import files_of
        from femto_bluesky.callbacks.unfinished import Missing

        again = [task for task in tasks if task.is_done_again]
        if again and self._keeper is not None:
            self._keeper.start()
        of: list[list[list[Path]]] = []
        claimed: set[Path] = set()
        for task in again:
            # all before anything is written: new files will have the names of those set apart
            of.append(
                files_of(task.run.uid, task.broken, self.out, self.derived, claimed)
                if task.missing is Missing.ALL
                else []
            )
            claimed.update(path for files in of[-1] for path in files)
        into = IntoSums(self.live)
        for task, files in zip(again, of, strict=True):
            before = self.live.shell.pulse.n_shots, self._n_frames()
            try:
                self._check_fixed(task)
                follow = self._following(task)
                if task.missing is Missing.ALL:
                    self._put_apart(task, files)
                    self._replay(task, self.live, follow)
                    n = self.live.shell.pulse.n_shots - before[0]
                    self.done[task.run.uid] = f"analysed, {n} shot{'s' * (n != 1)}"
                else:
                    self._replay(task, into, follow)
                    n = self._n_frames() - before[1]
                    self.done[task.run.uid] = f"{n} frame{'s' * (n != 1)} added to the sum"
            except Exception as failure:
                # whatever it is, other runs may be finished
                self.problems.append(_of_run(task, failure))
                self.done[task.run.uid] = "failed"
        self.problems += self._files.failures
        if again and self._keeper is not None:
            self._keeper.close()
            if self._keeper.problem:
                problem = f"the running sums are not kept: {self._keeper.problem}"
                self.problems.append(OSError(problem))

    def _put_apart(self, task: Task, files: Sequence[Sequence[Path]]) -> None:
        from femto_bluesky.callbacks.interrupted import put_apart

        for folder in put_apart(task.run.uid, task.broken, files, self.out):
            self._say(f"what was there of scan {_number(task)} is in {folder}")

    def _following(self, task: Task) -> FollowedSettings:
        """What sets the analysis as it was; it is set for the first event."""
        from femto_bluesky.callbacks.followed_settings import FollowedSettings

        like = None if self.is_given else task.like
        follow = FollowedSettings(self.live, like, self.given, is_own=_is_own(task))
        follow.begin()
        return follow

    def _replay(self, task: Task, analysis: Analysis, follow: FollowedSettings) -> None:
        """Take the documents of the run through the analysis."""
        from femto_bluesky.sources.replay import documents_of, replay

        token = analysis.subscribe(follow)
        try:
            replay(watched(documents_of(task.run, self.folders), self.stops), analysis)
        finally:
            analysis.unsubscribe(token)
        if follow.failure is not None:
            raise follow.failure

    def _check_fixed(self, task: Task) -> None:
        from femto_bluesky.callbacks.followed_settings import FIXED

        now = self.live.settings_record()
        recorded = {} if task.like is None or self.is_given else task.like.begun_with
        other = sorted(
            key
            for key in FIXED - self.given.keys()
            if key in recorded and recorded[key] != now[key]
        )
        if other:
            raise ValueError(
                f"it was analysed with other {' and '.join(other)} than the runs before it here; "
                "resume it alone, or give --settings"
            )

    def _n_frames(self) -> int:
        return sum(part.extent.n_frames for part in self.live.accumulations.of.values())

    def _say(self, text: str) -> None:
        Console(soft_wrap=True).print(text, highlight=False, markup=False)

    def settings_of(self, task: Task) -> str:
        """Which settings were used, in words."""
        if self.is_given:
            return "given"
        if task.like is None:
            words = "the defaults"
        elif _is_own(task):
            pages = [page.settings for page in task.like.pages]
            n = sum(one != other for one, other in pairwise(pages))
            words = "recorded" + f", changed {n} time{'s' * (n != 1)}" * (n > 0)
        elif task.like.raw:
            words = f"those of scan {task.like.start.get('scan_id', task.like.raw[:8])}"
        else:
            words = "as it was started"
        return words + f"; given: {', '.join(sorted(self.given))}" * bool(self.given)


def _is_own(task: Task) -> bool:
    """Whether the settings that are used again were recorded of this very run."""
    return task.like is not None and task.like.raw == task.run.uid


def _number(task: Task) -> str:
    return str(task.run.start.get("scan_id", task.run.uid[:8]))


def _of_run(task: Task, failure: Exception) -> Exception:
    error = RuntimeError(f"scan {_number(task)} (run {task.run.uid[:8]}): {in_words(failure)}")
    error.__cause__ = failure
    return error


def _show(tasks: Sequence[Task], work: _Work) -> None:
    """Print each run, what was found of it and what was done."""
    from femto_bluesky.callbacks.unfinished import Missing

    console = Console()
    if not console.is_terminal:
        console.width = 200
    table = Table(title=f"Runs in {work.out}", title_justify="left")
    for name in ("scan", "run", "taken", "found", "settings", "done"):
        table.add_column(name)
    for task in tasks:
        when = datetime.fromtimestamp(float(task.run.start["time"]), UTC).astimezone()
        is_left = task.missing is Missing.LEFT
        done = "left: resume when it has stopped" if is_left else "nothing"
        settings = work.settings_of(task) if task.is_done_again else ""
        table.add_row(
            _number(task), task.run.uid[:8], f"{when:%Y-%m-%d %H:%M}", task.why, settings,
            work.done.get(task.run.uid, done),
        )  # fmt: skip
    if tasks:
        console.print(table)
    if not any(task.is_done_again for task in tasks) and not work.problems:
        console.print(f"Nothing to do in {work.out}.", highlight=False)
    show_sums(work.live, console)
