"""One call that analyses many runs again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from femto_bluesky.reprocess.driving import Driver
from femto_bluesky.reprocess.engines import Engine, InProcess, ReprocessError
from femto_bluesky.reprocess.fingerprints import fingerprint
from femto_bluesky.reprocess.folding import Partial, Parts
from femto_bluesky.reprocess.group_by import GroupBy
from femto_bluesky.reprocess.journal import Journal
from femto_bluesky.reprocess.pieces import PlanFile
from femto_bluesky.reprocess.planning import Plan, Planner, sources_of
from femto_bluesky.reprocess.results import Group, Progress, Reprocessed
from femto_bluesky.sources.replay import Source
from femto_bluesky.stream.analysis import Analysis

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ReprocessError", "reprocess"]

log = logging.getLogger(__name__)


def reprocess(
    runs: Source | Iterable[Source],
    analysis: Analysis,
    client: Client | None = None,
    *,
    workers: int | None = None,
    group_by: GroupBy | str | None = None,
    out: str | Path | None = None,
    on_group: Callable[[Group], object] | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    retries: int = 2,
    frames_per_piece: int | None = None,
    path_map: Mapping[str, str] | None = None,
    parts: Parts | None = None,
    restart: bool = False,
    wait_s: float = 600.0,
) -> Reprocessed:
    """Analyse runs again on many cores; what comes out is what one process would give, to the bit.

    `runs` are as `replay` takes them, one or many: runs of a catalog, paths, documents. `analysis`
    gives the settings, and is left as it is; what it has seen does not count. Without a Dask
    `client`, there are so many `workers` on this machine (None: one for each core; 1: this process,
    and Dask is not needed).

    Shots are put into groups by what `group_by` says (`GroupBy`; None: into one), and each group,
    when it is finished, is handed to `on_group`. Then it is forgotten, so that any number of groups
    fits the memory; without `on_group`, all are in what is returned. `parts` keeps something of
    every shot on the workers.

    A run counts whole or not at all: one that cannot be read, or whose analysis raises, is named
    with the reason, after a piece of it has been tried `retries` times more, and nothing of it is
    in any result. With `out`, a folder, work that was broken off goes on where it stopped when the
    same call is made again; `restart` begins anew. Groups that were finished then are not handed
    out again; what `on_group` returned, plain data, is kept and given back as `told`.

    Raises `GroupByError` for a `group_by` that says nothing, `ReprocessError` where `out` is of
    another work, parts cannot be merged, or the cluster has gone, and `TimeoutError` where no
    worker of the `client` has come within `wait_s`.
    """
    began = time.monotonic()
    if not isinstance(group_by, GroupBy):
        group_by = GroupBy.parse(group_by)
    directory = None if out is None else Path(out)
    with ExitStack() as stack:
        file = PlanFile(directory)
        stack.callback(file.close)
        planner = Planner(group_by, analysis._reading.stream, file)
        for source in sources_of(runs):
            planner.add(source, path_map)
        plan = planner.plan()
        mark = fingerprint(plan, analysis)
        journal = None
        if directory is not None:
            journal = Journal(directory, mark, analysis, restart=restart)
            stack.callback(journal.close)
        engine = _engine(stack, analysis, client, workers, parts, wait_s)
        driver = Driver(
            plan, engine, retries=retries, shots_per_piece=frames_per_piece,
            on_progress=on_progress, keeper=journal,
        )  # fmt: skip
        if isinstance(engine, InProcess):
            engine.tell = driver.tell_more
        before = [] if journal is None else _go_on(driver, journal)
        told = {} if journal is None else dict(journal.before.told)
        found: dict[int, Group] = {}
        for number, partial in driver.run():
            group = _group(plan, number, partial)
            if on_group is None:
                found[number] = group
                continue
            told[group.name] = on_group(group)
            if journal is not None:
                journal.finish(number, group.name, told[group.name])
        runs_done = list(plan.runs.values())
        return Reprocessed(
            groups=[found[number] for number in sorted(found)],
            runs=runs_done,
            broken=list(plan.broken),
            n_shots=sum(info.n_shots for info in runs_done),
            seconds=time.monotonic() - began,
            n_workers=engine.n_workers,
            fingerprint=mark,
            told={group.name: told[group.name] for group in plan.groups if group.name in told},
            finished_before=before,
        )


def _go_on(driver: Driver, journal: Journal) -> list[str]:
    """Have the driver go on where the work stopped; the groups that were finished."""
    for uid, reason in journal.before.broken.items():
        driver.break_run(uid, reason)
    finished = []
    for number, group in enumerate(driver.plan.groups):
        if group.name in journal.before.told:
            driver.skip(number)
            finished.append(group.name)
    for partial in journal.partials():
        driver.give(partial)
    return finished


def _engine(
    stack: ExitStack,
    analysis: Analysis,
    client: Client | None,
    workers: int | None,
    parts: Parts | None,
    wait_s: float,
) -> Engine:
    pattern = analysis.fresh()
    if workers is not None and workers < 1:
        raise ValueError(f"found {workers} workers, expected 1 or more")
    n_workers = workers or len(os.sched_getaffinity(0))
    engine: Engine
    if client is None and n_workers == 1:
        engine = InProcess(pattern, parts)
    else:
        from femto_bluesky.reprocess.clusters import local_cluster
        from femto_bluesky.reprocess.dask_engine import DaskEngine

        if client is None:
            client = stack.enter_context(local_cluster(n_workers))
        engine = DaskEngine(client, pattern, parts, wait_s=wait_s)
    stack.callback(engine.close)
    return engine


def _group(plan: Plan, number: int, partial: Partial) -> Group:
    planned = plan.groups[number]
    kept: dict[str, list[Any]] = {}
    for span, part in sorted(partial.parts.items()):
        kept.setdefault(span.run, []).append(part)
    return Group(
        name=planned.name,
        values=plan.group_by.named(planned.values),
        analysis=partial.analysis,
        runs={uid: plan.runs[uid] for uid in planned.shares},
        n_shots=partial.n_shots,
        shots={uid: share.shot_numbers() for uid, share in planned.shares.items()},
        parts=kept,
    )
