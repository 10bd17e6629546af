"""Which settings were used for which shots, so that a shot can be taken back as it was seen."""

from __future__ import annotations

from typing import Generic, TypeVar

from femto_bluesky.model.shots import Shot

S = TypeVar("S")


class UsedSettings(Generic[S]):
    """The settings of the shots of each run, from a shot number on."""

    def __init__(self) -> None:
        self._of_run: dict[str, list[tuple[int, S]]] = {}

    def note(self, shot: Shot, settings: S) -> None:
        """Note what a shot is seen with."""
        used = self._of_run.setdefault(shot.run, [])
        if not used or used[-1][1] is not settings or shot.number < used[-1][0]:
            used.append((shot.number, settings))

    def of(self, shot: Shot, otherwise: S) -> S:
        """What a shot was seen with."""
        used = self._of_run.get(shot.run, [])
        before = [settings for number, settings in used if number <= shot.number]
        return before[-1] if before else otherwise

    def clear(self) -> None:
        """Forget all."""
        self._of_run.clear()
