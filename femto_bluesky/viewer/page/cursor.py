"""What is under the mouse: the pixel, its value, and where it scatters to.

The mouse is followed in the browser, and the server is asked at most ten times a second. The other
half is cursor.js.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, Final

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.assets import asset
from femto_bluesky.viewer.page.image import ImageFigure
from femto_bluesky.viewer.page.newest import Newest
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Spot:
    """A pixel of an image, and what is known of it. q is in 1/A, d in A, 2-theta in degrees.

    `value` is None where there is no data, the rest where the geometry is not known.
    """

    x: int
    y: int
    value: float | None
    units: str
    q: float | None = None
    d: float | None = None
    two_theta: float | None = None

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values, as they are read."""
        value = "no data" if self.value is None else f"{self.value:.6g} {self.units}"
        found = [("x", f"{self.x}"), ("y", f"{self.y}"), ("value", value)]
        if self.q is not None and self.d is not None and self.two_theta is not None:
            d = f"{self.d:.4f} Å" if math.isfinite(self.d) else "∞"
            found += [("q", f"{self.q:.4f} 1/Å"), ("d", d), ("2θ", f"{self.two_theta:.3f}°")]
        return found


_STYLE: Final = """
.fact { color: var(--fb-faint); margin-right: 16px; white-space: nowrap; }
.fact b { color: var(--fb-text); font-weight: 500; font-variant-numeric: tabular-nums; }
"""


class CursorLine:
    """One line below the image: column, row, value, q, d and 2-theta under the mouse."""

    def __init__(self, session: Session, image: ImageFigure) -> None:
        import panel as pn
        from bokeh.models import ColumnDataSource, CustomJS

        self._session, self._image = session, image
        self._asking = Newest[Spot | None](session, self._tell)
        self.view: Any = pn.pane.HTML(
            "", css_classes=["fb-cursor"], margin=(2, 0, 0, 0), height=20,
            sizing_mode="stretch_width", stylesheets=[_STYLE],
        )  # fmt: skip
        self.mouse: Any = ColumnDataSource(data={"x": [math.nan], "y": [math.nan]})
        self.mouse.on_change("data", lambda attr, old, new: self._ask())
        args = {"figure": image.figure, "mouse": self.mouse}
        script = CustomJS(args=args, code=asset("cursor.js"))
        image.figure.js_on_event("mousemove", script)
        image.figure.js_on_event("mouseleave", script)

    def refresh(self, news: frozenset[News]) -> None:
        """Show what is under the mouse now."""
        if "image" in news or "settings" in news:
            self._ask()

    def _ask(self) -> None:
        place = self._place
        picture, detector = self._image.picture, self._session.detector
        if place is None or picture is None or detector is None:
            self.view.object = ""
            return
        geometry = self._session.live.diffraction.geometry(detector)
        if geometry is not None:
            geometry = geometry.for_region(picture.kind[2])
        pictures = self._session.hub.pictures
        ask = partial(
            spot_at, pictures, detector, *place, picture.shape, picture.units, geometry
        )  # fmt: skip
        self._asking.ask(ask)

    @property
    def _place(self) -> tuple[int, int] | None:
        """The row and column under the mouse; None where it has left the image."""
        x, y = self.mouse.data["x"][0], self.mouse.data["y"][0]
        if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
            return None
        return math.floor(y), math.floor(x)

    def _tell(self, found: Spot | None) -> None:
        # the mouse may have left meanwhile
        self.view.object = "" if found is None or self._place is None else _html(found)


def spot_at(
    pictures: Pictures,
    detector: str,
    y: int,
    x: int,
    shape: tuple[int, int],
    units: str,
    geometry: Geometry | None,
) -> Spot | None:
    """What is known of a pixel; None beside the image. `geometry` is that of the frame."""
    if not (0 <= y < shape[0] and 0 <= x < shape[1]):
        return None
    value = pictures.value(detector, y, x)
    if geometry is None:
        return Spot(x, y, value, units)
    # at the middle of the pixel, whose position is a whole number
    q, d, two_theta = (float(f(y, x)) for f in (geometry.q, geometry.d, geometry.two_theta))
    return Spot(x, y, value, units, q, d, two_theta)


def _html(spot: Spot) -> str:
    return " ".join(
        f"<span class='fact'>{escape(name)} <b>{escape(value)}</b></span>"
        for name, value in spot.facts
    )
