"""Websockets send one message after the other, and it is known whether they are taken."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.protocol import Protocol
from bokeh.protocol.receiver import Receiver
from bokeh_fastapi.handler import WSHandler

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page import session as sessions
from femto_bluesky.viewer.page import websockets
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.page.websockets import is_behind, mend
from femto_bluesky.viewer.snapshots import Snapshots


class SlowSocket:
    """Takes one part of a message each time that it is let."""

    application_state = SimpleNamespace(name="CONNECTED")

    def __init__(self) -> None:
        self.may_take = asyncio.Semaphore(0)
        self.taken: list[str] = []

    async def send_text(self, text: str) -> None:
        await self.may_take.acquire()
        self.taken.append(text)


def handler(document: Document, socket: SlowSocket) -> Any:
    """The server's end of a websocket that shows a document."""
    mend()
    mend()  # once is enough
    made: Any = WSHandler.__new__(WSHandler)
    made._socket, made.sends_one = socket, asyncio.Lock()
    shown = SimpleNamespace(destroyed=False, document=document)
    made.connection = SimpleNamespace(_session=shown)
    return made


def parts(message: Any) -> list[str]:
    return [message.header_json, message.metadata_json, message.content_json]


def test_a_slow_browser_gets_whole_messages() -> None:
    document, other = Document(), Document()
    first, second = (Protocol().create("ACK") for _ in range(2))

    async def send_two() -> list[str]:
        socket = SlowSocket()
        end = handler(document, socket)
        sending = [asyncio.create_task(end.send_message(one)) for one in (first, second)]
        for _ in range(6):
            await asyncio.sleep(0)
            assert is_behind(document)
            assert not is_behind(other)
            socket.may_take.release()
        await asyncio.gather(*sending)
        assert not is_behind(document)
        return socket.taken

    assert asyncio.run(send_two()) == [*parts(first), *parts(second)]


def test_what_is_sent_to_one_that_has_gone_counts_for_nobody() -> None:
    document = Document()

    async def send() -> None:
        socket = SlowSocket()
        end = handler(document, socket)
        end.connection._session = None
        socket.may_take = asyncio.Semaphore(3)
        await end.send_message(Protocol().create("ACK"))
        assert not is_behind(document)

    asyncio.run(send())


def test_a_message_without_end_ends_the_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websockets, "MOST_B", 1000)
    closed: list[int] = []

    async def close(code: int, reason: str) -> None:
        closed.append(code)

    async def receive() -> list[bool]:
        end = handler(Document(), SlowSocket())
        end.receiver, end.n_received, end._socket.close = Receiver(Protocol()), 0, close
        whole = [await end._receive(part) for _ in range(9) for part in parts(ack)]
        assert closed == []  # however many there are, one after the other
        for text in ('{"msgid": "1", "msgtype": "ACK", "num_buffers": 99}', "{}", "{}"):
            assert await end._receive(text) is None
        for _ in range(9):
            assert await end._receive('{"id": "1"}') is None
            assert await end._receive(bytes(200)) is None
        return [message is not None for message in whole]

    ack = Protocol().create("ACK")
    assert asyncio.run(receive()) == [False, False, True] * 9
    assert closed == [1009]


def test_what_comes_from_one_that_has_gone_is_passed_over() -> None:
    async def receive() -> list[object]:
        end = handler(Document(), SlowSocket())
        end.receiver, end.n_received = Receiver(Protocol()), 0
        end.connection._session = None
        return [await end._receive(part) for part in parts(Protocol().create("ACK"))]

    assert asyncio.run(receive()) == [None] * 3


def test_a_browser_that_is_behind_is_told_the_newest_later(
    live: LiveAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = True
    monkeypatch.setattr(sessions, "is_behind", lambda document: slow)
    monkeypatch.setattr(sessions, "BEHIND_S", 0.001)
    document = Document()
    session = Session(Hub(live, Snapshots(live)), document)

    async def tell() -> None:
        nonlocal slow
        for _ in range(3):
            session.tell(frozenset({"image"}))
            await asyncio.sleep(0.005)
        assert document.session_callbacks == []
        slow = False
        while not document.session_callbacks:
            await asyncio.sleep(0.001)

    asyncio.run(tell())
    assert len(document.session_callbacks) == 1
