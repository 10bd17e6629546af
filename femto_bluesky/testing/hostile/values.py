"""Values that nobody expects, and ways to damage what is well formed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np


def nested(depth: int, *, as_dict: bool = False) -> Any:
    """Lists in lists, or dicts in dicts."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if as_dict else [value]
    return value


def names(folder: Path) -> list[str]:
    """Names that lead elsewhere, cannot be a file's, or are no text that somebody wrote."""
    return [
        "", ".", "..", "../../marker", "../" * 40 + "tmp/femto-hostile-marker", f"{folder}/marker",
        "/etc/passwd", "/dev/zero", "/dev/full", "/proc/self/mem", "a/b\\c", "nul\0byte", "x" * 300,
        "y" * 100_000, "\ud800", "\u202egnp.h5", "\x1b[2J\x07", "a\nb\r\nERROR forged", "é" * 200,
        "e\u0301", "🜁", "%s%s%n", "%2e%2e%2f", "{0.__class__}", "{}" * 50, "%09999999d",
        "${HOME}", "$(touch marker)", "`touch marker`", "; touch marker", "<script>x</script>",
        "__proto__", "__class__", "nan", "-", "con", "*", "~root", "file:///etc/passwd", "0x10",
        "http://127.0.0.1:9/x", "'; DROP TABLE runs; --", " ", "\ufeff", "true", "1e999",
    ]  # fmt: skip


def numbers() -> list[Any]:
    """Numbers, and what is taken for one."""
    return [
        0, -1, 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**9, 10**18,
        10**400, -(10**400), 1e9, 1e308, -1e308, 5e-324, -0.0, math.nan, math.inf, -math.inf,
        True, False, 1.5, "1", "1e9", 3 + 4j, np.float32("nan"), np.uint64(2**64 - 1), np.int8(-1),
    ]  # fmt: skip


def things() -> list[Any]:
    """What is neither number nor name."""
    return [
        None, [], {}, (), [[]], [None], {"": None}, {1: 2}, {None: [1]}, [1, "a", None], b"", b"\0",
        bytes(1000), nested(40), nested(200), nested(200, as_dict=True), set(), frozenset({1}),
        object(), int, len, range(10**12), [math.nan] * 3, np.zeros(0), np.zeros((0, 4, 4)),
        np.array([None, {}], object), np.zeros((2, 2), "M8[s]"), np.zeros(3, [("a", "i4")]),
        np.array(["x"]), np.full((3, 3), np.nan), np.zeros((1,) * 30), memoryview(b"abc"), Ellipsis,
        NotImplemented, [[1, 2], [3]], [[[1]]], np.ma.masked, np.broadcast_to(1.0, (10**6, 10**6)),
    ]  # fmt: skip


def value(rng: Random, folder: Path) -> Any:
    """Any of them."""
    kind = rng.choice([lambda: names(folder), numbers, things])
    return rng.choice(kind())


def plain_value(rng: Random, folder: Path) -> Any:
    """Any of them that JSON and the like can hold."""
    while True:
        found = value(rng, folder)
        if isinstance(found, str | int | float | list | dict | None) and _is_json(found):
            return found


def _is_json(found: Any) -> bool:
    if isinstance(found, list):
        return all(map(_is_json, found))
    if isinstance(found, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in found.items())
    return isinstance(found, str | int | float | bool | None) and not isinstance(found, np.generic)


Place = tuple[Any, Any]


def places(tree: Any) -> list[Place]:
    """Each place in dicts and lists, as what holds it and its key."""
    found: list[Place] = []
    left = [tree]
    while left:
        holder = left.pop()
        keys = holder.keys() if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                left.append(holder[key])
    return found


def copied(tree: Any) -> Any:
    """The same dicts and lists anew; what is in them stays, for not all of it can be copied."""
    if type(tree) is dict:
        return {key: copied(value) for key, value in tree.items()}
    if type(tree) is list:
        return [copied(value) for value in tree]
    return tree


def damaged(tree: Any, rng: Random, new: Callable[[], Any]) -> Any:
    """A copy of a tree of dicts and lists in which one place is gone, doubled, or another."""
    tree = copied(tree)
    found = places(tree)
    if not found:
        return tree
    holder, key = rng.choice(found)
    way = rng.randrange(6)
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        name = new()
        holder[name if isinstance(name, str | int | float | None) else "?"] = holder.pop(key)
    elif way == 2:
        holder[key] = [holder[key]]
    elif way == 3:
        other, there = rng.choice(found)
        is_there = there in other if isinstance(other, dict) else there < len(other)
        if is_there:
            holder[key] = copied(other[there])
    else:
        holder[key] = new()
    return tree


def damaged_bytes(data: bytes, rng: Random) -> bytes:
    """Bytes that were cut off, changed, doubled, or in which a number has become a huge one."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        if not changed:
            break
        at = rng.randrange(len(changed))
        way = rng.randrange(9)
        if way == 0:
            del changed[at:]
        elif way == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif way == 2:
            changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x5B, 0x7B, 0x2E])
        elif way == 3:
            changed[at:at] = rng.randbytes(rng.choice([1, 2, 4, 50]))
        elif way == 4:
            size = rng.choice([1, 2, 4, 8])
            huge = rng.choice([2 ** (8 * size) - 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 2)])
            changed[at : at + size] = huge.to_bytes(size, rng.choice(["little", "big"]))
        elif way == 5:
            end = at + rng.randrange(1, 200)
            changed[at:at] = changed[at:end] * rng.choice([1, 2, 40])
        elif way == 6:
            del changed[at : at + rng.randrange(1, 64)]
        elif way == 7:
            changed[at : at + rng.randrange(1, 64)] = bytes(rng.randrange(64))
        else:
            other = rng.randrange(len(changed))
            size = rng.randrange(1, 64)
            changed[at : at + size] = changed[other : other + size]
    return bytes(changed)
