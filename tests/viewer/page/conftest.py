"""What looks at an analysis for all browsers; it does so when a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.snapshots import Snapshots


@pytest.fixture(autouse=True)
def no_document_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a test before ended amid a callback leaves its document as the current one."""
    monkeypatch.setattr("bokeh.io.doc._PATCHED_CURDOCS", [])


@pytest.fixture
def hub(live: LiveAnalysis) -> Iterator[Hub]:
    snapshots = Snapshots(live)
    found = Hub(live, snapshots)
    yield found
    found.close()
    snapshots.close()
