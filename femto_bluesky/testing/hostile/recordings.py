"""Recordings of the predecessor with nests, declared lengths, bombs of gzip and pickles."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from random import Random
from typing import Any

import cbor2

from femto_bluesky.sources import recordings
from femto_bluesky.testing.hostile import values
from femto_bluesky.testing.hostile.text_files import MB, calling_pickles

_T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
_BEGIN = b"\xd9\xa7\x7d\x83"
_STREAM = b"\xa1\x61a\xd9\xa7\x7e\x82\x61t"


def _messages() -> list[Any]:
    """A scan of one step: header, two frames, what sardana says, the end."""
    image = {"htype": "image", "shape": [3, 4], "type": "<u2", "compression": "none"}
    told: list[tuple[str, str, list[Any]]] = [
        ("cam", "STINS", [{"htype": "header"}, {"energy": 8048}]),
        ("sardana", "sardana", [{"type": "DataDescription", "title": "ascan mot 0 2 2 0.1",
                                 "serialno": 7, "ref_moveables": ["mot"]}]),
        ("cam", "STINS", [{**image, "frame": 0}, bytes(24)]),
        ("cam", "STINS", [{**image, "frame": 1}, bytes(24)]),
        ("sardana", "sardana", [{"type": "RecordData", "point_nb": 0, "mot": 0.5}]),
        ("xspress", "xspress", [{**image, "frame": 0, "exptime": 0.1}, bytes(24)]),
        ("cam", "STINS", [{"htype": "series_end"}]),
        ("sardana", "sardana", [{"type": "RecordEnd"}]),
    ]  # fmt: skip
    return [[number, name, typ, frames] for number, (name, typ, frames) in enumerate(told)]


def _encoded(message: Any) -> bytes:
    try:
        number, name, typ, frames = message
        whole = [f if isinstance(f, bytes) else json.dumps(f).encode() for f in frames]
        time = _T0 + timedelta(seconds=number if type(number) is int else 0)
        tagged = {name: cbor2.CBORTag(42878, [typ, whole])}
        return cbor2.dumps(cbor2.CBORTag(42877, [number, tagged, time]))
    except Exception:  # what cannot be told in CBOR cannot come in it
        return b"\xd9\xa7\x7d" + values.damaged_bytes(repr(message)[:999].encode(), Random(1))


@lru_cache(maxsize=1)
def _by_hand(folder: Path) -> list[tuple[str, bytes]]:
    frame = b"\x81\x5b"
    found = [
        b"", b"\xd9", b"\xd9\xa7\x7d", _BEGIN, b"\x80", b"\x80\x04.", b"\xd9\xd9\xf7" * 50_000,
        b"\xd9\xa7\x7d" * 50_000, _BEGIN + b"\x01" + _STREAM + b"\x81" * 100_000,
        _BEGIN + b"\x01" + _STREAM + frame + b"\xff" * 8,
        _BEGIN + b"\x01" + _STREAM + frame + (1 << 30).to_bytes(8, "big"),
        _BEGIN + b"\x01" + _STREAM + b"\x9b" + b"\xff" * 8,
        _BEGIN + b"\x01" + b"\xbb" + b"\xff" * 8, _BEGIN + b"\x01" + _STREAM + b"\x9f" * 1000,
        _BEGIN + b"\x01" + _STREAM + b"\x9a\x00\x10\x00\x00" + b"\x40" * 1_000_000,
        _BEGIN + b"\xc2\x5a\x00\x10\x00\x00" + b"\xff" * MB, _BEGIN + b"\x1b" + b"\xff" * 8,
        _BEGIN + b"\x01\xa0\xc1\xfb\x7f\xf0" + bytes(6), _BEGIN + b"\x01\xa0\xc1\x1b" + b"\xff" * 8,
        _BEGIN + b"\x01\xa0\xc0\x78\x40" + b"9" * 64,
        *(pickle + b"\x80" for pickle in calling_pickles(folder)),
    ]  # fmt: skip
    shapes = [[10**9, 10**9], [2**40, 2**40], [-1, -1], [True, 2], [3.0, 4.0], [10**400, 1], [0, 0]]
    for shape in shapes:
        for compression in ("none", "bslz4"):
            header = {"htype": "image", "shape": shape, "type": "<u2", "compression": compression}
            size = (2**63 + 7).to_bytes(8, "big") + bytes(20)
            found.append(_encoded([1, "cam", "STINS", [header, size]]))
    for kind in ("O", "V1000000000", "U1000000000", "f8,f8", "(1000000000,)f8", "M8[s]", "x", ""):
        header = {"htype": "image", "shape": [3, 4], "type": kind, "compression": "none"}
        found.append(_encoded([1, "cam", "STINS", [header, bytes(24)]]))
    named = [(f"{i}.cbors", data) for i, data in enumerate(found)]
    return [*named, ("bomb.cbors.gz", _bomb()), ("cut.gz", _bomb()[:99])]


@cache
def _bomb() -> bytes:
    """120 MB in half of one, as a frame that really is so long."""
    frame = b"\x81\x5b" + (120 * MB).to_bytes(8, "big") + bytes(120 * MB)
    return gzip.compress(_BEGIN + b"\x01" + _STREAM + frame, 1)


def recording(rng: Random, number: int, folder: Path) -> Path:
    """One recorded file."""
    if number < 100:
        by_hand = _by_hand(folder)
        if number < len(by_hand):
            name, data = by_hand[number]
            (folder / name).write_bytes(data)
            return folder / name
    told = _messages()
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        told = values.damaged(told, rng, lambda: values.plain_value(rng, folder))
    if rng.random() < 0.2:
        rng.shuffle(told)
    data = b"".join(_encoded(message) for message in told)
    if rng.random() < 0.6:
        data = values.damaged_bytes(data, rng)
    if rng.random() < 0.2:
        data = b"\x80\x04" + values.damaged_bytes(rng.choice(calling_pickles(folder)[:20]), rng)
    path = folder / "a.cbors"
    if rng.random() < 0.2:
        data = gzip.compress(data, 1)
        data = values.damaged_bytes(data, rng) if rng.random() < 0.5 else data
    path.write_bytes(data)
    return path


def read(path: Path, folder: Path) -> str | None:
    """Read all documents, and the frames in them."""
    for name, doc in recordings.read(path):
        if name == "event":
            for value in doc["data"].values():
                if hasattr(value, "__iter__") and hasattr(value, "dtype"):
                    for frame in value:
                        frame.sum()
    return None
