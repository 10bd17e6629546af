"""What parts of the page have made in threads: one thing after the other, and the newest."""

from __future__ import annotations

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.cursor import CursorLine
from femto_bluesky.viewer.page.image import ImageFigure
from femto_bluesky.viewer.page.mask import MaskPanel
from femto_bluesky.viewer.page.newest import Newest
from femto_bluesky.viewer.page.projections import ProjectionCurves
from tests.viewer.page.at_once import AtOnce
from tests.viewer.page.screen import Clock, Screen, show

IMAGE = frozenset({"image"})


@pytest.fixture
def session(hub: Hub) -> AtOnce:
    return AtOnce(hub)


def test_of_what_is_asked_for_meanwhile_the_last_is_made(session: AtOnce) -> None:
    made: list[int] = []
    newest = Newest[int](session, made.append)
    session.is_waiting = True
    for number in range(5):
        newest.ask(lambda number=number: number)  # type: ignore[misc]
    assert len(session.waiting) == 1
    session.is_waiting = False
    session.waiting.pop()()
    assert made == [0, 4]
    assert not newest.is_busy


def test_after_what_could_not_be_made_the_next_is(
    session: AtOnce, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[float] = []
    newest = Newest[float](session, made.append)
    newest.ask(lambda: 1 / 0)
    assert "division by zero" in caplog.text
    newest.ask(lambda: 2.0)
    assert made == [2.0]


def test_a_mouse_that_has_left_meanwhile_is_nowhere(live: LiveAnalysis, session: AtOnce) -> None:
    image = ImageFigure(session, Clock())
    cursor, screen = CursorLine(session, image), Screen(image)
    show(live, 7)
    screen.say(0)
    session.is_waiting = True
    cursor.mouse.data = {"x": [4.5], "y": [3.5]}
    cursor.mouse.data = {"x": [None], "y": [None]}
    session.waiting.pop()()
    assert cursor.view.object == ""


def test_sums_of_an_image_that_has_gone_go_too(live: LiveAnalysis, session: AtOnce) -> None:
    clock = Clock()
    image = ImageFigure(session, clock)
    curves, screen = ProjectionCurves(session, image, clock), Screen(image)
    show(live, 7)
    screen.say(0)
    curves.switch.value = True
    assert max(curves.over_rows.data["y"]) == 7
    live.accumulation().reset()
    clock.now = 1.0
    curves.refresh(IMAGE)
    assert curves.over_rows.data == curves.over_columns.data == {"x": [], "y": []}


def test_the_masked_pixels_are_those_of_the_detector_that_is_shown(
    live: LiveAnalysis, session: AtOnce
) -> None:
    panel = MaskPanel(session, lambda is_shown: None)
    for name, shape in (("one", (5, 6)), ("other", (4, 5))):
        show(live, detector=name, shape=shape)
    panel.refresh(IMAGE)
    assert "0 of 30" in panel._told.view.object
    session.choose(detector="other")
    panel.refresh(IMAGE)
    assert "0 of 20" in panel._told.view.object
    live.accumulation("other").reset()
    panel._due = 0.0
    panel.refresh(IMAGE)
    assert panel._told.view.object == ""
