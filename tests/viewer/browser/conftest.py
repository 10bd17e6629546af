"""A real browser, a page to look at, and a beamline whose shots come when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer
from tests.viewer.browser.beam import Beam
from tests.viewer.browser.chromium import MISSING, Chromium, executable
from tests.viewer.browser.window import Window

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """panel 1.9 makes requests as tornado before 6.6 liked them."""
    ignored = pytest.mark.filterwarnings("ignore:.*HTTPServerRequest:DeprecationWarning")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(ignored)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """One browser for all tests of this process; each window is as if of another person."""
    if executable() is None:
        pytest.skip(MISSING)
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture
def new_window(chromium: Chromium) -> Iterator[Callable[..., Window]]:
    """Makes windows; after the test nothing may have gone wrong in any of them."""
    windows: list[Window] = []

    def make(address: str, *, width: int = 1280, height: int = 800, **context: Any) -> Window:
        size = {"width": width, "height": height}
        made = Window(chromium, chromium.new_context(viewport=size, **context), address)
        windows.append(made)
        return made

    yield make
    for window in windows:
        window.close()
    for window in windows:
        window.assert_clean()


@pytest.fixture
def beam(live: LiveAnalysis) -> Beam:
    """A powder on a small Pilatus; nothing has come yet."""
    return Beam(live)


@pytest.fixture
def served(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> ResultsServer:
    """A server of the results and the page."""
    return started(live)


@pytest.fixture
def window(served: ResultsServer, new_window: Callable[..., Window]) -> Window:
    """A window in which the page stands."""
    return new_window(served.address).open()
