"""What part of an array a client asks for."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Part = slice | list[int]

_ITEM: Final = re.compile(r"\[[^\]]*\]|[^,\[\]]+")


class SelectionError(ValueError):
    """A selection that cannot be given; the message says what was asked for and of what."""


def select(values: NDArray[Any], text: str) -> NDArray[Any]:
    """The part of an array that a selection such as `[0:5:1,[1,2],7]` names, one item a dimension.

    A single number keeps its dimension, with one element. Two lists are coordinates, one by one.
    Raises `SelectionError` where it does not fit, or the part would be larger than the whole.
    """
    if values.ndim == 0 and text.strip() in ("", "[]", "[0]"):
        return values
    parts = _parse(text, values.shape)
    lists = [len(part) for part in parts if isinstance(part, list)]
    if len(set(lists)) > 1:
        raise SelectionError(f"{_short(text)}: its lists differ in length")
    sizes = [
        len(range(*part.indices(n)))
        for part, n in zip(parts, values.shape, strict=True)
        if isinstance(part, slice)
    ]
    if math.prod(sizes) * (lists[0] if lists else 1) > max(values.size, 1):
        raise SelectionError(f"{_short(text)} asks for more than the whole array has")
    return values[tuple(parts)]


def select_points(values: NDArray[Any], points: bytes | list[Any]) -> NDArray[Any]:
    """The elements at points: rows of indices, as lists or as 64 bit unsigned integers.

    Raises `SelectionError` where they are none of that, or outside the array.
    """
    if values.ndim == 0:
        raise SelectionError("points were asked for of a single value")
    try:
        if isinstance(points, bytes):
            at = np.frombuffer(points, "<u8").reshape(-1, values.ndim)
        else:
            at = np.array(points, np.uint64).reshape(-1, values.ndim)
    except (ValueError, TypeError, OverflowError) as error:
        raise SelectionError(
            f"the points of an array of {values.ndim} dimensions could not be read: {error}"
        ) from error
    if (at >= np.array(values.shape, np.uint64)).any():
        raise SelectionError(f"a point lies outside the array, which has the shape {values.shape}")
    return values[tuple(at.astype(np.intp).T)]


def _parse(text: str, shape: tuple[int, ...]) -> list[Part]:
    inner = text.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        raise SelectionError(f"{_short(text)} is no selection; expected such as [0:5,3]")
    items = _ITEM.findall(inner[1:-1])
    if len(items) != len(shape):
        raise SelectionError(
            f"{_short(text)} selects in {len(items)} dimensions of an array of {len(shape)}"
        )
    try:
        return [_part(item.strip(), n) for item, n in zip(items, shape, strict=True)]
    except (ValueError, RecursionError) as error:
        raise SelectionError(f"{_short(text)} does not fit the shape {shape}: {error}") from error


def _part(item: str, n: int) -> Part:
    if item.startswith("["):
        chosen = json.loads(item)
        if not all(type(i) is int and 0 <= i < n for i in chosen):
            raise ValueError(f"indices must be whole numbers from 0 to {n - 1}")
        return list(chosen)
    if ":" not in item:
        at = int(item)
        if not 0 <= at < n:
            raise ValueError(f"{at} is not from 0 to {n - 1}")
        return slice(at, at + 1)
    bounds = [int(part) if part.strip() else None for part in item.split(":")]
    if len(bounds) > 3 or any(bound is not None and bound < 0 for bound in bounds):
        raise ValueError(f"{item!r} is not start:stop:step, from 0")
    found = slice(*bounds)
    if found.step == 0 or (found.stop is not None and found.stop > n):
        raise ValueError(f"{item!r} reaches beyond {n}")
    return found


def _short(text: str) -> str:
    return repr(text if len(text) < 60 else text[:60] + "...")
