"""An analysis that has seen shots, and a server of its results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer, serve
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.snapshots import Snapshots
from tests.viewer.shown import ROIS


@pytest.fixture(scope="module", autouse=True)
def warnings_are_logged() -> Iterator[None]:
    """h5pyd 1.0 has the root logger tell errors only, each time that it opens a file."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture
def live() -> LiveAnalysis:
    return LiveAnalysis(ROIS)


@pytest.fixture
def hub(live: LiveAnalysis) -> Iterator[Hub]:
    """What looks at an analysis for all browsers; it does so when a test says so."""
    snapshots = Snapshots(live)
    found = Hub(live, snapshots)
    yield found
    found.close()
    snapshots.close()


@pytest.fixture
def started() -> Iterator[Callable[..., ResultsServer]]:
    """Starts servers, and ends them after the test."""
    servers: list[ResultsServer] = []

    def start(live: LiveAnalysis, *args: Any, **kwargs: Any) -> ResultsServer:
        servers.append(serve(live, *args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
