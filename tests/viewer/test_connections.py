"""What strangers may have of the server: so many connections, for so long."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer, connections

HELLO = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def opened(
    started: Callable[..., ResultsServer], live: LiveAnalysis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], socket.socket]]:
    """Opens connections to a server that has room for four."""
    monkeypatch.setattr(connections, "MOST", 4)
    address = started(live, page=False).address
    host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    found: list[socket.socket] = []

    def open_one() -> socket.socket:
        found.append(socket.create_connection((host, int(port)), 20))
        return found[-1]

    yield open_one
    for one in found:
        one.close()


def answer(connection: socket.socket) -> bytes:
    """What comes next; nothing where the other end has closed."""
    try:
        return connection.recv(1 << 16)
    except ConnectionError:
        return b""


def is_answered(connection: socket.socket) -> bool:
    """Whether what was asked is answered, to the end of the answer."""
    found = b""
    while piece := answer(connection):
        found += piece
        if found.endswith(b"}"):
            break
    return found.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "begun",
    [
        b"", b"G", HELLO[:-2],
        b"POST /api/v1/parameter/rois HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ],
)  # fmt: skip
def test_who_does_not_finish_a_request_is_cut_off(
    opened: Callable[[], socket.socket], begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = opened()
    again.sendall(HELLO)
    assert is_answered(again)
    monkeypatch.setattr(connections, "REQUEST_S", 0.1)
    connection = opened()
    for one in (connection, again):
        one.sendall(begun)
    while answer(connection):
        pass
    while begun and answer(again):
        pass
    monkeypatch.setattr(connections, "REQUEST_S", 20)
    other = opened()
    other.sendall(HELLO)
    assert is_answered(other)


def test_who_asks_again_stays(opened: Callable[[], socket.socket]) -> None:
    connection = opened()
    for i in range(8):
        connection.sendall(HELLO[:9])
        connection.sendall(HELLO[9:])
        assert is_answered(connection), i


def test_there_are_no_more_connections_than_so_many(opened: Callable[[], socket.socket]) -> None:
    held = [opened() for _ in range(4)]
    for one in held:
        one.sendall(HELLO)
        assert is_answered(one)
    for _ in range(20):
        assert answer(opened()) == b""
    held[0].sendall(HELLO)
    assert is_answered(held[0])
    held[0].close()
    for _ in range(100):  # the server may learn of it a little later
        other = opened()
        try:
            other.sendall(HELLO)
        except ConnectionError:
            continue
        if is_answered(other):
            break
    else:
        pytest.fail("there is no room again")


def test_headers_end(opened: Callable[[], socket.socket]) -> None:
    connection = opened()
    try:
        for _ in range(64):
            connection.sendall(b"X: " + b"y" * (1 << 16))
    except ConnectionError:
        return
    assert answer(connection).startswith(b"HTTP/1.1 400 ")


def test_what_is_no_request_leaves_no_line(
    opened: Callable[[], socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    connection = opened()
    connection.sendall(b"\x16\x03\x01\x02\0\x01\0\r\n\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 400 ")
    assert caplog.messages == []
