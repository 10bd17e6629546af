"""Documents that come through 0MQ: what bluesky's own publisher sends, and what anybody may."""

from __future__ import annotations

import json
import logging
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from bluesky.callbacks.zmq import Publisher
from event_model import NumpyEncoder

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources.published import PublishedError
from femto_bluesky.sources.zeromq import document_of, published
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.runs import burst_scan, run_plan

START = {"uid": "a", "time": 0.0, "scan_id": 3}
EVENT = {
    "uid": "e", "descriptor": "d", "seq_num": 1, "time": 2.5, "timestamps": {"x": 2.5},
    "data": OrderedDict(
        x=np.float64(1.5), n=np.int64(3), flag=np.True_, name="p", image=np.eye(2, 3)
    ),
}  # fmt: skip


def message(name: str, document: Any, prefix: bytes = b"") -> bytes:
    return b" ".join([prefix, name.encode(), pickle.dumps(document)])


def test_a_pickle_is_read_as_data() -> None:
    name, found = document_of(message("event", EVENT, b"beamline"))
    assert name == "event"
    np.testing.assert_array_equal(found["data"].pop("image"), EVENT["data"]["image"])
    assert found["data"] == {"x": 1.5, "n": 3, "flag": True, "name": "p"}


def test_so_is_json() -> None:
    text = json.dumps(EVENT, cls=NumpyEncoder).encode()
    name, found = document_of(b" event " + text)
    assert (name, found["data"]["image"]) == ("event", [[1, 0, 0], [0, 1, 0]])


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/femto_bluesky_was_run",)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (message("start", {**START, "more": Evil()}), r"neither JSON nor plain data.*system"),
        (message("start", Evil()), r"its start is neither JSON nor plain data.*system"),
        (b" start \x80\x05garbage", "neither JSON nor plain data"),
        (b' start {"uid":', "neither JSON nor plain data"),
        (b" start " + b'{"a":' * 100_000, "neither JSON nor plain data"),
        (message("begin", START), "does not begin with the name of a document"),
        (b"", "is it the exit of a proxy of bluesky"),
        (b"\xff \xff \xff", "is it the exit of a proxy of bluesky"),
        (message("start", {"uid": 3}), "its start has no uid, time such as it should have"),
        (message("start", [START]), "its start has no uid, time"),
        (message("event", {**EVENT, "seq_num": "1"}), "its event has no seq_num"),
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(sent: bytes, words: str) -> None:
    with pytest.raises(PublishedError, match=words):
        document_of(sent)


@pytest.mark.parametrize("address", ["kafka://host:9092", "localhost:5578", "tcp://host", ""])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(PublishedError, match=r"such as tcp://localhost:5578"):
        next(published(address))


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The entrance and the exit of a proxy as bluesky's: what comes in goes out."""
    # in the file system: no port can be taken by others
    entrance, out = f"ipc://{tmp_path}/in", f"ipc://{tmp_path}/out"
    context = zmq.Context()
    front, back = context.socket(zmq.SUB), context.socket(zmq.PUB)
    front.setsockopt(zmq.SUBSCRIBE, b"")
    front.bind(entrance)
    back.bind(out)

    def forward() -> None:
        try:
            zmq.proxy(front, back)
        except zmq.ContextTerminated:
            front.close(0)
            back.close(0)

    thread = threading.Thread(target=forward)
    thread.start()
    yield entrance, out
    context.term()
    thread.join()


def test_what_is_published_comes(
    proxy: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entrance, out = proxy
    source = RingFrames(RingSettings(shape=(20, 30), x0=10.0, y0=10.0))
    camera = SimulatedDetector(name="pilatus", source=source, directory=tmp_path / "raw")
    run = run_plan(burst_scan([camera], SimulatedMotor(name="delay"), [0, 1, 2]))
    stop = threading.Event()
    sending = threading.Event()

    def send() -> None:
        ours, other = Publisher(entrance, prefix=b"ours"), Publisher(entrance, prefix=b"other")
        # until they have found each other, nothing arrives
        while not sending.wait(0.02):
            ours("start", {"uid": "hello", "time": 0.0})
        other("start", {"uid": "not for us", "time": 0.0})
        ours._socket.send(b"ours start nonsense")
        for name, doc in run:
            ours(name, doc)
        ours("stop", {"uid": "bye", "run_start": "hello"})
        for publisher in (ours, other):
            publisher.close()

    sender = threading.Thread(target=send)
    sender.start()
    got = []
    with caplog.at_level(logging.WARNING):
        for name, doc in published(out, prefix="ours", stop=stop):
            sending.set()
            if doc["uid"] == "hello":
                continue
            if doc["uid"] == "bye":
                stop.set()
            else:
                got.append((name, doc))
    sender.join()
    assert len(got) == len(run) > 8
    assert [difference(sent, came) for sent, came in zip(run, got, strict=True)] == [None] * len(
        run
    )
    assert caplog.text.count("a message from ipc://") == 1
