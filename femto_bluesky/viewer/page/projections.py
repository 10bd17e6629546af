"""What is in sight, summed along its rows and its columns: two curves beside the image."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.image import BOTTOM_PX, LEFT_PX, RIGHT_PX, ImageFigure
from femto_bluesky.viewer.page.newest import Newest
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.pictures import Picture, Projections

EVERY_S: Final = 0.5
SIZE_PX: Final = 130


class ProjectionCurves:
    """Below the image the sum over the rows in sight, right of it that over the columns.

    They are shown with `switch`, and made at most twice a second, and only while they are seen.
    `view` holds them and the image.
    """

    def __init__(
        self,
        session: Session,
        image: ImageFigure,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        import panel as pn
        from bokeh.models import ColumnDataSource
        from bokeh.models.layouts import GridBox

        self._session, self._image, self._clock = session, image, clock
        self._is_due = False
        self._making = Newest[Projections | None](session, self._draw)
        self._made_at = -EVERY_S
        self._detector: str | None = None
        self.over_rows: Any = ColumnDataSource(data={"x": [], "y": []})
        self.over_columns: Any = ColumnDataSource(data={"x": [], "y": []})
        self._below = self._curve("projection-columns", self.over_rows, height=SIZE_PX)
        self._beside = self._curve("projection-rows", self.over_columns, width=SIZE_PX)
        self.switch: Any = pn.widgets.Toggle(
            label="Projections", css_classes=["fb-projections"], margin=(17, 0, 0, 4), height=28
        )  # fmt: skip
        self.switch.param.watch(lambda event: self._show(event.new), "value")
        tracks: Any = ["1fr", "auto"]
        self.view: Any = GridBox(
            children=[(image.figure, 0, 0), (self._beside, 0, 1), (self._below, 1, 0)],
            rows=tracks, cols=tracks, sizing_mode="stretch_both",
        )  # fmt: skip
        image.on_view.append(self._want)
        image.on_picture.append(self._see)

    def refresh(self, news: frozenset[News]) -> None:
        """Show the sums anew."""
        if "image" in news:
            self._is_due = True
        # the pulse comes twice a second: what was too early for the image is made then
        if self._is_due:
            self._go_on()

    def _see(self, picture: Picture) -> None:
        if picture.kind[0] != self._detector:
            self._want()

    def _show(self, is_shown: bool) -> None:
        self._below.visible = self._beside.visible = is_shown
        self._made_at = -EVERY_S
        self._want()

    def _want(self) -> None:
        self._is_due = True
        self._go_on()

    def _go_on(self) -> None:
        session, window, now = self._session, self._image.window, self._clock()
        if not self.switch.value or window is None or session.detector is None:
            return
        is_early = self._making.is_busy or now - self._made_at < EVERY_S
        # another detector that was chosen is shown on a display that stands still too
        stands_still = session.is_paused and session.detector == self._detector
        if stands_still or session.is_hidden or is_early:
            return
        self._detector = session.detector
        self._is_due, self._made_at = False, now
        self._making.ask(partial(session.hub.pictures.projections, session.detector, window))

    def _draw(self, found: Projections | None) -> None:
        if found is None:
            self.over_rows.data = self.over_columns.data = {"x": [], "y": []}
        else:
            self.over_rows.data = {"x": found.columns, "y": found.of_columns}
            self.over_columns.data = {"x": found.of_rows, "y": found.rows}

    def _curve(self, name: str, source: Any, **size: Any) -> Any:
        from bokeh.models import DataRange1d
        from bokeh.plotting import figure

        is_below = "height" in size
        wanted: dict[str, Any] = {
            "x_range": self._image.figure.x_range if is_below else DataRange1d(start=0),
            "y_range": DataRange1d(start=0) if is_below else self._image.figure.y_range,
            "sizing_mode": "stretch_width" if is_below else "stretch_height",
            "min_border_left": LEFT_PX if is_below else 8,
            "min_border_right": RIGHT_PX if is_below else 12,
            "min_border_bottom": 8 if is_below else BOTTOM_PX,
        }
        made: Any = figure(
            name=name, tools="", toolbar_location=None, visible=False, min_border_top=4,
            **wanted, **size,
        )  # fmt: skip
        made.line("x", "y", source=source, line_width=1)
        values, places = (made.yaxis, made.xaxis) if is_below else (made.xaxis, made.yaxis)
        values.axis_label = f"sum of {'column' if is_below else 'row'}"
        values.axis_label_text_font_style = "normal"
        values.ticker.desired_num_ticks = 3
        places.visible = False  # they are those of the image
        if not is_below:
            values.major_label_orientation = 0.8
        return made
