"""Frames in documents that wait: on disk where they are too many, and the same as they were."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from femto_bluesky.stream.events import Burst, ImageKey, JoinedEvent
from femto_bluesky.stream.frames import InlineFrames
from femto_bluesky.stream.spool import Spool, SpooledFrames

KEY = ImageKey("pilatus_image", "pilatus", 3, (4, 5), None, False)
N_BYTES = 3 * 4 * 5 * 4


def event(number: int, dtype: str = "f4") -> JoinedEvent:
    frames = np.arange(60).reshape(3, 4, 5).astype(dtype) + number
    return of(frames, number)


def of(value: Any, number: int = 1) -> JoinedEvent:
    source = InlineFrames(value, None, "run a")
    return JoinedEvent({}, {}, {"seq_num": number}, {"pilatus": Burst(KEY, source, 0, len(source))})


def test_frames_beyond_the_limit_go_to_disk_and_come_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, in_memory_bytes=2 * N_BYTES)
    kept = [spool.kept(event(number)) for number in range(5)]
    sources = [one.bursts["pilatus"].source for one in kept]
    assert [isinstance(one, SpooledFrames) for one in sources] == [False] * 2 + [True] * 3
    assert (spool.n_bytes, spool.n_on_disk) == (2 * N_BYTES, 3)
    assert list(tmp_path.iterdir()) == []  # it has no name that could stay
    for number, one in enumerate(kept):
        found = [frame.copy() for frame in one.bursts["pilatus"].frames()]
        np.testing.assert_array_equal(found, np.arange(60).reshape(3, 4, 5) + number)
        assert len(one.bursts["pilatus"].source or ()) == 3
    del kept, sources, one
    gc.collect()
    assert (spool.n_bytes, spool.n_on_disk) == (0, 0)
    assert spool._file is not None
    assert spool._file.seek(0, 2) == 0  # its room is free again
    spool.kept(event(1))


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i8", "f2", "?"])
def test_of_each_kind_what_is_read_is_what_would_have_been(tmp_path: Path, dtype: str) -> None:
    at_once, later = event(1, dtype), Spool(tmp_path, 0).kept(event(1, dtype))
    for one, other in zip(
        at_once.bursts["pilatus"].frames(), later.bursts["pilatus"].frames(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_what_is_not_in_memory_stays_where_it_is(tmp_path: Path) -> None:
    class Lazy:
        shape, dtype = (3, 4, 5), np.dtype("f4")

    spool = Spool(tmp_path, 0)
    given = of(Lazy())
    assert spool.kept(given).bursts["pilatus"].source is given.bursts["pilatus"].source
    gone = replace(event(1), bursts={"pilatus": Burst(KEY, None, 0, 3)})
    assert spool.kept(gone).bursts == gone.bursts


def test_where_the_disk_is_full_they_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("femto_bluesky.stream.spool.tempfile.TemporaryFile", full)
    spool = Spool(tmp_path, 0)
    with caplog.at_level(logging.ERROR):
        kept = [spool.kept(event(number)) for number in range(3)]
    assert spool.n_bytes == 3 * N_BYTES
    assert [record.getMessage() for record in caplog.records] == [
        "frames wait in memory: they cannot be kept on disk ([Errno 28] No space left on device)"
    ]
    assert all(isinstance(one.bursts["pilatus"].source, InlineFrames) for one in kept)
