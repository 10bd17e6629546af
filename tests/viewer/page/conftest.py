"""What looks at an analysis for all browsers; it does so when a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.snapshots import Snapshots


@pytest.fixture
def hub(live: LiveAnalysis) -> Iterator[Hub]:
    snapshots = Snapshots(live)
    found = Hub(live, snapshots)
    yield found
    found.close()
    snapshots.close()
