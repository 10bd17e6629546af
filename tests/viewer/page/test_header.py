"""The top line in words, messages that stay or fade, and keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.browser import Browser
from femto_bluesky.viewer.page.header import Header, facts, pill, run_in_words
from femto_bluesky.viewer.page.messages import Messages
from femto_bluesky.viewer.page.shortcuts import Shortcuts
from femto_bluesky.viewer.page.theme import DARK, LIGHT, Theme
from femto_bluesky.viewer.vitals import Vitals
from tests.viewer.page.test_session import Opened
from tests.viewer.shown import seen

NONE = frozenset[Any]()
LIVE = Vitals("live", "shots come", 9.87, 0.1, 0.034, 0, 0, {})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def opened(hub: Hub) -> Opened:
    return Opened(hub)


def words(html: list[str]) -> list[str]:
    return [part.partition(">")[2].removesuffix("</span>") for part in html]


def test_a_run_is_told_by_number_plan_motors_and_sample() -> None:
    start = {"uid": "0a1b", "scan_id": 7, "plan_name": "scan", "motors": ["delay", "phi"],
             "sample_name": "LaB6"}  # fmt: skip
    assert "<b title='scan 7 · 0a1b'>scan 7</b>" in run_in_words(start)
    assert ">scan delay phi · LaB6<" in run_in_words(start)
    assert ">gold<" in run_in_words({"uid": "0a1b", "sample": {"name": "gold"}})
    assert "run 01234567" in run_in_words({"uid": "0123456789"})
    assert "no run yet" in run_in_words({})


def test_what_comes_in_a_document_is_no_html() -> None:
    assert "<script>" not in run_in_words({"uid": "<script>", "plan_name": "<script>"})
    assert "<script>" not in pill(replace(LIVE, state="dead", why="<script>'"))


@pytest.mark.parametrize(
    ("vitals", "told"),
    [
        (LIVE, ["9.87 shots/s", "34 ms late"]),
        (replace(LIVE, every_s=62.0), ["a step in 62 s", "34 ms late"]),
        (replace(LIVE, latency_s=1e8), ["9.87 shots/s", "replayed"]),
        (replace(LIVE, latency_s=-0.2), ["9.87 shots/s", "0 ms late"]),
        (replace(LIVE, latency_s=-90.0), ["9.87 shots/s", "clocks 90 s apart"]),
        (replace(LIVE, n_waiting=40), ["9.87 shots/s", "34 ms late", "40 wait"]),
        (replace(LIVE, problem="a full disk"), ["9.87 shots/s", "34 ms late", "not written"]),
        (replace(LIVE, n_lost=3), ["9.87 shots/s", "34 ms late", "3 lost"]),
        (replace(LIVE, state="waiting", latency_s=None), []),
        (replace(LIVE, state="waiting", latency_s=1e8), ["replayed"]),
    ],
)
def test_facts_that_say_something_are_told(vitals: Vitals, told: list[str]) -> None:
    assert words(facts(vitals, None, 1)) == told


def test_who_watches_and_what_is_drawn_is_told() -> None:
    assert words(facts(LIVE, 9.5, 3))[2:] == ["9.5 images/s", "3 browsers"]


def test_the_header_shows_the_state_and_the_rate_of_this_browser(
    opened: Opened, live: LiveAnalysis
) -> None:
    clock = Clock()
    header = Header(opened.session, clock)
    live.shell.pulse.start({"uid": "a", "scan_id": 7, "plan_name": "scan"})
    seen(live)
    for _ in range(3):
        header.refresh(frozenset({"pulse"}))
        clock.now += 0.5
        opened.session.n_drawn += 5
    assert "scan 7" in header._run.object
    assert "pill live" in header._state.object
    assert "10 images/s" in header._state.object
    clock.now += 60
    header.refresh(frozenset({"pulse"}))
    assert "images/s" not in header._state.object


def test_pause_and_dark_are_this_browsers_by_button_and_by_key(opened: Opened) -> None:
    session = opened.session
    header = Header(session)
    header._pause.value = True
    assert (session.is_paused, header._pause.label) == (True, "PAUSED")
    session.shortcuts.press("p")
    assert (session.is_paused, header._pause.value) == (False, False)
    assert header._pause.label == "Pause"
    session.shortcuts.press("d")
    assert (session.is_dark, header._dark.value) == (True, True)
    session.shortcuts.press("?")
    session.shortcuts.press("q")


def test_errors_stay_until_they_are_dismissed_and_the_rest_fades(opened: Opened) -> None:
    clock = Clock()
    messages = Messages(opened.session, clock)
    assert not messages.view.visible
    opened.session.say("cannot be <read>", "error")
    opened.session.say("saved")
    assert messages._text.object == "saved <i>(1 more)</i>"
    clock.now += 60
    messages.refresh(NONE)
    assert messages._text.object == "cannot be &lt;read&gt;"
    assert "fb-tone-error" in messages.view.css_classes
    opened.session.say("cannot be <read>", "error")
    assert len(messages.waiting) == 1
    messages.dismiss()
    assert not messages.view.visible
    messages.dismiss()


def test_a_key_does_one_thing() -> None:
    keys, pressed = Shortcuts(), []
    keys.add("x", "explode", lambda: pressed.append("x"))
    with pytest.raises(ValueError, match="the key 'x' is taken: explode"):
        keys.add("x", "extend", lambda: None)
    with pytest.raises(ValueError, match="shows this list"):
        keys.add("?", "ask", lambda: None)
    keys.press("x")
    keys.press("y")
    assert pressed == ["x"]
    assert keys.rows == [("?", "show this list"), ("x", "explode")]


def test_the_browser_says_first_what_it_prefers_and_is_told_from_then_on(opened: Opened) -> None:
    session = opened.session
    browser = Browser(session)
    Header(session)
    assert set(browser.told.data["is_dark"]) == {None}
    assert browser.told.data["keys"] == ["?", "p", "d"]
    browser.heard.data = {"is_dark": [True], "key": [""], "n": [1]}
    assert session.is_dark
    assert set(browser.told.data["is_dark"]) == {True}
    # a key brings the colours of that moment along, which are no choice any more
    browser.heard.data = {"is_dark": [True], "key": ["d"], "n": [2]}
    assert not session.is_dark
    assert set(browser.told.data["is_dark"]) == {False}
    assert session.doc.config.notify_connection_status is False


def test_figures_are_coloured_now_and_later_but_not_what_has_a_colour(opened: Opened) -> None:
    from bokeh.plotting import figure

    doc = opened.doc
    before, own = figure(), figure(background_fill_color="red")
    doc.add_root(before)
    doc.add_root(own)
    Theme(opened.session)
    assert before.background_fill_color == LIGHT.inside
    opened.session.choose(is_dark=True)
    after = figure(title="later", x_axis_label="x")
    doc.add_root(after)
    for shown in (before, after):
        assert shown.background_fill_color == DARK.inside
        assert shown.border_fill_color == DARK.surface
        assert shown.xaxis[0].major_label_text_color == DARK.faint
        assert shown.ygrid[0].grid_line_color == DARK.grid
    assert after.title.text_color == DARK.text
    assert own.background_fill_color == "red"
    opened.session.choose(is_dark=False)
    assert after.background_fill_color == LIGHT.inside


def test_a_page_that_shows_its_first_picture_only_has_no_rate(opened: Opened) -> None:
    clock = Clock()
    header = Header(opened.session, clock)
    opened.session.n_drawn = 1
    for _ in range(4):
        clock.now += 0.5
        header.refresh(frozenset({"pulse"}))
        assert "images/s" not in header._state.object
    # nor one on which pictures do not come any more
    for n in (2, 3, 4):
        clock.now += 0.5
        opened.session.n_drawn = n
        header.refresh(frozenset({"pulse"}))
    assert "images/s" in header._state.object
    for _ in range(5):
        clock.now += 0.5
        header.refresh(frozenset({"pulse"}))
    assert "images/s" not in header._state.object
