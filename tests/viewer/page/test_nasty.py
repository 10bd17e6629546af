"""The whole page of analyses that are nasty: laid out, told all news and used, without a word."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.layout import laid_out
from femto_bluesky.viewer.snapshots import Snapshots
from tests.viewer.browser.beam import Beam, photons
from tests.viewer.page.at_once import AtOnce

ALL_NEWS: Any = frozenset({"image", "curves", "settings", "pulse"})

ROIS = {
    "ROI 2": Roi(x0=1, y0=2, x1=5, y1=6),
    "<b>a/b": Roi(x0=0, y0=0, x1=1, y1=1),
    "far": Roi(x0=900, y0=900, x1=901, y1=901),
    "of one": Roi(x0=0, y0=0, x1=3, y1=3, detector="det"),
}

GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.02, x0_px=6, y0_px=5, pixel_size_m=(172e-6, 172e-6)
)


def framed(live: LiveAnalysis, pixels: Any, *, mask: Any = None, name: str = "det",
           **about: Any) -> None:  # fmt: skip
    """Have an analysis see one frame."""
    given = {"run": str(uuid4()), "step": 0, "number": 0, **about}
    live.update(Shot(detector=name, frame=DenseFrame(pixels, mask), **given))


def of(value: float, dtype: str = "float32", shape: tuple[int, int] = (12, 16)) -> Any:
    return np.full(shape, value, dtype)


def scanned(live: LiveAnalysis, positions: Any, frame: Any = None, **scan: Any) -> None:
    """A run through documents, at whatever positions."""
    frame = of(1.0) if frame is None else frame
    Beam(live, {"det": lambda number, position: frame}).scan(positions, **scan)


def not_begun(live: LiveAnalysis) -> None:
    """Nothing at all."""


def begun(live: LiveAnalysis) -> None:
    Beam(live).begin()


def ended_empty(live: LiveAnalysis) -> None:
    scanned(live, [])


def nothing_in_it(live: LiveAnalysis) -> None:
    framed(live, of(0, "uint16"))


def all_masked(live: LiveAnalysis) -> None:
    framed(live, of(1), mask=of(True, "bool"))


def below_zero(live: LiveAnalysis) -> None:
    for number in range(3):
        framed(live, of(-7, "int16"), number=number)


def no_numbers(live: LiveAnalysis) -> None:
    pixels = of(1)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    framed(live, pixels)
    framed(live, of(np.nan), number=1)


def huge(live: LiveAnalysis) -> None:
    framed(live, of(3e38))
    framed(live, of(3e38), number=1)


def more_digits_than_floats_have(live: LiveAnalysis) -> None:
    pixels = of(2**62, "uint64")
    pixels[2, 3] += 1
    framed(live, pixels)


def tiny(live: LiveAnalysis) -> None:
    framed(live, of(1e-40))


def one_pixel(live: LiveAnalysis) -> None:
    framed(live, of(5, "uint16", (1, 1)))


def one_row(live: LiveAnalysis) -> None:
    framed(live, of(5, "int32", (1, 3000)))


def other_shapes(live: LiveAnalysis) -> None:
    framed(live, of(5))
    framed(live, of(5, shape=(30, 7)))


def odd_names(live: LiveAnalysis) -> None:
    for name in ("det", "det_2", "a b/c", "<i>x</i>", "µ"):
        framed(live, of(2), name=name)


def changing_masks(live: LiveAnalysis) -> None:
    for number in range(3):
        mask = of(False, "bool")
        mask[number] = True
        framed(live, of(2), mask=mask, number=number)


def without_motors(live: LiveAnalysis) -> None:
    for step in range(2):
        framed(live, of(2), run="w", step=step, number=step, position={})


def words_for_positions(live: LiveAnalysis) -> None:
    scanned(live, ["<b>in", "out", "in"])


def no_positions(live: LiveAnalysis) -> None:
    scanned(live, [np.nan, np.inf, -np.inf, 0.0])


def one_step(live: LiveAnalysis) -> None:
    scanned(live, [3.0], n=1)


def yes_and_no(live: LiveAnalysis) -> None:
    scanned(live, [True, False])


def grid_of_one(live: LiveAnalysis) -> None:
    md = {"shape": [1, 1], "extents": [[0, 0], [0, 0]], "motors": ["delay", "delay"]}
    dimensions = [[["delay"], "primary"], [["delay"], "primary"]]
    hints = {"gridding": "rectilinear", "dimensions": dimensions}
    scanned(live, [0.0], hints=hints, **md)


def other_motors(live: LiveAnalysis) -> None:
    for motor in ("delay", "sample_x", "det"):
        Beam(live, {"det_1": lambda number, position: of(1)}, motor=motor).scan()


def odd_start(live: LiveAnalysis) -> None:
    scanned(live, [1.0, 2.0], scan_id=-1, plan_name="", motors=[], sample_name={"name": 3})


def no_photons(live: LiveAnalysis) -> None:
    Beam(live, {"andor3_balor": lambda number, position: of(100, "uint16", (40, 50))}).scan()


def some_photons(live: LiveAnalysis) -> None:
    Beam(live, {"andor3_balor": photons()}).scan()


def no_light_on_rings(live: LiveAnalysis) -> None:
    live.configure({"geometries": {"": GEOMETRY}, "azimuthal": {"calibrant": "LaB6",
                                                                "q_lines": [1e9]}})  # fmt: skip
    scanned(live, [0.0], of(0.0))


def light_below_zero_on_rings(live: LiveAnalysis) -> None:
    live.configure({"geometries": {"": GEOMETRY}})
    scanned(live, [0.0, 1.0], of(-1.0))


def reset(live: LiveAnalysis) -> None:
    framed(live, of(2))
    live.accumulation("det").reset()


def stopped(live: LiveAnalysis) -> None:
    framed(live, of(2))
    live.accumulation("det").stop()
    framed(live, of(3), number=1)


NASTY: list[Callable[[LiveAnalysis], None]] = [
    not_begun, begun, ended_empty, nothing_in_it, all_masked, below_zero, no_numbers, huge,
    more_digits_than_floats_have, tiny, one_pixel, one_row, other_shapes, odd_names,
    changing_masks, without_motors, words_for_positions, no_positions, one_step, yes_and_no,
    grid_of_one, other_motors, odd_start, no_photons, some_photons, no_light_on_rings,
    light_below_zero_on_rings, reset, stopped,
]  # fmt: skip


class Page:
    """The page of one browser, without one."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.session = hub, AtOnce(hub)
        self.template = laid_out(self.session)
        self.template._init_doc(self.session.doc)
        self.doc = self.session.doc
        self.image: Any = self.doc.get_model_by_name("image")
        self.wire, self.back, _ = self.image.tags
        self.wire.on_change("data", lambda attr, old, new: self._painted(new))
        self.n = 0
        self.painted = 0
        self.say(0)

    def _painted(self, sent: Any) -> None:
        self.painted = sent["number"][0] or self.painted

    def say(self, painted: int) -> None:
        self.n += 1
        self.back.data = {
            "painted": [painted], "width": [300.0], "height": [200.0], "hidden": [False],
            "n": [self.n],
        }  # fmt: skip

    def look(self) -> None:
        """The hub has seen that all is new."""
        self.hub.snapshots.forget()
        self.hub.groups = self.hub.snapshots.curves()
        self.hub.settings = self.hub.live.settings_record()
        self.session.tell(ALL_NEWS)
        self.settle()

    def settle(self) -> None:
        for _ in range(5):
            self.say(self.painted)
            for waiting in list(self.doc.session_callbacks):
                self.doc.callbacks.remove_session_callback(waiting)
                waiting.callback()

    def each(self, kind: str) -> Iterator[Any]:
        """The widgets of a CSS class, as Panel has them."""
        for root in self.template._render_items.values():
            yield from root[0].select(lambda each: f"fb-{kind}" in getattr(each, "css_classes", ()))

    def choices(self) -> Iterator[Callable[[], None]]:
        """All that there is to be chosen."""
        for kind, limits in itertools.product(
            ("log", "sqrt", "linear"), ("percentile", "visible", "fixed", "min-max")
        ):
            yield partial(self.choose, scale=kind, limits=limits)
        for name in ("projections", "show-mask", "pooling"):
            yield partial(self.choose, **{name: True})
        for tab, name in enumerate(("steps", "photons", "iq", "others")):
            yield partial(self.choose, curves=tab, **{f"log-{name}": tab != 2})
        for name in ("q-axis", "against", "errors", "run-shown", "earlier-runs"):
            for widget in self.each(name):
                found = list(getattr(widget.options, "values", lambda of=widget: of.options)())
                for value in found:
                    yield partial(self.choose, **{name: found if "earlier" in name else value})

    def choose(self, **choices: Any) -> None:
        for name, value in choices.items():
            for widget in self.each(name):
                setattr(widget, "active" if name == "curves" else "value", value)
        self.settle()


@contextmanager
def opened(live: LiveAnalysis) -> Iterator[Callable[[], Page]]:
    """Opens pages of an analysis, none of which says anything."""
    snapshots = Snapshots(live)
    hub = Hub(live, snapshots)
    pages: list[Page] = []

    def open_one() -> Page:
        pages.append(Page(hub))
        return pages[-1]

    try:
        yield open_one
        for page in pages:
            # as it goes to a browser that comes then
            json.dumps(page.doc.to_json(deferred=False), allow_nan=False)
        assert [words for page in pages for words in page.session.said] == []
        assert snapshots.problem == ""
        assert not live.failures
    finally:
        hub.close()
        snapshots.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the page."""
    found = [r for r in caplog.records if r.levelno >= logging.WARNING]
    ours = [r for r in found if r.name.startswith(("femto_bluesky.viewer", "bokeh", "panel"))]
    return [f"{r.getMessage()} {r.exc_info or ''}" for r in ours]


def test_one_nasty_thing_after_another_is_shown(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    live = LiveAnalysis(ROIS, directory=tmp_path)
    with opened(live) as open_one:
        page = open_one()
        for number, happens in enumerate(NASTY):
            happens(live)
            page.look()
            chosen = list(page.choices())
            chosen[number % len(chosen)]()
            detectors = page.session.detectors
            if detectors:
                page.session.choose(detector=detectors[number % len(detectors)])
                page.settle()
            assert told(caplog) == [], happens.__name__


@pytest.mark.long
@pytest.mark.parametrize("happens", NASTY, ids=lambda happens: happens.__name__)
def test_a_nasty_analysis_is_shown_in_all_ways(
    happens: Callable[[LiveAnalysis], None], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    live = LiveAnalysis(ROIS, directory=tmp_path)
    with opened(live) as open_one:
        pages = [open_one()]
        happens(live)
        pages.append(open_one())
        for page in pages:
            page.look()
            for choose in list(page.choices()):
                choose()
            page.look()
            for detector in page.session.detectors:
                page.session.choose(detector=detector)
                page.look()
        assert told(caplog) == []
