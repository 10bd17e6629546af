"""Browsers that come, click, and go as browsers do; and a page that is killed under them."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Any

from femto_bluesky.viewer import ResultsServer
from tests.soak.beamline import Beamline
from tests.soak.meddling import Action, Gate
from tests.viewer.browser.chromium import Chromium
from tests.viewer.browser.window import Window


class Browsers:
    """A page, and those who look at it; two at most at a time."""

    def __init__(self, beamline: Beamline, gate: Gate) -> None:
        self._live, self._gate = beamline.live, gate
        self._chromium = Chromium()
        self._server: ResultsServer = self._live.serve()
        self._port = int(self._server.address.rstrip("/").rpartition(":")[2])
        self._windows: list[Window] = []
        self.n_visits = 0
        self.n_seen_live = 0

    @property
    def actions(self) -> list[Action]:
        """What browsers do; to come is what they do most."""
        return [self.browser_comes] * 3 + [
            self.browser_clicks, self.browser_clicks, self.browser_goes, self.browser_crashes,
        ]  # fmt: skip

    @property
    def faults(self) -> list[Action]:
        """What happens to the page."""
        return [self.page_killed_and_started_again]

    def browser_comes(self, rng: random.Random) -> None:
        """Somebody opens the page, and sees shots come."""
        if len(self._windows) == 2:
            self.browser_goes(rng)
        context = self._chromium.new_context(viewport={"width": 1280, "height": 800})
        window = Window(self._chromium, context, self._server.address)
        self._windows.append(window)
        self.n_visits += 1
        with suppress(Exception):  # the page may be killed just now
            window.open()
            window.until_text(".fb-state", "live")
            self.n_seen_live += 1

    def browser_clicks(self, rng: random.Random) -> None:
        """Somebody clicks on a button of the sum."""
        for window in self._windows[-1:]:
            with suppress(Exception):
                self._chromium.do(
                    window.page.locator(f"{rng.choice(['.fb-start', '.fb-stop', '.fb-reset'])}"
                                        " button").first.click(timeout=2000)
                )  # fmt: skip

    def browser_goes(self, rng: random.Random) -> None:
        """Somebody closes the window."""
        if self._windows:
            with suppress(Exception):
                self._windows.pop(rng.randrange(len(self._windows))).close()

    def browser_crashes(self, rng: random.Random) -> None:
        """A browser ends from one moment to the next."""
        if not self._windows:
            return
        window = self._windows.pop(rng.randrange(len(self._windows)))

        async def crash(page: Any) -> None:
            session = await page.context.new_cdp_session(page)
            await session.send("Page.crash")

        with suppress(Exception):
            self._chromium.do(crash(window.page), 3.0)
        with suppress(Exception):
            window.close()

    def page_killed_and_started_again(self, rng: random.Random) -> None:
        """What serves the page ends, and is there again at the same place a moment later."""
        self._server.close()
        self._gate.sleep(rng.uniform(0.5, 3))
        self.serve()

    def serve(self) -> None:
        """Have the page there, at the place where it was."""
        ends = time.monotonic() + 30
        while True:
            try:
                self._server = self._live.serve(port=self._port)
                return
            except OSError:  # who was connected may hold on to the port for a moment
                if time.monotonic() > ends:
                    raise
                time.sleep(0.2)

    def rest(self) -> None:
        """Nobody looks, and there is no page."""
        while self._windows:
            self.browser_goes(random.Random(0))
        self._server.close()

    def close(self) -> None:
        """Let all of them go."""
        self.rest()
        self._chromium.close()
