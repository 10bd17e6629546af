"""Documents in, events joined to their frames out. Only here are the frames of an event found.

Live, the stream_datum of an event comes before it; a catalog replays all events first and then one
stream_datum for all of them. After a pause an event may be taken again: the same seq_num comes with
a new uid, and the last one wins. Burst i of a file is its frames [i*n, (i+1)*n), n being the
declared length, unless the event itself says where its frames are (`FIRST_FRAME`, `N_FRAMES`).

`event_model.RunRouter` is not used: it needs a run_start in every stream_resource, which replayed
ones lack, raises on documents of a run whose start it did not see, and copies each event.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from operator import methodcaller
from typing import Any

from event_model import unpack_datum_page, unpack_event_page

from femto_bluesky.stream.counts import OpenRun, Waiting, check_counts, check_inline, check_overlap
from femto_bluesky.stream.events import (
    FIRST_FRAME,
    HISTORY,
    MISSING_REMEDY,
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
from femto_bluesky.stream.frames import (
    DeletedFrames,
    FrameError,
    FrameSource,
    InlineFrames,
    open_resource,
)
from femto_bluesky.stream.ranges import Announced, FrameRange
from femto_bluesky.stream.referred import Referred

log = logging.getLogger(__name__)

MAX_FLOWN = 10**7
"""How many events one stream_datum may stand for where no events need come."""


class Joiner:
    """Joins the documents of any number of runs, also interleaved ones.

    `stream` names the event stream that holds the frames. `receive` yields what a document
    completes. It raises `JoinError` where frames and events do not agree: it never hands out a
    frame with the wrong event. When a file is ahead of the events (a replay), and the events do
    not say where their frames are, all is held until the end of the run shows that the counts
    agree. No document is changed.

    `release` is called with each source that no later event can be of, in place of closing it: by
    then not all of its frames may have been read.
    """

    def __init__(
        self, stream: str = "primary", release: Callable[[FrameSource], object] | None = None
    ) -> None:
        self.stream = stream
        self._release = release or methodcaller("close")
        self._runs: dict[str, OpenRun] = {}
        self._run_of_descriptor: dict[str, str] = {}
        self._referred = Referred()

    def run_of(self, name: str, doc: Document) -> str | None:
        """The uid of the run that a document belongs to; None where it does not say.

        A catalog ends a run that never stopped with an empty stop document: it is of the run that
        is open, if there is but one.
        """
        if name == "start":
            return str(doc["uid"])
        if "run_start" in doc:
            return str(doc["run_start"])
        if name == "stop" and len(self._runs) == 1:
            return next(iter(self._runs))
        return self._run_of_descriptor.get(doc.get("descriptor", ""))

    def receive(self, name: str, doc: Any) -> Iterator[Joined]:
        """Take in one document and yield what it completes, in the order of the events."""
        if name == "start":
            self.forget(doc["uid"])
            self._runs[doc["uid"]] = OpenRun(doc, self.stream)
            yield RunStarted(doc)
            return
        if name in ("resource", "stream_resource"):
            self._referred.add_resource(doc, self._read())
            return
        if name in ("datum", "datum_page"):
            read = self._read()
            for datum in unpack_datum_page(doc) if name == "datum_page" else (doc,):
                self._referred.add_datum(datum, read)
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
        elif name == "event":
            self._wait(run, doc)
            yield from self._deliver(run)
        elif name == "event_page":
            yield from self._receive_page(run, doc)

    def forget(self, run: str) -> None:
        """Let go of a run's files and documents."""
        state = self._runs.pop(run, None)
        if state is None:
            return
        for source in state.sources.values():
            self._release(source)
        for descriptor in [d for d, uid in self._run_of_descriptor.items() if uid == run]:
            del self._run_of_descriptor[descriptor]
        self._referred.forget(run, state.sources, self._read())

    def _read(self) -> dict[str, Collection[str]]:
        """For each open run, the resources that it reads from."""
        return {uid: run.sources.keys() for uid, run in self._runs.items()}

    def _receive_page(self, run: OpenRun, page: Any) -> Iterator[JoinedEvent]:
        """Take in a page. Its stream_datums came before all of it, so the newest is the last's."""
        events = list(unpack_event_page(page))
        last = {event["seq_num"]: event for event in events}
        images = run.descriptors[page["descriptor"]][1]
        for seq_num in last:
            for image in images:
                announced = run.ranges.get(image.key)
                named = announced.naming(seq_num) if announced else ()
                if sum(seq_num not in r.taken for r in named) > 1:
                    # more of this event may be in the next page, and only the last has the newest
                    run.on_hold = True
        for event in events:
            if last[event["seq_num"]] is event:
                self._wait(run, event, is_sure=not run.on_hold)
                yield from self._deliver(run)

    def _wait(self, run: OpenRun, doc: Document, *, is_sure: bool = True) -> None:
        """Note an event and the frames that it brings itself or names by a datum."""
        descriptor, images = run.descriptors[doc["descriptor"]]
        seq_num = doc["seq_num"]
        if _all_streamed(descriptor) and (
            seq_num in run.delivered or seq_num in run.waiting or seq_num <= run.forgotten
        ):
            return  # says nothing that its stream_datum has not said
        bursts = {
            image.key: self._burst_inside(run, image, doc)
            for image in images
            if image.key in doc["data"]
        }
        # without its images: an event that is kept must not keep them
        data = {key: value for key, value in doc["data"].items() if key not in bursts}
        _queue(run, seq_num, Waiting(descriptor, {**doc, "data": data}, images, bursts))
        if is_sure:
            # at once, also on hold: what is announced later is of an event that is taken again
            self._find(run, run.waiting[seq_num])

    def _announce(self, run: OpenRun, doc: Document) -> None:
        """Note a stream_datum: where the frames of some events are."""
        resource = self._referred.resources.get(doc["stream_resource"])
        if resource is None:
            raise JoinError(
                f"run {run.uid}, stream {self.stream!r}: a stream_datum refers to the "
                f"stream_resource {doc['stream_resource']!r}, which has not come; replay the run "
                "with all its documents"
            )
        indices, seq_nums = doc["indices"], doc["seq_nums"]
        found = FrameRange(
            resource=resource["uid"],
            index=indices["start"],
            n_bursts=indices["stop"] - indices["start"],
            first=seq_nums["start"],
            last=seq_nums["stop"],
        )
        key = resource["data_key"]
        run.ranges.setdefault(key, Announced()).add(found)
        descriptor, images = run.descriptors[doc["descriptor"]]
        announced = range(found.first, found.last)
        length = found.last - found.first
        # whichever is less to go through: a range is as long as its document says
        for seq_num in announced if length < len(run.waiting) else list(run.waiting):
            waiting = run.waiting.get(seq_num) if seq_num in announced else None
            if waiting is not None and not waiting.is_flown and key not in waiting.bursts:
                run.on_hold = run.is_merged = True  # events before their frames: a replay
                break
        if _all_streamed(descriptor) and not run.is_merged:
            # a flyer: no event need come, for it would hold nothing but its number
            if length > MAX_FLOWN:
                raise run.error(
                    key, f"found a stream_datum of {length} events ({found.first} to "
                    f"{found.last - 1}), expected {MAX_FLOWN} or fewer",
                    "correct its seq_nums, or let the detector announce its frames in parts",
                )  # fmt: skip
            for seq_num in announced:
                event = {"descriptor": descriptor["uid"], "seq_num": seq_num, "uid": doc["uid"],
                         "data": {}, "timestamps": {}, "time": descriptor["time"]}  # fmt: skip
                flown = Waiting(descriptor, event, images, {}, is_flown=True)
                _queue(run, seq_num, flown)
                self._find(run, flown)

    def _deliver(self, run: OpenRun) -> Iterator[JoinedEvent]:
        """Hand out the events whose frames are known, in order, until one is not ready."""
        while run.order and not run.on_hold:
            seq_num = run.order[0]
            if seq_num in run.waiting:
                if not self._is_ready(run, run.waiting[seq_num]):
                    return
                heapq.heappop(run.order)
                yield self._hand_out(run, seq_num)
            else:
                heapq.heappop(run.order)

    def _hand_out(self, run: OpenRun, seq_num: int) -> JoinedEvent:
        waiting = run.waiting.pop(seq_num)
        replaced = run.delivered.pop(seq_num, None)
        if replaced is not None:
            run.given.remove(seq_num, replaced.bursts.values())
        for last in list(run.delivered.values())[-1:]:
            # frames that stand in a document are not kept beyond the next event
            for detector, burst in last.bursts.items():
                if isinstance(burst.source, InlineFrames):
                    last.bursts[detector] = replace(burst, source=None)
        found = ((image.detector, waiting.bursts[image.key]) for image in waiting.images)
        bursts = {name: b for name, b in found if not isinstance(b.source, DeletedFrames)}
        check_overlap(run, seq_num, bursts)
        event = JoinedEvent(run.start, waiting.descriptor, waiting.doc, bursts, replaced)
        if replaced is not None:
            replaced.replaces = None
        run.delivered[seq_num] = event
        run.given.add(seq_num, bursts.values())
        if len(run.delivered) > HISTORY:
            old = run.delivered.pop(next(iter(run.delivered)))
            run.given.remove(old.seq_num, old.bursts.values())
            run.forgotten = max(run.forgotten, old.seq_num)
        if not run.on_hold:
            for announced in run.ranges.values():
                announced.drop_before(seq_num - HISTORY + 1)
        return event

    def _is_ready(self, run: OpenRun, waiting: Waiting) -> bool:
        """Whether all frames of an event are known, and surely its own; may put the run on hold."""
        if not self._find(run, waiting):
            return False
        for image in waiting.images:
            burst = waiting.bursts[image.key]
            if burst.source is None or isinstance(burst.source, InlineFrames):
                continue
            if not waiting.is_counted(image):
                continue  # whether they are there is seen by who reads them: HDF5 may be busy now
            there = run.count(burst)
            if there < burst.stop:
                raise self._missing(run, waiting, burst, there)
            if there > burst.stop:
                # the file is ahead of the events, so a short or repeated burst may hide in it
                run.on_hold = True
                return False
        return True

    def _find(self, run: OpenRun, waiting: Waiting) -> bool:
        """Look up the bursts of an event that are announced; whether none is left to be found."""
        for image in waiting.images:
            if image.key not in waiting.bursts:
                burst = self._burst_announced(run, image, waiting.doc)
                if burst is None:
                    return False
                waiting.bursts[image.key] = burst
        return True

    def _finish(self, run: OpenRun, stop: Document) -> Iterator[JoinedEvent]:
        """Hand out what was held, after a check that all counts agree."""
        for waiting in run.waiting.values():
            if not self._find(run, waiting):
                key = next(i.key for i in waiting.images if i.key not in waiting.bursts)
                raise run.error(
                    key, f"event {waiting.doc['seq_num']} has no frames: none of the "
                    f"{run.ranges[key].n_came if key in run.ranges else 0} stream_datum that came "
                    "is left for it, "
                    "expected one", "replay the run with all its documents",
                )  # fmt: skip
        if run.on_hold:
            check_counts(run, stop)
        for seq_num, waiting in sorted(run.waiting.items()):
            for burst in waiting.bursts.values():
                there = run.count(burst)
                if there < burst.stop:
                    raise self._missing(run, waiting, burst, there)
            yield self._hand_out(run, seq_num)

    def _missing(self, run: OpenRun, waiting: Waiting, burst: Burst, there: int) -> JoinError:
        found = burst.missing(there)
        if waiting.is_counted(burst.image):
            return run.unordered(burst.image, found)
        return run.error(burst.image.key, found, MISSING_REMEDY)

    def _burst_inside(self, run: OpenRun, image: ImageKey, doc: Document) -> Burst:
        """The frames that stand in an event, or behind the datum_id that stands there."""
        value = doc["data"][image.key]
        if not isinstance(value, str):
            where = f"run {run.uid}, event {doc['seq_num']}, {image.key!r}"
            source = InlineFrames(value, image.dtype, where)
            burst = Burst(image, source, 0, len(source))
            check_inline(run, image, doc, burst)
            return burst
        datum = self._referred.datums.pop(value, None)
        if datum is None or datum["resource"] not in self._referred.resources:
            raise run.error(
                image.key, f"event {doc['seq_num']} names the datum {value!r}, which (or "
                "whose resource) has not come", "replay the run with all its documents",
            )  # fmt: skip
        resource = self._referred.resources[datum["resource"]]
        length = resource["resource_kwargs"].get("frame_per_point") or image.n_frames
        index = datum["datum_kwargs"].get("point_number", datum["datum_kwargs"].get("image_num"))
        if index is None:
            raise run.error(
                image.key, f"datum {value!r} has only {sorted(datum['datum_kwargs'])}, "
                "expected point_number", "correct the detector's datum_kwargs",
            )  # fmt: skip
        return self._burst_at(run, image, resource["uid"], doc, int(index), int(length))

    def _burst_announced(self, run: OpenRun, image: ImageKey, doc: Document) -> Burst | None:
        """The frames that a stream_datum names for an event; None while none does."""
        seq_num = doc["seq_num"]
        # After a pause a seq_num is announced again. The newest counts; those before it are of
        # bursts that were lost, and are of no event any more.
        announced = run.ranges.get(image.key)
        found = announced.newest(seq_num) if announced else None
        if found is None or seq_num in found.taken:
            return None
        if (
            found.n_bursts != found.last - found.first
            and image.detector + FIRST_FRAME not in doc["data"]
        ):
            raise run.unordered(
                image, f"found {found.n_bursts} bursts in a stream_datum, expected "
                f"{found.last - found.first} (events {found.first} to {found.last - 1}): a burst "
                "was taken again after a pause",
            )  # fmt: skip
        found.take(seq_num)
        index = found.index + seq_num - found.first
        return self._burst_at(run, image, found.resource, doc, index, image.n_frames)

    def _burst_at(
        self, run: OpenRun, image: ImageKey, resource: str, doc: Document, index: int, length: int
    ) -> Burst:
        if resource not in run.sources:
            try:
                run.sources[resource] = open_resource(self._referred.resources[resource])
            except FrameError as error:
                raise JoinError(f"{run.where(image.key)}: {error}") from error
        first = doc["data"].get(image.detector + FIRST_FRAME)
        if first is None:
            first = index * length
        length = doc["data"].get(image.detector + N_FRAMES, length)
        return Burst(
            image, run.sources[resource], int(first), int(first) + int(length),
            run.where(image.key), int(doc["seq_num"]),
        )  # fmt: skip


def _queue(run: OpenRun, seq_num: int, waiting: Waiting) -> None:
    if seq_num not in run.waiting:
        heapq.heappush(run.order, seq_num)
    run.waiting[seq_num] = waiting


def _all_streamed(descriptor: Document) -> bool:
    """Whether events of this descriptor hold nothing: a flyer's, whose events may never come."""
    return all(entry.get("external") == "STREAM:" for entry in descriptor["data_keys"].values())
