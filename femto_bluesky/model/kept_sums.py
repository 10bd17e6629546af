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
        self._is_anew = False

    def is_next(self, shot: Shot) -> bool:
        """Whether what is to be done to a shot is still to be done; counts it."""
        key, number = (shot.run, shot.detector), shot.number
        numbers = self._now.setdefault(key, bytearray())
        if number >= len(numbers):
            numbers.extend(bytes(number + 1 - len(numbers)))
        numbers[number] = min(numbers[number] + 1, _MOST)
        before = b"" if self._is_anew else self._before.get(key, b"")
        return number >= len(before) or numbers[number] > before[number]

    def begin_anew(self) -> None:
        """What was done before the restart may be done again: nothing of it is in the sum now."""
        self._is_anew = True

    def counts(self) -> dict[Key, bytes]:
        """How often each shot was added or taken out, in this process and before.

        Also of shots that a reset has thrown away: after the next restart they are not missing.
        """
        found = {}
        for key in {**self._before, **self._now}:
            before, now = self._before.get(key, b""), self._now.get(key, b"")
            n = max(len(before), len(now))
            pairs = zip(before.ljust(n, b"\0"), now.ljust(n, b"\0"), strict=True)
            found[key] = bytes((b if self._is_anew else max(a, b)) if b else a for a, b in pairs)
        return found


def is_whole(counts: bytes, n_times: Mapping[int, int]) -> bool:
    """Whether all was done to the shots of a run that was to be done.

    `counts` are those of `Taken`, `n_times` says how often each shot was analysed; before each
    time but the first it was taken out.
    """
    return all(
        number < len(counts) and counts[number] >= min(2 * n - 1, _MOST)
        for number, n in n_times.items()
    )
