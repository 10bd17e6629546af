"""Follows the events of a recording and makes runs of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.predecessor import scans
from femto_bluesky.sources.predecessor.frames import FrameError, RereadFiles
from femto_bluesky.sources.predecessor.messages import (
    Damage,
    DamagedRecordingError,
    Event,
    Item,
    RecordingError,
    items,
    merge,
)
from femto_bluesky.sources.predecessor.readings import Reading, ReadingError, key_of
from femto_bluesky.sources.predecessor.runwriter import RunWriter
from femto_bluesky.sources.predecessor.stepdata import IMAGES, SPECTRA, StepData

log = logging.getLogger(__name__)

DETECTORS: Final = frozenset({IMAGES, SPECTRA})


class RunReader:
    """Makes the documents of the runs in `files`; at most one run is open at a time."""

    def __init__(self, files: Sequence[Path], held_bytes: int) -> None:
        self._files = files
        self._step = StepData(RereadFiles(), held_bytes)
        self._run: RunWriter | None = None
        self._scan: scans.Scan | None = None
        # contrast names its motors only by the first readings: its start waits for them.
        self._started: tuple[str, Mapping[str, Any], float] | None = None
        self._types: dict[str, str] = {}
        self._uids: list[str] = []
        self._time = 0.0

    def documents(self) -> Iterator[Document]:
        """The documents, as far as the recording can be read."""
        for path in self._files:
            self._look_ahead(path)
        damage: DamagedRecordingError | None = None
        for event in merge(self._files):
            try:
                if isinstance(event, Damage):
                    raise event.error
                yield from self._event(event)
            except DamagedRecordingError as error:
                log.error("%s", error)
                damage = damage or error
            # A burst that has begun is closed by the step that the other files still tell of.
            if damage is not None and not (self._is_controlled() and self._step.counts()):
                break
        is_open = self._run is not None or self._started is not None
        if is_open:
            ends = "the recording ends before the scan does"
            yield from self._close(*(("fail", str(damage)) if damage else ("abort", ends)))
        elif damage is not None:
            raise damage
        self._leave_out("behind the last scan")
        if not self._uids:
            raise RecordingError(
                f"{', '.join(map(str, self._files))}: no scan and no frame is recorded there"
            )

    def _look_ahead(self, path: Path) -> None:
        """Learn the streams from the first message of each file: the start document names them."""
        first = items(path)
        try:
            for item in first:
                self._types.update({name: s.typ for name, s in item.streams.items()})
                return
        except DamagedRecordingError:
            return  # reading it again will tell
        finally:
            first.close()

    def _is_controlled(self) -> bool:
        return not scans.TYPES.isdisjoint(self._types.values())

    def _event(self, event: Event) -> Iterator[Document]:
        """Begin a scan, take the data, then close the step or the scan: in this order."""
        later: list[tuple[Item, str, scans.Message]] = []
        self._time = max(item.time for item in event.messages)
        for item in event.messages:
            self._types.update({name: s.typ for name, s in item.streams.items()})
            for name, stream in item.streams.items():
                if stream.typ in scans.TYPES:
                    try:
                        message = scans.read(item, name, stream)
                    except FrameError as error:
                        raise DamagedRecordingError(item.path, item.offset, str(error)) from error
                    if message.kind == "begin":
                        yield from self._begin(item, name, stream.typ, message)
                    else:
                        later.append((item, name, message))
        for item in event.messages:
            for name, stream in item.streams.items():
                if stream.typ not in scans.TYPES:
                    try:
                        kind = self._step.add(item, name, stream)
                    except FrameError as error:
                        raise DamagedRecordingError(item.path, item.offset, str(error)) from error
                    if kind == "header" and not self._is_controlled() and self._run is not None:
                        yield from self._close("abort", f"a new series of {name!r} begins")
        if not self._is_controlled():
            yield from self._single_frame()
        for item, name, message in later:
            try:
                yield from self._control(item, name, message)
            except ReadingError as error:
                raise DamagedRecordingError(item.path, item.offset, str(error)) from error

    def _single_frame(self) -> Iterator[Document]:
        """Without a control stream: the frames of one event number are one event."""
        if self._step.counts():
            if self._run is None:
                yield self._open(
                    {
                        "plan_name": "recording",
                        "plan_type": "generator",
                        "motors": ["frame"],
                        "hints": {"dimensions": [[["frame"], "primary"]]},
                    },
                    self._time,
                )
            if self._run is not None:
                frame = Reading("frame", "frame", self._run.n_events, hinted=True)
                data = self._step.take()
                yield from self._run.event([frame, *data], self._step.configuration, self._time)
        detectors = {name for name, typ in self._types.items() if typ in DETECTORS}
        if self._run is not None and detectors and detectors <= self._step.ended:
            yield from self._close("success", "")

    def _begin(self, item: Item, name: str, typ: str, message: scans.Message) -> Iterator[Document]:
        if self._run is not None or self._started is not None:
            yield from self._close("abort", "a new scan begins before this one has ended")
        self._leave_out("before the scan begins")
        if typ == "sardana":
            self._scan = scans.sardana_scan(name, message.values)
            yield self._open(self._scan.metadata, item.time)
        else:
            self._started = (name, message.values, item.time)

    def _control(self, item: Item, name: str, message: scans.Message) -> Iterator[Document]:
        is_sardana = self._types[name] == "sardana"
        stream = self._scan.stream if self._scan else self._started[0] if self._started else name
        if name != stream:
            log.warning("%r is left out: the scan is told by %r", name, stream)
        elif message.kind == "step":
            if self._run is None:
                yield from self._open_late(item, name, message.values, is_sardana=is_sardana)
            if self._run is not None and self._scan is not None:
                read = scans.sardana_readings if is_sardana else scans.contrast_readings
                told = read(self._scan, message.values, self._step.n_frames())
                data = self._step.take()
                yield from self._run.event(
                    _distinct(data, told), self._step.configuration, item.time
                )
        elif message.kind == "end":
            if self._run is None and self._started is None:
                log.warning("%s: a scan ends that did not begin", item.path)
            else:
                yield from self._close(message.status, message.reason)

    def _open_late(
        self, item: Item, name: str, values: Mapping[str, Any], *, is_sardana: bool
    ) -> Iterator[Document]:
        """Open the run at its first step: contrast's own way, or a recording begun in a scan."""
        _, started, time = self._started or (name, {}, item.time)
        if self._started is None:
            log.warning(
                "%s: event %d is of a scan whose beginning is not recorded",
                item.path,
                item.event_number,
            )
        self._started = None
        self._scan = (
            scans.sardana_scan(name, started)
            if is_sardana
            else scans.contrast_scan(name, started, values)
        )
        yield self._open(self._scan.metadata, time)

    def _open(self, metadata: Mapping[str, Any], time: float) -> Document:
        detectors = sorted(key_of(n) for n, typ in self._types.items() if typ in DETECTORS)
        metadata = {**metadata, "detectors": detectors}
        ordinal = 0
        while (run := RunWriter(metadata, time, ordinal)).uid in self._uids:
            ordinal += 1
        self._uids.append(run.uid)
        self._run = run
        return "start", run.start

    def _close(self, status: str, reason: str) -> Iterator[Document]:
        """The stop document; frames that no step took are named in it."""
        if self._run is None and self._started is not None:
            name, started, time = self._started
            self._scan = scans.contrast_scan(name, started, None)
            yield self._open(self._scan.metadata, time)
        left = self._leave_out("behind the last step")
        if self._run is not None:
            yield self._run.stop(status, "; ".join(filter(None, (reason, left))), self._time)
        self._run = self._scan = self._started = None

    def _leave_out(self, where: str) -> str:
        """Drop the frames that wait for a step; returns (and logs) which they were."""
        counts = self._step.counts()
        if not counts:
            return ""
        frames = " and ".join(f"{n} of {name!r}" for name, n in counts.items())
        text = f"frames {where} belong to no step and are left out: {frames}"
        log.warning("%s", text)
        self._step.take()
        return text


def _distinct(data: list[Reading], told: list[Reading]) -> list[Reading]:
    """All readings; one of the control stream gives way where a data stream has its key."""
    taken = {reading.key for reading in data}
    return [
        Reading(f"{r.key}_reading", r.owner, r.value, r.dims, r.hinted) if r.key in taken else r
        for r in told
    ] + data
