"""One browser: it is told the newest only, and changes what all see if it may."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document

from femto_bluesky.viewer.hub import Hub, News
from femto_bluesky.viewer.page.session import Session
from tests.viewer.shown import seen


class Part:
    """Notes what it is to show."""

    def __init__(self) -> None:
        self.shown: list[frozenset[News]] = []

    def refresh(self, news: frozenset[News]) -> None:
        self.shown.append(news)


class Broken:
    def refresh(self, news: frozenset[News]) -> None:
        raise RuntimeError("cannot be drawn")


class Opened:
    """A session without a browser: what waits for the document's lock is done by `tick`."""

    def __init__(self, hub: Hub, **rights: bool) -> None:
        self.doc = Document()
        self.session = Session(hub, self.doc, **rights)
        self.part = Part()
        self.session.parts.append(self.part)
        self.said: list[tuple[str, str]] = []
        self.session.on_message.append(lambda text, tone: self.said.append((text, tone)))

    def tick(self) -> int:
        waiting = list(self.doc.session_callbacks)
        for callback in waiting:
            self.doc.remove_next_tick_callback(callback)
            callback.callback()
        return len(waiting)

    def until(self, is_done: Callable[[], bool], doing: Callable[[], Any]) -> None:
        async def work() -> None:
            doing()
            async with asyncio.timeout(20):
                while not is_done():
                    await asyncio.sleep(0.005)
                    self.tick()

        asyncio.run(work())


def test_a_slow_browser_is_told_all_news_at_once(hub: Hub) -> None:
    opened = Opened(hub)
    for _ in range(1000):
        opened.session.tell(frozenset({"image"}))
        opened.session.tell(frozenset({"pulse"}))
    assert opened.tick() == 1
    assert opened.part.shown == [frozenset({"image", "pulse"})]


def test_a_hidden_tab_is_told_nothing_until_it_is_seen(hub: Hub) -> None:
    opened = Opened(hub)
    opened.session.choose(is_hidden=True)
    opened.session.tell(frozenset({"image"}))
    assert opened.tick() == 0
    opened.session.choose(is_hidden=False)
    opened.tick()
    assert "image" in opened.part.shown[-1]


def test_a_paused_display_stands_still_but_for_its_state(hub: Hub) -> None:
    opened = Opened(hub)
    opened.session.choose(is_paused=True)
    opened.session.tell(frozenset({"image", "curves", "settings", "pulse"}))
    opened.tick()
    assert opened.part.shown == [frozenset({"settings", "pulse"})]
    opened.session.choose(is_paused=False)
    opened.tick()
    assert opened.part.shown[-1] == {"image", "curves", "settings", "pulse"}


def test_a_part_that_fails_leaves_the_others(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    opened = Opened(hub)
    opened.session.parts.insert(0, Broken())
    opened.session.tell(frozenset({"image"}))
    opened.tick()
    assert opened.part.shown == [frozenset({"image"})]
    assert "cannot be drawn" in caplog.text


def test_a_change_is_made_in_a_thread_and_read_back(hub: Hub) -> None:
    opened = Opened(hub)
    threads: list[str] = []
    opened.until(
        lambda: any("settings" in news for news in opened.part.shown),
        lambda: opened.session.act(lambda: threads.append(threading.current_thread().name)),
    )
    assert threads[0].startswith("page")
    opened.until(
        lambda: not hub.live.settings.accumulate,
        lambda: opened.session.change(accumulate=False),
    )


def test_the_image_and_looks_do_not_wait_for_changes(hub: Hub) -> None:
    opened = Opened(hub)
    done: list[str] = []

    def ask() -> None:
        for _ in range(4):
            opened.session.change(accumulate=False)  # waits for the end of a shot
        opened.session.in_thread(lambda: "look", done.append)
        opened.session.in_thread(lambda: "image", done.append, hub.drawing)

    with hub.live.shell.lock:
        opened.until(lambda: sorted(done) == ["image", "look"], ask)
        assert hub.live.settings.accumulate


def test_what_is_not_allowed_is_said_and_read_back(hub: Hub) -> None:
    opened = Opened(hub)
    opened.until(
        lambda: bool(opened.part.shown),
        lambda: opened.session.change(rois={"r": {"x0": 3, "y0": 0, "x1": 3, "y1": 5}}),
    )
    assert opened.said
    text, tone = opened.said[0]
    assert ("x1 must be above x0" in text, tone) == (True, "error")
    assert "r" not in hub.live.settings.rois


def test_who_may_only_read_changes_nothing(hub: Hub) -> None:
    opened = Opened(hub, may_change=False)
    opened.session.change(accumulate=False)
    opened.session.act(lambda: pytest.fail("it was done"))
    opened.tick()
    assert hub.live.settings.accumulate
    assert "may read only" in opened.said[0][0]


def test_the_detector_is_the_chosen_one_or_the_first(hub: Hub) -> None:
    opened = Opened(hub)
    assert opened.session.detector is None
    seen(hub.live, ("zyla", "pilatus"))
    assert opened.session.detector == "zyla"
    opened.session.choose(detector="pilatus")
    assert opened.session.detector == "pilatus"
