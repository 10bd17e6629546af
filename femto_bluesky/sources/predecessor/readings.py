"""Named values as Bluesky holds them: keys without dots, plain values, and their data keys."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

DEEPEST: Final = 12
_DTYPES: Final = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string"}


class ReadingError(ValueError):
    """A value that cannot stand in a document."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of one event or of a configuration, and what its data key says.

    `owner` is the object (device) that it belongs to; `hinted` values are drawn by default.
    """

    key: str
    owner: str
    value: Any
    dims: tuple[str, ...] = ()
    hinted: bool = False


def key_of(name: str) -> str:
    """`name` as a data key: a device address shrinks to its device, other signs become "_".

    >>> key_of("tango://host.maxiv.lu.se:10000/expchan/pilatus_ctrl/1")
    'pilatus_ctrl_1'
    >>> key_of("COUNTER1.OUT_Value")
    'COUNTER1_OUT_Value'
    """
    if "://" in name:
        address = urlsplit(name)
        parts = [part for part in address.path.split("/") if part]
        name = "_".join(parts[-2:]) or address.netloc
    return re.sub(r"\W+", "_", name).strip("_") or "unnamed"


class Keys:
    """Hands out one key a name, and never the same key to two names."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The key of `name`; a number is added where another name has taken it."""
        if name not in self._keys:
            key = wanted = key_of(name)
            number = 2
            while key in self._keys.values():
                key, number = f"{wanted}_{number}", number + 1
            self._keys[name] = key
        return self._keys[name]


def flat(prefix: str, value: Any, depth: int = DEEPEST) -> Iterator[tuple[str, Any]]:
    """`value` as pairs (name, plain value): the keys of nested dicts are joined with "_".

    Values that are missing (None) are left out. Raises `ReadingError` beyond 12 levels.
    """
    if depth == 0:
        raise ReadingError(f"{prefix[:40]!r}... is nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            joined = f"{prefix}_{name}" if prefix else str(name)
            yield from flat(joined, inner, depth - 1)
    elif value is not None:
        yield prefix, value


def plain(value: Any) -> Any:
    """A value as an event holds it: bool, int, float, str, or an array of numbers or text.

    Lists of equal length become arrays; other lists, bytes and times become text.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        try:
            value = np.array(value)
        except (ValueError, OverflowError, RecursionError):
            return text_of(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in _DTYPES:
        return value.item() if value.ndim == 0 else value
    return text_of(value)


def text_of(value: Any) -> str:
    """A value that is no number as text, at most 1000 characters."""
    try:
        return json.dumps(value, default=str)[:1000]
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"


def json_safe(value: Any, depth: int = DEEPEST) -> Any:
    """A value for a start document: plain, arrays as lists, keys without "." and "/"."""
    if depth == 0:
        raise ReadingError(f"metadata is nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        return {key_of(str(k)): json_safe(v, depth - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(v, depth - 1) for v in value]
    if value is None:
        return None
    value = plain(value)
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist(), depth - 1)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def data_key(reading: Reading, source: str) -> dict[str, Any]:
    """The data key (Bluesky's description) of a reading whose value is plain or array-like."""
    value = reading.value
    described: dict[str, Any] = {"source": source, "object_name": reading.owner}
    if hasattr(value, "dtype"):
        described |= {
            "dtype": "array",
            "shape": list(value.shape),
            "dtype_numpy": value.dtype.str,
        }
    elif isinstance(value, bool):
        described |= {"dtype": "boolean", "shape": [], "dtype_numpy": "|b1"}
    elif isinstance(value, int):
        described |= {"dtype": "integer", "shape": [], "dtype_numpy": "<i8"}
    elif isinstance(value, float):
        described |= {"dtype": "number", "shape": [], "dtype_numpy": "<f8"}
    else:
        described |= {"dtype": "string", "shape": []}
    if reading.dims:
        described["dims"] = list(reading.dims)
    return described
