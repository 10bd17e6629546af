"""Writes recordings as the predecessor did, for tests: CBOR with its tags, or pickles."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
import types
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import numpy as np

T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
FRAMES = [np.full((3, 4), i, np.uint16) for i in range(6)]
STEPS = [{"point_nb": i, "mot": float(i)} for i in range(3)]
Message = tuple[int, Mapping[str, tuple[str, list[bytes]]]]


def js(**values: Any) -> bytes:
    """A JSON frame."""
    return json.dumps(values).encode()


def stins(name: str, frames: Iterable[np.ndarray], *, first: int = 1) -> list[Message]:
    """Header, images and series_end of one detector, with rising event numbers."""
    header = js(htype="header", filename="/raw/scan.h5")
    messages: list[Message] = [(first - 1, {name: ("STINS", [header, js(energy=8048)])})]
    for i, frame in enumerate(frames):
        image = js(
            htype="image",
            frame=i,
            shape=list(frame.shape),
            type=frame.dtype.str,
            compression="none",
        )
        messages.append((first + i, {name: ("STINS", [image, frame.tobytes()])}))
    messages.append((messages[-1][0] + 1, {name: ("STINS", [js(htype="series_end")])}))
    return messages


def sardana(
    steps: Iterable[Mapping[str, Any]],
    at: Iterable[int],
    *,
    title: str = "ascan mot 0 2 2 0.1",
    motors: list[str] | None = None,
    first: int = 0,
    end: int | None = None,
    **more: Any,
) -> list[Message]:
    """DataDescription, a RecordData for each step at its event number, and RecordEnd."""
    begin = js(
        type="DataDescription",
        title=title,
        serialno=7,
        ref_moveables=["mot"] if motors is None else motors,
        **more,
    )
    messages: list[Message] = [(first, {"sardana": ("sardana", [begin])})]
    for step, number in zip(steps, at, strict=True):
        messages.append((number, {"sardana": ("sardana", [js(type="RecordData", **step)])}))
    if end is not None:
        messages.append((end, {"sardana": ("sardana", [js(type="RecordEnd")])}))
    return messages


def cbors(path: Path, messages: Iterable[Message]) -> Path:
    """Write `messages` as consecutive CBOR items."""
    return _write(path, b"".join(as_cbor(message) for message in messages))


def as_cbor(message: Message) -> bytes:
    """One message as a CBOR item."""
    number, streams = message
    tagged = {n: cbor2.CBORTag(42878, [typ, frames]) for n, (typ, frames) in streams.items()}
    return cbor2.dumps(cbor2.CBORTag(42877, [number, tagged, T0 + timedelta(seconds=number)]))


def pkls(path: Path, messages: Iterable[Message]) -> Path:
    """Write `messages` as consecutive pickles of the predecessor's classes."""
    return _write(path, b"".join(as_pickle(message) for message in messages))


def as_pickle(message: Message, protocol: int = 4) -> bytes:
    """One message as a pickle; the predecessor's module stands only while it is made."""
    module = types.ModuleType("dranspose.event")
    sys.modules["dranspose"] = types.ModuleType("dranspose")
    sys.modules["dranspose.event"] = module
    try:
        kinds = {}
        for name in ("InternalWorkerMessage", "StreamData"):
            kind = type(name, (), {"__module__": "dranspose.event", "__getstate__": _state})
            kinds[name] = kind
            setattr(module, name, kind)
        number, streams = message
        whole = kinds["InternalWorkerMessage"]()
        data = {}
        for key, (typ, frames) in streams.items():
            data[key] = kinds["StreamData"]()
            data[key].fields = {"typ": typ, "frames": frames}
        whole.fields = {
            "event_number": number,
            "streams": data,
            "created_at": T0 + timedelta(seconds=number),
        }
        return pickle.dumps(whole, protocol=protocol)
    finally:
        del sys.modules["dranspose.event"], sys.modules["dranspose"]


def _state(self: Any) -> dict[str, Any]:
    return {"__dict__": self.fields, "__pydantic_fields_set__": set(self.fields)}


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def two_files(folder: Path, **more: Any) -> list[Path]:
    """A burst scan of three steps with two frames each: the images and what sardana says."""
    defaults: dict[str, Any] = {"end": 7}
    told = sardana(STEPS, [2, 4, 6], **{**defaults, **more})
    return [
        cbors(folder / "cam.cbors", stins("cam", FRAMES)),
        cbors(folder / "sardana.cbors", told),
    ]
