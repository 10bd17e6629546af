"""What is to be done: runs are read without their frames, and their shots put into groups."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from femto_bluesky.model.sums import Kind, describe
from femto_bluesky.reprocess.engines import WorkerDiedError
from femto_bluesky.reprocess.group_by import GroupBy, GroupByError, Values, sortable
from femto_bluesky.reprocess.pieces import Cut, PlanFile, PlannedEvent, Read, Share
from femto_bluesky.reprocess.results import Broken, RunInfo
from femto_bluesky.sources.catalogs.runs import Run
from femto_bluesky.sources.replay import Source, documents_of
from femto_bluesky.stream.events import Burst, Document, JoinedEvent, RunStarted, RunStopped
from femto_bluesky.stream.frames import FrameError, InlineFrames
from femto_bluesky.stream.joiner import Joiner
from femto_bluesky.stream.shots import label_columns, origin_of
from femto_bluesky.stream.steps import Steps, motor_fields

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PlannedGroup:
    """The shots that are to be analysed together, run by run."""

    name: str
    values: Values
    shares: dict[str, Share] = field(default_factory=dict)


@dataclass(slots=True)
class Plan:
    """All that is to be done; shots are in `file`, which is to be closed."""

    group_by: GroupBy
    file: PlanFile
    runs: dict[str, RunInfo] = field(default_factory=dict)
    groups: list[PlannedGroup] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


@dataclass(slots=True)
class _OpenRun:
    """A run whose documents are coming."""

    start: Document
    steps: Steps = field(default_factory=Steps)
    events: dict[int, tuple[PlannedEvent, list[tuple[Values, range]]]] = field(default_factory=dict)
    ends: dict[int, Burst] = field(default_factory=dict)  # of each source, what needs the most
    kinds: dict[str, Kind] = field(default_factory=dict)
    where: str = ""


class Planner:
    """Puts the shots of runs into groups; `stream` holds the frames.

    A run that cannot be planned is put on the list of the broken ones, and nothing else of it.
    """

    def __init__(self, group_by: GroupBy, stream: str, file: PlanFile) -> None:
        self._plan = Plan(group_by, file)
        self._stream = stream
        self._groups: dict[object, PlannedGroup] = {}
        self._ranks: dict[str, int] = {}
        self._kinds: dict[object, tuple[str, dict[str, Kind]]] = {}  # of the first run of a group
        self._open: dict[str, _OpenRun] = {}

    def add(self, source: Source, path_map: Mapping[str, str] | None) -> None:
        """Plan all runs of a source."""
        told = source_text(source)
        joiner = Joiner(self._stream)
        n_before = len(self._plan.runs) + len(self._plan.broken)
        failed: dict[str, RunInfo] = {}
        try:
            for name, doc in documents_of(source, path_map):
                self._take(joiner, name, doc, told, failed)
        except Exception as error:  # whatever a source raises, the other sources can be read
            reason = f"it cannot be read: {reason_of(error)}"
            cut = [
                uid for uid, info in self._plan.runs.items()
                if info.source == told and str(error) and str(error) == info.reason
            ]  # fmt: skip
            for uid in cut:
                self.drop(uid, reason)
            if not cut:
                self._plan.broken.append(Broken(None, told, reason))
        else:
            if len(self._plan.runs) + len(self._plan.broken) == n_before:
                reason = "there is no run in it; name a source of Bluesky documents"
                self._plan.broken.append(Broken(None, told, reason))
        for uid in list(self._open):
            joiner.forget(uid)
            del self._open[uid]

    def plan(self) -> Plan:
        """The plan, groups in the order of their values."""
        keys = self._plan.group_by.keys

        def order(group: PlannedGroup) -> Any:
            return [
                (0, self._ranks[str(value)], "") if key.is_run else sortable((value,))[0]
                for key, value in zip(keys, group.values, strict=True)
            ]

        found = [group for group in self._groups.values() if group.shares]
        self._plan.groups = sorted(found, key=order)
        names: dict[str, int] = {}
        for group in self._plan.groups:
            names[group.name] = names.get(group.name, 0) + 1
            if names[group.name] > 1:  # text and numbers may look the same
                group.name = f"{group.name} ({names[group.name]})"
        return self._plan

    def drop(self, uid: str, reason: str) -> None:
        """Take a run out of the plan: it is broken."""
        info = self._plan.runs.pop(uid)
        self._plan.broken.append(Broken(info, info.source, reason))
        for group in self._groups.values():
            group.shares.pop(uid, None)

    def _take(
        self, joiner: Joiner, name: str, doc: Any, told: str, failed: dict[str, RunInfo]
    ) -> None:
        uid = joiner.run_of(name, doc)
        if name == "stop" and uid is None and doc.get("run_start") in failed:
            uid = str(doc["run_start"])
        if name == "start":
            failed.pop(str(doc["uid"]), None)
        if uid in failed:
            return
        try:
            for joined in joiner.receive(name, doc):
                if isinstance(joined, RunStarted):
                    self._start(joined.start)
                elif isinstance(joined, JoinedEvent):
                    self._event(self._open[joined.start["uid"]], joined)
                elif isinstance(joined, RunStopped):
                    self._end(joined, told)
        except Exception as error:
            # isolated here, whatever it is: the other runs count
            if uid is None:
                raise
            run = self._open.pop(uid, None)
            joiner.forget(uid)
            if run is None:
                raise
            failed[uid] = _info(run.start, {}, 0, told)
            self._plan.broken.append(Broken(failed[uid], told, reason_of(error)))

    def _start(self, start: Document) -> None:
        uid = str(start["uid"])
        self._open[uid] = _OpenRun(start)
        if uid in self._plan.runs:
            raise GroupByError("it was given before, and counts once; name each run once")

    def _event(self, run: _OpenRun, event: JoinedEvent) -> None:
        if not event.bursts:
            if event.replaces is None:
                return  # of a detector without frames, such as a spectrometer
            run.events.pop(event.seq_num, None)
        motors = motor_fields(event.start, event.descriptor, self._stream)
        step = run.steps.place(event, motors)
        labels = label_columns(event, step)
        parts = self._plan.group_by.of_event(run.start, step.position, labels, step.n_shots)
        reads = []
        for detector, burst in event.bursts.items():
            run.where = run.where or burst.where
            self._see_kind(run, event, detector, burst)
            source = burst.source
            if isinstance(source, InlineFrames):
                place = self._plan.file.put(source)
                reads.append(Read(detector, burst.image, place, burst.start, burst.stop))
            elif source is not None:
                reads.append(Read(detector, burst.image, source, burst.start, burst.stop))
                last = run.ends.get(id(source))
                if last is None or last.stop < burst.stop:
                    run.ends[id(source)] = burst
        # one object for each name, so that a piece of many events has it once
        data = {sys.intern(key): value for key, value in event.doc["data"].items()}
        planned = PlannedEvent(
            event.seq_num, float(event.doc["time"]), data, event.descriptor, step, tuple(reads)
        )
        run.events[event.seq_num] = planned, parts

    def _see_kind(self, run: _OpenRun, event: JoinedEvent, detector: str, burst: Burst) -> None:
        shape = burst.image.shape
        if shape is None and burst.source is not None and burst.stop > burst.start:
            rows, columns = burst.source.read(burst.start).shape
            shape = rows, columns
        if shape is None:
            return
        kind: Kind = (detector, shape, origin_of(event.descriptor, detector))
        before = run.kinds.setdefault(detector, kind)
        if before != kind:
            raise FrameError(
                f"{describe(before)} are followed by {describe(kind)}, expected frames of one kind "
                "in a run: they cannot be added; replay this run alone"
            )

    def _end(self, joined: RunStopped, told: str) -> None:
        run = self._open.pop(str(joined.start["uid"]))
        try:
            self._end_run(run, joined.stop, told)
        except Exception:
            self._open[str(joined.start["uid"])] = run  # for who tells that it is broken
            raise

    def _end_run(self, run: _OpenRun, stop: Document, told: str) -> None:
        if not run.events:
            raise FrameError(
                f"it has no frames in the stream {self._stream!r}; it was stopped before its first "
                "event, or the frames are in another stream"
            )
        for burst in run.ends.values():
            burst.check()
        shares: dict[object, tuple[Values, list[Cut]]] = {}
        for seq_num in sorted(run.events):
            event, parts = run.events[seq_num]
            of_event: dict[object, tuple[Values, list[range]]] = {}
            for values, part in parts:
                of_event.setdefault(sortable(values), (values, []))[1].append(part)
            for key, (values, found) in of_event.items():
                shares.setdefault(key, (values, []))[1].append((event, tuple(found)))
        uid = str(run.start["uid"])
        for key in shares:
            first, kinds = self._kinds.get(key, (uid, run.kinds))
            if kinds != run.kinds:
                there = ", ".join(map(describe, run.kinds.values()))
                expected = ", ".join(map(describe, kinds.values()))
                raise FrameError(
                    f"found {there}, expected {expected} as in run {first[:8]}, the first of its "
                    "group: they cannot be added; give these runs apart, or group by what parts "
                    "them, such as 'run'"
                )
        self._ranks.setdefault(uid, len(self._ranks))
        n_shots = 0
        group_by = self._plan.group_by
        for key, (values, cuts) in shares.items():
            self._kinds.setdefault(key, (uid, run.kinds))
            share = Share(uid, run.start, run.where)
            self._plan.file.put_share(share, cuts)
            n_shots += share.n_shots
            if key not in self._groups:
                self._groups[key] = PlannedGroup(group_by.title(values), values)
            self._groups[key].shares[uid] = share
        self._plan.runs[uid] = _info(run.start, stop, n_shots, told)


def sources_of(runs: Source | Iterable[Source]) -> Iterator[Source]:
    """What is given, source by source: it may be one alone."""
    if isinstance(runs, str | os.PathLike) or hasattr(runs, "documents"):
        yield runs  # type: ignore[misc]
        return
    rest: Iterator[Any] = iter(runs)
    for first in rest:
        if _is_pair(first):  # documents, and what follows are more of them
            yield chain([first], rest)
            return
        yield first


def source_text(source: Source) -> str:
    """What a source is called in a table."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    if isinstance(source, Run):
        return f"{source.where}#{source.uid}"
    if isinstance(source, list | tuple) and source and isinstance(source[0], str | os.PathLike):
        return " ".join(map(str, source))
    return "documents"


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping)
    )  # fmt: skip


def _info(start: Document, stop: Document, n_shots: int, told: str) -> RunInfo:
    scan = start.get("scan_id")
    return RunInfo(
        str(start["uid"]), scan if isinstance(scan, int) else None, start,
        str(stop.get("exit_status", "fail")), n_shots, float(start.get("time", 0.0)), told,
        str(stop.get("reason") or ""),
    )  # fmt: skip


def reason_of(error: Exception) -> str:
    """What is told of an error in a table: of an unknown kind, its name too."""
    told = str(error) or "no reason was given"
    is_ours = isinstance(error, FrameError | GroupByError)
    return (
        told if is_ours or isinstance(error, WorkerDiedError) else f"{type(error).__name__}: {told}"
    )
