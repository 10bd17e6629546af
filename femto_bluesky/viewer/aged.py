"""What may be somewhat old, because it would cost too much to have it new each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

SHARE: Final = 0.1
"""The part of the time that one thing may take to be made again and again."""


class Made(NamedTuple, Generic[T]):
    """What was made, and of which version of what it was made of."""

    value: T
    version: Hashable


class Aged:
    """Keeps what was made, and makes it anew when it is of another version and old enough."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[Made[Any], float, float]] = {}
        self._making = threading.Lock()

    def get(
        self, key: Hashable, version: Hashable, max_age_s: float, make: Callable[[], T]
    ) -> Made[T]:
        """What is kept for a key, or, where that is too old, what `make` gives.

        It may be `max_age_s` old, and older where it takes long to make.
        """
        with self._making:
            if key in self._kept:
                made, begun, took = self._kept[key]
                is_young = 0 <= self._clock() - begun < max(max_age_s, took / SHARE)
                if made.version == version or is_young:
                    return made
            begun = self._clock()
            made = Made(make(), version)
            self._kept[key] = made, begun, self._clock() - begun
            return made
