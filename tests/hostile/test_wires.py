"""What comes over a wire and is not even 0MQ: another server has taken the address of a proxy."""

from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
import zmq

from femto_bluesky.sources import zeromq
from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.zeromq import published
from femto_bluesky.testing.hostile.values import damaged_bytes

# as ZMTP 3.0 (rfc.zeromq.org/spec/23) has them
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"
START = b" start " + json.dumps({"uid": "a", "time": 0.0}).encode()


def garbage(rng: Random) -> bytes:
    """What a peer says: nonsense, or the beginning of what it should, and nonsense then."""
    frames = [
        b"\x00" + bytes([len(START)]) + START, b"\x01\x03abc\x00\x01d", b"\x04\x05\x04PING",
        b"\x02" + (1 << 40).to_bytes(8, "big") + b"abc", b"\x02" + b"\xff" * 8,
        b"\x06" + b"\x7f" * 9,
        b"\x03" + bytes(8), b"\x00\xff" + b"x" * 255, b"\x04\x00", b"\xff" * 99, b"\x00\x00" * 500,
    ]  # fmt: skip
    said = [GREETING, READY, *rng.choices(frames, k=rng.choice([0, 1, 2, 9]))]
    data = b"".join(said[rng.choice([0, 0, 0, 0, 1, 2]) :])
    return rng.choice([data, data, damaged_bytes(data, rng), rng.randbytes(200)])


def said(peer: socket.socket, number: int) -> None:
    """Talk nonsense to a peer, and every other time wait until it has seen the end."""
    peer.sendall(garbage(Random(number)))
    if number % 2:
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have 0MQ try again at once, and not ten times a second."""
    connect = zmq.Socket.connect

    def connect_at_once(self: Any, address: str) -> Any:
        self.setsockopt(zmq.RECONNECT_IVL, 1)
        return connect(self, address)

    monkeypatch.setattr(zmq.Socket, "connect", connect_at_once)
    monkeypatch.setattr(zeromq, "POLL_MS", 2)


def peers(listening: socket.socket, n: int) -> Iterator[socket.socket]:
    """Those who come, one after the other."""
    for _ in range(n):
        with listening.accept()[0] as peer:
            peer.settimeout(5)
            yield peer


@pytest.mark.parametrize("n", [25, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_peer_that_is_no_proxy(n: int, impatient: None) -> None:
    found: list[Document] = []
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(20)
    port = listening.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    reading = threading.Thread(target=lambda: found.extend(published(address, stop=stop)))
    tracemalloc.start(1)
    reading.start()
    try:
        for number, peer in enumerate(peers(listening, n)):
            with suppress(OSError):  # it may have had enough
                said(peer, number)
        listening.close()
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.stop()
        assert all(doc == {"uid": "a", "time": 0.0} for _, doc in found)
        with zmq.Context() as context, context.socket(zmq.PUB) as proxy:
            proxy.setsockopt(zmq.LINGER, 0)
            proxy.bind(address)
            last = START.replace(b'"a"', b'"b"')
            for _ in range(2000):
                proxy.send(last)
                if found and found[-1][1]["uid"] == "b":
                    break
                time.sleep(0.01)
    finally:
        stop.set()
        reading.join(20)
    assert not reading.is_alive()
    assert found[-1] == ("start", {"uid": "b", "time": 0.0})
