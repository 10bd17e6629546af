"""One headless Chromium for the tests of a process, driven from a thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")

MISSING = (
    "no Chromium was found; the page is tested in a real one: apt-get install chromium "
    f"(looked for {', '.join(NAMES)})"
)

ARGUMENTS = [
    "--no-sandbox",  # as root, as in a container
    "--disable-dev-shm-usage",  # containers have 64 MB of it
    "--disable-background-networking",
    # windows of one test lie behind each other, and are all to be shown
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]


def executable() -> str | None:
    """Where the system's Chromium is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A running browser.

    Playwright's calls that wait leave an event loop running in their thread, in which nobody else
    can run one then (a RunEngine of the same test would fail). So they are made in another thread.
    """

    def __init__(self) -> None:
        path = executable()
        assert path is not None, MISSING
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="chromium", daemon=True)
        self._thread.start()
        self._playwright: Playwright = self.do(async_playwright().start())
        self.browser: Browser = self.do(
            self._playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        )

    def do(self, action: Coroutine[Any, Any, Any], timeout_s: float = 60.0) -> Any:
        """What comes of a coroutine of playwright."""
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(timeout_s)

    def new_context(self, **settings: Any) -> BrowserContext:
        """A browser of somebody else: with cookies, storage and files of its own."""
        return self.do(self.browser.new_context(**settings))

    def close(self) -> None:
        """End the browser, its driver and the thread."""
        with suppress(Exception):  # it may have crashed, as a test wanted
            self.do(self.browser.close())
        self.do(self._playwright.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
