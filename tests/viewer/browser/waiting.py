"""Wait for what must come, and say what was there where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 30.0
"""So long something may take on a machine that does much else; nothing waits when it is there."""


def until(
    condition: Callable[[], Any],
    words: str,
    *,
    found: Callable[[], Any] | None = None,
    patience_s: float = PATIENCE_S,
) -> Any:
    """What a condition gives as soon as that counts as true.

    Raises `AssertionError` with the words, and with what `found` gives, where it never does.
    """
    end = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > end:
            more = "" if found is None else f"; found {found()!r}"
            raise AssertionError(f"{words}: not within {patience_s} s{more}")
        time.sleep(0.01)
    return value
