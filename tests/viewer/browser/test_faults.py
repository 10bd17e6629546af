"""What browsers do wrong, and what fails in the page: neither scan nor analysis notices."""

from __future__ import annotations

import asyncio
import gc
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bokeh.protocol.message import Message
from playwright.async_api import Page

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer, hub, server
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page import application, header
from tests.viewer.browser.beam import Beam
from tests.viewer.browser.waiting import until
from tests.viewer.browser.window import Window

MEGABYTE = 1_000_000

SHOW = """isShown => {
    Object.defineProperty(document, "visibilityState", {
        configurable: true, get: () => isShown ? "visible" : "hidden"})
    document.dispatchEvent(new Event("visibilitychange"))
}"""

HANG = "() => { setTimeout(() => alert('nobody sees this'), 0) }"
"""It waits for an answer, and does nothing else meanwhile."""


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Hub]]:
    """The hubs of the servers that the test starts."""
    made: list[Hub] = []

    def make(*args: Any, **kwargs: Any) -> Hub:
        made.append(Hub(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(server, "Hub", make)
    yield made
    made.clear()


def waiting() -> tuple[int, int]:
    """What this process keeps for browsers: how many messages, and bytes given to sockets."""
    found = gc.get_objects()
    messages = sum(isinstance(one, Message) for one in found)
    sockets = [one for one in found if isinstance(one, asyncio.WriteTransport)]
    return messages, sum(one.get_write_buffer_size() for one in sockets if not one.is_closing())


async def nobody_answers(page: Page) -> None:
    """Let dialogs of a page stand; else they are closed at once."""
    page.on("dialog", lambda _: None)


@pytest.mark.long
def test_a_browser_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
    hubs: list[Hub],
    served: ResultsServer,
    window: Window,
    new_window: Callable[..., Window],
    beam: Beam,
) -> None:
    """It takes nothing, while there is more to send than all buffers on the way can hold."""
    other = new_window(served.address).open()
    beam.shot()
    other.until_text(".fb-state", "live")
    with beam.going_on(rate_hz=20) as shots:
        until(lambda: len(shots.took_s) > 20, "shots come")
        window.do(nobody_answers)
        window.run(HANG)
        monkeypatch.setattr(hub, "PULSE_S", 0.0)
        refreshed: Counter[int] = Counter()
        plain = header.Header.refresh

        def refresh(self: Any, news: Any) -> None:
            plain(self, news)
            refreshed[id(self)] += 1
            # what is not drawn, and cannot be compressed on the way
            self._run.object = f"<!-- {secrets.token_hex(MEGABYTE // 2)} -->"

        monkeypatch.setattr(header.Header, "refresh", refresh)
        n_before = len(shots.took_s)
        until(
            lambda: len(refreshed) == 2 and max(refreshed.values()) - min(refreshed.values()) > 10,
            "this one is sent nothing more, and the other one is",
            found=lambda: refreshed,
        )
        messages, n_bytes = waiting()
        after = shots.took_s[n_before:]
    monkeypatch.undo()
    assert len(after) > 10, "shots go on meanwhile; how fast is measured in benchmarks"
    # what was sent to this one lies in the buffers of the system, which hold few megabytes
    assert messages < 40
    assert n_bytes < 8 * MEGABYTE
    other.until_text(".fb-state", "waiting")
    assert hubs[0].n_watchers == 2


@pytest.mark.long
def test_browsers_that_vanish_leave_nothing(
    monkeypatch: pytest.MonkeyPatch,
    hubs: list[Hub],
    live: LiveAnalysis,
    started: Callable[..., ResultsServer],
    new_window: Callable[..., Window],
) -> None:
    monkeypatch.setattr(application, "KEEP_SESSION_MS", 1500)
    monkeypatch.setattr(application, "CHECK_SESSIONS_MS", 50)
    address = started(live).address
    window = new_window(address).open()
    until(lambda: hubs[0].n_watchers == 1, "it watches")
    before = list(hubs[0]._watchers)
    window.reload()
    until(
        lambda: hubs[0].n_watchers == 1 and hubs[0]._watchers != before,
        "what it was before it was loaded anew is forgotten",
    )
    Beam(live).shot()
    window.until_text(".fb-state", "live")
    window.close()
    until(lambda: hubs[0].n_watchers == 0, "it is forgotten")


@pytest.mark.long
def test_a_tab_that_is_not_seen_is_sent_nothing(
    hubs: list[Hub], served: ResultsServer, new_window: Callable[..., Window], beam: Beam
) -> None:
    beam.scan(n=2)
    seen, unseen = (new_window(served.address).open() for _ in range(2))
    for window in (seen, unseen):
        window.figure("image").until_title("Sum of 6 images")
    unseen.run(SHOW, False)
    until(lambda: [watcher.is_hidden for watcher in hubs[0]._watchers].count(True) == 1, "hidden")
    numbers = itertools.count(7)

    def n_received_of_a_shot() -> int:
        before = unseen.n_received
        beam.shot()
        seen.figure("image").until_title(f"Sum of {next(numbers)} images")
        return unseen.n_received - before

    # what was being made for it before is still sent
    until(lambda: n_received_of_a_shot() == 0, "it is sent nothing")
    assert [n_received_of_a_shot() for _ in range(4)] == [0] * 4
    last = f"Sum of {next(numbers) - 1} images"
    assert last not in unseen.figure("image").title
    unseen.run(SHOW, True)
    unseen.figure("image").until_title(last)


@pytest.mark.long
def test_a_part_of_the_page_that_fails(
    monkeypatch: pytest.MonkeyPatch, window: Window, beam: Beam, caplog: pytest.LogCaptureFixture
) -> None:
    def refresh(self: Any, news: Any) -> None:
        raise RuntimeError("no header today")

    monkeypatch.setattr(header.Header, "refresh", refresh)
    beam.shot()
    until(lambda: "no header today" in caplog.text, "it is said in the log")
    assert window.is_visible("#fb-page")
    assert beam.live.failures == []
    monkeypatch.undo()
    beam.shot()
    window.until_text(".fb-state", "live")


@pytest.mark.long
def test_a_hub_that_fails(
    monkeypatch: pytest.MonkeyPatch, window: Window, beam: Beam, caplog: pytest.LogCaptureFixture
) -> None:
    def look(*_: Any) -> Any:
        raise RuntimeError("cannot look today")

    monkeypatch.setattr(Hub, "_look", look)
    beam.shot()
    until(lambda: "cannot look today" in caplog.text, "it is said in the log")
    assert beam.live.failures == []
    monkeypatch.undo()
    window.until_text(".fb-state", "live")
