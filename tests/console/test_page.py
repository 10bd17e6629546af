"""The page of a session: its address is known at once, and nothing that fails there matters."""

from __future__ import annotations

import logging
import socket
import sys
from urllib.request import Request, urlopen

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.page import Page, free_port
from femto_bluesky.console.settings import PageSettings
from femto_bluesky.testing.shots import make_shots

ANYWHERE = PageSettings(port=0)


def body(address: str) -> bytes:
    asked = Request(address, headers={"Accept": "application/json"})
    with urlopen(asked, timeout=30) as reply:
        found: bytes = reply.read()
    return found


def test_the_address_is_known_before_it_is_served() -> None:
    page = Page(LiveAnalysis(), ANYWHERE)
    (address,) = page.lines
    assert repr(page) == f"<page at {address}>"
    assert page.server is None
    try:
        assert page.start().wait()
        assert page.server is not None
        assert page.server.address == address
        assert b'"status":"ok"' in body(f"{address}health")
        assert page.start().server is page.server or page.wait()
    finally:
        page.close()
    assert repr(page) == "<no page: it was closed; page.start() begins it again>"
    try:
        assert page.start().wait()
        assert page.problem == ""
    finally:
        page.close()


def test_where_the_port_is_taken_it_is_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        page = Page(LiveAnalysis(), PageSettings(port=port))
        address, why = page.lines
        assert f":{port}/" not in address
        assert why == f"(port {port} is taken, by another prompt perhaps)"
    assert free_port("127.0.0.1", port) == port


def test_others_need_a_token() -> None:
    page = Page(LiveAnalysis(), PageSettings(host="0.0.0.0", port=0))
    change, read = page.lines
    assert "/?token=" in change
    assert change.endswith("  to watch and change")
    assert read.endswith("  to watch only")
    assert repr(page).splitlines()[1].strip() == f"{read}>"
    assert Page(LiveAnalysis(), PageSettings(host="0.0.0.0", port=0)).lines[0] != change


def test_a_place_that_is_not_here(caplog: pytest.LogCaptureFixture) -> None:
    page = Page(LiveAnalysis(), PageSettings(host="203.0.113.9"))
    assert "nothing can be served at 203.0.113.9: Cannot assign requested" in page.lines[0]
    assert "there is no page" in caplog.text
    assert page.start().wait() is False
    page.close()


def test_none_is_wanted() -> None:
    page = Page(LiveAnalysis(), None)
    assert page.start().wait() is False
    assert page.lines == ["none: the settings want none; live.serve() begins one"]


def test_without_its_packages_the_prompt_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveAnalysis()
    page = Page(live, ANYWHERE)
    monkeypatch.setitem(sys.modules, "femto_bluesky.viewer", None)
    assert page.start().wait() is False
    assert "pip install 'femto-bluesky[viewer]'" in repr(page)
    assert "Scans go on; page.start() tries again" in caplog.text
    for shot in make_shots(("pilatus",)):
        live.update(shot)
    monkeypatch.undo()
    with caplog.at_level(logging.INFO):
        assert page.start().wait()
    page.close()


def test_left_while_it_is_starting() -> None:
    page = Page(LiveAnalysis(), ANYWHERE)
    page.start()
    page.close()
    assert page.server is None
