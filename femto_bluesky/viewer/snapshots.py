"""Consistent pictures of an analysis that goes on, made when somebody asks.

The analysis runs in the thread of the RunEngine. A picture is taken between two shots, under the
lock of the shell, so the scan may have to wait for it. How often is bounded: while a run is open, a
picture is used until the time it took is no more than a small share of the time since.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final, Generic, TypeVar

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.results import DataGroup
from femto_bluesky.viewer.published import published
from femto_bluesky.viewer.tree import Tree

log = logging.getLogger(__name__)

PATIENCE_S: Final = 1.0
"""So long a picture waits for the end of a shot."""


T = TypeVar("T")


class _Kept(Generic[T]):
    """What was taken of an analysis, until it may be taken anew.

    `take` gives it, and how long the analysis was held up for it; that may be `share` of the time.
    """

    def __init__(
        self,
        value: T,
        take: Callable[[], tuple[T, float]],
        share: float,
        max_age_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.problem = ""
        self.n_made = 0
        self._value, self._take = value, take
        self._share, self._max_age_s, self._clock = share, max_age_s, clock
        self._cost_s = 0.0
        self._made_at = -float("inf")
        self._is_stale = True
        self._making = threading.Lock()

    def get(self, *, is_running: bool) -> T:
        with self._making:
            age = self._clock() - self._made_at
            allowed = max(self._max_age_s, self._cost_s / self._share if is_running else 0.0)
            if self._is_stale or not 0 <= age < allowed:
                self._make()
            return self._value

    def forget(self) -> None:
        self._is_stale = True

    def _make(self) -> None:
        # first, so that a change while it is taken asks for another one
        self._is_stale = False
        try:
            self._value, self._cost_s = self._take()
            self.problem = ""
        except Exception as error:
            # whatever it is: what was seen before is still shown, and health tells
            if str(error) != self.problem:
                log.exception("the results cannot be shown as they are now")
            self.problem = str(error) or type(error).__name__
        self._made_at = self._clock()
        self.n_made += 1


class Snapshots:
    """The published tree of an analysis and its curves, as they are now or were a moment ago.

    `share` is the part of a running scan's time that trees may take, which hold copies of the sums;
    curves may take 0.4 of that beside. `max_age_s` is how old either may be in any case. Nothing is
    done while nobody asks.
    """

    def __init__(
        self,
        live: LiveAnalysis,
        *,
        detector: str | None = None,
        share: float = 0.035,
        max_age_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live = live
        self._detector = detector
        self._clock = clock
        self._tree = _Kept(published([]), self._take_tree, share, max_age_s, clock)
        none: list[DataGroup] = []
        self._curves = _Kept(none, self._take_curves, 0.4 * share, max_age_s, clock)
        self._changing = threading.Lock()
        self._open_runs: dict[str, str] = {}  # raw runs by their derived ones
        self._newest: str | None = None
        self._token = live.subscribe(self._note)

    @property
    def n_open_runs(self) -> int:
        """Runs that have begun and not stopped."""
        return len(self._open_runs)

    @property
    def problem(self) -> str:
        """Why what is shown is not what is there now; empty where it is."""
        return self._tree.problem or self._curves.problem

    @property
    def n_curves(self) -> int:
        """How often curves were made anew."""
        return self._curves.n_made

    def tree(self) -> Tree:
        """The newest picture, or a new one where that is too old."""
        return self._tree.get(is_running=bool(self._open_runs))

    def curves(self) -> list[DataGroup]:
        """What the analysis shows of the newest run, but for the images of its sums."""
        return self._curves.get(is_running=bool(self._open_runs))

    def curves_of(self, run: str) -> list[DataGroup]:
        """The same of any run, taken now; for what is asked for once, such as an earlier run.

        Raises `TimeoutError` where the analysis is busy with one shot for long.
        """
        with self._held():
            return self._curve_groups(run)

    def sums(self, run: str | None = None) -> list[DataGroup]:
        """The images of the sums (that a run has a part in) with regions and rings, copied now.

        Raises like `curves_of`.
        """
        with self._held():
            parts = [_copied(part) for part in self.live.accumulations.of.values()]
        groups = [group for part in parts for group in part.groups(run)]
        return [self.live.marked(group) for group in groups]

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings of the analysis; the next picture is a new one.

        It waits for the end of a shot. Changes by several clients come one after the other.
        Raises `ValueError` where a value is not allowed; nothing is changed then.
        """
        with self._changing:
            self.live.configure(changes)
        self.forget()

    def configure_with(
        self, changes: Callable[[], Mapping[str, Any]], *, is_slow: bool = False
    ) -> None:
        """Change settings to what is made of those that are there, which nobody changes meanwhile.

        So two that change different regions at once lose nothing. `changes` is called between two
        shots, and is to be quick. Raises what it raises, and as `configure`. What follows from a
        change that is slow, such as of a geometry, is prepared beside the scan; then only clients
        of this server wait for each other, and the prompt does not.
        """
        with self._changing, nullcontext() if is_slow else self.live.shell.lock:
            self.live.configure(changes())
        self.forget()

    def forget(self) -> None:
        """Have the next picture made anew."""
        self._tree.forget()
        self._curves.forget()

    def close(self) -> None:
        """Follow the analysis no more."""
        self.live.unsubscribe(self._token)

    def _take_tree(self) -> tuple[Tree, float]:
        with self._held() as cost:
            sums = [_copied(part) for part in self.live.accumulations.of.values()]
            curves = self._curve_groups()
            regions = list(self.live.rois.settings.rois)
        images = [group for part in sums for group in part.groups()]
        return published([*images, *curves], regions, self._detector), cost[0]

    def _take_curves(self) -> tuple[list[DataGroup], float]:
        with self._held() as cost:
            curves = self._curve_groups()
        return curves, cost[0]

    def _curve_groups(self, run: str | None = None) -> list[DataGroup]:
        live, newest = self.live, run or self._newest
        parts = dict.fromkeys((live.rois, live.photons, live.diffraction, *live.parts))
        parts.pop(live.accumulations, None)
        # for themselves parts take the run whose shots are the youngest, and of those that they
        # have seen: not a recording that is replayed later, nor a run without their detector
        is_youngest = next(reversed(live.rois.table.runs), newest) == newest
        # I(q) of the sum is there whether or not the newest run is in it
        of_sum = run if is_youngest else newest
        return [
            group
            for part in parts
            for group in part.groups(of_sum if part is live.diffraction else newest)
        ]

    @contextmanager
    def _held(self) -> Iterator[list[float]]:
        """Between two shots; gives a list in which stands, at the end, how long that was."""
        lock = self.live.shell.lock
        if not lock.acquire(timeout=PATIENCE_S):
            raise TimeoutError(
                f"one shot has been analysed for more than {PATIENCE_S} s; what was there before "
                "it is shown"
            )
        cost = [0.0]
        begun = self._clock()
        try:
            yield cost
        finally:
            cost[0] = self._clock() - begun
            lock.release()

    def _note(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self._open_runs[doc["uid"]] = doc.get("original_run_uid", "")
        elif name == "descriptor":
            self._newest = self._open_runs.get(doc["run_start"]) or self._newest
        elif name == "stop":
            self._open_runs.pop(doc["run_start"], None)
            self.forget()


def _copied(sums: Accumulation) -> Accumulation:
    """An accumulation that stays as it is: what is made of it needs no lock any more."""
    copy = sums.fresh()
    copy.merge(sums)
    copy.why_reset = sums.why_reset
    return copy
