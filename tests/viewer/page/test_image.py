"""The image without a browser: what is sent when, and what is heard."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.viewer.colour_scale import ColourScale
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.colours import ColourControls
from femto_bluesky.viewer.page.cursor import CursorLine
from femto_bluesky.viewer.page.image import EMPTY, NOTHING, ImageFigure
from femto_bluesky.viewer.page.palettes import NAMES, colours, no_data
from femto_bluesky.viewer.pictures import Pictures
from tests.viewer.page.at_once import AtOnce
from tests.viewer.page.screen import Clock, Screen, show

IMAGE = frozenset({"image"})
PULSE = frozenset({"pulse"})


@pytest.fixture
def session(hub: Hub) -> AtOnce:
    return AtOnce(hub)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def image(session: AtOnce, clock: Clock) -> ImageFigure:
    return ImageFigure(session, clock)


@pytest.fixture
def screen(image: ImageFigure) -> Screen:
    return Screen(image)


def test_nothing_is_sent_before_the_browser_has_a_canvas_and_there_is_an_image(
    live: LiveAnalysis, image: ImageFigure, screen: Screen
) -> None:
    image.refresh(IMAGE)
    screen.say(0)
    assert (screen.n_received, image.figure.title.text) == (0, NOTHING)
    show(live)
    image.refresh(IMAGE)
    assert screen.n_received == 1
    assert screen.title == "Sum of 1 image, Total 1, Hottest 1"


def test_one_picture_is_on_its_way_and_then_comes_the_newest(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen, clock: Clock
) -> None:
    show(live)
    screen.say(0)
    assert (screen.n_received, session.n_drawn) == (1, 0)
    for number in range(1, 6):
        show(live, 1, number)
        image.refresh(IMAGE)
    assert screen.n_received == 1
    screen.say()
    assert (screen.n_received, session.n_drawn) == (2, 1)
    assert screen.title == "Sum of 6 images, Total 6, Hottest 6"
    # an answer that does not come is waited for a second
    show(live, 1, 6)
    image.refresh(IMAGE)
    assert screen.n_received == 2
    clock.now = 1.1
    image.refresh(PULSE)
    assert screen.n_received == 3
    assert image.wire.data["base"] == [0]  # what became of the one before is not known
    screen.say()
    # nothing is sent twice
    image.refresh(IMAGE)
    assert screen.n_received == 3


def test_what_differs_is_sent_and_all_where_the_browser_has_lost_it(
    live: LiveAnalysis, image: ImageFigure, screen: Screen
) -> None:
    show(live)
    screen.say(0)
    assert image.wire.data["base"] == [0]
    screen.say()
    show(live, 5, 1)
    image.refresh(IMAGE)
    assert image.wire.data["base"] == [1]
    assert image.picture is not None
    np.testing.assert_array_equal(screen.codes, image.picture.codes)
    screen.say(0)
    assert image.wire.data["base"] == [0]
    np.testing.assert_array_equal(screen.codes, image.picture.codes)


def test_a_hidden_tab_and_a_display_that_stands_still_are_sent_nothing(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    show(live)
    screen.say(0)
    screen.say(hidden=True)
    assert session.is_hidden
    n = screen.n_received
    show(live, 1, 1)
    image.refresh(IMAGE)
    assert screen.n_received == n
    screen.say()
    image.refresh(IMAGE)  # as the session tells all that is seen again
    assert (session.is_hidden, screen.n_received) == (False, n + 1)
    screen.say()
    session.choose(is_paused=True)
    show(live, 1, 2)
    image.refresh(PULSE)
    image.want()
    assert screen.n_received == n + 1


def test_zoom_brings_a_finer_picture_and_is_kept(
    live: LiveAnalysis, image: ImageFigure, screen: Screen
) -> None:
    show(live, shape=(400, 500))
    views: list[int] = []
    image.on_view.append(lambda: views.append(1))
    screen.say(0)
    screen.say()
    assert image.picture is not None
    assert image.picture.view.factor == 5
    n = screen.n_received
    screen.look_at(50, 50)
    screen.say()
    assert (image.picture.view.box, image.picture.view.factor) == ((0, 50, 0, 50), 1)
    assert screen.codes[3, 4] == 255
    assert screen.n_received > n
    assert views
    show(live, 2, 1, shape=(400, 500))
    screen.say()
    image.refresh(IMAGE)
    assert image.picture.view.box == (0, 50, 0, 50)
    assert image.figure.x_range.end == 50


def test_ends_of_ranges_that_come_one_after_the_other_are_one_move(
    live: LiveAnalysis, image: ImageFigure, screen: Screen
) -> None:
    show(live, shape=(400, 500))
    screen.say(0)
    screen.say()
    n = screen.n_received
    screen.look_at(50, 50)
    assert screen.n_received == n
    screen.tick()
    assert screen.n_received == n + 1
    assert image.picture is not None
    assert image.picture.view.box == (0, 50, 0, 50)


def test_another_detector_is_shown_from_edge_to_edge(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    show(live)
    screen.say(0)
    screen.look_at(10, 10)
    screen.say()
    show(live, detector="other", shape=(20, 25))
    screen.say()
    session.choose(detector="other")
    image.refresh(IMAGE)
    assert image.wire.data["kind"] == [2]
    assert (image.wire.data["all_rows"], image.wire.data["all_columns"]) == ([20], [25])
    assert image.picture is not None
    assert image.picture.view.box == (0, 20, 0, 25)


def test_after_a_reset_the_old_picture_is_not_seen(
    live: LiveAnalysis, image: ImageFigure, screen: Screen
) -> None:
    show(live)
    screen.say(0)
    screen.say()
    live.accumulation().reset()
    image.refresh(IMAGE)
    assert (screen.title, screen.is_blank) == (EMPTY, True)
    live.accumulation().undo_reset()
    image.refresh(IMAGE)
    assert "Sum of 1 image," in screen.title
    assert not screen.is_blank


def test_a_picture_that_cannot_be_made_does_not_end_the_others(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    show(live)
    with monkeypatch.context() as patched:
        patched.setattr(session.hub.pictures, "picture", fail)
        screen.say(0)
    assert "the image could not be shown" in caplog.text
    assert screen.n_received == 0
    image.refresh(IMAGE)
    assert screen.n_received == 1


def test_a_preliminary_picture_is_followed_by_a_final_one(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    now = Clock()
    session.hub.pictures = Pictures(live, now)
    show(live, 5)
    screen.say(0)
    screen.look_at(10, 10)
    screen.say()
    screen.say()
    show(live, 5, 1)
    image.refresh(IMAGE)
    screen.say()
    assert "Hottest 5" in screen.title
    now.now = 3.0
    image.refresh(PULSE)
    assert "Hottest 10" in screen.title
    n = screen.n_received
    screen.say()
    image.refresh(PULSE)
    assert screen.n_received == n


def test_the_colour_bar_tells_values(
    live: LiveAnalysis, image: ImageFigure, screen: Screen
) -> None:
    show(live, 1000)
    screen.say(0)
    assert screen.units == "counts"
    assert list(screen.ticks.values())[-3:] == ["200", "500", "1000"]
    assert list(screen.ticks)[0 :: len(screen.ticks) - 1] == [0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_colour_maps(name: str) -> None:
    chosen = colours(name)
    assert len(chosen) == 255
    assert len(set(chosen)) > 250
    assert no_data(name) not in chosen


def test_the_controls_colour_the_image(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    controls = ColourControls(session, image)
    show(live, 1234)
    screen.say(0)
    screen.say()
    controls._kind.value = "linear"
    controls._palette.value = "Inferno"
    controls._filter.value = 3
    assert image.scale == ColourScale("linear", max_filter=3)
    assert tuple(image.mapper.palette[1:]) == colours("Inferno")
    # fixed limits begin with those that are seen
    controls._limits.value = "fixed"
    assert (controls._low.value, controls._high.value) == (0, 1230)
    assert controls._low.visible
    assert image.scale.fixed == (0, 1230)
    # what cannot be is refused in words, and what was there comes back
    controls._low.value = 2000
    assert "the first must be below the second" in session.said[-1]
    assert (controls._low.value, image.scale.fixed) == (0, (0, 1230))
    controls._high.value = None
    assert "have to be numbers" in session.said[-1]
    assert controls._high.value == 1230


def test_what_is_under_the_mouse(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    cursor = CursorLine(session, image)
    show(live, 7)
    screen.say(0)
    cursor.mouse.data = {"x": [4.7], "y": [3.2]}
    assert "x <b>4</b>" in cursor.view.object
    assert "value <b>7 counts</b>" in cursor.view.object
    assert "q" not in cursor.view.object
    geometry = Geometry(
        energy_kev=13.5, distance_m=0.1, x0_px=4.5, y0_px=3.5, pixel_size_m=(1e-3, 1e-3)
    )
    live.configure({"geometries": geometry})
    show(live, 1, 1)
    cursor.refresh(IMAGE)
    assert "value <b>8 counts</b>" in cursor.view.object
    assert "q <b>0.0000 1/Å</b>" in cursor.view.object  # the direct beam
    assert "d <b>∞</b>" in cursor.view.object
    cursor.mouse.data = {"x": [14.5], "y": [3.5]}
    expected = float(np.degrees(np.arctan(10e-3 / 0.1)))
    assert f"<b>{expected:.3f}°</b>" in cursor.view.object
    cursor.mouse.data = {"x": [-1.0], "y": [3.5]}
    assert cursor.view.object == ""
    cursor.mouse.data = {"x": [None], "y": [None]}
    assert cursor.view.object == ""


def test_the_mouse_is_answered_once_however_much_it_moves(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    cursor = CursorLine(session, image)
    show(live, 7)
    screen.say(0)
    session.is_waiting = True
    for x in range(10):
        cursor.mouse.data = {"x": [float(x)], "y": [3.5]}
    assert len(session.waiting) == 1
    session.is_waiting = False
    session.waiting.pop()()
    assert "x <b>9</b>" in cursor.view.object


def test_a_picture_that_the_browser_has_not_taken_is_waited_for(
    live: LiveAnalysis, image: ImageFigure, screen: Screen, clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    show(live)
    screen.say(0)
    assert screen.n_received == 1
    with monkeypatch.context() as patched:
        patched.setattr(AtOnce, "is_behind", True)
        show(live, 1, 1)
        for now in (0.5, 1.5, 30.0):
            clock.now = now
            image.want()
        assert screen.n_received == 1
    # it has been taken, and nothing was heard of it
    image.refresh(PULSE)
    assert screen.n_received == 2
    assert image.wire.data["base"] == [0]


def test_another_detector_is_shown_once_on_a_display_that_stands_still(
    live: LiveAnalysis, session: AtOnce, image: ImageFigure, screen: Screen
) -> None:
    show(live)
    show(live, 7, detector="other", shape=(20, 25))
    screen.say(0)
    screen.say()
    session.choose(is_paused=True)
    session.choose(detector="other")
    assert screen.title == "Sum of 1 image, Total 7, Hottest 7"
    screen.say()
    n = screen.n_received
    show(live, 7, 1, detector="other", shape=(20, 25))
    image.want()
    assert screen.n_received == n
