"""Documents that somebody replays: of a catalog, of a file of their own, or made by a program."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from femto_bluesky.sources.replay import replay
from femto_bluesky.testing.hostile import documents, values


def made(rng: Random, number: int, folder: Path) -> list[Any]:
    """Documents with their names, and now and then what is no such pair."""
    pairs: list[Any] = list(documents.made(rng, number, folder))
    if rng.random() < 0.2:
        odd = [None, (), ("start",), ("a", {}, 1), "ab", [1, 2], {"name": "start"}, 5, ("start", 5),
               ({}, {}), (None, None), ["stop", {}], values.value(rng, folder)]  # fmt: skip
        pairs.insert(rng.randrange(len(pairs) + 1), rng.choice(odd))
    return pairs


def replayed(pairs: list[Any], folder: Path) -> str | None:
    """Replay them to an analysis; the first that went wrong in it is raised behind the last."""
    live = documents.analysis().read_as(directory=folder / "out")
    try:
        replay(iter(pairs), live)
    except Exception as error:
        if error not in live.failures:
            raise
        return str(error)[:10_000] or "?"
    return None
