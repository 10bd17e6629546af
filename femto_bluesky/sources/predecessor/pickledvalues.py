"""What the names in a pickle stand for here: records, and constructors of plain values.

Nothing in these tables looks a name up or calls what a pickle brings along. Each constructor
checks its arguments, because numpy and datetime believe what they are given.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np


class UnpickleError(ValueError):
    """A pickle that is damaged, or holds something that is not plain data."""


@dataclass(frozen=True)
class StreamData:
    """The predecessor's `dranspose.event.StreamData`: a type and its frames."""

    typ: Any = None
    frames: Any = None


@dataclass(frozen=True)
class InternalWorkerMessage:
    """The predecessor's `dranspose.event.InternalWorkerMessage`: the streams of one event."""

    event_number: Any = None
    streams: Any = None
    created_at: Any = None


@dataclass(frozen=True)
class WorkParameter:
    """The predecessor's `dranspose.protocol.WorkParameter`: one named setting."""

    name: Any = None
    data: Any = None
    value: Any = None
    uuid: Any = None


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name that the pickle speaks of. It is never looked up, only compared."""

    dotted: str


_KEYS: Final = (str, bytes, int, float, type(None), datetime.datetime, uuid.UUID, np.generic)
RECORDS: Final[dict[str, type[Any]]] = {
    "dranspose.event.InternalWorkerMessage": InternalWorkerMessage,
    "dranspose.event.StreamData": StreamData,
    "dranspose.protocol.WorkParameter": WorkParameter,
}


def checked_key(value: Any) -> Any:
    """Return `value`, a key of a dict or a member of a set, if it is flat."""
    # Hashing a deep tuple recurses in C without a limit, so only flat values are keys.
    if not isinstance(value, _KEYS):
        raise UnpickleError(f"a {type(value).__name__} as a key of a dict or member of a set")
    return value


def _dtype(code: Any, *_: Any) -> np.dtype[Any]:
    if not isinstance(code, str) or code[:1] not in set("biufcSUMm"):
        raise UnpickleError(
            f"it names numpy.dtype({code!r}), a dtype that is not of plain numbers or text"
        )
    return np.dtype(code, copy=True)


def set_dtype(dtype: np.dtype[Any], state: Any) -> None:
    """Give a dtype the byte order in its pickled state."""
    # Fields, offsets and sizes of a crafted state are believed by numpy: only the byte order is
    # taken from it.
    order, *described = state[1:5]
    if order not in ("<", ">", "|", "=") or any(part is not None for part in described):
        raise UnpickleError("it names a structured numpy.dtype; only plain dtypes are read")
    if dtype.kind in "SU" and state[5] != dtype.itemsize:
        raise UnpickleError(f"the size {state[5]!r} contradicts numpy.dtype({dtype.str!r})")
    if dtype.kind in "mM":
        return
    sizes = (dtype.itemsize, dtype.alignment) if dtype.kind in "SU" else (-1, -1)
    dtype.__setstate__((3, order, None, None, None, *sizes, 0))  # type: ignore[attr-defined]


def _array(buffer: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    need(dtype, np.dtype)
    flat = np.frombuffer(need(buffer, (bytes, bytearray)), dtype=dtype)
    return flat.reshape(_shape(shape), order="F" if order == "F" else "C")


def _empty(kind: Any, *_: Any) -> np.ndarray[Any, Any]:
    if kind != Name("numpy.ndarray"):
        raise UnpickleError(f"it builds {getattr(kind, 'dotted', kind)!r} as an array")
    return np.empty(0, dtype="b")


def set_array(array: np.ndarray[Any, Any], state: Any) -> None:
    """Fill an array that `_reconstruct` made, if its bytes are as many as its shape says."""
    _version, shape, dtype, fortran, data = state
    need(dtype, np.dtype)
    need(data, bytes)
    if not dtype.itemsize or math.prod(_shape(shape)) * dtype.itemsize != len(data):
        raise UnpickleError(f"an array {shape} of {dtype} has {len(data)} bytes")
    array.__setstate__((1, shape, dtype, cast("np.bool", bool(fortran)), data))


def _scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(need(data, bytes), dtype=need(dtype, np.dtype), count=1)[0]


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise UnpickleError(f"{shape!r} is not the shape of an array")
    return shape


def need(value: Any, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """Return `value` if it is of this kind."""
    if not isinstance(value, kind):
        raise UnpickleError(f"a {type(value).__name__} stands where another type is needed")
    return value


def members(values: Any = ()) -> list[Any]:
    """Return the members of a set, each of them flat."""
    return [checked_key(value) for value in need(values, (list, tuple, set, frozenset))]


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((checked_key(k), v) for k, v in need(pairs, (list, tuple)))


def _encode(text: Any, codec: Any) -> bytes:
    # Pickles of protocol 2 and below hold bytes this way, and only this way.
    if codec not in ("latin1", "latin-1"):
        raise UnpickleError(f"it names '_codecs.encode' with the codec {codec!r}")
    return bytes(need(text, str), "latin-1")


def _day(data: Any) -> datetime.date:
    year_and_rest = bytes(need(data, bytes))
    return datetime.date(int.from_bytes(year_and_rest[:2], "big"), *year_and_rest[2:4])


def _moment(*arguments: Any) -> datetime.datetime:
    if not all(isinstance(a, (int, bytes, datetime.tzinfo, type(None))) for a in arguments):
        raise UnpickleError("a datetime.datetime of other than plain values")
    return datetime.datetime(*arguments)


CALLS: Final[dict[str, Callable[..., Any]]] = {
    "_codecs.encode": _encode,
    "builtins.set": lambda values=(): set(members(values)),
    "builtins.frozenset": lambda values=(): frozenset(members(values)),
    "builtins.complex": lambda re, im: complex(need(re, float), need(im, float)),
    "builtins.bytes": lambda: b"",  # so written, when empty, by protocols 0 to 2
    "builtins.bytearray": lambda data=b"", *codec: bytearray(
        _encode(data, *codec) if codec else need(data, bytes)
    ),
    "collections.OrderedDict": _ordered,
    "datetime.datetime": _moment,
    "datetime.date": _day,
    "datetime.timedelta": lambda *parts: datetime.timedelta(*(need(p, int) for p in parts)),
    "datetime.timezone": lambda offset=datetime.timedelta(0), *name: datetime.timezone(
        need(offset, datetime.timedelta), *(need(n, str) for n in name)
    ),
    "numpy.dtype": _dtype,
    **{
        f"{core}.{module}.{name}": call
        for core in ("numpy.core", "numpy._core")
        for module, name, call in (
            ("multiarray", "_reconstruct", _empty),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array),
        )
    },
}
KNOWN: Final = frozenset({*CALLS, *RECORDS, "numpy.ndarray", "uuid.UUID"})
