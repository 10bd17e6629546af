"""A thread of its own for an analysis, so that a RunEngine never waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

HANGS_AFTER_S: Final = 60.0
"""So long the analysis may be busy with one thing before the log says so."""

IDLE_S: Final = 0.5
"""So long the thread waits for something to do before it ends."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be analysed: how much of it, and for how long (s) the oldest has waited.

    `at_work_s` is for how long the analysis has been busy with one thing; None when it is idle.
    """

    n_waiting: int
    oldest_s: float
    at_work_s: float | None


class Worker(Generic[T]):
    """Takes what it is given in its order: at once, or in a thread for those who must not wait.

    Who calls it from within an event loop, as the RunEngine does, must not wait: `take` is called
    in a thread. For everybody else it is called at once, after all that was given before; so who
    replays a run gives no more than can be analysed. `take` must not raise.
    """

    def __init__(
        self, take: Callable[[T], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._take, self._clock = take, clock
        self._waiting: deque[tuple[float, T]] = deque()
        self._changed = threading.Condition()
        self._taking = threading.RLock()
        self._thread: threading.Thread | None = None
        self._n_put = self._n_done = 0
        self._at_work_since: float | None = None
        self._is_told = False  # that it hangs

    def __call__(self, item: T) -> None:
        """Take this, now or soon."""
        if self._is_own_thread() or in_event_loop():
            self._put(item)
            return
        self.wait()
        with self._taking:
            self._take(item)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was given before is done; False where that took too long.

        The thread itself, which cannot wait for itself, does not.
        """
        if self._is_own_thread():
            return True
        with self._changed:
            wanted = self._n_put
            return self._changed.wait_for(lambda: self._n_done >= wanted, timeout_s)

    @property
    def backlog(self) -> Backlog:
        """What waits."""
        with self._changed:
            now, since = self._clock(), self._at_work_since
            return Backlog(
                self._n_put - self._n_done,
                now - self._waiting[0][0] if self._waiting else 0.0,
                None if since is None else now - since,
            )

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _put(self, item: T) -> None:
        with self._changed:
            self._waiting.append((self._clock(), item))
            self._n_put += 1
            self._tell_if_it_hangs()
            if self._thread is None:
                # not a daemon: what a scan has handed in is analysed before the process ends
                self._thread = threading.Thread(target=self._work, name="analysis")
                self._thread.start()
            self._changed.notify_all()

    def _tell_if_it_hangs(self) -> None:
        """Said by whoever brings more, for the thread itself cannot."""
        since = self._at_work_since
        busy_s = 0.0 if since is None else self._clock() - since
        if busy_s > HANGS_AFTER_S and not self._is_told:
            self._is_told = True
            log.error(
                "the analysis has been busy with one event for %.0f s, and %d more wait; the scan "
                "goes on. Look at the disk that its frames are on; if it does not come back, start "
                "it anew and replay what waits", busy_s, len(self._waiting),
            )  # fmt: skip

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: bool(self._waiting), IDLE_S):
                    self._thread = None
                    return
                _, item = self._waiting.popleft()
                self._at_work_since = self._clock()
            try:
                with self._taking:
                    self._take(item)
            except BaseException:
                # it must not raise; if it does all the same, those who wait must not for ever
                log.exception("%r could not be analysed", type(item).__name__)
            del item  # it may hold a frame
            with self._changed:
                if self._is_told:
                    log.warning("the analysis goes on; %d events and documents wait",
                                len(self._waiting))  # fmt: skip
                self._at_work_since, self._is_told = None, False
                self._n_done += 1
                self._changed.notify_all()


def in_event_loop() -> bool:
    """Whether this is called from within an event loop, which must not be held up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
