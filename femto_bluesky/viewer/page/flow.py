"""When the next picture may be sent: one at a time, and the newest only."""

from __future__ import annotations

from typing import Final

PATIENCE_S: Final = 1.0
"""So long a browser may take to show a picture before it is thought lost, and another is sent."""


class Flow:
    """One picture at a time is made for a browser and on its way to it.

    However much happens meanwhile, one more picture is made then, of what there is then. Times are
    those of a monotonic clock. `has_lost` says, when one is begun, that it is not known what became
    of the one before.
    """

    def __init__(self) -> None:
        self._is_wanted = self._is_making = False
        self.has_lost = False
        self._on_its_way: int | None = None
        self._sent_at = 0.0

    @property
    def is_on_its_way(self) -> bool:
        """Whether a picture was sent of which it is not known that it was shown."""
        return self._on_its_way is not None

    def want(self) -> None:
        """There is something new to be shown."""
        self._is_wanted = True

    def begin(self, now: float) -> bool:
        """Whether a picture is to be made now; if so, `sent` or `nothing` has to follow."""
        is_waiting = self._on_its_way is not None and now - self._sent_at < PATIENCE_S
        if not self._is_wanted or self._is_making or is_waiting:
            return False
        self._is_wanted, self._is_making = False, True
        self.has_lost = self._on_its_way is not None
        return True

    def sent(self, number: int, now: float) -> None:
        """A picture is on its way."""
        self._is_making, self._on_its_way, self._sent_at = False, number, now

    def nothing(self) -> None:
        """There was nothing to be sent."""
        self._is_making = False

    def shown(self, number: int) -> bool:
        """The browser says that it has shown a picture; whether that is the one on its way."""
        if number != self._on_its_way:
            return False
        self._on_its_way = None
        return True

    def lost(self) -> None:
        """The browser could make nothing of what was sent."""
        self._on_its_way, self._is_wanted = None, True
