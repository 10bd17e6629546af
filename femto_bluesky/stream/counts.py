"""Whether events and frames agree: what is known of an open run, and the checks on it.

An event that says where its frames are (`FIRST_FRAME` and `N_FRAMES`) needs no counting. Else the
place of a burst follows from how many bursts came before it, which holds only where each had its
declared length and none was taken again. Where documents and files cannot show that, `JoinError`
is raised. Two things nobody can see: bursts of other lengths than declared whose total is right
all the same, and, without `FIRST_FRAME`, images in the events of a catalog after a pause.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from femto_bluesky.stream.events import (
    FIRST_FRAME,
    N_FRAMES,
    Burst,
    Document,
    ImageKey,
    JoinedEvent,
    JoinError,
)
from femto_bluesky.stream.frames import FrameError, FrameSource, InlineFrames
from femto_bluesky.stream.ranges import Announced, Given

MAX_NAMED = 10
"""How many events an error names, of those that have no frames of their own."""


@dataclass(slots=True)
class Waiting:
    """An event some of whose frames have not been announced, or not been checked.

    `is_flown` when no document of the event has come, only a stream_datum that names it.
    """

    descriptor: Document
    doc: Document
    images: list[ImageKey]
    bursts: dict[str, Burst]
    is_flown: bool = False

    def is_counted(self, image: ImageKey) -> bool:
        """Whether only counting tells which frames of a file are the event's."""
        burst = self.bursts.get(image.key)
        if burst is not None and isinstance(burst.source, InlineFrames):
            return False
        if self.is_flown:
            # With one frame an event, the number of the burst is that of its frame. It is trusted,
            # for the file of a flying scan is always ahead, and it could not be followed live.
            return image.n_frames > 1
        data = self.doc["data"]
        return not {image.detector + FIRST_FRAME, image.detector + N_FRAMES} <= data.keys()


@dataclass(slots=True)
class OpenRun:
    """What is known of a run that has not ended.

    `on_hold` when nothing is handed out before the run has ended, for events and frames must be
    counted; `is_merged` when events came before their frames, as a catalog replays them: then the
    numbers of bursts are the catalog's, not the detector's. `order` is a heap of the seq_nums that
    wait (and some that no longer do). Only the last `HISTORY` events are in `delivered`;
    `forgotten` is the highest seq_num of the others.
    """

    start: Document
    stream: str
    descriptors: dict[str, tuple[Document, list[ImageKey]]] = field(default_factory=dict)
    ranges: dict[str, Announced] = field(default_factory=dict)
    waiting: dict[int, Waiting] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    delivered: dict[int, JoinedEvent] = field(default_factory=dict)
    given: Given = field(default_factory=Given)
    forgotten: int = 0
    sources: dict[str, FrameSource] = field(default_factory=dict)
    next_frame: dict[str, int] = field(default_factory=dict)
    on_hold: bool = False
    is_merged: bool = False

    @property
    def uid(self) -> str:
        """The run's uid."""
        return str(self.start["uid"])

    def error(self, key: str, found: str, remedy: str) -> JoinError:
        """What is wrong with a key of this run, and what to do."""
        return JoinError(f"{self.where(key)}: {found}; {remedy}")

    def where(self, key: str) -> str:
        """The run, the stream and the key, as errors name them."""
        scan = self.start.get("scan_id")
        return f"run {self.uid} (scan {scan}), stream {self.stream!r}, key {key!r}"

    def count(self, burst: Burst) -> int:
        """How many frames the burst's file has now. Raises `JoinError` where it is not readable."""
        try:
            return len(burst.source or ())
        except FrameError as error:
            raise JoinError(f"{self.where(burst.image.key)}: {error}") from error

    def unordered(self, image: ImageKey, found: str) -> JoinError:
        """An error whose remedy is to know where the frames of each event are."""
        name = image.detector
        return self.error(
            image.key,
            found,
            f"let the detector put {name}{FIRST_FRAME} and {name}{N_FRAMES} into its events, or "
            "replay the documents as they came live (JSON lines)",
        )


def check_inline(run: OpenRun, image: ImageKey, doc: Document, burst: Burst) -> None:
    """Raise `JoinError` where images that stand in events may stand in the wrong ones.

    After a pause, a catalog has lost the first of two events with one number but not its image, and
    deals the images out in their order. Its events have no `filled`, and nested lists for arrays;
    then the frames must follow on from those of the event before.
    """
    data, seq_num = doc["data"], doc["seq_num"]
    found, said = len(burst.source or ()), data.get(image.detector + N_FRAMES)
    if said is not None and int(said) != found:
        raise run.error(
            image.key,
            f"event {seq_num} holds {found} frames, expected {said} as it says itself",
            "correct the detector, or replay the documents as they came live (JSON lines)",
        )
    first = data.get(image.detector + FIRST_FRAME)
    if first is None:
        return
    expected = run.next_frame.get(image.key, 0)
    run.next_frame[image.key] = int(first) + found
    if int(first) != expected and isinstance(data[image.key], list) and "filled" not in doc:
        raise run.error(
            image.key,
            f"event {seq_num} says that its burst begins with frame {first}, expected {expected}: "
            "a burst was taken again or lost in a pause, and a catalog then hands out images with "
            "the wrong events",
            "replay the documents as they came live (JSON lines), or let the detector write files",
        )


def check_overlap(run: OpenRun, seq_num: int, bursts: Mapping[str, Burst]) -> None:
    """Raise `JoinError` where an event claims frames that another one has been given."""
    for burst in bursts.values():
        if burst.source is None or isinstance(burst.source, InlineFrames):
            continue
        span = run.given.other(burst)
        if span is not None:
            start, stop, other = span
            raise run.unordered(
                burst.image,
                f"event {seq_num} claims the frames {burst.start} to {burst.stop - 1}, but "
                f"event {other} has {start} to {stop - 1}, expected frames of its own",
            )


def check_counts(run: OpenRun, stop: Document) -> None:
    """Raise `JoinError` unless the files hold just the frames that the held events account for."""
    known = run.waiting.keys() | run.delivered.keys()
    points = run.start.get("num_points")
    n_events = run.forgotten + sum(seq_num > run.forgotten for seq_num in known)
    is_whole = stop.get("exit_status") == "success" and not (
        isinstance(points, int) and n_events < points
    )
    last: dict[int, Burst] = {}
    for waiting, image in _counted(run):
        burst = waiting.bursts[image.key]
        length = burst.stop - burst.start
        if length != image.n_frames and image.detector + FIRST_FRAME not in waiting.doc["data"]:
            raise run.unordered(
                image,
                f"event {waiting.doc['seq_num']} has {length} frames, expected {image.n_frames} "
                "as declared, so counting does not tell which",
            )
        held = last.get(id(burst.source), burst)
        last[id(burst.source)] = max(burst, held, key=lambda b: b.stop)
    for burst in last.values():
        image = burst.image
        _check_lengths(run, image)
        _check_events(run, image, known, is_whole=is_whole)
        found = run.count(burst)
        # A scan that was broken off may leave a burst whose event never came. It is the last one
        # only if the detector numbered the bursts; a catalog does not know it.
        spare = 0 if is_whole or run.is_merged else image.n_frames
        if not burst.stop <= found <= burst.stop + spare:
            raise run.unordered(
                image,
                f"found {found} frames in the file, expected {burst.stop} ({n_events} events of "
                f"{image.n_frames} frames): a burst was short or lost, or was taken again after a "
                "pause",
            )


def _counted(run: OpenRun) -> Iterator[tuple[Waiting, ImageKey]]:
    for waiting in run.waiting.values():
        for image in waiting.images:
            if waiting.is_counted(image):
                yield waiting, image


def _check_events(run: OpenRun, image: ImageKey, known: set[int], *, is_whole: bool) -> None:
    """Raise `JoinError` where bursts are announced for events that have not come."""
    announced = run.ranges.get(image.key, Announced())
    lost = list(islice(_lost(announced, known, run.forgotten), MAX_NAMED + 1))
    if not lost or not (is_whole or run.is_merged):
        return
    if run.is_merged:
        raise run.unordered(
            image,
            f"found {announced.n_bursts} bursts, expected {len(known)}, one for each event: a "
            "burst was taken again after a pause",
        )
    names = f"{lost[:MAX_NAMED]}" + (" and more" if len(lost) > MAX_NAMED else "")
    raise run.error(
        image.key,
        f"stream_datum names the events {names}, found {len(known)} others, expected these too",
        "replay the run with all its documents",
    )


def _lost(announced: Announced, known: Container[int], forgotten: int) -> Iterator[int]:
    """The events that are announced and not known, in order. A range may be of any length."""
    done = forgotten + 1
    for found in sorted(announced, key=lambda r: r.first):
        for seq_num in range(max(found.first, done), found.last):
            if seq_num not in known:
                yield seq_num
        done = max(done, found.last)


def _check_lengths(run: OpenRun, image: ImageKey) -> None:
    """Raise `JoinError` where the configuration says that bursts had different lengths."""
    lengths = []
    for descriptor, _ in run.descriptors.values():
        configuration: Mapping[str, Any] = descriptor.get("configuration", {})
        data = configuration.get(image.detector, {}).get("data", {})
        lengths += [data[key] for key in data if key.endswith("num_images")]
    if any(length != lengths[0] for length in lengths):
        raise run.unordered(
            image,
            f"found bursts of {lengths} frames in the detector's configuration, expected all "
            f"of {image.n_frames}: counting does not tell whose a frame is",
        )
