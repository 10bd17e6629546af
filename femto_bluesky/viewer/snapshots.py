"""Consistent pictures of an analysis that goes on, made when somebody asks.

The analysis runs in the thread of the RunEngine. A picture is taken between two shots, under the
lock of the shell, so the scan may have to wait for it. How often is bounded: while a run is open, a
picture is used until the time it took is no more than a small share of the time since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.viewer.published import published
from femto_bluesky.viewer.tree import Tree

log = logging.getLogger(__name__)

PATIENCE_S: Final = 1.0
"""So long a picture waits for the end of a shot."""


class Snapshots:
    """The published tree of an analysis, as it is now or was a moment ago.

    `share` is the part of a running scan's time that pictures may take, `max_age_s` how old one may
    be in any case. Nothing is done while nobody asks.
    """

    def __init__(
        self,
        live: LiveAnalysis,
        *,
        detector: str | None = None,
        share: float = 0.05,
        max_age_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live = live
        self.problem = ""
        self._detector = detector
        self._share, self._max_age_s, self._clock = share, max_age_s, clock
        self._tree = published([])
        self._cost_s = 0.0
        self._made_at = -float("inf")
        self._is_stale = True
        self._making, self._changing = threading.Lock(), threading.Lock()
        self._open_runs: set[str] = set()
        self._token = live.subscribe(self._note)

    @property
    def n_open_runs(self) -> int:
        """Runs that have begun and not stopped."""
        return len(self._open_runs)

    def tree(self) -> Tree:
        """The newest picture, or a new one where that is too old."""
        with self._making:
            age = self._clock() - self._made_at
            allowed = max(self._max_age_s, self._cost_s / self._share if self._open_runs else 0.0)
            if self._is_stale or not 0 <= age < allowed:
                self._make()
            return self._tree

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings of the analysis; the next picture is a new one.

        It waits for the end of a shot. Changes by several clients come one after the other.
        Raises `ValueError` where a value is not allowed; nothing is changed then.
        """
        with self._changing:
            self.live.configure(changes)
        self.forget()

    def forget(self) -> None:
        """Have the next picture made anew."""
        self._is_stale = True

    def close(self) -> None:
        """Follow the analysis no more."""
        self.live.unsubscribe(self._token)

    def _make(self) -> None:
        # first, so that a change while the picture is taken asks for another one
        self._is_stale = False
        try:
            self._tree = self._picture()
            self.problem = ""
        except Exception as error:
            # whatever it is: what was seen before is still shown, and health tells
            if str(error) != self.problem:
                log.exception("the results cannot be shown as they are now")
            self.problem = str(error) or type(error).__name__
        self._made_at = self._clock()

    def _picture(self) -> Tree:
        lock = self.live.shell.lock
        if not lock.acquire(timeout=PATIENCE_S):
            raise TimeoutError(
                f"one shot has been analysed for more than {PATIENCE_S} s; what was there before "
                "it is shown"
            )
        try:
            begun = self._clock()
            sums = [_copied(part) for part in self.live.accumulations.of.values()]
            parts = (self.live.rois, self.live.photons, self.live.diffraction)
            curves = [group for part in parts for group in part.groups()]
            regions = list(self.live.rois.settings.rois)
            self._cost_s = self._clock() - begun
        finally:
            lock.release()
        images = [group for part in sums for group in part.groups()]
        return published([*images, *curves], regions, self._detector)

    def _note(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self._open_runs.add(doc["uid"])
        elif name == "stop":
            self._open_runs.discard(doc["run_start"])
            self.forget()


def _copied(sums: Accumulation) -> Accumulation:
    """An accumulation that stays as it is: what is made of it needs no lock any more."""
    copy = sums.fresh()
    copy.merge(sums)
    copy.why_reset = sums.why_reset
    return copy
