"""Several browsers and the console: what is set in one is seen in all, what one looks at is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam
from tests.viewer.browser.window import Window

REGION_NAMES = ".fb-regions .fb-region:not([hidden]) .fb-region-name"


@pytest.fixture
def live() -> LiveAnalysis:
    return LiveAnalysis(
        {"ring": Roi(x0=20, y0=30, x1=60, y1=70)}, geometries={"pilatus": POWDER_GEOMETRY}
    )


@pytest.fixture
def both(
    beam: Beam, served: ResultsServer, new_window: Callable[..., Window]
) -> tuple[Window, Window]:
    """Two browsers, in which a scan is seen."""
    beam.scan((0.0, 1.0), n=2)
    windows = new_window(served.address).open(), new_window(served.address).open()
    for window in windows:
        window.figure("image").until_title("Sum of 4 images")
    return windows


def region_names(window: Window) -> list[str]:
    script = "fields => fields.map(field => field.value)"
    return window.do(lambda page: page.locator(REGION_NAMES).evaluate_all(script))


def test_what_one_changes_all_see(live: LiveAnalysis, both: tuple[Window, Window]) -> None:
    one, other = both
    for window in both:
        window.until_value(".fb-distance-m", "0.02")
        window.until_text(".fb-accumulate", "Stop sum")
    # one, the other and the console in turn
    one.fill(".fb-distance-m", "0.025")
    one.until(lambda: geometry_distance(live) == 0.025, "the geometry is set")
    other.until_value(".fb-distance-m", "0.025")
    other.click(".fb-accumulate")
    one.until_text(".fb-accumulate", "Start sum")
    assert not live.accumulation().settings.accumulating
    live.configure({"rois": {"gap": Roi(x0=0, y0=0, x1=9, y1=9)}, "accumulate": True})
    for window in both:
        window.until(lambda: region_names(window) == ["gap"], "the regions of the console")  # noqa: B023
        window.until_text(".fb-accumulate", "Stop sum")
    one.click(".fb-reset")
    other.until(lambda: "4" not in other.figure("image").title, "the sum begins anew")
    other.click(".fb-undo-reset")
    one.figure("image").until_title("Sum of 4 images")


@pytest.mark.long
def test_what_one_looks_at_is_its_own(beam: Beam, both: tuple[Window, Window]) -> None:
    one, other = both
    before = other.figure("image").x_range
    image = one.figure("image")
    image.wheel(80, 60, -300)
    one.until(lambda: image.x_range[1] - image.x_range[0] < 150, "one zooms in")
    zoomed = image.x_range
    other.click(".fb-pause")
    other.until_text(".fb-pause", "PAUSED")
    one.click(".fb-dark-mode")
    one.until(lambda: is_dark(one), "one is dark")
    beam.shot()
    image.until_title("Sum of 5 images")
    # zoom stays when data change, the other has its own, and stands still
    assert image.x_range == zoomed
    assert other.figure("image").x_range == before
    assert "Sum of 4 images" in other.figure("image").title
    assert not is_dark(other)
    other.click(".fb-pause")
    other.figure("image").until_title("Sum of 5 images")


def geometry_distance(live: LiveAnalysis) -> float:
    found = live.diffraction.geometry("pilatus")
    assert found is not None
    return found.distance_m


def is_dark(window: Window) -> bool:
    return window.run("() => document.documentElement.classList.contains('fb-dark')")
