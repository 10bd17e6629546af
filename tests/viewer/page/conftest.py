"""Parts of the page without a browser."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_document_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a test before ended amid a callback leaves its document as the current one."""
    monkeypatch.setattr("bokeh.io.doc._PATCHED_CURDOCS", [])
