"""The image of the live page: how fast, how late, how dear, in a real browser.

What is asked of it, on a machine with nothing else to do: with the sum of a Balor (4104x4128) that
changes ten times a second, at least 9.5 pictures a second, painted within 100 ms (all of it in
sight) and 40 ms (a quarter of its width), at most 30 ms of the server's CPU and 250 kB for each;
and a scan that does not notice 20 browsers. The browsers run on the same processors: the more they
have to do, the later is what is painted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.live_image import (
    FOLLOW,
    HIDE,
    SIZE,
    WATCH,
    ZOOM,
    Scan,
    Seen,
    naive_page,
    noted,
    tall_frame,
    watched,
)
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer, serve
from tests.viewer.browser.chromium import MISSING, Chromium, executable

SECONDS = 6.0
SETTLED_S = 2.0
N_CLIENTS = 20

IS_DRAWN = (
    "() => Bokeh?.documents?.[0]?.get_model_by_name('image')?.inner_width > 0"
    " && Bokeh.documents[0].is_idle"
)

pytestmark = pytest.mark.filterwarnings("ignore:.*HTTPServerRequest:DeprecationWarning")


class Browser:
    """Windows on a server, each of somebody else."""

    def __init__(self, chromium: Chromium, address: str) -> None:
        self._chromium, self._address = chromium, address
        self.contexts: list[Any] = []

    def open(self, *, is_hidden: bool = False) -> Callable[..., Any]:
        """A new window; what is returned runs a script in it."""
        context = self._chromium.new_context(viewport=SIZE)
        self.contexts.append(context)

        async def open_page() -> Any:
            page = await context.new_page()
            await page.add_init_script(WATCH + (HIDE if is_hidden else ""))
            await page.goto(self._address, timeout=120_000)
            await page.wait_for_function(IS_DRAWN, timeout=120_000, polling=100)
            await page.evaluate(FOLLOW)
            return page

        page = self._chromium.do(open_page(), 240)
        return lambda script, value=None: self._chromium.do(page.evaluate(script, value), 120)

    def close(self) -> None:
        """Close all windows."""
        for context in self.contexts:
            self._chromium.do(context.close())


@contextmanager
def looking_on(chromium: Chromium, live: LiveAnalysis, page: Any = True) -> Iterator[Browser]:
    """A server and windows on it."""
    server: ResultsServer = serve(live, page=page)
    browser = Browser(chromium, server.address)
    try:
        yield browser
    finally:
        browser.close()
        server.close()


def bench_live_image(benchmark: Any, tell: Callable[[str], None]) -> None:
    """A scan at 10 Hz that nobody watches, that is watched in some ways, and in the naive one."""
    if executable() is None:
        pytest.skip(MISSING)
    live = LiveAnalysis()
    scan = Scan(live, tall_frame())
    for _ in range(100):
        scan.shot()
    scan.start()
    chromium = Chromium()
    found: dict[str, Seen] = {}

    def look(
        what: str, run: Callable[..., Any], numbers: dict[int, int], n: int = 1, times: int = 1
    ) -> None:
        time.sleep(SETTLED_S)
        found[what] = watched(scan, run, numbers, times * SECONDS, n)
        tell(f"live image, {what}: {found[what]}")

    try:
        n_shots, cpu = scan.n, scan.cpu_s
        time.sleep(SECONDS)
        alone_hz = (scan.n - n_shots) / SECONDS
        alone_ms = 1e3 * (scan.cpu_s - cpu) / max(1, scan.n - n_shots)
        with noted() as numbers, looking_on(chromium, live) as browser:
            first = browser.open()
            look("all in sight", first, numbers)
            first(ZOOM, 0.25)
            look("a quarter of the width in sight", first, numbers)
            first(ZOOM, 4)
            browser.open()
            for _ in range(N_CLIENTS - 2):
                browser.open(is_hidden=True)
            look(f"{N_CLIENTS} browsers, 2 of them seen", first, numbers, 2)
        numbers = {}
        with looking_on(chromium, live, naive_page(live, numbers)) as browser:
            look("the naive way, all in sight", browser.open(), numbers, times=3)
    finally:
        scan.end()
        chromium.close()
    many = found[f"{N_CLIENTS} browsers, 2 of them seen"]
    tell(
        f"the scan: {alone_hz:.2f} shots/s alone, {many.shots_hz:.2f} with {N_CLIENTS} browsers, "
        f"{found['the naive way, all in sight'].shots_hz:.2f} with the naive one; CPU of a shot "
        f"{alone_ms:.1f}, {many.shot_ms:.1f} and "
        f"{found['the naive way, all in sight'].shot_ms:.1f} ms"
    )
    benchmark.extra_info.update({what: seen._asdict() for what, seen in found.items()})
    benchmark.pedantic(lambda: None, rounds=1)
