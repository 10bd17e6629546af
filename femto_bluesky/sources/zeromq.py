"""Documents that a RunEngine elsewhere publishes through bluesky's 0MQ proxy.

Source of the messages: `bluesky.callbacks.zmq`, `Publisher.__call__` (bluesky 1.15): a prefix, the
name and the serialized document, with spaces between. Its `RemoteDispatcher` is not used: it runs
the pickles that come in, and drops documents when more than a thousand wait for a slow analysis.
"""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.predecessor import unpickle
from femto_bluesky.sources.published import NEEDED, PublishedError, Refusals, checked

if TYPE_CHECKING:
    import zmq

POLL_MS: Final = 200

LONGEST: Final = 1 << 30
"""Bytes of a message: a burst of 31 whole Balor frames. Who sends a longer one is cut off."""


def published(
    address: str, *, prefix: str = "", stop: threading.Event | None = None
) -> Iterator[Document]:
    """The documents that come through a proxy, as they come, until `stop` is set.

    `address` is the exit of the proxy (``tcp://localhost:5578``), where it sends to; with `prefix`
    only what a publisher of this prefix sends is taken. Nothing is lost while an analysis is slow:
    documents wait in memory. What is no document is left out, and the log says so.

    Documents may be JSON, or pickles as bluesky's `Publisher` sends: they are read as data, and
    never run. Raises `PublishedError` for an address that is none, and `ModuleNotFoundError`
    without pyzmq.
    """
    check_address(address)
    import zmq

    topic = f"{prefix} ".encode() if prefix else b""
    refusals = Refusals(address)
    with zmq.Context() as context, context.socket(zmq.SUB) as receiver:
        # as many as there are: one document that is missing spoils its run
        receiver.set_hwm(0)
        receiver.setsockopt(zmq.SUBSCRIBE, topic)
        receiver.setsockopt(zmq.LINGER, 0)
        receiver.setsockopt(zmq.MAXMSGSIZE, LONGEST)  # else memory is taken for what is declared
        ends = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        with receiver.get_monitor_socket(ends) as ended:
            receiver.connect(address)
            while stop is None or not stop.is_set():
                if not receiver.poll(POLL_MS):
                    if ended.poll(0):
                        _connect_again(receiver, ended, address)
                    continue
                try:
                    yield document_of(receiver.recv())
                except PublishedError as error:
                    refusals.tell(error)


def _connect_again(receiver: zmq.Socket[bytes], ended: zmq.Socket[bytes], address: str) -> None:
    """0MQ does so itself, but for good not where what had answered there was no 0MQ."""
    import zmq

    while ended.poll(0):
        ended.recv_multipart()
    with suppress(zmq.ZMQError):  # it has given up already
        receiver.disconnect(address)
    receiver.connect(address)


def check_address(address: str) -> None:
    """Raise `PublishedError` for what is no address, `ModuleNotFoundError` without pyzmq."""
    if not re.fullmatch(r"tcp://[^\s/]+:\d+|ipc://\S+", address):
        raise PublishedError(
            f"{address!r}: expected where a 0MQ proxy sends to, such as tcp://localhost:5578"
        )
    if importlib.util.find_spec("zmq") is None:
        raise ModuleNotFoundError(
            "documents come through 0MQ, which is not installed: pip install "
            "'femto-bluesky[viewer]'", name="zmq",
        )  # fmt: skip


def document_of(message: bytes) -> Document:
    """The document in a message. Raises `PublishedError` where there is none."""
    parts = message.split(b" ", 2)
    name = parts[1].decode("utf-8", "replace") if len(parts) == 3 else ""
    if name not in NEEDED:
        raise PublishedError(
            "it does not begin with the name of a document; is it the exit of a proxy of bluesky?"
        )
    data = parts[2]
    try:
        found = json.loads(data) if data[:1] == b"{" else unpickle.loads(data, where="a message")
    except (ValueError, RecursionError) as error:
        raise PublishedError(f"its {name} is neither JSON nor plain data: {error}") from error
    return checked(name, found)
