"""Documents of a topic of Kafka: what bluesky-kafka's publisher sends, and what anybody may."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources import kafka
from femto_bluesky.sources.kafka import document_of, published
from femto_bluesky.sources.published import PublishedError
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.runs import burst_scan, run_plan

START = {"uid": "a", "time": 0.0, "scan_id": 3}
DATA = {
    "x": 1.5, "f": np.float32(1.5), "n": np.int64(3), "flag": np.True_, "name": "p", "z": 1 + 2j,
    "image": np.asfortranarray(np.arange(6, dtype="<u2").reshape(2, 3)), "empty": np.empty((0, 4)),
    "words": np.array(["a", "bc"]), "big": np.arange(3, dtype=">i4"),
}  # fmt: skip
EVENT = {"uid": "e", "descriptor": "d", "seq_num": 1, "time": 2.5, "data": DATA}


def packed(value: Any) -> bytes:
    return bytes(msgpack_numpy.packb(value))


def array(**changed: Any) -> bytes:
    """A start with an array that is described by hand."""
    good = {"nd": True, "type": "<f8", "kind": b"", "shape": [2], "data": bytes(16)}
    described = {key.encode(): value for key, value in (good | changed).items()}
    return bytes(msgpack.packb(["start", {**START, "more": described}]))


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """msgpack as it is where bluesky-kafka is imported: its functions run pickles."""
    for name in ("Packer", "Unpacker", *"load loads dump dumps pack packb unpack unpackb".split()):
        monkeypatch.setattr(msgpack, name, getattr(msgpack, name))  # put back afterwards
    msgpack_numpy.patch()


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """The address of librdkafka's imitation of a broker, which listens on a real port."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (found,) = producer.list_topics(timeout=10).brokers.values()
    yield f"{found.host}:{found.port}"
    producer.flush()


def test_what_msgpack_numpy_writes_is_read() -> None:
    name, found = document_of(packed(("event", EVENT)))
    assert name == "event"
    assert difference(EVENT, found) is None
    assert found["data"]["image"].flags.writeable


def test_so_is_what_it_does_not_write_but_others_do() -> None:
    _, found = document_of(array())
    np.testing.assert_array_equal(found["more"], [0.0, 0.0])


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("femto_bluesky_was_run",)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (packed(["start", {**START, "more": np.array([Evil()], dtype=object)}]), "nothing is run"),
        (array(type="|O"), "an array of '|O'; only plain numbers and text are read"),
        (array(type="O8"), "an array of 'O8'; only plain"),
        (msgpack.packb([[[]] * 60_000]), "more than 50000 lists and mappings"),
        (msgpack.packb([[{}] * 60_000]), "more than 50000 lists and mappings"),
        (array(type="<U1", data=b"\xff" * 8), "an array of <U1 with what is no text"),
        (array(type=">U1", data=b"\0\x11\0\0" * 2), "an array of >U1 with what is no text"),
        (array(kind=b"O"), "an array of '<f8'; only plain"),
        (array(kind=b"V", type=[["a", "<f8"]]), "only plain numbers and text"),
        (array(type="<f8,O"), "only plain numbers and text"),
        (array(type="i3"), "it is not msgpack: data type 'i3' not understood"),
        (array(shape=[3]), "an array of float64 with other bytes than its shape asks for"),
        (array(shape=[1]), "other bytes than its shape"),
        (array(shape=[-1, -2]), "other bytes than its shape"),
        (array(shape=[2**63, 2**63]), "other bytes than its shape"),
        (array(shape=2), "other bytes than its shape"),
        (array(data="text"), "other bytes than its shape"),
        (b"", "it is not msgpack"),
        (packed(["start", START])[:-3], "it is not msgpack"),
        (b"\x91" * 100_000, "it is not msgpack"),
        (b"\x80\x04garbage", "it is not msgpack"),
        (packed(START), "it is not a name and a document"),
        (packed([["start"], START]), "it is not a name and a document"),
        (packed(["begin", START]), "does not begin with the name of a document"),
        (packed(["start", {"uid": 3}]), "its start has no uid, time such as it should have"),
        (packed(["start", [START]]), "its start has no uid, time"),
    ],
    ids=lambda given: given if isinstance(given, str) else "sent",
)
@pytest.mark.usefixtures("patched")
def test_what_is_no_document_is_refused(
    sent: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PublishedError) as refused:
        document_of(sent)
    assert words in str(refused.value)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "address", ["kafka://host:9092", "kafka://host/topic", "kafka://host:9092/a/b", "tcp://a:1", ""]
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(PublishedError, match="such as kafka://localhost:9092/documents"):
        next(published(address))


def test_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "ANSWER_S", 0.2)
    with pytest.raises(PublishedError, match=r"no broker of Kafka answers at 127\.0\.0\.1:1 "):
        kafka.check_address("kafka://127.0.0.1:1/documents")


def test_no_topic_of_this_name(broker: str) -> None:
    Producer({"bootstrap.servers": broker}).list_topics("there", timeout=10)
    with pytest.raises(PublishedError, match=r"has no topic 'else'; it has .*there"):
        kafka.check_address(f"kafka://{broker}/else")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'femto-bluesky\[kafka,viewer\]'"):
        kafka.check_address("kafka://localhost:9092/documents")


def test_documents_that_the_broker_has_deleted(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Producer({"bootstrap.servers": broker}).list_topics("old", timeout=10)

    def elsewhere(consumer: Consumer, address: str, topic: str) -> None:
        consumer.assign([TopicPartition(topic, 0, 999)])

    monkeypatch.setattr(kafka, "_go_to_end", elsewhere)
    with pytest.raises(PublishedError, match="the broker has deleted documents before they were"):
        next(published(f"kafka://{broker}/old"))


def test_a_broker_that_goes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    brokers = [Producer({"test.mock.num.brokers": 1, "log_level": 0})]
    (found,) = brokers[0].list_topics("documents", timeout=10).brokers.values()
    settled, stop, told = kafka._go_to_end, threading.Event(), []

    def then_gone(consumer: Consumer, address: str, topic: str) -> None:
        settled(consumer, address, topic)
        brokers.clear()

    def tell(words: str, *given: object) -> None:
        told.append(words % given)
        stop.set()

    monkeypatch.setattr(kafka, "_go_to_end", then_gone)
    monkeypatch.setattr(kafka.log, "warning", tell)
    address = f"kafka://{found.host}:{found.port}/documents"
    assert list(published(address, stop=stop)) == []
    assert told[0].startswith(f"{address}: ")
    assert told[0].endswith("; it is tried again")


@pytest.mark.usefixtures("patched")
def test_what_is_published_comes(
    broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from bluesky_kafka import Publisher

    source = RingFrames(RingSettings(shape=(20, 30), x0=10.0, y0=10.0))
    camera = SimulatedDetector(
        name="pilatus", source=source, style="inline", directory=tmp_path / "raw"
    )
    run = run_plan(burst_scan([camera], SimulatedMotor(name="delay"), [0, 1, 2]))
    quiet = {"log_level": 0}
    publisher = Publisher("run", broker, "key", producer_config=quiet, flush_on_stop_doc=True)
    # what is there before is not read
    publisher("stop", {"uid": "before", "run_start": "hello"})
    stop, listens = threading.Event(), threading.Event()

    def send() -> None:
        # until it is known to listen, hello is said
        while not listens.wait(0.02):
            publisher("start", {"uid": "hello", "time": 0.0})
            publisher.flush()
        publisher.produce("nonsense")
        publisher.produce("nonsense")
        for name, doc in run:
            publisher(name, doc)
        publisher("stop", {"uid": "bye", "run_start": "hello"})

    sender = threading.Thread(target=send)
    sender.start()
    got = []
    with caplog.at_level(logging.WARNING):
        for name, doc in published(f"kafka://{broker}/run", stop=stop):
            listens.set()
            if doc["uid"] == "bye":
                stop.set()
            elif doc["uid"] != "hello":
                got.append((name, doc))
    sender.join()
    assert len(got) == len(run) == 6
    for sent, came in zip(run, got, strict=True):
        # msgpack knows lists only
        again = msgpack_numpy.unpackb(packed(sent))
        assert difference(again, list(came)) is None
    assert caplog.text.count("is left out: it is not a name and a document") == 1
