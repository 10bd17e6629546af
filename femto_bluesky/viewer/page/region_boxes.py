"""The regions as boxes on the image: what is drawn, moved and resized by mouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from femto_bluesky.model.rois import Roi
from femto_bluesky.viewer.page.assets import asset
from femto_bluesky.viewer.page.region_colours import is_dark
from femto_bluesky.viewer.page.session import Session

GRIP: Final = "fb-region-grip"
GRIP_PX: Final = 8
"""Half of it on either side of an edge is where the mouse takes hold of it."""

Deed = Mapping[str, Any]
"""What somebody has done with mouse or keys: `deed` is its name."""


@dataclass(frozen=True, slots=True)
class RegionBox:
    """A region as it is drawn.

    One that does not fit the frames is dashed. The name of one `is_at_top` stands within it.
    """

    name: str
    roi: Roi
    colour: str
    fits: bool = True
    is_at_top: bool = False


class RegionBoxes:
    """Boxes on a figure whose pixel i reaches from i to i + 1, row 0 above.

    `on_deed` is told what is done: `select` with the `name` (None: nothing is there), `drop` with
    `name`, `left`, `right`, `top`, `bottom` and the number of the `hold`, which ends with `let_go`,
    `draw` with the edges, `shift` with `dx` and `dy`, `delete`, `cancel`.
    """

    def __init__(self, session: Session, figure: Any, on_deed: Callable[[Deed], None]) -> None:
        from bokeh.models import BoxSelectTool, ColumnDataSource

        self._figure, self._on_deed = figure, on_deed
        self._names: list[str] = []
        self._grips: list[Any] = []
        self._is_held, self._n_holds = False, 0
        self._hand = ColumnDataSource(data={"deed": []})
        # what it hears is sent to the server because it hangs on what is drawn
        self._rows = ColumnDataSource(data=_columns([], None), tags=[self._hand])
        self._handles = ColumnDataSource(data={"x": [], "y": []})
        self._hand.on_change("data", lambda attr, old, new: self._heard(new))
        self._draw()
        self._pen = BoxSelectTool(renderers=[], visible=False)
        self._pen.overlay.update(fill_alpha=0.1, line_color="white", line_alpha=1, line_width=2)
        figure.add_tools(self._pen)
        figure.on_event("tap", self._tapped)
        figure.on_event("selectiongeometry", self._drawn)
        _run_when_ready(
            session.doc, figure=figure, rows=self._rows, handles=self._handles, hand=self._hand,
            pen=self._pen,
        )  # fmt: skip

    def let_go(self, hold: int) -> None:
        """What was dragged has come to where it is, unless another one is held by now."""
        if hold == self._n_holds:
            self._is_held = False

    @property
    def is_drawing(self) -> bool:
        """Whether the next drag draws a region."""
        return bool(self._pen.tags)

    def draw_next(self, is_drawing: bool) -> None:
        """Have the next drag draw a region, or not."""
        if is_drawing != self.is_drawing:
            self._pen.tags = ["draw"] if is_drawing else []

    def show(self, boxes: Sequence[RegionBox], selected: str | None, *, may_change: bool) -> None:
        """Draw these and no others. Of two above each other the smaller one can be taken."""
        if self._is_held:
            held = [box for name in self._names for box in boxes if box.name == name]
            # while the mouse has one, they neither move nor change places
            if len(held) == len(self._names):
                self._set_rows(held, selected)
            return
        boxes = sorted(boxes, key=lambda box: -box.roi.shape[0] * box.roi.shape[1])
        self._names = [box.name for box in boxes]
        self._make_grips(len(boxes))
        for i, grip in enumerate(self._grips):
            is_used = i < len(boxes)
            grip.update(visible=is_used, editable=is_used and may_change and not self.is_drawing)
            if is_used:
                grip.update(**_edges(boxes[i].roi))
        self._set_rows(boxes, selected)

    def _set_rows(self, boxes: Sequence[RegionBox], selected: str | None) -> None:
        columns = _columns(boxes, selected)
        if columns != dict(self._rows.data):
            self._rows.data = columns

    def _make_grips(self, n: int) -> None:
        from bokeh.models.annotations import BoxAnnotation

        while len(self._grips) < n:
            grip = BoxAnnotation(
                name=GRIP, left=0, right=1, top=0, bottom=1, editable=False, resizable="all",
                movable="both", line_width=GRIP_PX, line_alpha=0, fill_alpha=0,
            )  # fmt: skip
            self._grips.append(grip)
            self._figure.add_layout(grip)

    def _draw(self) -> None:
        edges = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
        common: dict[str, Any] = {"source": self._rows, "level": "glyph"}
        figure = self._figure
        figure.quad(
            **edges, **common, fill_alpha=0, line_color="halo_colour", line_alpha=0.5,
            line_width="halo", name="fb-region-halos",
        )  # fmt: skip
        figure.quad(
            **edges, **common, fill_color="colour", fill_alpha="fill", line_color="colour",
            line_width="width", line_dash="dash", name="fb-regions",
        )  # fmt: skip
        figure.text(
            x="left", y="top", text="name", **common, text_color="halo_colour",
            text_font_size="11px", text_font_style="bold", text_baseline="baseline_of", x_offset=1,
            y_offset="up", padding=2, background_fill_color="colour", background_fill_alpha=0.85,
            name="fb-region-names",
        )  # fmt: skip
        figure.scatter(
            x="x", y="y", source=self._handles, level="glyph", marker="square", size=GRIP_PX,
            fill_color="white", line_color="black", name="fb-region-handles",
        )  # fmt: skip

    # what is done with the mouse and the keys

    def _heard(self, data: Mapping[str, Sequence[str]]) -> None:
        deed = json.loads(data["deed"][0])
        del deed["n"]  # makes each another one than the one before it
        what = deed.pop("deed")
        if what in ("hold", "drop"):
            i = deed.pop("i")
            if not i < len(self._names):
                return
            self._n_holds += what == "hold"
            self._is_held = True
            deed |= {"name": self._names[i], "hold": self._n_holds}
            self._on_deed({"deed": "select", "name": deed["name"]})
        if what != "hold":
            self._on_deed({"deed": what, **deed})

    def _tapped(self, event: Any) -> None:
        if self.is_drawing or event.x is None:
            return
        found = [
            name
            for name, grip in zip(self._names, self._grips, strict=False)
            if grip.left <= event.x <= grip.right and grip.top <= event.y <= grip.bottom
        ]
        self._on_deed({"deed": "select", "name": found[-1] if found else None})

    def _drawn(self, event: Any) -> None:
        box = event.geometry
        if not self.is_drawing or not event.final or box["type"] != "rect":
            return
        self._on_deed(
            {
                "deed": "draw", "left": box["x0"], "right": box["x1"], "top": box["y0"],
                "bottom": box["y1"],
            }
        )  # fmt: skip


def _edges(roi: Roi) -> dict[str, int]:
    return {"left": roi.x0, "right": roi.x1, "top": roi.y0, "bottom": roi.y1}


def _columns(boxes: Sequence[RegionBox], selected: str | None) -> dict[str, list[Any]]:
    """The boxes as columns of what is drawn."""
    chosen = [box.name == selected for box in boxes]
    return {
        "name": [box.name for box in boxes],
        "colour": [box.colour for box in boxes],
        **{edge: [_edges(box.roi)[edge] for box in boxes] for edge in ("left", "right")},
        **{edge: [_edges(box.roi)[edge] for box in boxes] for edge in ("top", "bottom")},
        "halo_colour": ["white" if is_dark(box.colour) else "black" for box in boxes],
        # below the edge, where there may be no room above it
        "baseline_of": ["top" if box.is_at_top else "bottom" for box in boxes],
        "up": [4 if box.is_at_top else -3 for box in boxes],
        "is_selected": chosen,
        "width": [3 if is_it else 2 for is_it in chosen],
        "halo": [6 if is_it else 4 for is_it in chosen],
        "fill": [0.15 if is_it else 0.0 for is_it in chosen],
        "dash": ["solid" if box.fits else "dashed" for box in boxes],
    }


def _run_when_ready(doc: Any, **models: Any) -> None:
    """Have the browser run `region_boxes.js` on these models, once all is drawn."""
    from bokeh.models import CustomJS

    doc.js_on_event("document_ready", CustomJS(args=models, code=asset("region_boxes.js")))
