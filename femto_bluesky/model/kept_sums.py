"""A running sum as it is kept: its frames, its history, and which shots have gone into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from femto_bluesky.model.shots import Shot
from femto_bluesky.model.sums import FrameSum

Key = tuple[str, str]
"""Run and detector."""

_MOST = 255


@dataclass(frozen=True, slots=True, eq=False)
class KeptSum:
    """An accumulation at one moment.

    `total` is the sum, `before` the one before the last reset, which `undo_reset` brings back;
    `taken` says of each run and detector, shot by shot, how often it was added or taken out.
    """

    total: FrameSum | None = None
    before: FrameSum | None = None
    why_reset: str = ""
    taken: Mapping[Key, bytes] = field(default_factory=dict)


class Taken:
    """Counts how often each shot was added and taken out, so that a replay does neither again.

    What is done to a shot has an order: added, taken out when it is taken again, added ... A run
    that is replayed after a restart goes through the same; as much of it as was done before is not
    done again.
    """

    def __init__(self, before: Mapping[Key, bytes] | None = None) -> None:
        self._before = dict(before or {})
        self._now: dict[Key, bytearray] = {}

    def is_next(self, shot: Shot) -> bool:
        """Whether what is to be done to a shot is still to be done; counts it."""
        key, number = (shot.run, shot.detector), shot.number
        numbers = self._now.setdefault(key, bytearray())
        if number >= len(numbers):
            numbers.extend(bytes(number + 1 - len(numbers)))
        numbers[number] = min(numbers[number] + 1, _MOST)
        before = self._before.get(key, b"")
        return number >= len(before) or numbers[number] > before[number]

    def begin_anew(self) -> None:
        """What was done before the restart may be done again: nothing of it is in the sum now."""
        self._before.clear()

    def counts(self) -> dict[Key, bytes]:
        """How often each shot was added or taken out, in this process and before."""
        found = {}
        for key in self._before.keys() | self._now.keys():
            one, other = self._before.get(key, b""), self._now.get(key, b"")
            short, long = sorted((one, other), key=len)
            found[key] = bytes(map(max, short, long)) + bytes(long[len(short) :])
        return found
