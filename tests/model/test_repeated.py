"""An array that numpy has made large by repeating it is known, and one that is large is not."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.model.repeated import is_repeated
from femto_bluesky.sources import jsonl
from femto_bluesky.stream.frames import FrameError, InlineFrames, checked_image

HUGE = np.broadcast_to(np.float32(1), (10**6, 10**6))


def test_repeated_memory_is_known() -> None:
    assert is_repeated(HUGE)
    assert is_repeated(np.broadcast_to(np.arange(1000.0), (10**5, 1000)))
    for array in (np.zeros((4104, 4128), "f4"), np.zeros((4104, 4128), "f8")[::-1, ::2],
                  np.broadcast_to(1.0, (1000, 1000)), np.zeros(0)):  # fmt: skip
        assert not is_repeated(array)


def test_it_is_refused_before_it_is_copied() -> None:
    with pytest.raises(FrameError, match="of which most are the same memory, expected frames"):
        checked_image(HUGE, "run a")
    with pytest.raises(FrameError, match="of 4000000000000 bytes"):
        InlineFrames(np.broadcast_to(np.float32(1), (10**10, 10, 10)), None, "run a")
    with pytest.raises(jsonl.JsonLinesError, match="cannot be written as JSON"):
        jsonl.strict({"a": HUGE})
    assert jsonl.strict({"a": HUGE}, str)["a"].startswith("[[1. 1.")
