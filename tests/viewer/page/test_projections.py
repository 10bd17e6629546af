"""The curves beside the image: made while they are seen, at most twice a second."""

from __future__ import annotations

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.image import ImageFigure
from femto_bluesky.viewer.page.projections import ProjectionCurves
from tests.viewer.page.at_once import AtOnce
from tests.viewer.page.screen import Clock, Screen, show

IMAGE = frozenset({"image"})
PULSE = frozenset({"pulse"})


def test_curves_are_made_while_they_are_seen(hub: Hub, live: LiveAnalysis) -> None:
    session, clock = AtOnce(hub), Clock()
    image = ImageFigure(session, clock)
    curves, screen = ProjectionCurves(session, image, clock), Screen(image)
    show(live, 7)
    screen.say(0)
    screen.say()
    curves.refresh(IMAGE)
    assert len(curves.over_rows.data["x"]) == 0
    curves.switch.value = True
    assert list(curves.over_rows.data["y"][3:6]) == [0, 7, 0]
    assert list(curves.over_rows.data["x"][:2]) == [0.5, 1.5]
    assert list(curves.over_columns.data["x"][2:5]) == [0, 7, 0]
    # at most twice a second, and the last change is shown
    show(live, 7, 1)
    clock.now = 0.2
    curves.refresh(IMAGE)
    assert max(curves.over_rows.data["y"]) == 7
    clock.now = 0.6
    curves.refresh(PULSE)
    assert max(curves.over_rows.data["y"]) == 14
    # of what is in sight alone
    clock.now = 1.2
    screen.look_at(3, 3)
    screen.say()
    assert len(curves.over_rows.data["x"]) == 3
    assert max(curves.over_rows.data["y"]) == 0
    curves.switch.value = False
    clock.now = 9.0
    screen.look_at(50, 40)
    screen.say()
    curves.refresh(IMAGE)
    assert len(curves.over_rows.data["x"]) == 3


def test_another_detector_is_shown_once_on_a_display_that_stands_still(
    hub: Hub, live: LiveAnalysis
) -> None:
    session, clock = AtOnce(hub), Clock()
    image = ImageFigure(session, clock)
    curves, screen = ProjectionCurves(session, image, clock), Screen(image)
    show(live, 7)
    show(live, 9, detector="other")
    screen.say(0)
    screen.say()
    curves.switch.value = True
    session.choose(is_paused=True)
    clock.now = 1.0
    session.choose(detector="other")
    screen.say()
    assert max(curves.over_rows.data["y"]) == 9
    show(live, 9, 1, detector="other")
    clock.now = 2.0
    curves.refresh(PULSE)
    assert max(curves.over_rows.data["y"]) == 9
