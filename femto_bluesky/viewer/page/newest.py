"""What a part of the page has made in a thread: one thing after the other, and the newest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from femto_bluesky.viewer.page.session import Session

log = logging.getLogger(__name__)

T = TypeVar("T")


class Newest(Generic[T]):
    """Makes one thing at a time, and hands it to `then`; of those asked for meanwhile, the last.

    What cannot be made is logged: what was shown before stays, and the next one is tried.
    """

    def __init__(self, session: Session, then: Callable[[T], None]) -> None:
        self._session, self._then = session, then
        self._next: Callable[[], T] | None = None
        self.is_busy = False

    def ask(self, make: Callable[[], T]) -> None:
        """Have this made, now or after what is being made."""
        if self.is_busy:
            self._next = make
            return
        self.is_busy = True
        self._session.in_thread(partial(_tried, make), self._take)

    def _take(self, made: list[T]) -> None:
        self.is_busy = False
        following, self._next = self._next, None
        try:
            for each in made:
                self._then(each)
        finally:
            if following is not None:
                self.ask(following)


def _tried(make: Callable[[], T]) -> list[T]:
    """What was made, or nothing."""
    try:
        return [make()]
    except Exception:
        # whatever it is: whoever waits for it must know that it is over
        log.exception("something could not be shown")
        return []
