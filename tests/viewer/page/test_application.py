"""What the page as an application lets browsers do, and what not."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from bokeh.util.token import get_session_id
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer, serve
from femto_bluesky.viewer.page.websockets import MOST_B
from tests.viewer.shown import ROIS, ask, seen

# panel makes requests of tornado of those that come
pytestmark = pytest.mark.filterwarnings("ignore:.*HTTPServerRequest:DeprecationWarning")

READER, CHANGER = ({"Authorization": f"Bearer {token}"} for token in ("may-read", "may-change"))


@pytest.fixture(scope="module")
def server() -> Iterator[ResultsServer]:
    live = LiveAnalysis(ROIS)
    seen(live)
    with serve(live, access=Access("may-read", "may-change")) as server:
        yield server


def token(server: ResultsServer, who: dict[str, str], query: str = "") -> str:
    """What the page gives a browser for its websocket."""
    page = ask(server.address, f"/{query}", Accept="text/html", **who)
    found = re.search(r'"token":"([^"]+)"', page.body.decode())
    assert found is not None
    return found.group(1)


@pytest.fixture(scope="module")
def of_reader(server: ResultsServer) -> str:
    return token(server, READER)


@pytest.fixture
def socket(server: ResultsServer, of_reader: str) -> Iterator[ClientConnection]:
    address = server.address.replace("http", "ws") + "ws"
    spoken = [Subprotocol("bokeh"), Subprotocol(of_reader)]
    with connect(address, subprotocols=spoken, additional_headers=READER) as opened:
        for _ in range(3):
            opened.recv(timeout=10)  # its ACK, in parts
        yield opened


def test_nobody_gets_the_session_of_another(server: ResultsServer, of_reader: str) -> None:
    known = get_session_id(of_reader)
    assert get_session_id(token(server, CHANGER, f"?bokeh_session_id={known}")) != known


def test_no_module_is_imported_for_those_who_ask(server: ResultsServer) -> None:
    assert "this" not in sys.modules
    for path in ("components/this/s/_css/x", "components/os/path/_css/../../etc/passwd"):
        assert ask(server.address, f"/{path}", **CHANGER).status == 404
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "spoken",
    [
        lambda token: None,
        lambda token: ["bokeh"],
        lambda token: ["bokeh", token.partition(".")[0]],
        lambda token: ["bokeh", token[:-9] + "A" * 9],
        lambda token: ["bokeh", "e30.e30"],
        lambda token: ["other", token],
    ],
)
def test_only_its_own_tokens_open_a_websocket(
    server: ResultsServer, of_reader: str, spoken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    address = server.address.replace("http", "ws") + "ws"
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(address, subprotocols=spoken(of_reader), additional_headers=READER),
    ):
        pass
    assert caplog.messages == []


def test_what_is_no_message_ends_it_in_words(
    socket: ClientConnection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with suppress(ConnectionClosed):
        for text in ("x" * 100_000, "{}", "{}"):
            socket.send(text)
    with pytest.raises(ConnectionClosed):
        received_all(socket)
    assert socket.protocol.close_code in (1002, 1011)
    assert socket.protocol.close_reason
    assert all(len(message) < 400 for message in caplog.messages)


def received_all(socket: ClientConnection) -> None:
    """Receive what has been sent before the end."""
    while True:
        socket.recv(timeout=10)


@pytest.mark.parametrize("part", [MOST_B + 1, MOST_B // 4])
def test_a_message_that_is_too_large_is_not_taken(socket: ClientConnection, part: int) -> None:
    header = {"msgid": "1", "msgtype": "PATCH-DOC", "num_buffers": 1000}
    with suppress(ConnectionClosed):
        for text in (header, {}, {"events": []}):
            socket.send(json.dumps(text))
        for n in range(9):
            socket.send(json.dumps({"id": str(n)}))
            socket.send(bytes(part))
    with pytest.raises(ConnectionClosed):
        received_all(socket)
    # 1006: cut off while it was being sent
    assert socket.protocol.close_code in (1009, 1006)
