"""Settings, colours, keys and the state of the connection, as somebody sees and uses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer
from femto_bluesky.viewer.page.theme import DARK, LIGHT
from tests.viewer.browser.beam import Beam
from tests.viewer.browser.window import Window

Windows = Callable[..., Window]

THRESHOLD = ".fb-cmos-threshold-adu"
IS_DARK = "() => document.documentElement.classList.contains('fb-dark')"
SURFACE = "() => getComputedStyle(document.querySelector('section.left')).backgroundColor"


def opened(window: Window, card: str = "cmos") -> Window:
    window.click(f".fb-card-{card} button.card-header")
    window.until(lambda: window.is_visible(f".fb-form-{card}"), "the form is open")
    return window


def colour(name: str) -> str:
    return f"rgb({int(name[1:3], 16)}, {int(name[3:5], 16)}, {int(name[5:7], 16)})"


@pytest.mark.long
def test_a_setting_counts_with_enter_and_all_see_it(
    live: LiveAnalysis, beam: Beam, window: Window, served: ResultsServer, new_window: Windows
) -> None:
    beam.shot()
    other = opened(new_window(served.address).open())
    opened(window)
    window.fill(THRESHOLD, "12", enter=False)
    window.until(lambda: window.is_visible(".fb-apply-cmos"), "what is typed can be applied")
    assert live.cleaning.settings.threshold_adu is None
    window.press("Enter", THRESHOLD)
    other.until_value(THRESHOLD, "12")
    assert live.cleaning.settings.threshold_adu == 12
    window.until(lambda: not window.is_visible(".fb-apply-cmos"), "all is applied")
    # what is typed is not overwritten by the console, but marked
    window.fill(THRESHOLD, "7", enter=False)
    window.until(lambda: window.count(f"{THRESHOLD}.is-unsaved"), "it is marked")
    live.configure({"cmos": {"threshold_adu": 30}})
    other.until_value(THRESHOLD, "30")
    window.until_text(".fb-setting-note", "changed elsewhere to 30")
    assert window.value(THRESHOLD) == "7"
    window.click(".fb-revert-cmos")
    window.until_value(THRESHOLD, "30")
    window.fill(THRESHOLD, "-1")
    window.until_text(".fb-setting-note", r"greater than or equal to 0 \(found -1")
    assert live.cleaning.settings.threshold_adu == 30


@pytest.mark.long
def test_dark_and_pause_by_key_but_not_while_typing(window: Window, beam: Beam) -> None:
    beam.scan()
    assert not window.run(IS_DARK)
    assert window.run(SURFACE) == colour(LIGHT.surface)
    window.press("d")
    window.until(lambda: window.run(SURFACE) == colour(DARK.surface), "the page is dark")
    background = """() => [...Bokeh.documents[0].all_models].filter(m => m.type == "Figure")
        .map(m => m.border_fill_color)"""
    window.until(lambda: set(window.run(background)) <= {DARK.surface}, "all figures are dark")
    window.press("?")
    window.until(lambda: window.is_visible("#fb-help"), "keys are told")
    assert "pause the display" in window.text("#fb-help")
    window.press("Escape")
    window.click(".fb-show-help")
    window.until(lambda: window.is_visible("#fb-help"), "keys are told")
    window.press("Escape")
    window.press("p")
    window.until_text(".fb-pause", "PAUSED")
    opened(window)
    window.press("p", THRESHOLD)
    window.press("d", THRESHOLD)
    assert window.value(THRESHOLD) == "pd"
    assert window.text(".fb-pause") == "PAUSED"
    # it is remembered, and there at once
    window.reload()
    assert window.run(IS_DARK)
    window.until_text(".fb-pause", "Pause")


@pytest.mark.long
def test_a_browser_that_likes_it_dark_gets_it_dark(
    served: ResultsServer, new_window: Windows
) -> None:
    window = new_window(served.address, color_scheme="dark").open()
    assert window.run(IS_DARK)
    window.click(".fb-dark-mode")
    window.until(lambda: not window.run(IS_DARK), "it is light")
    window.reload()
    assert not window.run(IS_DARK)
