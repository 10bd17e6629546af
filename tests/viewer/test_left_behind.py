"""What is left when a server of results has ended: nothing that holds images."""

from __future__ import annotations

import gc
from collections.abc import Callable

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.snapshots import Snapshots


def n_left() -> tuple[int, int]:
    gc.collect()
    found = gc.get_objects()
    return sum(isinstance(o, Hub) for o in found), sum(isinstance(o, Snapshots) for o in found)


def test_nothing_of_a_server_that_was_closed(
    live: LiveAnalysis, started: Callable[..., ResultsServer]
) -> None:
    hubs, snapshots = n_left()
    for _ in range(3):
        started(live).close()
    # the fixture keeps the servers, and each of these keeps its snapshots
    assert n_left() == (hubs, snapshots + 3)
