"""Rings on the image: where a powder's lines, or any q, lie on the detector as it stands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any, Final

from femto_bluesky.callbacks.azimuthal_groups import rings_on
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.results import Curve
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.newest import Newest
from femto_bluesky.viewer.page.ring_names import places
from femto_bluesky.viewer.page.session import Session

log = logging.getLogger(__name__)

COLOURS: Final = (
    "#4f8fff", "#ff5252", "#43d565", "#d98cff", "#ffd84a", "#ff9f43", "#3fd8d8", "#ff86c8",
)  # fmt: skip
"""Blue, red, green, violet, yellow and on, as in the viewer before; to be seen on any palette."""

MOST_RINGS: Final = 80
"""More of them hide the image; a powder's strongest lines are seldom beyond."""

FAINT: Final = 0.4
"""How much is seen of the rings that are set, while others are typed."""

SETTLED_MS: Final = 120
"""So long after the last movement of the image names are placed anew."""

Rings = Mapping[str, Curve]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rings, on frames of which shape and origin."""

    geometry: Geometry
    shape: tuple[int, int]
    origin: tuple[int, int] = (0, 0)
    calibrant: str | None = None
    q_lines: tuple[float, ...] = ()

    def rings(self) -> Rings:
        """The rings by their names, the first of too many."""
        if self.calibrant is None and not self.q_lines:
            return {}
        region = self.geometry.for_region(self.origin)
        found = rings_on(region, self.shape, self.calibrant, self.q_lines)
        return dict(islice(found.items(), MOST_RINGS))


def wanted_of(live: LiveAnalysis, detector: str | None) -> Wanted | None:
    """The rings that are set for a detector; None where its geometry or frames are not known."""
    held = live.accumulations.of.get(detector or "")
    geometry = live.diffraction.geometry(detector or "")
    kind = None if held is None else held.kind
    if geometry is None or kind is None:
        return None
    _, shape, origin = kind
    used = live.diffraction.settings
    return Wanted(geometry, shape, origin, used.calibrant, used.q_lines)


class RingLayer:
    """Draws the rings that are set on a figure, and dashed those that are being typed.

    `edge` is the coordinate of the outer edge of the first pixel: 0 where pixel i reaches from i
    to i + 1.
    """

    def __init__(self, session: Session, figure: Any, *, edge: float = 0.0) -> None:
        from bokeh.models import ColumnDataSource

        self._session, self._figure, self._shift = session, figure, edge + 0.5
        self._set: Rings = {}
        self._typed: Rings = {}
        self._is_settling = False
        self._of_set = _Asked(session, partial(self._show, is_typed=False))
        self._of_typed = _Asked(session, partial(self._show, is_typed=True))
        self._lines = ColumnDataSource({"xs": [], "ys": [], "colour": [], "name": []})
        self._dashes = ColumnDataSource({"xs": [], "ys": [], "colour": [], "name": []})
        self._names = ColumnDataSource({"x": [], "y": [], "colour": [], "name": []})
        # below the regions; what is above them is drawn over the axes too when the image is zoomed
        shadow = {"line_color": "black", "line_alpha": 0.45, "level": "underlay"}
        line = {"line_color": "colour", "level": "underlay"}
        self._drawn = [
            figure.multi_line("xs", "ys", source=self._lines, line_width=2.6, **shadow),
            set_rings := figure.multi_line(
                "xs", "ys", source=self._lines, line_width=1.2, name="rings", **line
            ),
            figure.multi_line("xs", "ys", source=self._dashes, line_width=3, **shadow),
            figure.multi_line(
                "xs", "ys", source=self._dashes, line_width=1.6, line_dash=[6, 4],
                name="typed-rings", **line,
            ),
            figure.text(
                "x", "y", "name", source=self._names, name="ring-names", level="underlay",
                text_color="colour", text_font_size="11px", text_font_style="bold",
                text_align="center", text_baseline="middle",
                background_fill_color="#10151b", background_fill_alpha=0.6, padding=2,
                border_radius=3,
            ),
        ]  # fmt: skip
        self._set_line = set_rings.glyph
        for side in (figure.x_range, figure.y_range):
            for end in ("start", "end"):
                side.on_change(end, lambda attr, old, new: self._settle())
        session.on_choice.append(self.show)

    @property
    def is_shown(self) -> bool:
        """Whether rings are drawn at all."""
        return bool(self._drawn[0].visible)

    @is_shown.setter
    def is_shown(self, is_shown: bool) -> None:
        for renderer in self._drawn:
            renderer.visible = is_shown

    def refresh(self, news: frozenset[News]) -> None:
        """Draw the rings that are set, where they are others."""
        if news & {"settings", "image"}:
            self.show()

    def show(self) -> None:
        """Draw the rings that are set, where they are others."""
        self._of_set.ask(wanted_of(self._session.live, self._session.detector))

    def position(self, event: Any) -> tuple[float, float]:
        """Where on the frame (y, x) the image was clicked; whole numbers are centres of pixels."""
        return float(event.y) - self._shift, float(event.x) - self._shift

    def type(self, wanted: Wanted | None) -> None:
        """Draw, dashed, what is being typed; None takes it away."""
        self._of_typed.ask(wanted)

    def _show(self, rings: Rings, *, is_typed: bool) -> None:
        if is_typed:
            self._typed, source = rings, self._dashes
            self._set_line.line_alpha = FAINT if rings else 1.0
        else:
            self._set, source = rings, self._lines
        source.data = {
            "xs": [x + self._shift for _, x in rings.values()],
            "ys": [y + self._shift for y, _ in rings.values()],
            **_named(rings),
        }
        self._place()

    def _settle(self) -> None:
        """Place the names anew when the image has come to rest."""
        if not self._is_settling and (self._set or self._typed):
            self._is_settling = True
            self._session.doc.add_timeout_callback(self._place, SETTLED_MS)

    def _place(self) -> None:
        self._is_settling = False
        rings = self._typed or self._set
        spans = []
        for side in (self._figure.x_range, self._figure.y_range):
            if side.start is None or side.end is None:
                return
            spans.append((side.start - self._shift, side.end - self._shift))
        found = places(rings, spans[0], spans[1], _size_px(self._figure))
        colours = dict(zip(rings, _named(rings)["colour"], strict=True))
        self._names.data = {
            "x": [x + self._shift for _, x in found.values()],
            "y": [y + self._shift for y, _ in found.values()],
            "colour": [colours[name] for name in found],
            "name": list(found),
        }


class _Asked:
    """Has rings found in a thread, and hands on those that were asked for last."""

    def __init__(self, session: Session, then: Callable[[Rings], None]) -> None:
        self._then = then
        self._wanted: Wanted | None = None
        self._finding = Newest[tuple[Wanted, Rings]](session, self._take)

    def ask(self, wanted: Wanted | None) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if wanted is None:
            self._then({})
        else:
            self._finding.ask(partial(_found, wanted))

    def _take(self, found: tuple[Wanted, Rings]) -> None:
        wanted, rings = found
        if wanted == self._wanted:
            self._then(rings)


def _found(wanted: Wanted) -> tuple[Wanted, Rings]:
    try:
        return wanted, wanted.rings()
    except Exception as error:
        # whatever it is: the image is shown without rings
        log.info("no rings of %s: %s", wanted, error)
        return wanted, {}


def _size_px(figure: Any) -> tuple[float, float]:
    """Width and height of what lies within the axes, as far as the browser has said."""
    from bokeh.core.property.descriptors import UnsetValueError

    try:
        return float(figure.inner_width) or 600.0, float(figure.inner_height) or 600.0
    except (UnsetValueError, TypeError):
        return 600.0, 600.0


def _named(rings: Rings) -> dict[str, list[str]]:
    return {"colour": list(islice(cycle(COLOURS), len(rings))), "name": list(rings)}
