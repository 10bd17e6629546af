"""Regions on the image and in the list, as somebody at the beamline uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer
from tests.viewer.browser.beam import Beam
from tests.viewer.browser.figure import Figure
from tests.viewer.browser.window import Window

HERE = ".fb-regions .fb-region:not([hidden])"
CHOSEN = f"{HERE}.is-selected"

READ, CHANGE = "may-read", "may-change"


@pytest.fixture
def live() -> LiveAnalysis:
    return LiveAnalysis({"ring": Roi(x0=20, y0=30, x1=60, y1=70)})


@pytest.fixture
def image(beam: Beam, window: Window) -> Figure:
    """The image with its regions, when shots have come."""
    beam.scan((0.0, 1.0), n=2)
    window.until_text(f"{HERE} .fb-region-step", "±")
    return drawn_image(window)


def drawn_image(window: Window) -> Figure:
    """The image as soon as it, and the regions on it, are where they stay."""
    found = window.figure("image")
    window.until(lambda: found.x_range[1] - found.x_range[0] >= 160, "all of it is in sight")
    window.until(lambda: "ring" in drawn(found), "the regions are drawn")
    window.wait_until_idle()
    return found


def boxes(live: LiveAnalysis) -> dict[str, tuple[int, int, int, int]]:
    """The regions of the analysis: x0, y0, x1, y1."""
    return {n: (r.x0, r.y0, r.x1, r.y1) for n, r in live.rois.settings.rois.items()}


def drawn(image: Figure) -> dict[str, tuple[float, ...]]:
    """The regions as they are seen on the image."""
    columns = image.columns("fb-regions") or {}
    edges = zip(*(columns[edge] for edge in ("left", "top", "right", "bottom")), strict=True)
    return dict(zip(columns["name"], edges, strict=True))


def dismiss(window: Window, words: str) -> None:
    """Have said what was not possible, and close that."""
    window.until_text(".fb-message-text", words)
    window.click(".fb-dismiss")
    window.until(lambda: not window.is_visible(".fb-message"), "it is dismissed")


def listed(window: Window) -> list[str]:
    """The names in the list."""
    script = "inputs => inputs.map(input => input.value)"
    place = f"{HERE} .fb-region-name"
    return window.do(lambda page: page.locator(place).evaluate_all(script))


def test_a_region_is_drawn_moved_resized_and_deleted_with_the_mouse(
    live: LiveAnalysis, window: Window, image: Figure
) -> None:
    window.click(".fb-new-region")
    window.until_text(".fb-new-region", "Draw")
    # over the one that is there, which is not moved by it
    image.drag((50.1, 40.2), (99.8, 90.1))
    window.until(lambda: "ROI 1" in boxes(live), "it is there")
    assert boxes(live) == {"ring": (20, 30, 60, 70), "ROI 1": (50, 40, 100, 90)}
    window.until(lambda: listed(window) == ["ring", "ROI 1"], "the list shows it")
    window.until_value(f"{CHOSEN} .fb-region-name", "ROI 1")
    # whoever lets go of it has it where it is, on whole pixels, and the next drag draws none
    image.drag((80, 60), (90.4, 55))
    window.until(lambda: boxes(live)["ROI 1"] == (60, 35, 110, 85), "it is moved")
    window.until(lambda: drawn(image)["ROI 1"] == (60, 35, 110, 85), "and seen there")
    image.drag((110, 85), (120, 100))
    window.until(lambda: boxes(live)["ROI 1"] == (60, 35, 120, 100), "a corner is moved")
    image.drag((60, 85), (40, 85))
    window.until(lambda: boxes(live)["ROI 1"] == (40, 35, 120, 100), "an edge is moved")
    # beyond the edge of the frame it is not allowed: it goes back, and why is said
    image.drag((80, 90), (-20, 90))
    dismiss(window, "x0")
    window.until(lambda: drawn(image)["ROI 1"] == (40, 35, 120, 100), "it goes back")
    image.click(30, 50)
    window.until(lambda: window.value(f"{CHOSEN} .fb-region-name") == "ring", "ring is chosen")
    window.click(".fb-delete-region")
    window.until(lambda: list(boxes(live)) == ["ROI 1"], "it is deleted")
    window.until(lambda: list(drawn(image)) == ["ROI 1"], "and gone from the image")


@pytest.mark.long
def test_two_browsers_and_the_prompt_are_in_step(
    live: LiveAnalysis,
    beam: Beam,
    served: ResultsServer,
    window: Window,
    image: Figure,
    new_window: Callable[..., Window],
) -> None:
    other = new_window(served.address).open()
    image.click(30, 40)
    window.until_value(f"{CHOSEN} .fb-region-name", "ring")
    live.configure({"rois": {**live.rois.settings.rois, "b": Roi(x0=70, y0=5, x1=90, y1=25)}})
    for each in (window, other):
        each.until(lambda each=each: listed(each) == ["ring", "b"], "both show it")
    seen = drawn_image(other)
    seen.click(75, 15)
    other.until_value(f"{CHOSEN} .fb-region-name", "b")
    # each has chosen another one, and shifts it while the other does
    for key in ("ArrowRight", "Shift+ArrowDown", "ArrowUp"):
        window.press(key)
        other.press(key)
    expected = {"ring": (21, 39, 61, 79), "b": (71, 14, 91, 34)}
    window.until(lambda: boxes(live) == expected, "both are shifted")
    beam.shot()
    for each, figure in ((window, image), (other, seen)):
        each.until(lambda figure=figure: drawn(figure) == expected, "both see it")
    assert window.value(f"{CHOSEN} .fb-region-name") == "ring"
    assert other.value(f"{CHOSEN} .fb-region-name") == "b"
    other.press("Delete")
    window.until(lambda: list(boxes(live)) == ["ring"], "deleted in one")
    window.until(lambda: listed(window) == ["ring"], "and gone in the other")


@pytest.mark.long
def test_names_and_numbers_are_edited_where_they_stand(
    live: LiveAnalysis, window: Window, image: Figure
) -> None:
    window.fill(f"{HERE} .fb-region-name", "first ring")
    window.until(lambda: list(boxes(live)) == ["first ring"], "renamed")
    for edge, text in (("x0", "25"), ("y1", "100")):
        window.fill(f"{HERE} .fb-region-{edge}", text)
    window.until(lambda: boxes(live)["first ring"] == (25, 30, 60, 100), "typed numbers count")
    window.until(lambda: drawn(image)["first ring"] == (25, 30, 60, 100), "and are seen")
    # what cannot be is said in words, and what is stays
    for text, words in (("70", "x1 must be above x0"), ("1.5", "integer")):
        window.fill(f"{HERE} .fb-region-x0", text)
        dismiss(window, words)
        window.until_value(f"{HERE} .fb-region-x0", "25")
    window.fill(f"{HERE} .fb-region-x1", "1000")
    dismiss(window, "reaches outside")
    # keys in a field are the field's
    window.press("Backspace", f"{HERE} .fb-region-name")
    assert list(boxes(live)) == ["first ring"]
    window.press("Escape")
    window.until_value(f"{HERE} .fb-region-name", "first ring")
    window.click(".fb-copy-region")
    window.until(lambda: boxes(live).get("ROI 1") == (25, 30, 60, 100), "a copy is there")
    window.until_value(f"{CHOSEN} .fb-region-name", "ROI 1")
    window.choose(f"{CHOSEN} .fb-region-on", "pilatus")
    window.until(lambda: live.rois.settings.rois["ROI 1"].detector == "pilatus", "on a detector")


@pytest.mark.long
def test_regions_are_saved_and_loaded(
    live: LiveAnalysis, window: Window, image: Figure, tmp_path: Path
) -> None:
    name, data = window.download(".fb-save-regions")
    assert name == "regions.json"
    assert json.loads(data) == {"rois": {"ring": {"x0": 20, "y0": 30, "x1": 60, "y1": 70}}}
    handles = {"_handleBottomLeft": [5.2, 6.0], "_handleTopRight": [20.0, 30.9]}
    old = tmp_path / "rois.json"
    old.write_text(json.dumps({"ROI 2": {"type": "RectangleROI", "handles": handles}}))
    window.upload(".fb-load-regions", old)
    window.until(lambda: boxes(live).get("ROI 2") == (5, 6, 20, 31), "the predecessor's are read")
    assert "ring" in boxes(live)
    mine = tmp_path / "mine.yaml"
    mine.write_text("rois: {ring: {x0: 1, y0: 2, x1: 3, y1: 4}}")
    window.upload(".fb-load-regions", mine)
    window.until(lambda: boxes(live)["ring"] == (1, 2, 3, 4), "so are ours")
    window.until(lambda: drawn(image)["ring"] == (1, 2, 3, 4), "and seen")
    mine.write_text("rois: 3")
    window.upload(".fb-load-regions", mine)
    window.until_text(".fb-message-text", "mine.yaml holds no regions")


@pytest.mark.long
def test_while_one_is_dragged_shots_and_others_leave_it_alone(
    live: LiveAnalysis, beam: Beam, window: Window, image: Figure
) -> None:
    start, half, end = (image.place(x, 50) for x in (40, 60, 80))
    window.do(lambda page: page.mouse.move(*start))
    window.do(lambda page: page.mouse.down())
    window.do(lambda page: page.mouse.move(*half, steps=4))
    window.until(lambda: drawn(image)["ring"][0] > 35, "it follows the mouse")
    there = drawn(image)["ring"]
    beam.shot()
    live.configure({"rois": {**live.rois.settings.rois, "b": Roi(x0=70, y0=5, x1=90, y1=25)}})
    window.until(lambda: listed(window) == ["ring", "b"], "another one has come")
    assert drawn(image)["ring"] == there
    assert boxes(live)["ring"] == (20, 30, 60, 70)
    window.do(lambda page: page.mouse.move(*end, steps=4))
    window.do(lambda page: page.mouse.up())
    window.until(lambda: boxes(live)["ring"] == (60, 30, 100, 70), "it is let go of")
    window.until(lambda: list(drawn(image)) == ["ring", "b"], "and the other one is seen")


@pytest.mark.long
def test_who_may_only_read_moves_nothing(
    live: LiveAnalysis,
    beam: Beam,
    started: Callable[..., ResultsServer],
    new_window: Callable[..., Window],
) -> None:
    beam.scan((0.0,), n=1)
    reader = new_window(started(live, access=Access(READ, CHANGE)).address)
    reader.open(f"?token={READ}")
    reader.until_text(f"{HERE} .fb-region-mean", r"\d")
    fields = [f"{HERE} .fb-region-{kind}" for kind in ("name", "x0", "y1", "on")]
    for place in [".fb-new-region", ".fb-load-regions", *fields]:
        assert not reader.is_enabled(place), place
    image = drawn_image(reader)
    image.click(30, 40)
    reader.until_value(f"{CHOSEN} .fb-region-name", "ring")
    image.drag((30, 40), (50, 50))
    reader.press("ArrowRight")
    reader.until_text(".fb-message-text", "may read only")
    assert boxes(live) == {"ring": (20, 30, 60, 70)}
    assert reader.download(".fb-save-regions")[0] == "regions.json"
