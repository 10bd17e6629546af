"""Which ways through the package an input goes: what the kept corpus is chosen by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import femto_bluesky

HOUSE = str(Path(femto_bluesky.__file__).parent)
OWN = f"{HOUSE}/testing/"

Arc = tuple[str, int, int]
"""A file, and two of its lines that were run one after the other."""


@contextmanager
def traced() -> Iterator[set[Arc]]:
    """The ways that are gone meanwhile, in this thread."""
    found: set[Arc] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(HOUSE) or name.startswith(OWN):
            return None
        before = -frame.f_lineno

        def follow(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                found.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return follow

        return follow

    previous = sys.gettrace()
    sys.settrace(enter)
    try:
        yield found
    finally:
        sys.settrace(previous)


def chosen(
    inputs: Iterable[bytes], run: Callable[[bytes], Any], known: Iterable[bytes], most: int
) -> tuple[list[bytes], int]:
    """The inputs that go ways that no other goes, the shortest first, and how many ways there are.

    What is `known` stays; of the others as many come along as make `most` of both, those with the
    most ways of their own first.
    """

    def ways(data: bytes) -> set[Arc]:
        with traced() as found:
            run(data)
        return found

    kept = list(known)
    gone = set().union(*map(ways, kept))
    left = {data: ways(data) for data in sorted(set(inputs) - set(kept), key=lambda d: (len(d), d))}
    while left and len(kept) < most:
        best = max(left, key=lambda data: len(left[data] - gone))
        new = left.pop(best) - gone
        if not new:
            break
        kept.append(best)
        gone |= new
    return kept, len(gone)
