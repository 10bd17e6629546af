"""Bytes that come through a socket to the server of the page: HTTP or a websocket, in part.

The server is a real one, with the page, in a thread of this process.
"""

from __future__ import annotations

import json
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.testing.hostile import requests, values
from femto_bluesky.testing.hostile.requests import ServerErrorReplyError
from femto_bluesky.testing.shots import make_shots

PATIENCE_S = 30.0
_HELLO = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_KEY = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes for a connection that is open already, and another that must go on being answered."""

    pieces: tuple[bytes, ...]
    connection: socket.socket = field(repr=False)
    witness: socket.socket = field(repr=False)

    def close(self) -> None:
        """End both connections."""
        self.connection.close()
        self.witness.close()


@cache
def _server() -> tuple[tuple[str, int], bytes]:
    """The address of a server, and a token of its page."""
    from femto_bluesky.viewer.server import serve

    live = LiveAnalysis({"ROI 2": Roi(x0=1, y0=2, x1=5, y1=6)})
    for shot in make_shots(("pilatus", "other")):
        live.update(shot)
    server = serve(live)
    host, _, port = server.address.removeprefix("http://").rstrip("/").rpartition(":")
    with socket.create_connection((host, int(port)), 20) as asking:
        asking.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n"
                       b"Connection: close\r\n\r\n")  # fmt: skip
        page = _read(asking)
    found = re.search(rb'"token":"([^"]+)"', page)
    assert found is not None, page[:500]
    return (host, int(port)), found[1]


def _open(pieces: list[bytes]) -> Sent:
    address, _ = _server()
    return Sent(
        tuple(pieces),
        socket.create_connection(address, PATIENCE_S),
        socket.create_connection(address, PATIENCE_S),
    )


def _read(connection: socket.socket, most: int = 8 << 20) -> bytes:
    """What comes until the other end closes."""
    found = bytearray()
    with suppress(ConnectionError):
        while len(found) < most and (piece := connection.recv(1 << 16)):
            found += piece
    return bytes(found)


# --- HTTP -------------------------------------------------------------------------------------

_LINES = [
    b"", b"GET", b"GET / HTTP/9.9", b"GET  / HTTP/1.1", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM", b"GET / HTTP/1.1\0", b"GET \xff\xfe HTTP/1.1", b"GET / HTTP/1.0",
    b"GET http://evil/ HTTP/1.1", b"CONNECT evil:80 HTTP/1.1", b"GET * HTTP/1.1", b"\r\n" * 999,
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1", b"A" * 100_000, b"GET /health HTTP/1.1", b"SSH-2.0-a",
    b"POST /api/v1/parameter/rois HTTP/1.1", b"HEAD /groups HTTP/1.1", b"OPTIONS * HTTP/1.1",
]  # fmt: skip
_HEADERS = [
    b"Host: localhost", b"Host:", b": a", b"Host : localhost", b" folded", b"\0: \0", b"A\xff: b",
    b"Content-Length: -1", b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 1e9",
    b"Content-Length: 99999999999999999999999", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: gzip", b"Content-Length: 3",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"Expect: 100-continue", b"Expect: x",
    b"Connection: Upgrade\r\nUpgrade: h2c", b"Connection: close", b"Connection: keep-alive",
    b"X: " + b"y" * 100_000, b"X: y\r\n" * 5000, b"Cookie: " + b"a=b; " * 5000, b"A: b\nC: d",
    b"Range: bytes=0-,0-,0-", b"Authorization: Basic " + b"A" * 9999, b"Authorization: Basic \xe9",
]  # fmt: skip
_BODIES = [
    b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n",
    b"3;" + b"x" * 99_999,
    b"3\r\nabcd\r\n", b"0\r\nTrailer: " + b"y" * 99_999, b"1\r\na\r\n" * 3000, b"\0" * 100_000,
    b"7fffffff\r\n" + b"x" * 9999, b"GET /health HTTP/1.1\r\n", _HELLO * 50,
]  # fmt: skip


def http(rng: Random, number: int, folder: Path) -> Sent:
    """Bytes that begin as a request does, or not even so, in pieces."""
    line = rng.choice(_LINES + [b"GET /health HTTP/1.1", b"POST /groups/a/value HTTP/1.1"] * 5)
    headers = [b"Host: localhost"] * rng.choice([1, 1, 1, 0, 2])
    headers += rng.choices(_HEADERS, k=rng.choice([0, 1, 1, 2, 4]))
    data = b"\r\n".join([line, *headers, b"", rng.choice(_BODIES)])
    if rng.random() < 0.3:
        data = values.damaged_bytes(data, rng)
    if rng.random() < 0.05:
        data = rng.randbytes(rng.choice([1, 100, 10_000]))
    cut = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice([0, 0, 1, 5])))
    return _open([data[a:b] for a, b in zip([0, *cut], [*cut, len(data)], strict=True)])


# --- websockets -------------------------------------------------------------------------------


def _frame(rng: Random, payload: bytes, opcode: int = 1) -> bytes:
    """A frame as a browser masks it, but for what chance makes of it."""
    first = 0x80 | opcode
    if rng.random() < 0.1:
        first = rng.randrange(256)
    n = len(payload)
    told = rng.choice([n] * 12 + [n + 1, 0, 125, 2**16, 2**31, 2**63, 2**64 - 1])
    if told < 126:
        size = bytes([0x80 | told])
    elif told < 1 << 16:
        size = b"\xfe" + told.to_bytes(2, "big")
    else:
        size = b"\xff" + told.to_bytes(8, "big")
    mask = rng.randbytes(4)
    if rng.random() < 0.05:
        return bytes([first, size[0] & 0x7F]) + size[1:] + payload  # not masked
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload[:3000])) + payload[3000:]
    return bytes([first]) + size + mask + masked


def _tokens(rng: Random, token: bytes) -> bytes:
    """The names of the protocols that a browser asks for; the second is the token of its page."""
    head, _, signature = token.partition(b".")
    odd = rng.choice([
        b"bokeh, ", b"bokeh", b"", b"bokeh, a, b", b"x, " + token, b"bokeh, " + head,
        b"bokeh, " + head + b"." + signature[::-1], b"bokeh, " + b"A" * 9000, b"bokeh, e30.e30",
        b"bokeh, bnVsbA.a", b"bokeh, " + values.damaged_bytes(token, rng).replace(b"\n", b""),
    ])  # fmt: skip
    return rng.choice([b"bokeh, " + token] * 3 + [odd])


def websocket(rng: Random, number: int, folder: Path) -> Sent:
    """A websocket of the page: how it is opened, and the frames that come then."""
    _, token = _server()
    opening = (
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: "
        + _tokens(rng, token).replace(b"\r", b"")
        + b"\r\n"
        + _KEY
        + b"\r\n"
    )
    if rng.random() < 0.1:
        opening = values.damaged_bytes(opening, rng)
    frames: list[bytes] = []
    for fragment in requests.messages(rng, number, folder)[: rng.choice([0, 3, 6, 30])]:
        is_text = isinstance(fragment, str)
        data = fragment.encode("utf-8", "replace") if isinstance(fragment, str) else fragment
        frames.append(_frame(rng, data, 1 if is_text else 2))
        if rng.random() < 0.1:
            odd = rng.choice([8, 9, 10, 0, 3, 11])
            frames.append(_frame(rng, rng.randbytes(rng.choice([0, 1, 2, 125, 126])), odd))
    if rng.random() < 0.1:
        frames.append(rng.randbytes(300))
    if rng.random() < 0.05:
        frames += [_frame(rng, json.dumps({"msgid": str(i)}).encode()) for i in range(500)]
    return _open([opening, *frames])


# --- the door ---------------------------------------------------------------------------------


def sent(given: Sent, folder: Path) -> str | None:
    """Send it, read to the end; the other connection must be answered. Gives the refusal's words.

    Raises `ServerErrorReplyError` where the server says that it is broken, or does not answer.
    """
    with given.connection as connection, given.witness as witness:
        with suppress(OSError):  # the other end may have closed it
            for piece in given.pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        reply = _read(connection)
        witness.sendall(_HELLO)
        answer = witness.recv(1 << 16)  # its beginning
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ServerErrorReplyError(f"others are answered {answer[:200]!r}")
    status = re.match(rb"HTTP/1\.1 (\d\d\d)", reply)
    if status is not None and int(status[1]) >= 500:
        raise ServerErrorReplyError(f"it answers {reply[:300]!r}")
    if status is None:
        return "the connection was ended"
    words: Any = reply[:5000].decode("latin-1")
    return str(words) if int(status[1]) >= 400 else None
