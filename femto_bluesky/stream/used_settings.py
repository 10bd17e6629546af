"""With what each shot was seen, so that it can be taken back just so."""

from __future__ import annotations

from typing import Generic, TypeVar

from femto_bluesky.model.shots import Shot

S = TypeVar("S")

KEPT_SHOTS = 10_000
"""Of each detector in a run. Plans are rewound by some events, not by hours."""


class UsedSettings(Generic[S]):
    """What was used for the newest shots of each run, shot by shot.

    Not from a shot on: where two shots are taken back and taken again, and settings change in
    between, the second one is still to be taken back as it was when the first one is there again.
    """

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], dict[int, S]] = {}

    def note(self, shot: Shot, settings: S) -> None:
        """Note what a shot is seen with."""
        used = self._of.setdefault((shot.run, shot.detector), {})
        used[shot.number] = settings
        if len(used) > KEPT_SHOTS:
            del used[next(iter(used))]

    def of(self, shot: Shot) -> S | None:
        """What a shot was seen with; None where that is not known (any more)."""
        return self._of.get((shot.run, shot.detector), {}).get(shot.number)

    def clear(self) -> None:
        """Forget all."""
        self._of.clear()
