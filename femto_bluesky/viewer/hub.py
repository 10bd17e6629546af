"""What all browsers share: it looks at the analysis again and again, and tells them what is new.

Nothing of it runs in the thread of the RunEngine, and nothing there calls it: cheap counters are
compared two hundred times a second, and what has moved on is looked at once for all browsers. While
no browser watches, it does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, Protocol

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.results import DataGroup
from femto_bluesky.viewer.known_runs import KnownRuns
from femto_bluesky.viewer.pictures import Pictures, warm
from femto_bluesky.viewer.snapshots import Snapshots
from femto_bluesky.viewer.vitals import Vitals, vitals_of

log = logging.getLogger(__name__)

News = Literal["image", "curves", "settings", "pulse"]
"""What has changed: a sum; curves and tables; settings; or time has gone by."""

TICK_S: Final = 0.005
PULSE_S: Final = 0.5
CURVES_S: Final = 0.25
SETTINGS_S: Final = 0.25
RATE_OVER_S: Final = 10.0


class Watcher(Protocol):
    """One browser, as the hub sees it."""

    def tell(self, news: frozenset[News]) -> None:
        """Something is new."""


class Hub:
    """Looks at an analysis for all browsers, and changes it for those that may.

    `groups` are the curves of the newest run, `settings` the settings as they are now, `runs` what
    the runs were called, `pictures` those of the sums. Threads look in `pool`; what changes
    something waits in `changing` (for the end of a shot, and for others), and the image, which is
    made in `drawing`, waits for neither.
    """

    def __init__(
        self,
        live: LiveAnalysis,
        snapshots: Snapshots,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.live, self.snapshots = live, snapshots
        self.groups: list[DataGroup] = []
        self.runs = KnownRuns(live)
        self.pictures = Pictures(live)
        self.settings = live.settings_record()
        self.pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="page")
        self.drawing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="page draws")
        self.changing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="page changes")
        self._clock = clock
        self._watchers: list[Watcher] = []
        self._images: dict[str, Any] = {}
        self._news: set[News] = set()
        self._seen: Any = None
        self._curves: asyncio.Task[bool] | None = None
        self._due: dict[str, float] = {}
        self._shots: deque[tuple[float, int]] = deque(maxlen=int(2 * RATE_OVER_S / PULSE_S))

    # those who watch

    def join(self, watcher: Watcher) -> None:
        """Tell this one too."""
        self._watchers.append(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Tell this one no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    @property
    def n_watchers(self) -> int:
        """How many browsers watch."""
        return len(self._watchers)

    async def run(self) -> None:
        """Look for what is new, for ever; to be run in the loop of the server."""
        asyncio.get_running_loop().run_in_executor(self.drawing, warm)
        try:
            await self._look_for_ever()
        finally:
            if self._curves is not None:
                self._curves.cancel()

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if not self._watchers:
                continue
            try:
                self._look(self._news)
            except Exception:
                # whatever it is: the page goes on and shows what it has
                log.exception("the page could not look at the analysis")
                await asyncio.sleep(1)
                continue
            news, self._news = frozenset(self._news), set()
            if news:
                for watcher in list(self._watchers):
                    watcher.tell(news)

    def _look(self, news: set[News]) -> None:
        """Add what is new; what was found before a failure is still told after it."""
        images = {name: part.n_changes for name, part in list(self.live.accumulations.of.items())}
        if images != self._images:
            self._images = images
            news.add("image")
        if self._is_due("settings", SETTINGS_S):
            settings = self.live.settings_record()
            if settings != self.settings:
                self.settings = settings
                news |= {"settings", "image"}
        # beside the images, for the curves may have to wait until a shot is analysed
        made = self._curves
        if made is not None and made.done():
            self._curves = None
            if made.result():
                news.add("curves")
        if self._curves is None and self._is_due("curves", CURVES_S):
            self._curves = asyncio.create_task(self._look_at_curves())
        if self._is_due("pulse", PULSE_S):
            self._shots.append((self._clock(), self.live.shell.pulse.n_shots))
            news.add("pulse")

    async def _look_at_curves(self) -> bool:
        """Have the curves made anew, in a thread, where something has changed."""
        uid = self.live.shell.pulse.newest.get("uid")
        version = (self.live.n_changes, self._images, self.settings, uid)
        if version == self._seen:
            return False
        loop = asyncio.get_running_loop()
        before = self.snapshots.n_curves
        self.groups = await loop.run_in_executor(self.pool, self.snapshots.curves)
        if self.snapshots.n_curves == before:
            return False  # those of a moment ago, for a scan must not be held up: look again
        self._seen = version
        return True

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True

    # how it does

    def vitals(self) -> Vitals:
        """The state of the analysis, its rate and what it has lost."""
        shell, now = self.live.shell, self._clock()
        rate = 0.0
        recent = [entry for entry in self._shots if entry[0] > now - RATE_OVER_S]
        if len(recent) > 1 and recent[-1][0] > recent[0][0]:
            rate = (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])
        backlog, problems = shell.worker.backlog, shell.problems
        return vitals_of(shell.pulse, rate, shell.failures, backlog, now, problems)

    # changes

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change settings of the analysis; not in the loop, for it waits for the end of a shot.

        Raises `ValueError` where a value is not allowed; nothing is changed then.
        """
        self.snapshots.configure(changes)
        self._due["settings"] = 0.0

    def change_with(
        self, changes: Callable[[], Mapping[str, Any]], *, is_slow: bool = False
    ) -> None:
        """Change settings to what is made of those that are there: see `Snapshots.configure_with`.

        For what holds several things under names: two browsers may change different ones at once.
        """
        self.snapshots.configure_with(changes, is_slow=is_slow)
        self._due["settings"] = 0.0

    def do(self, action: Callable[[], Any]) -> None:
        """Do something with the analysis between two shots, such as to begin a sum anew."""
        with self.live.shell.lock:
            action()
        self.snapshots.forget()

    def close(self) -> None:
        """End the threads."""
        self.runs.close()
        for pool in (self.pool, self.drawing, self.changing):
            pool.shutdown(wait=False, cancel_futures=True)
