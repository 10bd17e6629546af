"""Documents for the joiner alone, many times faster than a whole analysis takes them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from femto_bluesky.sources.documents import Document
from femto_bluesky.stream.events import JoinedEvent, as_it_is_now
from femto_bluesky.stream.joiner import Joiner
from femto_bluesky.testing.hostile import documents


def joined(docs: Iterable[Document], folder: Path) -> str | None:
    """Join documents as the shell does, then a run as it should be, which must come out as it is.

    The words of what went wrong; nothing that a run brings may touch the other one.
    """
    joiner = Joiner("primary", lambda source: source.close())
    words = [str(error) or repr(error) for error in _given(joiner, docs)[1]]
    frames, errors = _given(joiner, documents.run("of the witness", folder / "out", "stream"))
    assert not errors, f"the next run was not joined: {errors[0]!r}"
    expected = np.arange(256).reshape(4, 8, 8)
    assert np.array_equal(frames, expected), f"the next run has {len(frames)} other frames"
    return "; ".join(words)[:10_000] or None


def _given(joiner: Joiner, docs: Iterable[Document]) -> tuple[list[np.ndarray], list[Exception]]:
    frames: list[np.ndarray] = []
    errors: list[Exception] = []
    for name, doc in docs:
        uid = None
        try:
            uid = joiner.run_of(name, doc)
            for item in map(as_it_is_now, joiner.receive(name, doc)):
                if isinstance(item, JoinedEvent):
                    frames += _frames(item)
        except Exception as error:  # the shell isolates all of them
            errors.append(error)
            if uid is not None:
                joiner.forget(uid)
    return frames, errors


def _frames(event: JoinedEvent) -> list[np.ndarray]:
    return [
        frame.copy()
        for burst in event.bursts.values()
        if burst.is_there
        for frame in islice(burst.frames(), 4)
    ]
