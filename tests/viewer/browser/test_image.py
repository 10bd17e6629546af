"""The image in a real browser: pictures come, and what somebody does to it stays."""

from __future__ import annotations

import re

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from tests.viewer.browser.beam import POWDER_GEOMETRY, Beam, powder
from tests.viewer.browser.figure import Figure
from tests.viewer.browser.window import Window

HIDE = """isHidden => {
    const state = isHidden ? "hidden" : "visible";
    Object.defineProperty(document, "visibilityState", {get: () => state, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""

PIXEL = """([x, y]) => {
    const figure = Bokeh.documents[0].get_model_by_name("image");
    const view = Bokeh.index.find_one(figure);
    const canvas = view.canvas_view.primary.canvas ?? view.canvas_view.primary.el;
    const ratio = view.canvas_view.pixel_ratio ?? 1;
    const [sx, sy] = [view.frame.x_scale.compute(x), view.frame.y_scale.compute(y)];
    return Array.from(canvas.getContext("2d").getImageData(sx * ratio, sy * ratio, 1, 1).data);
}"""


def codes_of(image: Figure) -> np.ndarray:
    """What the browser has drawn."""
    columns = image.columns("picture")
    assert columns is not None
    return np.array(columns["codes"][0])


def unit(image: Figure) -> tuple[float, float]:
    """Pixels of the screen for one of the image, across and down."""
    (width, height), (x0, x1), (y0, y1) = image.size, image.x_range, image.y_range
    return width / abs(x1 - x0), height / abs(y1 - y0)


def test_pictures_come_and_zoom_stays(window: Window, beam: Beam, live: LiveAnalysis) -> None:
    image = window.figure("image")
    assert "No image" in image.title
    beam.shot()
    image.until_title("Sum of 1 image, ")
    rows, columns = 120, 160
    # the whole of it, with square pixels, row 0 above
    assert unit(image)[0] == pytest.approx(unit(image)[1])
    assert image.y_range[0] > image.y_range[1]
    assert min(image.x_range) <= 0 < columns <= max(image.x_range)
    assert image.x_range[0] == 0 or image.y_range[1] == 0
    window.until(lambda: codes_of(image).size == rows * columns, "all pixels are drawn")
    mask = live.accumulation().result().mask
    assert ((codes_of(image) == 0).reshape(rows, columns) == mask).all()
    hottest = np.unravel_index(live.accumulation().result().image.argmax(), (rows, columns))
    before = codes_of(image)
    # the next ones are told by what has changed
    for _ in range(3):
        beam.shot()
    image.until_title("Sum of 4 images")
    expected = live.accumulation().result()
    window.until(lambda: (codes_of(image) != before).any(), "a new picture is drawn")
    assert f"Hottest {expected.hottest:.6g}" in image.title
    # zoom
    y, x = (int(place) for place in hottest)
    for _ in range(4):
        image.wheel(x + 0.5, y + 0.5, -200)
    window.until(lambda: codes_of(image).size < rows * columns / 4, "what is in sight is sent")
    seen = image.x_range, image.y_range
    assert unit(image)[0] == pytest.approx(unit(image)[1])
    beam.shot()
    image.until_title("Sum of 5 images")
    assert (image.x_range, image.y_range) == seen
    assert window.run(PIXEL, [x + 0.5, y + 0.5])[:3] != [255, 255, 255]
    # a window of another size: pixels stay square
    window.do(lambda page: page.set_viewport_size({"width": 1000, "height": 900}))
    window.until(
        lambda: unit(image)[0] == pytest.approx(unit(image)[1], rel=0.01), "pixels are square"
    )
    # what is under the mouse
    live.configure({"geometries": POWDER_GEOMETRY})
    image.hover(x + 0.5, y + 0.5)
    told = window.until_text(".fb-cursor", f"x {x} .*2θ")
    value = live.accumulation().result().image[y, x]
    assert f"y {y} " in told
    assert f"value {value:.6g} counts" in told
    q = float(POWDER_GEOMETRY.q(y, x))
    assert f"q {q:.4f} 1/Å" in told


@pytest.mark.long
def test_colours_limits_and_projections(window: Window, beam: Beam, live: LiveAnalysis) -> None:
    beam.shot()
    image = window.figure("image")
    image.until_title("Sum of 1 image, ")
    logarithmic = codes_of(image)
    window.choose(".fb-scale", "Linear")
    window.until(lambda: (codes_of(image) != logarithmic).any(), "the scale has changed")
    window.choose(".fb-palette", "Grey")
    dead_y, dead_x = np.argwhere(live.accumulation().result().mask)[0]
    window.until(
        lambda: window.run(PIXEL, [dead_x + 0.5, dead_y + 0.5])[:3] == [0x5B, 0x4A, 0x8A],
        "what is masked has a colour of its own",
    )
    window.choose(".fb-limits", "Fixed")
    window.fill(".fb-high", "1")
    window.until(lambda: set(codes_of(image)) <= {0, 1, 255}, "limits are fixed")
    window.fill(".fb-low", "5")
    window.until_text(".fb-message", "first must be below the second")
    n_lit = (codes_of(image) == 255).sum()
    window.choose(".fb-max-filter", "7 px")
    window.until(lambda: (codes_of(image) == 255).sum() > n_lit, "photons are larger")
    assert window.figure("image").title.startswith("Sum of 1 image")
    window.click(".fb-projections")
    curve = window.figure("projection-columns")
    assert curve.x_range == window.figure("image").x_range


@pytest.mark.long
def test_a_tab_that_is_not_seen_is_sent_nothing(window: Window, beam: Beam) -> None:
    beam.shot()
    image = window.figure("image")
    image.until_title("Sum of 1 image, ")
    window.run(HIDE, True)
    beam.shot()
    with beam.going_on(rate_hz=20):
        window.do(lambda page: page.wait_for_timeout(500))
        assert "Sum of 1 image," in image.title
        window.run(HIDE, False)
        image.until_title("images")


@pytest.mark.long
def test_another_detector_is_shown_as_a_whole(window: Window, live: LiveAnalysis) -> None:
    large, small = powder(), powder()
    both = Beam(live, {"pilatus": large, "other": lambda n, p: small(n, p)[:40, :50]})
    both.shot()
    image = window.figure("image")
    image.until_title("Sum of 1 image, ")
    assert max(image.x_range) >= 160
    window.choose(".fb-detector", "other")
    window.until(lambda: codes_of(image).size == 40 * 50, "the other one is drawn")
    window.until(lambda: max(image.x_range) < 160, "its edges are in sight")
    assert unit(image)[0] == pytest.approx(unit(image)[1])


@pytest.mark.long
def test_numbers_in_the_title_are_those_of_the_sum(window: Window, beam: Beam) -> None:
    beam.live.configure({"accumulate": False})
    beam.shot()
    title = window.figure("image").until_title("Newest image")
    found = re.fullmatch(r"Newest image, Total (\S+), Hottest (\S+)", title)
    result = beam.live.accumulation().result()
    assert found is not None
    assert found.groups() == (f"{result.total:.6g}", f"{result.hottest:.6g}")
