"""What all browsers share: what is new is told once, and nothing is done while nobody watches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub, News
from tests.viewer.shown import seen


class Browser:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[frozenset[News]] = []
        self.news: set[News] = set()

    def tell(self, news: frozenset[News]) -> None:
        self.told.append(news)
        self.news |= news


def watched(hub: Hub, is_done: Callable[[], bool], doing: Callable[[], object] = int) -> None:
    """Let the hub look until something holds; `doing` is done when it has begun."""

    async def look() -> None:
        looking = asyncio.create_task(hub.run())
        try:
            await asyncio.to_thread(doing)
            async with asyncio.timeout(20):
                while not is_done():
                    await asyncio.sleep(0.01)
        finally:
            looking.cancel()

    asyncio.run(look())


def test_shots_are_news_of_the_image_and_the_curves(live: LiveAnalysis, hub: Hub) -> None:
    browser = Browser()
    hub.join(browser)
    watched(hub, lambda: {"image", "curves"} <= browser.news, lambda: seen(live))
    assert {group.path.partition("/")[0] for group in hub.groups} >= {"step_means", "roi_means"}


def test_curves_of_a_moment_ago_are_looked_at_again(
    live: LiveAnalysis, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, curves, asked = Browser(), hub.snapshots.curves, []
    hub.join(browser)

    def kept_at_first() -> object:
        # as while a scan goes on that must not be held up
        asked.append(0)
        return [] if len(asked) < 3 else curves()

    monkeypatch.setattr(hub.snapshots, "curves", kept_at_first)
    watched(hub, lambda: "curves" in browser.news, lambda: seen(live))
    assert len(asked) == 3
    assert hub.groups


def test_a_sum_that_is_begun_anew_at_the_prompt_is_news_of_the_curves(
    live: LiveAnalysis, hub: Hub
) -> None:
    browser = Browser()
    hub.join(browser)
    watched(hub, lambda: "curves" in browser.news, lambda: seen(live))
    browser.news.clear()
    watched(hub, lambda: "curves" in browser.news, live.accumulation().reset)


def test_what_is_slow_is_prepared_beside_the_scan(live: LiveAnalysis, hub: Hub) -> None:
    new = {"new": Roi(x0=0, y0=0, x1=3, y1=3)}
    is_free: list[bool] = []

    def look() -> None:
        # whether the thread of the scan could go on now
        got = live.shell.lock.acquire(timeout=0)
        is_free.append(got)
        if got:
            live.shell.lock.release()

    def changes() -> dict[str, object]:
        other = threading.Thread(target=look)
        other.start()
        other.join()
        return {"rois": new}

    hub.change_with(changes)
    hub.change_with(changes, is_slow=True)
    assert is_free == [False, True]
    assert live.rois.settings.rois == new


def test_settings_that_the_console_has_changed_are_news(live: LiveAnalysis, hub: Hub) -> None:
    browser = Browser()
    hub.join(browser)
    new = {"new": Roi(x0=0, y0=0, x1=3, y1=3)}
    watched(hub, lambda: "settings" in browser.news, lambda: live.configure({"rois": new}))
    assert list(hub.settings["rois"]) == ["new"]


def test_all_are_told_the_same_and_those_who_leave_no_more(live: LiveAnalysis, hub: Hub) -> None:
    one, other, gone = Browser(), Browser(), Browser()
    for browser in (one, other, gone):
        hub.join(browser)
    hub.leave(gone)
    watched(hub, lambda: "image" in other.news, lambda: seen(live))
    assert one.told == other.told
    assert gone.told == []
    assert hub.n_watchers == 2


def test_nothing_is_looked_at_while_nobody_watches(
    live: LiveAnalysis, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    monkeypatch.setattr(live, "settings_record", lambda: looks.append(0))
    ticks = iter(range(3))
    rest = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if next(ticks, None) is None:
            raise asyncio.CancelledError
        await rest(0)

    monkeypatch.setattr("femto_bluesky.viewer.hub.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(hub.run())
    assert looks == []


def test_a_look_that_fails_is_logged_and_the_next_one_is_taken(
    live: LiveAnalysis, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    browser = Browser()
    hub.join(browser)
    record = live.settings_record
    failures = iter([RuntimeError("not now")])

    def fails_once() -> dict[str, object]:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return record()

    monkeypatch.setattr(live, "settings_record", fails_once)
    watched(hub, lambda: "image" in browser.news, lambda: seen(live))
    assert "not now" in caplog.text


def test_changes_are_made_between_two_shots(live: LiveAnalysis, hub: Hub) -> None:
    seen(live)
    hub.do(live.accumulation().reset)
    assert live.accumulation().result() is None
    hub.change({"accumulate": False})
    assert not live.settings.accumulate
    with pytest.raises(ValueError, match="accumulate"):
        hub.change({"accumulate": "perhaps"})
