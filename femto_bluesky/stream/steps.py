"""Which step an event belongs to, and how its shots are numbered.

A step is one event's burst of frames, or consecutive events whose motor readings are unchanged.
Without a motor every event is a step, and its place is the number of its first frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from femto_bluesky.stream.events import HISTORY, Document, JoinedEvent
from femto_bluesky.stream.frames import FrameError

FRAME_AXIS = "frame"
"""What a run without motors is plotted against: the number of the first frame, from 0."""


def motor_fields(start: Document, descriptor: Document, stream: str) -> list[str]:
    """The data keys of the motors that a run scans, as its start document says.

    Raises `FrameError` where the start document names a motor that the events do not read.
    """
    there = descriptor["data_keys"]
    hinted = [
        field
        for fields, name in scanned(start)
        for field in fields
        if name == stream and field != "time"
    ]
    if not hinted:
        objects, hints = descriptor.get("object_keys", {}), descriptor.get("hints", {})
        for motor in start.get("motors") or ():
            fields = hints.get(motor, {}).get("fields") or objects.get(motor) or [motor]
            hinted.extend(fields)
    missing = [field for field in hinted if field not in there]
    if missing:
        raise FrameError(
            f"run {start['uid']}, stream {stream!r}: the start document says that {missing} are "
            f"scanned, found only {sorted(there)}; read the motors in this stream, or correct the "
            "plan's hints['dimensions']"
        )
    return hinted


def scanned(start: Document) -> Iterator[tuple[Sequence[str], str]]:
    """The fields of each dimension that a start document hints at, and the stream they are in.

    What is no list of names is left out: it could be gone through for ever.
    """
    for fields, stream in start.get("hints", {}).get("dimensions") or ():
        if isinstance(fields, list | tuple) and isinstance(stream, str):
            yield fields, stream


@dataclass(frozen=True, slots=True)
class Step:
    """Where an event stands in its run; `is_whole` when no further event can belong to the step."""

    number: int
    first_shot: int
    n_shots: int
    position: Mapping[str, float | str]
    is_whole: bool


class Steps:
    """Numbers the steps and the shots of one run, both from 0, event by event."""

    def __init__(self) -> None:
        self._of_event: dict[int, Step] = {}
        self._shots_in: dict[int, int] = {}
        self._n_steps = 0
        self._n_shots = 0

    def of(self, seq_num: int) -> Step:
        """The step of an event that has been placed."""
        return self._of_event[seq_num]

    def n_shots(self, number: int) -> int:
        """How many shots a step has so far."""
        return self._shots_in[number]

    def place(self, event: JoinedEvent, motors: list[str]) -> Step:
        """The step of an event; an event that was taken again has the place of the one before."""
        data = event.doc["data"]
        position = {motor: _plain(data[motor]) for motor in motors}
        n_shots = max((burst.stop - burst.start for burst in event.bursts.values()), default=0)
        is_burst = n_shots > 1 or any(b.image.n_frames > 1 for b in event.bursts.values())
        is_whole = is_burst or not motors
        again = self._of_event.get(event.seq_num)
        before = self._of_event.get(event.seq_num - 1)
        if not is_whole and before and not before.is_whole and before.position == position:
            number = before.number
        elif again and (is_whole or before is None or again.number != before.number):
            number = again.number
        else:
            number, self._n_steps = self._n_steps, self._n_steps + 1
        first = self._n_shots
        if again and (n_shots <= again.n_shots or again.first_shot + again.n_shots == first):
            first = again.first_shot
        self._n_shots = max(self._n_shots, first + n_shots)
        step = Step(number, first, n_shots, position or {FRAME_AXIS: first}, is_whole)
        if again:
            self._shots_in[again.number] -= again.n_shots
        self._shots_in[number] = self._shots_in.get(number, 0) + n_shots
        self._of_event[event.seq_num] = step
        if len(self._of_event) > HISTORY:
            del self._of_event[next(iter(self._of_event))]
        return step


def _plain(reading: Any) -> float | str:
    """A motor reading as JSON holds it: a number (NaN and infinite ones too), or text."""
    if isinstance(reading, str):
        return reading
    if reading is None:
        # what is no number is null in JSON lines; a NaN of its own, for it equals no other
        return float("nan")
    values = np.asarray(reading)
    if values.size != 1 or values.dtype.kind not in "buif":
        raise FrameError(
            f"a motor reads {reading!r}, expected one number or a text; scan a field that holds one"
        )
    return float(values.item())
