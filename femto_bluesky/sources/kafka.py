"""Documents that a RunEngine elsewhere publishes to a topic of Kafka.

Source of the messages: `bluesky_kafka.Publisher` (0.10): a name and a document as msgpack, with
numpy's values as msgpack-numpy writes them. The consumers of bluesky-kafka are not used: they run
the pickles that arrays of objects come as, change msgpack for the whole process, and go on after
every error, those of an analysis too. Nor is a group of consumers: each one here gets everything.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import re
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from femto_bluesky.sources.documents import Document
from femto_bluesky.sources.published import NEEDED, PublishedError, Refusals, checked

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S: Final = 0.2
ANSWER_S: Final = 5.0
"""How long a broker may take to say what it has."""

MOST_PARTS: Final = 50_000
"""Lists and mappings in a message: so many take a fifth of a second."""

PLAIN: Final = re.compile(r"[<>|=]?[biufcSU]\d{1,8}")
"""The dtypes of numbers and text, as numpy writes them: no objects, no fields."""


def published(address: str, *, stop: threading.Event | None = None) -> Iterator[Document]:
    """The documents that come to a topic from now on, until `stop` is set.

    `address` is ``kafka://host:9092/topic``; several brokers have commas between them. What was
    published before is not read. While an analysis is slow, documents wait at the broker. What is
    no document is left out, and the log says so; it also says when no broker answers any more, and
    they are tried again.

    Raises `PublishedError` for an address that is none, where no broker answers, for a topic that
    is not there, and where the broker has deleted documents before they were read;
    `ModuleNotFoundError` without confluent-kafka.
    """
    refusals = Refusals(address)
    with _connected(address) as (consumer, topic, told):
        _go_to_end(consumer, address, topic)
        while stop is None or not stop.is_set():
            message = consumer.poll(POLL_S)
            if message is None:
                continue
            failed = message.error()
            if failed is not None:
                _judge(failed, address, told)
                continue
            told.clear()
            try:
                yield document_of(message.value() or b"")
            except PublishedError as error:
                refusals.tell(error)


def check_address(address: str) -> None:
    """Raise what `published` would for an address: the broker is asked for its topics."""
    with _connected(address):
        pass


def document_of(message: bytes) -> Document:
    """The document in a message. Raises `PublishedError` where there is none."""
    # where anything imports bluesky-kafka, msgpack's own functions are replaced, in the whole
    # process, by those of msgpack-numpy, which run pickles; not so these in plain Python
    from msgpack import fallback

    try:
        left = iter(range(MOST_PARTS))
        found = fallback.unpackb(
            message, object_hook=partial(_mapping, left), list_hook=partial(_counted, left)
        )
    except PublishedError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise PublishedError(f"it is not msgpack: {str(error) or 'it is too deep'}") from error
    if not (isinstance(found, list) and len(found) == 2 and isinstance(found[0], str)):
        raise PublishedError("it is not a name and a document; does bluesky's Publisher send it?")
    if found[0] not in NEEDED:
        raise PublishedError("it does not begin with the name of a document")
    return checked(found[0], found[1])


def _counted(left: Iterator[int], part: T) -> T:
    """The same list or mapping. Raises `PublishedError` where it is one too many."""
    if next(left, None) is None:
        raise PublishedError(f"it has more than {MOST_PARTS} lists and mappings")
    return part


def _mapping(left: Iterator[int], found: dict[Any, Any]) -> Any:
    return _value(_counted(left, found))


def _value(found: dict[Any, Any]) -> Any:
    """What a mapping of msgpack stands for: a mapping, or a value of numpy or a complex number.

    Source of the keys: `msgpack_numpy.encode` (0.4.8).
    """
    if b"complex" in found:
        return complex(str(found.get(b"data")))
    if b"nd" not in found:
        return found
    code, data, shape = found.get(b"type"), found.get(b"data"), found.get(b"shape", [])
    # an array of objects is a pickle: it has a kind, and its type says so
    if found.get(b"kind") or not (isinstance(code, str) and PLAIN.fullmatch(code)):
        raise PublishedError(
            f"it has an array of {code!r:.60}; only plain numbers and text are read, and "
            "nothing is run"
        )
    dtype = np.dtype(code)
    fits = (
        isinstance(data, bytes)
        and isinstance(shape, list)
        and len(shape) <= 32
        and all(type(n) is int and n >= 0 for n in shape)
        and math.prod(shape) * dtype.itemsize == len(data)
    )
    if not fits:
        raise PublishedError(f"it has an array of {dtype} with other bytes than its shape asks for")
    # a copy can be written to, as an array of this process can
    array = np.ndarray(shape, dtype, data).copy()
    if (
        dtype.kind == "U"
        and (array.reshape(-1).view(f"{dtype.byteorder}u4") > sys.maxunicode).any()
    ):
        raise PublishedError(f"it has an array of {dtype} with what is no text")
    return array if found[b"nd"] is True else array[()]


@contextmanager
def _connected(address: str) -> Iterator[tuple[Consumer, str, set[str]]]:
    """A consumer that reads nothing yet, the topic, and what was said of the brokers' errors."""
    # names of topics as Kafka allows them
    parts = re.fullmatch(r"kafka://([^\s/]+:\d+)/([\w.-]{1,249})", address, re.ASCII)
    if parts is None:
        raise PublishedError(
            f"{address!r}: expected a broker and a topic, such as kafka://localhost:9092/documents"
        )
    if importlib.util.find_spec("confluent_kafka") is None:
        raise ModuleNotFoundError(
            "documents come through Kafka, whose client is not installed: pip install "
            "'femto-bluesky[kafka,viewer]'", name="confluent_kafka",
        )  # fmt: skip
    from confluent_kafka import Consumer, KafkaException

    told: set[str] = set()
    brokers, topic = parts.groups()
    settings: dict[str, Any] = {
        "bootstrap.servers": brokers,
        # asked for by the client; nothing is kept under this name
        "group.id": f"femto-bluesky-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "log_level": 0,
        "error_cb": lambda error: _tell(error, address, told),
    }
    with closing(Consumer(settings)) as consumer:
        try:
            topics = consumer.list_topics(timeout=ANSWER_S).topics
        except KafkaException as error:
            raise PublishedError(
                f"{address}: no broker of Kafka answers at {brokers} within {ANSWER_S:g} s; does "
                f"one run, without TLS and passwords? ({error.args[0].str()})"
            ) from error
        if topic not in topics:
            known = sorted(name for name in topics if not name.startswith("__"))
            raise PublishedError(
                f"{address}: the broker has no topic {topic!r}; it has "
                f"{', '.join(known[:10]) or 'none'}{', ...' * (len(known) > 10)}"
            )
        yield consumer, topic, told


def _go_to_end(consumer: Consumer, address: str, topic: str) -> None:
    """Read from the newest message on, which is settled now and not when the first one comes."""
    from confluent_kafka import KafkaException, TopicPartition

    try:
        found = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
        ends = []
        for number in found:
            part = TopicPartition(topic, number)
            _, end = consumer.get_watermark_offsets(part, timeout=ANSWER_S)
            ends.append(TopicPartition(topic, number, end))
        consumer.assign(ends)
    except KafkaException as error:
        raise PublishedError(
            f"{address}: the broker does not say where the topic ends: {error.args[0].str()}"
        ) from error


def _judge(error: KafkaError, address: str, told: set[str]) -> None:
    """Raise `PublishedError` where documents are lost, and say anything else."""
    if error.name() == "_AUTO_OFFSET_RESET":
        raise PublishedError(
            f"{address}: the broker has deleted documents before they were read ({error.str()}); "
            "let the topic keep them for longer, and start again"
        )
    _tell(error, address, told)


def _tell(error: KafkaError, address: str, told: set[str]) -> None:
    """Say what goes wrong between here and the brokers, once until something comes again."""
    if error.name() not in told:
        told.add(error.name())
        log.warning("%s: %s; it is tried again", address, error.str())
