"""Documents in, events joined to their frames out. Only here are the frames of an event found.

Live, the stream_datum of an event comes before it; a catalog replays all events first and then one
stream_datum for all of them. After a pause an event may be taken again: the same seq_num comes with
a new uid, and the last one wins. Burst i of a file is its frames [i*n, (i+1)*n), n being the
declared length, unless the event itself says where its frames are (`FIRST_FRAME`, `N_FRAMES`).

`event_model.RunRouter` is not used: it needs a run_start in every stream_resource, which replayed
ones lack, raises on documents of a run whose start it did not see, and copies each event.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from event_model import unpack_datum_page, unpack_event_page

from femto_bluesky.stream.events import (
    FIRST_FRAME,
    HISTORY,
    N_FRAMES,
    Burst,
    Document,
    ImageKey,
    Joined,
    JoinedEvent,
    JoinError,
    RunStarted,
    RunStopped,
    image_keys,
)
from femto_bluesky.stream.frames import FrameSource, InlineFrames, open_resource

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Range:
    """A stream_datum: bursts [index, index + n_bursts) are those of the events [first, last)."""

    resource: str
    index: int
    n_bursts: int
    first: int
    last: int
    taken: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Waiting:
    """An event some of whose frames have not been announced, or not been checked."""

    descriptor: Document
    doc: Document
    images: list[ImageKey]
    bursts: dict[str, Burst]


@dataclass(slots=True)
class _Run:
    """What is known of a run that has not ended."""

    start: Document
    descriptors: dict[str, tuple[Document, list[ImageKey]]] = field(default_factory=dict)
    ranges: dict[str, list[_Range]] = field(default_factory=dict)
    waiting: dict[int, _Waiting] = field(default_factory=dict)
    delivered: dict[int, JoinedEvent] = field(default_factory=dict)
    sources: dict[str, FrameSource] = field(default_factory=dict)
    on_hold: bool = False

    @property
    def uid(self) -> str:
        return str(self.start["uid"])


class Joiner:
    """Joins the documents of any number of runs, also interleaved ones.

    `stream` names the event stream that holds the frames. `receive` yields what a document
    completes. It raises `JoinError` where frames and events do not agree: it never hands out a
    frame with the wrong event. When a file is ahead of the events (a replay), and the events do
    not say where their frames are, all is held until the end of the run shows that the counts
    agree. No document is changed.
    """

    def __init__(self, stream: str = "primary") -> None:
        self.stream = stream
        self._runs: dict[str, _Run] = {}
        self._run_of_descriptor: dict[str, str] = {}
        self._resources: dict[str, Document] = {}
        self._datums: dict[str, Document] = {}

    def run_of(self, name: str, doc: Document) -> str | None:
        """The uid of the run that a document belongs to; None where it does not say."""
        if name == "start":
            return str(doc["uid"])
        if "run_start" in doc:
            return str(doc["run_start"])
        return self._run_of_descriptor.get(doc.get("descriptor", ""))

    def receive(self, name: str, doc: Any) -> Iterator[Joined]:
        """Take in one document and yield what it completes, in the order of the events."""
        if name == "start":
            self._runs[doc["uid"]] = _Run(doc)
            yield RunStarted(doc)
            return
        if name in ("resource", "stream_resource"):
            self._resources[doc["uid"]] = doc
            return
        if name in ("datum", "datum_page"):
            for datum in unpack_datum_page(doc) if name == "datum_page" else (doc,):
                self._datums[datum["datum_id"]] = datum
            return
        run = self._runs.get(self.run_of(name, doc) or "")
        if run is None:
            # subscribed in the middle of a run: what is left of it is not analysed
            log.debug("a %s of a run whose start was not seen is left out", name)
            return
        if name == "descriptor":
            self._run_of_descriptor[doc["uid"]] = run.uid
            if doc.get("name", "primary") == self.stream:
                run.descriptors[doc["uid"]] = (doc, image_keys(doc))
        elif name == "stop":
            yield from self._finish(run, doc)
            yield RunStopped(run.start, doc)
            self.forget(run.uid)
        elif doc["descriptor"] not in run.descriptors:
            return  # of another stream
        elif name == "stream_datum":
            self._announce(run, doc)
            yield from self._deliver(run)
        elif name in ("event", "event_page"):
            for event in unpack_event_page(doc) if name == "event_page" else (doc,):
                self._wait(run, event)
                yield from self._deliver(run)

    def forget(self, run: str) -> None:
        """Let go of a run's files and documents."""
        state = self._runs.pop(run, None)
        if state is None:
            return
        for source in state.sources.values():
            source.close()
        for descriptor in [d for d, uid in self._run_of_descriptor.items() if uid == run]:
            del self._run_of_descriptor[descriptor]
        own = {u for u, doc in self._resources.items() if doc.get("run_start") == run}
        for uid in own | set(state.sources):
            self._resources.pop(uid, None)
        for datum_id in [d for d, doc in self._datums.items() if doc["resource"] in own]:
            del self._datums[datum_id]

    def _wait(self, run: _Run, doc: Document) -> None:
        """Note an event and the frames that it brings itself or names by a datum."""
        descriptor, images = run.descriptors[doc["descriptor"]]
        seq_num = doc["seq_num"]
        if _all_streamed(descriptor) and (seq_num in run.delivered or seq_num in run.waiting):
            return  # says nothing that its stream_datum has not said
        bursts = {
            image.key: self._burst_inside(run, image, doc)
            for image in images
            if image.key in doc["data"]
        }
        run.waiting[seq_num] = _Waiting(descriptor, doc, images, bursts)

    def _announce(self, run: _Run, doc: Document) -> None:
        """Note a stream_datum: where the frames of some events are."""
        resource = self._resources.get(doc["stream_resource"])
        if resource is None:
            raise JoinError(
                f"run {run.uid}, stream {self.stream!r}: a stream_datum refers to the "
                f"stream_resource {doc['stream_resource']!r}, which has not come; replay the run "
                "with all its documents"
            )
        indices, seq_nums = doc["indices"], doc["seq_nums"]
        found = _Range(
            resource=resource["uid"],
            index=indices["start"],
            n_bursts=indices["stop"] - indices["start"],
            first=seq_nums["start"],
            last=seq_nums["stop"],
        )
        run.ranges.setdefault(resource["data_key"], []).append(found)
        descriptor, images = run.descriptors[doc["descriptor"]]
        announced = range(found.first, found.last)
        if _all_streamed(descriptor):
            # a flyer: no event need come, for it would hold nothing but its number
            for seq_num in announced:
                event = {"descriptor": descriptor["uid"], "seq_num": seq_num, "uid": doc["uid"],
                         "data": {}, "timestamps": {}, "time": descriptor["time"]}  # fmt: skip
                run.waiting.setdefault(seq_num, _Waiting(descriptor, event, images, {}))
        elif not run.waiting.keys().isdisjoint(announced):
            run.on_hold = True  # events before their frames: a replay

    def _deliver(self, run: _Run) -> Iterator[JoinedEvent]:
        """Hand out the events whose frames are known, in order, until one is not ready."""
        for seq_num in sorted(run.waiting):
            if run.on_hold or not self._is_ready(run, run.waiting[seq_num]):
                return
            yield self._hand_out(run, seq_num)

    def _hand_out(self, run: _Run, seq_num: int) -> JoinedEvent:
        waiting = run.waiting.pop(seq_num)
        for last in list(run.delivered.values())[-1:]:
            # frames that stand in a document are not kept beyond the next event
            for detector, burst in last.bursts.items():
                if isinstance(burst.source, InlineFrames):
                    last.bursts[detector] = replace(burst, source=None)
        bursts = {image.detector: waiting.bursts[image.key] for image in waiting.images}
        event = JoinedEvent(
            run.start, waiting.descriptor, waiting.doc, bursts, run.delivered.pop(seq_num, None)
        )
        run.delivered[seq_num] = event
        if len(run.delivered) > HISTORY:
            del run.delivered[next(iter(run.delivered))]
        return event

    def _is_ready(self, run: _Run, waiting: _Waiting) -> bool:
        """Whether all frames of an event are known, and surely its own; may put the run on hold."""
        for image in waiting.images:
            if image.key not in waiting.bursts:
                burst = self._burst_announced(run, image, waiting.doc)
                if burst is None:
                    return False
                waiting.bursts[image.key] = burst
            burst = waiting.bursts[image.key]
            if burst.source is None or isinstance(burst.source, InlineFrames):
                continue
            there = len(burst.source)
            if there < burst.stop:
                raise self._disagreement(
                    run, image.key, f"event {waiting.doc['seq_num']} needs the frames "
                    f"{burst.start} to {burst.stop - 1}, found {there} in the file: a burst was "
                    "short, or frames were lost", _remedy(burst),
                )  # fmt: skip
            if there > burst.stop and _is_counted(burst, waiting):
                # the file is ahead of the events, so a short or repeated burst may hide in it
                run.on_hold = True
                return False
        return True

    def _finish(self, run: _Run, stop: Document) -> Iterator[JoinedEvent]:
        """Hand out what was held, after a check that all counts agree."""
        for waiting in run.waiting.values():
            for image in waiting.images:
                if image.key not in waiting.bursts:
                    burst = self._burst_announced(run, image, waiting.doc)
                    if burst is None:
                        raise self._disagreement(
                            run, image.key, f"event {waiting.doc['seq_num']} has no frames: none "
                            f"of the {len(run.ranges.get(image.key, ()))} stream_datum names it",
                            "replay the run with all its documents",
                        )  # fmt: skip
                    waiting.bursts[image.key] = burst
        if run.on_hold:
            self._check_counts(run, stop)
        for seq_num in sorted(run.waiting):
            yield self._hand_out(run, seq_num)

    def _check_counts(self, run: _Run, stop: Document) -> None:
        """Raise `JoinError` unless the files hold just the frames that the events account for."""
        known = run.waiting.keys() | run.delivered.keys()
        for key, ranges in run.ranges.items():
            lost = sorted({n for r in ranges for n in range(r.first, r.last)} - known)
            if lost and stop["exit_status"] == "success":
                raise self._disagreement(
                    run, key, f"stream_datum names the events {lost}, which have not come",
                    "replay the run with all its documents",
                )  # fmt: skip
        last: dict[int, Burst] = {}
        for waiting in run.waiting.values():
            for burst in waiting.bursts.values():
                if _is_counted(burst, waiting):
                    known_last = last.get(id(burst.source), burst)
                    last[id(burst.source)] = max(burst, known_last, key=lambda b: b.stop)
        for burst in last.values():
            found = len(burst.source or ())
            # a scan that was broken off may leave a burst whose event never came
            spare = 0 if stop["exit_status"] == "success" else burst.image.n_frames
            if not burst.stop <= found <= burst.stop + spare:
                raise self._disagreement(
                    run, burst.image.key, f"found {found} frames in the file, expected "
                    f"{burst.stop} ({len(known)} events of {burst.image.n_frames} frames): a "
                    "burst was short, or was taken again after a pause", _remedy(burst),
                )  # fmt: skip

    def _burst_inside(self, run: _Run, image: ImageKey, doc: Document) -> Burst:
        """The frames that stand in an event, or behind the datum_id that stands there."""
        value = doc["data"][image.key]
        if not isinstance(value, str):
            where = f"run {run.uid}, event {doc['seq_num']}, {image.key!r}"
            source = InlineFrames(value, image.dtype, where)
            return Burst(image, source, 0, len(source))
        datum = self._datums.pop(value, None)
        if datum is None or datum["resource"] not in self._resources:
            raise self._disagreement(
                run, image.key, f"event {doc['seq_num']} names the datum {value!r}, which (or "
                "whose resource) has not come", "replay the run with all its documents",
            )  # fmt: skip
        resource = self._resources[datum["resource"]]
        length = resource["resource_kwargs"].get("frame_per_point") or image.n_frames
        index = datum["datum_kwargs"].get("point_number", datum["datum_kwargs"].get("image_num"))
        if index is None:
            raise self._disagreement(
                run, image.key, f"datum {value!r} has only {sorted(datum['datum_kwargs'])}, "
                "expected point_number", "correct the detector's datum_kwargs",
            )  # fmt: skip
        return self._burst_at(run, image, resource["uid"], doc, int(index), int(length))

    def _burst_announced(self, run: _Run, image: ImageKey, doc: Document) -> Burst | None:
        """The frames that a stream_datum names for an event; None while none does."""
        seq_num = doc["seq_num"]
        # the newest first, and each once: after a pause a seq_num is announced again
        for found in reversed(run.ranges.get(image.key, [])):
            if found.first <= seq_num < found.last and seq_num not in found.taken:
                if (
                    found.n_bursts != found.last - found.first
                    and image.detector + FIRST_FRAME not in doc["data"]
                ):
                    raise self._disagreement(
                        run, image.key, f"found {found.n_bursts} bursts in a stream_datum, "
                        f"expected {found.last - found.first} (events {found.first} to "
                        f"{found.last - 1}): a burst was taken again after a pause",
                        _remedy(Burst(image, None, 0, 0)),
                    )  # fmt: skip
                found.taken.add(seq_num)
                index = found.index + seq_num - found.first
                return self._burst_at(run, image, found.resource, doc, index, image.n_frames)
        return None

    def _burst_at(
        self, run: _Run, image: ImageKey, resource: str, doc: Document, index: int, length: int
    ) -> Burst:
        if resource not in run.sources:
            run.sources[resource] = open_resource(self._resources[resource])
        first = doc["data"].get(image.detector + FIRST_FRAME)
        if first is None:
            first = index * length
        length = doc["data"].get(image.detector + N_FRAMES, length)
        return Burst(image, run.sources[resource], int(first), int(first) + int(length))

    def _disagreement(self, run: _Run, key: str, found: str, remedy: str) -> JoinError:
        return JoinError(
            f"run {run.uid} (scan {run.start.get('scan_id')}), stream {self.stream!r}, key "
            f"{key!r}: {found}; {remedy}"
        )


def _is_counted(burst: Burst, waiting: _Waiting) -> bool:
    """Whether only counting tells which frames of a file these are."""
    return not (
        isinstance(burst.source, InlineFrames)
        or burst.image.detector + FIRST_FRAME in waiting.doc["data"]
        or _all_streamed(waiting.descriptor)
    )


def _remedy(burst: Burst) -> str:
    name = burst.image.detector
    return (
        f"let the detector put {name}{FIRST_FRAME} and {name}{N_FRAMES} into its events, or replay "
        "the documents as they came live (JSON lines)"
    )


def _all_streamed(descriptor: Document) -> bool:
    """Whether events of this descriptor hold nothing: a flyer's, whose events may never come."""
    return all(entry.get("external") == "STREAM:" for entry in descriptor["data_keys"].values())
