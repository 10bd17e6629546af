"""The page as a whole: it comes up, follows a scan, comes back, and obeys who may only read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from bokeh.util.token import generate_jwt_token
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam
from tests.viewer.browser.window import Window
from tests.viewer.shown import ask

TOUCH_EVERYTHING = """() => {
    const sent = new Set()
    for (const doc of Bokeh.documents) for (const model of doc._all_models.values()) {
        for (const name of ["value", "active", "clicks", "text", "left", "right", "top", "bottom",
                            "checked"]) {
            if (!(name in model.properties)) continue
            try {
                const old = model[name]
                if (typeof old == "number") model[name] = old + 1
                else if (typeof old == "boolean") model[name] = !old
                else if (typeof old == "string") model[name] = old + "1"
                sent.add(model.type)
            } catch { /* not set, or of another kind */ }
        }
        if (model.type == "ColumnDataSource") {
            const columns = Object.fromEntries(
                model.data instanceof Map ? model.data : Object.entries(model.data))
            for (const [key, column] of Object.entries(columns))
                columns[key] = Array.from(column, v => typeof v == "number" ? v + 1 : v)
            try { model.data = columns } catch { /* read in the page only */ }
        }
    }
    const use = element => {
        element.shadowRoot?.querySelectorAll("*").forEach(use)
        element.disabled = element.inert = false
        if (element.tagName == "BUTTON") element.click()
        if (element.tagName == "INPUT" && element.type != "file") {
            element.value = `${Number(element.value) + 1}`
            for (const kind of ["input", "change"])
                element.dispatchEvent(new Event(kind, {bubbles: true, composed: true}))
        }
    }
    document.querySelectorAll("*").forEach(use)
    for (const key of ["a", "r", "u", "Delete"])
        document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}))
    return sent.size
}"""
"""What a page that has been tampered with can send: other values, and a press on every button."""


def test_it_follows_a_scan(window: Window, beam: Beam) -> None:
    assert window.run("() => document.title") == "femto_bluesky live"
    window.until_text(".fb-state", "waiting")
    beam.begin(plan_name="scan")
    beam.shot(n=2)
    window.until_text(".fb-run", "scan 1")
    window.until_text(".fb-state", "live")
    beam.end()
    window.until_text(".fb-state", "waiting")
    window.assert_clean()


def test_it_comes_back_when_the_server_does(
    live: LiveAnalysis, started: Callable[..., ResultsServer], new_window: Callable[..., Window]
) -> None:
    server = started(live)
    window = new_window(server.address).open()
    window.allow("WebSocket|ERR_CONNECTION|ERR_SOCKET|ERR_EMPTY|Lost websocket|reconnect")
    assert not window.is_visible("#fb-lost")
    server.close()
    window.until(lambda: window.is_visible("#fb-lost"), "the page says that the server has gone")
    n_sockets = len(window.sockets)
    started(live, port=urlsplit(server.address).port)
    window.until(lambda: len(window.sockets) > n_sockets, "it comes back by itself")
    window.until(
        lambda: window.count("#fb-lost") and not window.is_visible("#fb-lost"), "it says no more"
    )
    window.wait_until_idle()
    Beam(live).shot()
    window.until_text(".fb-state", "live")


@pytest.mark.long
def test_keys(live: LiveAnalysis, window: Window, beam: Beam) -> None:
    beam.scan(n=2)
    window.figure("image").until_title("Sum of 6 images")
    window.press("?")
    window.until_text("#fb-help", "pause the display")
    assert window.is_visible("#fb-help")
    window.press("Escape")
    window.until(lambda: not window.is_visible("#fb-help"), "the help is closed")
    window.press("p")
    window.until_text(".fb-pause", "PAUSED")
    window.press("p")
    window.until_text(".fb-pause", "Pause")
    # whoever types an r into a field begins no sum anew
    window.press("r", ".fb-energy-kev")
    window.do(lambda page: page.locator(".fb-energy-kev input").blur())
    window.press("a")
    window.until(lambda: not live.accumulation().settings.accumulating, "the sum is stopped")
    assert live.accumulation().extent.n_frames == 6
    # the key does what the button says
    window.until_text(".fb-accumulate", "Start sum")
    window.press("a")
    window.until(lambda: live.accumulation().settings.accumulating, "it goes on")
    window.press("r")
    window.until(lambda: live.accumulation().extent.n_frames == 0, "it begins anew")
    window.until(lambda: window.is_enabled(".fb-undo-reset"), "it can be brought back")
    window.press("u")
    window.until(lambda: live.accumulation().extent.n_frames == 6, "it is brought back")


READ, CHANGE = "may-read", "may-change"


@pytest.fixture
def guarded(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> ResultsServer:
    return started(live, access=Access(READ, CHANGE))


@pytest.mark.long
def test_who_may_only_read_changes_nothing(
    live: LiveAnalysis, guarded: ResultsServer, new_window: Callable[..., Window]
) -> None:
    live.configure({"geometries": {"pilatus": POWDER_GEOMETRY}})
    Beam(live).scan()
    before = state(live)
    # whoever writes the header that the door writes is no more than a reader
    reader = new_window(guarded.address, extra_http_headers={"X-Femto-May-Change": "1"})
    changer = new_window(guarded.address)
    for window, token in ((reader, READ), (changer, CHANGE)):
        window.open(f"?token={token}")
        assert "token" not in window.run("() => location.href")
        window.figure("image").until_title("Sum of 6 images")
        window.allow("")  # what follows is nonsense to Bokeh
    assert reader.run(TOUCH_EVERYTHING) > 5
    reader.until_text(".fb-message", "may read only")
    # a second one, for what was sent before it has been dealt with by then
    reader.open()
    reader.figure("image").until_title("Sum of 6 images")
    assert state(live) == before
    # the same by somebody who may does a lot
    changer.run(TOUCH_EVERYTHING)
    changer.until(lambda: state(live) != before, "it is changed")


def state(live: LiveAnalysis) -> tuple[Any, ...]:
    """What can be changed from a page."""
    found = live.accumulation()
    extent = found.extent
    return live.settings_record(), found.settings, extent.n_frames, found.can_undo


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed by somebody else"])
def test_a_forged_token_opens_nothing(guarded: ResultsServer, signed: bool) -> None:
    forged = generate_jwt_token(
        "a" * 44, secret_key=b"guess", signed=signed, expiration=300,
        extra_payload={"headers": {"x-femto-may-change": "1"}, "cookies": {}, "arguments": {}},
    )  # fmt: skip
    place = guarded.address.replace("http:", "ws:") + "ws"
    bearer = {"Authorization": f"Bearer {READ}"}
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        first_word(place, forged, bearer)


def first_word(place: str, token: str, headers: dict[str, str]) -> str | bytes:
    """What a websocket of the page says first."""
    with connect(place, subprotocols=["bokeh", token], additional_headers=headers) as socket:
        return socket.recv(timeout=30)


def test_the_page_holds_no_password(guarded: ResultsServer) -> None:
    # a password in the token of the page could be read in the page, and be in its messages
    reply: Any = ask(
        guarded.address, "/", Accept="text/html", Authorization=f"Bearer {CHANGE}",
        Cookie="session_of_another=1",
    )  # fmt: skip
    assert reply.status == 200
    assert CHANGE.encode() not in reply.body
    assert b"session_of_another" not in reply.body


def test_texts_of_ticks_can_be_clicked_and_the_menu_closes(beam: Beam, window: Window) -> None:
    beam.scan()
    window.until_text(".fb-sum", "sum of 6 frames.*")

    def is_ticked() -> bool:
        tick = ".fb-show-mask input"
        return bool(window.do(lambda page: page.locator(tick).first.is_checked()))

    for wanted in (True, False):
        window.do(lambda page: page.locator(".fb-show-mask .bk-label").first.click())
        assert is_ticked() is wanted
    # the tick itself still counts once
    window.do(lambda page: page.locator(".fb-show-mask input").first.click())
    assert is_ticked()
    # there is nothing to be saved
    assert window.count(".fb-save-geometry button[disabled]") == 1

    def is_open() -> bool:
        return bool(window.do(lambda page: page.locator(".fb-export").first.is_visible()))

    ways: tuple[Callable[[], object], ...] = (
        lambda: window.do(lambda page: page.keyboard.press("Escape")),
        lambda: window.do(lambda page: page.mouse.click(640, 790)),
        lambda: window.click(".fb-export-button"),
    )
    for close in ways:
        window.click(".fb-export-button")
        window.until(is_open, "the menu is open")
        close()
        window.until(lambda: not is_open(), "the menu is closed")


@pytest.mark.long
def test_tools_of_the_image_are_there_with_projections_in_a_small_window(
    beam: Beam, window: Window
) -> None:
    beam.scan()
    window.until_text(".fb-sum", "sum of 6 frames.*")
    window.click(".fb-projections")
    tools = ".fb-image .bk-ToolButton, .fb-image .bk-OnOffButton, .fb-image .bk-ClickButton"

    def seen() -> bool:
        found = window.do(lambda page: page.locator(tools).evaluate_all(
            "all => all.filter(e => e.getBoundingClientRect().width > 10).length"))  # fmt: skip
        return int(found) >= 5

    window.until(seen, "all tools are seen")
