"""Messages of the network, through 0MQ and Kafka, that no publisher of documents would send."""

from __future__ import annotations

import json
import pickle
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from femto_bluesky.sources import kafka, zeromq
from femto_bluesky.testing.hostile import documents, values
from femto_bluesky.testing.hostile.text_files import calling_pickles

MB = 1 << 20

BY_HAND = 200
"""More than there are by hand."""

_ARRAY: dict[str, Any] = {"nd": True, "type": "<u2", "kind": b"", "shape": [2, 2], "data": bytes(8)}


def _document(rng: Random, folder: Path) -> tuple[str, Any]:
    """One document of a run, with a few things that are not as they should be."""
    docs = documents.run("a", folder, rng.choices(documents.STYLES, [8, 1, 1])[0])
    name, doc = rng.choice(docs)
    found = _plain(doc)
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        found = values.damaged(found, rng, lambda: values.plain_value(rng, folder))
    return rng.choice([name] * 9 + ["event_page", "datum_page", "", "x"]), found


def _plain(value: Any) -> Any:
    """Dicts and lists of what JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


# --- 0MQ --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _zeromq_by_hand(folder: Path) -> list[bytes]:
    return [
        b"", b" ", b"  ", b" event ", b" event {}", b" event [", b"\xff" * 99,
        b" start " + b"{" * MB,
        b" start " + b"[" * 500_000, b" start {\"uid\": \"a\", \"time\": 1" + b"0" * 5000 + b"}",
        b" start {\"uid\": \"a\", \"time\": 1" + b"0" * 400 + b"}", b"x" * 8 * MB, b" " * 8 * MB,
        b" stop {\"uid\": \"\\ud800\", \"run_start\": \"\"}", b" start " + b"9" * 5000,
        *(b" start " + made for made in calling_pickles(folder)),
    ]  # fmt: skip


def zeromq_message(rng: Random, number: int, folder: Path) -> bytes:
    """A message of bluesky's proxy: a prefix, a name, and a document as JSON or as a pickle."""
    if number < BY_HAND and number < len(by_hand := _zeromq_by_hand(folder)):
        return by_hand[number]
    name, doc = _document(rng, folder)
    way = rng.randrange(4)
    if way == 3:
        packed = rng.choice(calling_pickles(folder)[:20])
    elif way == 2:
        packed = _text(doc)
    else:
        packed = pickle.dumps(doc, rng.randrange(2, 6))
    if rng.random() < 0.5:
        packed = values.damaged_bytes(packed, rng)
    return b" ".join([rng.choice([b"", b"", b"prefix"]), name.encode(), packed])


def read_zeromq(message: bytes, folder: Path) -> str | None:
    """Read the document in a message."""
    zeromq.document_of(message)
    return None


def _text(doc: Any) -> bytes:
    try:
        return json.dumps(doc).encode()
    except (TypeError, ValueError, RecursionError):
        return b"{"


# --- Kafka ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _kafka_by_hand(folder: Path) -> list[bytes]:
    return [
        b"", b"\xc1", b"\x92", b"\x92\xa5start", b"\x91" * 100_000, b"\x81" * 100_000,
        b"\xdd" + b"\xff" * 4,
        b"\xdf" + b"\xff" * 4, b"\xc6" + b"\xff" * 4, b"\xdb" + b"\xff" * 4, b"\xc9" + b"\xff" * 5,
        b"\x92\xa5start\xdd\x7f\xff\xff\xff", b"\x92\xa5start\xdf\x7f\xff\xff\xff", b"\x90" * 9,
        b"\xd7\xff" + b"\xff" * 8, b"\xc7\x0c\xff" + b"\xff" * 12, b"\xd4\xff\0", b"\x81\xc0\xc0",
        b"\xdc\xff\xff" + b"\x90" * 0xFFFF, b"\xdd\0\x0f\xff\xff" + b"\x80" * 0xFFFFF,
        *(_start(**wrong) for wrong in _ARRAYS),
        *(_start(kind=b"O", type="|O", data=made) for made in calling_pickles(folder)[:20]),
    ]  # fmt: skip


def kafka_message(rng: Random, number: int, folder: Path) -> bytes:
    """A message of bluesky-kafka: a name and a document, as msgpack with the values of numpy."""
    if number < BY_HAND and number < len(by_hand := _kafka_by_hand(folder)):
        return by_hand[number]
    name, doc = _document(rng, folder)
    array: Any = _ARRAY
    if rng.random() < 0.6:
        array = values.damaged(_ARRAY, rng, lambda: values.plain_value(rng, folder))
        if not isinstance(array, dict):
            array = {}
    if isinstance(doc, dict):
        more = {str(key).encode("utf-8", "replace"): value for key, value in array.items()}
        doc = {**doc, "more": more}
    if isinstance(doc, dict) and isinstance(doc.get("data"), dict):
        doc["data"][documents.IMAGE] = doc["more"]
    data = _packed([name, doc])
    return values.damaged_bytes(data, rng) if rng.random() < 0.5 else data


_ARRAYS: list[dict[str, Any]] = [
    {"shape": [0, 2**64 - 1], "data": b""}, {"shape": [2**63, 0], "data": b""},
    {"shape": [2**40, 2**40]}, {"shape": [-1]},
    {"shape": [0] * 33}, {"shape": [1] * 32, "data": bytes(2)}, {"shape": [True, 4]},
    {"type": "<i3"},
    {"type": "|b9"}, {"type": "<U99999999"}, {"type": "<U99999999", "shape": [0], "data": b""},
    {"type": "|S0", "data": b""}, {"type": ">c1"}, {"type": "<f16", "shape": [0], "data": b""},
    {"type": "<U1", "data": b"\xff" * 16, "shape": [4]}, {"nd": False},
    {"nd": False, "shape": [0, 4]},
    {"nd": False, "type": "<U1", "data": b"\xff" * 4, "shape": []},
    {"nd": None, "shape": [], "data": bytes(2)}, {"complex": True, "data": "1+x"}, {"type": None},
    {"complex": True, "data": "9" * 100_000}, {"complex": True, "data": b"1"}, {"kind": 1.5},
]  # fmt: skip


def _start(**wrong: Any) -> bytes:
    """A start document with an array that is described wrongly."""
    array = {key.encode(): value for key, value in {**_ARRAY, **wrong}.items()}
    return _packed(["start", {"uid": "a", "time": 1.0, "more": array}])


def _packed(value: Any) -> bytes:
    from msgpack import fallback  # the one that nobody replaces

    try:
        return bytes(fallback.Packer().pack(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b"\x92"


def read_kafka(message: bytes, folder: Path) -> str | None:
    """Read the document in a message."""
    kafka.document_of(message)
    return None
