"""Somebody follows a link with a token, from a page of another site, and is in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer
from tests.viewer.browser.window import Window

TOKEN = "may-change-all"


@pytest.mark.long
def test_a_link_in_a_chat_leads_in(
    live: LiveAnalysis,
    started: Callable[..., ResultsServer],
    new_window: Callable[..., Window],
) -> None:
    server = started(live, access=Access("may-read", TOKEN))
    link = f'<link rel="icon" href="data:,"><a href="{server.address}?token={TOKEN}">the page</a>'
    said = HTMLResponse(f"<!doctype html>{link}")
    chat = started(live, page=Starlette(routes=[Route("/", lambda request: said)]))
    # to a browser, these two names are two sites
    elsewhere = chat.address.replace("127.0.0.1", "localhost")
    window = new_window(server.address)
    window.allow(re.escape(f"asked elsewhere: {elsewhere}"))
    window.do(lambda page: page.goto(elsewhere))
    window.do(lambda page: page.click("a"))
    window.wait_until_idle()
    assert window.run("() => [location.href, document.cookie, document.referrer]") == [
        server.address, "", "",
    ]  # fmt: skip
    # again without the link: the cookie is enough, also for the websocket
    window.reload()
    # the address with the token is not in the history
    window.do(lambda page: page.go_back())
    assert window.run("() => location.href") == elsewhere
