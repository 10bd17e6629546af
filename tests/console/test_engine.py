"""The RunEngine of a session sends its documents to others, if it is told to."""

from __future__ import annotations

import sys

import pytest
import zmq
from bluesky.plans import count
from ophyd.sim import SynAxis

from femto_bluesky.console.engine import publish
from femto_bluesky.console.settings import SettingsFileError
from femto_bluesky.sources.zeromq import document_of
from femto_bluesky.testing.runs import run_engine


def test_documents_are_published() -> None:
    context = zmq.Context()
    receiver = context.socket(zmq.SUB)
    receiver.setsockopt(zmq.SUBSCRIBE, b"")
    port = receiver.bind_to_random_port("tcp://127.0.0.1")
    kept: list[str] = []
    try:
        with run_engine() as engine:
            engine.subscribe(lambda name, doc: kept.append(name))
            publisher = publish(engine, f"tcp://127.0.0.1:{port}")
            while not receiver.poll(0):  # those at the beginning go before there is a connection
                engine(count([SynAxis(name="x")]))
            publisher.close()
        assert document_of(receiver.recv())[0] in ("start", "descriptor", "event", "stop")
        assert kept[-4:] == ["start", "descriptor", "event", "stop"]
    finally:
        receiver.close(0)
        context.term()


def test_what_it_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bluesky.callbacks.zmq", None)
    with run_engine() as engine, pytest.raises(SettingsFileError, match="which needs 0MQ: pip"):
        publish(engine, "tcp://localhost:5577")
