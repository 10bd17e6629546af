"""The image in the middle of the page: what is in sight, as fast as the browser shows it.

Pictures go their own way to the browser: deflated, one at a time, and into what is drawn in place,
with all that is written beside them, so that the browser paints once. The other half is image.js.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from femto_bluesky.viewer.colour_scale import N_COLOURS, ColourScale, Limits
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.assets import asset
from femto_bluesky.viewer.page.flow import Flow
from femto_bluesky.viewer.page.palettes import NO_DATA_MARKED, colours, no_data
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.pictures import Kind, Picture
from femto_bluesky.viewer.views import Window

log = logging.getLogger(__name__)

NAME: Final = "image"
NOTHING: Final = "No image has come yet"
EMPTY: Final = "No image since the sum was begun anew"

# Room for the numbers beside the axes and the colour bar, so that the image stays where it is when
# they become longer.
LEFT_PX, RIGHT_PX, BOTTOM_PX = 62, 92, 46


class ImageFigure:
    """The figure with the sum of the shown detector, and the way of pictures to it.

    `figure` is for others to draw on: pixel i reaches from i to i + 1, row 0 is above. `scale` and
    `palette` are set with `colour`. `on_picture` are called with each picture that is sent,
    `on_view` when another part comes into sight.
    """

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        from bokeh.models import ColumnDataSource

        self._session, self._clock = session, clock
        self.scale, self.palette = ColourScale(), "Viridis"
        self.picture: Picture | None = None
        self.on_picture: list[Callable[[Picture], None]] = []
        self.on_view: list[Callable[[], None]] = []
        self.wire: Any = ColumnDataSource(data={})
        self.back: Any = ColumnDataSource(
            data={"painted": [0], "width": [0.0], "height": [0.0], "hidden": [False], "n": [0]}
        )
        self._flow = Flow()
        self._on_screen: Picture | None = None
        self._kind: Kind | None = None
        self._n_kinds = 0
        self._is_moving = False
        self._limits: Limits | None = None
        self._ticks: Mapping[float, str] = {}
        self._no_data = ""  # what they are painted in; empty: as it suits the palette
        self._make_figure()
        self.colour(self.scale, self.palette)
        session.on_choice.append(self._choice)
        self.back.on_change("data", lambda attr, old, new: self._hear(new))
        for ends in (self.figure.x_range, self.figure.y_range):
            for end in ("start", "end"):
                ends.on_change(end, lambda attr, old, new: self._moving())
        _run_when_drawn(
            self.figure, wire=self.wire, back=self.back, shown=self._shown,
            renderer=self._renderer, bar=self._bar, mapper=self.mapper,
        )  # fmt: skip

    @property
    def window(self) -> Window | None:
        """What the browser shows; None until it has said how large its canvas is."""
        height, width = self.back.data["height"][0], self.back.data["width"][0]
        if not (height > 0 and width > 0):
            return None
        ys, xs = self.figure.y_range, self.figure.x_range
        return Window(height, width, (ys.start, ys.end), (xs.start, xs.end))

    def colour(self, scale: ColourScale, palette: str) -> None:
        """Colour the image anew."""
        self.scale, self.palette = scale, palette
        self.mapper.palette = [self._no_data or no_data(palette), *colours(palette)]
        self._bar_mapper.palette = list(colours(palette))
        self.want()

    def mark_mask(self, is_marked: bool) -> None:
        """Have pixels without data stand out, or be grey."""
        self._no_data = NO_DATA_MARKED if is_marked else ""
        self.colour(self.scale, self.palette)

    def want(self) -> None:
        """Have a new picture sent, as soon as the browser can take one."""
        self._flow.want()
        self._go_on()

    def refresh(self, news: frozenset[News]) -> None:
        """Send what is new."""
        is_preliminary = self.picture is not None and not self.picture.is_final
        if "image" in news or ("pulse" in news and is_preliminary):
            self._flow.want()
        self._go_on()

    # to the browser

    @property
    def _is_of_another(self) -> bool:
        """Whether the picture is of another detector than the one that was chosen since.

        That one is shown as it is, once, on a display that stands still too.
        """
        return self.picture is not None and self.picture.kind[0] != self._session.detector

    def _choice(self) -> None:
        if self._is_of_another:
            self.want()

    def _go_on(self) -> None:
        session, window = self._session, self.window
        if session.is_hidden or session.detector is None or window is None:
            return
        if session.is_paused and not self._is_of_another:
            return
        # however long it takes: a picture that waits to be sent is not lost, and one more behind it
        # would come later still
        if self._flow.is_on_its_way and session.is_behind:
            return
        if self._flow.begin(self._clock()):
            if self._flow.has_lost:
                self._on_screen = None
            make = partial(self._make, session.detector, window, self.scale, self._on_screen)
            session.in_thread(make, self._send, session.hub.drawing)

    def _make(
        self, detector: str, window: Window, scale: ColourScale, base: Picture | None
    ) -> tuple[Picture, Picture | None, bytes] | None:
        """A picture and its bytes, in a thread; None where there is nothing, or nothing new."""
        pictures = self._session.hub.pictures
        try:
            if pictures.kind(detector) != self._kind:
                window = Window(window.height, window.width)  # the browser will show all of it
            picture = pictures.picture(detector, window, scale)
            if picture is None or picture is base:
                return None
            base = base if base is not None and picture.may_follow(base) else None
            return picture, base, pictures.encoded(picture, base)
        except Exception:
            # whatever it is: what was seen before stays, and the next one is tried
            log.exception("the image could not be shown")
            return None

    def _send(self, made: tuple[Picture, Picture | None, bytes] | None) -> None:
        if made is None:
            self._flow.nothing()
            if self._session.hub.pictures.kind(self._session.detector or "") is None:
                self._send_none(NOTHING if self.picture is None else EMPTY)
            return
        picture, base, data = made
        if picture.kind != self._kind:
            self._kind, self._n_kinds = picture.kind, self._n_kinds + 1
        self.picture = picture
        view, (rows, columns) = picture.view, picture.codes.shape
        ticks = self._ticks_of(picture.limits)
        self.wire.data = {
            "bytes": [np.frombuffer(data, np.uint8)], "number": [picture.number],
            "base": [0 if base is None else base.number], "rows": [rows], "columns": [columns],
            "y": [view.y0], "x": [view.x0], "dh": [rows * view.factor],
            "dw": [columns * view.factor], "kind": [self._n_kinds],
            "all_rows": [picture.shape[0]], "all_columns": [picture.shape[1]],
            "title": [picture.title], "units": [picture.units],
            "ticks": [list(ticks)], "labels": [list(ticks.values())],
        }  # fmt: skip
        self._flow.sent(picture.number, self._clock())
        for function in self.on_picture:
            function(picture)

    def _send_none(self, title: str) -> None:
        """Have the browser say why it shows no picture."""
        if self.wire.data.get("title") != [title]:
            self.wire.data = {"number": [0], "title": [title]}

    def _ticks_of(self, limits: Limits) -> Mapping[float, str]:
        if limits != self._limits:
            self._limits, self._ticks = limits, limits.ticks()
        return self._ticks

    # from the browser

    def _hear(self, heard: Mapping[str, list[Any]]) -> None:
        is_hidden, painted = bool(heard["hidden"][0]), int(heard["painted"][0])
        if is_hidden != self._session.is_hidden:
            self._session.choose(is_hidden=is_hidden)
        if painted == 0:
            # it has just come, or could make nothing of what was sent
            self._on_screen = None
            self._flow.lost()
        elif self._flow.shown(painted):
            self._session.n_drawn += 1
            self._on_screen = self.picture
        self._moved()

    def _moving(self) -> None:
        """The ends of the ranges come one after the other: wait for all of them."""
        if not self._is_moving:
            self._is_moving = True
            self._session.doc.add_next_tick_callback(self._moved)

    def _moved(self) -> None:
        self._is_moving = False
        picture, window = self.picture, self.window
        if picture is not None and window is not None and not picture.is_of(window):
            self._flow.want()
            for function in self.on_view:
                function()
        self._go_on()

    # the figure

    def _make_figure(self) -> None:
        from bokeh.models import (
            ColumnDataSource,
            FixedTicker,
            ImageRGBA,
            LinearColorMapper,
            Range1d,
        )
        from bokeh.models.annotations import ColorBar
        from bokeh.models.tools import BoxZoomTool, PanTool, ResetTool, SaveTool, WheelZoomTool
        from bokeh.plotting import figure

        wheel = WheelZoomTool(zoom_on_axis=False)
        box = BoxZoomTool(match_aspect=True)
        self.figure: Any = figure(
            name=NAME, title=NOTHING, sizing_mode="stretch_both", min_width=200, min_height=200,
            x_range=Range1d(start=0, end=1), y_range=Range1d(start=1, end=0),
            x_axis_label="column [px]", y_axis_label="row [px]",
            tools=[PanTool(), wheel, box, ResetTool(), SaveTool()], active_scroll=wheel,
            min_border_left=LEFT_PX, min_border_right=RIGHT_PX, min_border_bottom=BOTTOM_PX,
            css_classes=["fb-image"], toolbar_location="above",
            toolbar_sticky=False,  # in one line with a long title there is no room for it
        )  # fmt: skip
        self.figure.toolbar.logo = None
        self.figure.grid.visible = False
        # the browser looks colours up itself: Bokeh takes several milliseconds to
        self.mapper: Any = LinearColorMapper(low=0, high=N_COLOURS)
        nowhere = {"x": [0], "y": [0], "dw": [0], "dh": [0]}
        pixels, codes = np.zeros((1, 1), np.uint32), np.zeros(1, np.uint8)
        self._shown = ColumnDataSource(data={"image": [pixels], "codes": [codes], **nowhere})
        image = ImageRGBA(image="image", x="x", y="y", dw="dw", dh="dh")
        self._renderer: Any = self.figure.add_glyph(
            self._shown, image, name="picture", level="image"
        )
        self._bar_mapper = LinearColorMapper(low=0, high=1)
        self._bar = ColorBar(
            color_mapper=self._bar_mapper, ticker=FixedTicker(ticks=[]), width=14, padding=6,
            label_standoff=4, title="",
        )  # fmt: skip
        self.figure.add_layout(self._bar, "right")


def _run_when_drawn(figure: Any, **models: Any) -> None:
    """Have the browser run image.js on these models, once the figure has its size."""
    from bokeh.models import CustomJS

    script = CustomJS(args={"figure": figure, **models}, code=asset("image.js"))
    figure.tags = [models["wire"], models["back"], models["shown"]]  # for those who look on
    for size in ("inner_width", "inner_height"):
        figure.js_on_change(size, script)
