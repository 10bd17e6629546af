"""A figure of curves that is given new data as often as they come, and is made once."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from femto_bluesky.model.rois import slug
from femto_bluesky.viewer.page.assets import asset
from femto_bluesky.viewer.page.curve_plans import CurvePlan, Series
from femto_bluesky.viewer.page.curve_points import Window

HEIGHT_PX: Final = 250
LETTERS: Final = 52
"""So many go beside each other in the width that a figure has on most screens."""

TITLE_LETTERS: Final = 42
"""A title is bold and begins at the axis: so many on a screen of 1280 pixels."""

MOST_MARKERS: Final = 150
"""More points than this are drawn as a line: markers would cover each other."""

LINE_COLOUR: Final = "#c2571a"
"""Of marked places; seen on light and on dark ground."""

N_NAMES: Final = 24
"""So many marked places have their names written beside them."""

NAME_SHARE: Final = 0.045
"""What a name takes of the width of a figure: one line of small letters."""


class CurveFigure:
    """Shows a `CurvePlan`.

    Its ranges follow the data, with their bars, until somebody zooms, and again after a reset;
    Bokeh's own ranges do that in the browser. Where something else comes onto the axes, they begin
    anew. Models are made for as many curves as were ever shown at once, and used again.
    `on_window` is called with the key of the plan and the range of x when that was changed.
    """

    def __init__(self, name: str, on_window: Callable[[str, Window], None] | None = None) -> None:
        from bokeh.models import ColumnDataSource, HoverTool
        from bokeh.models.annotations import Legend
        from bokeh.models.glyphs import Scatter, VSpan
        from bokeh.plotting import figure

        self._on_window = on_window
        self._plan: CurvePlan | None = None
        self._slots: list[_Slot] = []
        self._keys: list[_Key] = []
        self._nowhere = ColumnDataSource({"x": [np.nan], "y": [np.nan]})
        shown: Any = figure(
            name=name, height=HEIGHT_PX, sizing_mode="stretch_width", title="",
            tools="box_zoom,pan,reset,save", active_drag="box_zoom",
            toolbar_location="right", min_border=4,
            output_backend="canvas",
        )  # fmt: skip
        self.figure: Any = shown
        self.figure.toolbar.logo = None
        self.figure.title.text_font_size = "12px"
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = "12px"
        self._new_ranges()
        self._lines = ColumnDataSource({"x": [], "name": []})
        marks = VSpan(x="x", line_color=LINE_COLOUR, line_dash="dashed", line_width=1)
        (lines,) = _drawn(self._lines, marks)
        lines.update(name="lines", level="underlay")
        self._names: list[Any] = []
        self._newest = ColumnDataSource({"x": [], "y": [], "colour": []})
        ring = Scatter(
            x="x", y="y", size=13, fill_alpha=0, line_color="colour", line_width=2,
        )  # fmt: skip
        (newest,) = _drawn(self._newest, ring)
        newest.name = "newest"
        self.figure.renderers.extend([lines, newest])
        self._hover = HoverTool(renderers=[], tooltips=[], visible=False)
        self.figure.add_tools(self._hover)
        legend: Any = Legend
        self._legend = legend(
            items=[], orientation="horizontal", click_policy="hide", label_text_font_size="11px",
            padding=0, margin=2, spacing=4, glyph_width=16, glyph_height=14, label_height=14,
            label_standoff=3,
            border_line_alpha=0, background_fill_alpha=0,
        )  # fmt: skip
        self.figure.add_layout(self._legend, "above")

    def show(self, plan: CurvePlan, stem: str) -> None:
        """Show this; `stem` is what files that are saved are called."""
        before, self._plan = self._plan, plan
        if before is None or before.key != plan.key:
            self._new_ranges()
            for key in self._keys:
                _set(key.dots, visible=True)
                _set(key.line, visible=True)
        is_scaled = before is None or before.is_log != plan.is_log
        is_anew = before is None or before.key != plan.key or is_scaled
        if is_scaled:
            self._scale(is_log=plan.is_log)
        _set(self.figure, name=plan.name, visible=True)
        _set(self.figure.title, text="\n".join(textwrap.wrap(plan.title, TITLE_LETTERS)))
        _set(self.figure.xaxis[0], axis_label=plan.x_label)
        bars = f"\n(bars: {plan.errors_name})" if plan.errors_name else ""
        _set(self.figure.yaxis[0], axis_label="\n".join(textwrap.wrap(plan.y_label, 34)) + bars)
        _set(self.figure.xaxis[0], major_label_overrides=dict(plan.x_texts))
        # between two texts there is nothing to be named
        _set(self.figure.xaxis[0].ticker, min_interval=1 if plan.x_texts else 0)
        for tool in self.figure.toolbar.tools:
            if type(tool).__name__ == "SaveTool":
                _set(tool, filename=f"{stem}_{slug(plan.name)}")
        # what is new comes into the figure when all is set: the browser is sent it as it is then,
        # and the document goes through all its models once
        new = [_Slot() for _ in plan.series[len(self._slots) :]]
        self._slots += new
        for slot, series in zip(self._slots, plan.series, strict=False):
            slot.show(series, is_sent=is_anew)
        if new:
            self.figure.renderers.extend([model for slot in new for model in slot.renderers])
        for slot in self._slots[len(plan.series) :]:
            slot.clear()
        self._show_legend(plan)
        self._hide("", None, None)
        self._show_hover(plan)
        self._show_newest(plan)
        self._show_lines(plan)

    def hide(self) -> None:
        """Show nothing."""
        _set(self.figure, visible=False, name="")

    def _new_ranges(self) -> None:
        """Ranges that follow the data; those that somebody had zoomed are forgotten."""
        from bokeh.models import DataRange1d

        for name in ("x_range", "y_range"):
            setattr(self.figure, name, DataRange1d(only_visible=True, range_padding=0.06))
        if self._on_window is not None:
            x_range = self.figure.x_range
            for edge in ("start", "end"):
                x_range.on_change(edge, self._tell_window)

    def _tell_window(self, attr: str, old: Any, new: Any) -> None:
        start, end = self.figure.x_range.start, self.figure.x_range.end
        if self._on_window is None or self._plan is None:
            return
        # of a range that nobody has drawn yet the ends are not known
        if isinstance(start, int | float) and isinstance(end, int | float):
            self._on_window(self._plan.key, (start, end))

    def _scale(self, *, is_log: bool) -> None:
        """Put y on a logarithmic scale, or back; it is looked at anew then."""
        from bokeh.models import (
            BasicTicker,
            BasicTickFormatter,
            CustomJSTicker,
            CustomJSTickFormatter,
            DataRange1d,
            LinearScale,
            LogScale,
        )

        self.figure.y_range = DataRange1d(only_visible=True, range_padding=0.06)
        self.figure.y_scale = LogScale() if is_log else LinearScale()
        ticks, words = asset("log_ticks.js"), asset("log_tick_words.js")
        ticker: Any = CustomJSTicker(major_code=ticks) if is_log else BasicTicker()
        formatter: Any = CustomJSTickFormatter(code=words) if is_log else BasicTickFormatter()
        self.figure.yaxis[0].ticker = ticker
        self.figure.yaxis[0].formatter = formatter
        self.figure.ygrid[0].ticker = ticker

    def _show_legend(self, plan: CurvePlan) -> None:
        """An item for each curve of the run that is shown; a click on it hides that curve."""
        shown = [series for series in plan.series if series.age == 0]
        new = [_Key(self._nowhere, self._hide) for _ in shown[len(self._keys) :]]
        self._keys += new
        for key, series in zip(self._keys, shown, strict=False):
            key.show(series)
        if new:
            self.figure.renderers.extend([model for key in new for model in (key.line, key.dots)])
            self._legend.items = [key.item for key in self._keys]
        for key in self._keys[len(shown) :]:
            _set(key.item, visible=False)
        longest = max((len(series.label) for series in shown), default=1)
        across = max(1, min(len(shown), LETTERS // (longest + 4)))
        _set(self._legend, ncols=across)
        rows = -(-len(shown) // across) if len(shown) > 1 else 0
        _set(self._legend, visible=rows > 0)
        _set(self.figure, height=HEIGHT_PX + 16 * rows)

    def _hide(self, attr: str, old: Any, new: Any) -> None:
        """Curves go with their keys, those of earlier runs too."""
        hidden = {key.dots.name for key in self._keys if not key.dots.visible}
        for slot, series in zip(self._slots, self._plan.series if self._plan else (), strict=False):
            is_hidden = _base(series) in hidden
            for renderer in slot.renderers:
                _set(renderer, visible=not is_hidden)

    def _show_hover(self, plan: CurvePlan) -> None:
        rows = [("", "$name"), (plan.x_label, "@x{0.[000000]}"), (plan.y_label, "@y{0.[000000]}")]
        if plan.errors_name:
            rows.append((plan.errors_name, "@error{0.[000000]}"))
        if any(np.isfinite(series.points.n).any() for series in plan.series):
            rows.append(("n", "@n{0}"))
        _set(self._hover, tooltips=rows)
        dots = [slot.dots for slot in self._slots[: len(plan.series)]]
        if self._hover.renderers != dots:
            self._hover.renderers = dots

    def _show_newest(self, plan: CurvePlan) -> None:
        found: dict[str, list[Any]] = {"x": [], "y": [], "colour": []}
        for series in plan.series if plan.marks_newest else ():
            if series.age == 0 and len(series.points.x):
                found["x"].append(float(series.points.x[-1]))
                found["y"].append(float(series.points.y[-1]))
                found["colour"].append(series.colour)
        if found != self._newest.data:
            self._newest.data = found

    def _show_lines(self, plan: CurvePlan) -> None:
        places = sorted((x, name) for name, x in plan.lines.items() if np.isfinite(x))
        found = {"x": [x for x, _ in places], "name": [name for _, name in places]}
        if found == self._lines.data:
            return
        self._lines.data = found
        seen = [series.points.x for series in plan.series]
        span = np.concatenate([found["x"], *(x[np.isfinite(x)] for x in seen)])
        named = _with_room(places, NAME_SHARE * float(np.ptp(span)) if len(span) else 0.0)
        named = named[:N_NAMES]
        # as many as are needed: each costs the browser time whenever the figure is drawn
        new = [_new_name() for _ in named[len(self._names) :]]
        self._names += new
        for label, (x, name) in zip(self._names, named, strict=False):
            _set(label, x=x, text=name, visible=True)
        for label in new:
            self.figure.add_layout(label)
        for label in self._names[len(named) :]:
            _set(label, visible=False)


class _Slot:
    """The models of one curve: its bars, line and points, on one source."""

    def __init__(self) -> None:
        from bokeh.models import ColumnDataSource
        from bokeh.models.glyphs import Line, Scatter, Segment

        self.source: Any = ColumnDataSource(
            {name: np.empty(0) for name in ("x", "y", "low", "high", "error", "n")}
        )
        glyphs = (
            Segment(x0="x", y0="low", x1="x", y1="high", line_alpha=0.6),
            Line(x="x", y="y"),
            Scatter(x="x", y="y", hit_dilation=1.8),
        )
        self.bars, self.line, self.dots = self.renderers = _drawn(self.source, *glyphs)

    def show(self, series: Series, *, is_sent: bool) -> None:
        """Show a curve; its points are sent (`is_sent`) even where the browser has them already.

        A range takes its ends from points that come, and a new one has none before.
        """
        if not _same(self.source.data, columns := series.points.columns) or is_sent:
            self.source.data = columns
        is_dense = len(series.points.x) > MOST_MARKERS
        strength = 1.0 if series.age == 0 else 0.45
        _set(self.dots, name=series.label)
        # without an order, a line would only join what happened to be measured in succession
        _set(
            self.line.glyph, line_color=series.colour, line_width=1.2 if is_dense else 1.5,
            line_alpha=strength if series.has_order else 0.0,
            line_dash=list(_dash(series.age)),
        )  # fmt: skip
        is_seen = not (is_dense and series.has_order)
        _set(
            self.dots.glyph, fill_color=series.colour, line_color=series.colour,
            size=6 if not is_dense else 4,
            fill_alpha=strength * is_seen * (series.age == 0), line_alpha=strength * is_seen,
        )  # fmt: skip
        _set(
            self.bars.glyph, line_color=series.colour,
            line_alpha=(0.25 if is_dense else 0.7) * strength, line_width=1.2,
        )  # fmt: skip

    def clear(self) -> None:
        if len(self.source.data["x"]):
            self.source.data = {name: np.empty(0) for name in self.source.data}


class _Key:
    """What stands for a curve in the legend.

    The legend is drawn anew whenever data of its items change, so these have none.
    """

    def __init__(self, nowhere: Any, on_hide: Any) -> None:
        from bokeh.core.properties import value
        from bokeh.models.annotations import LegendItem
        from bokeh.models.glyphs import Line, Scatter

        self._text = value  # else it would be the name of a column
        glyphs = Line(x="x", y="y", line_width=1.5), Scatter(x="x", y="y", size=6)
        self.line, self.dots = _drawn(nowhere, *glyphs)
        self.item = LegendItem(label=value(""), renderers=[self.dots, self.line])
        self.dots.on_change("visible", on_hide)

    def show(self, series: Series) -> None:
        _set(self.dots, name=_base(series))
        _set(self.item, label=self._text(series.label), visible=True)
        _set(self.line.glyph, line_color=series.colour)
        _set(self.dots.glyph, fill_color=series.colour, line_color=series.colour)


def _drawn(source: Any, *glyphs: Any) -> list[Any]:
    """What draws a source with these glyphs in a figure.

    The methods of the figure make five models for each, for what is never shown here: selections.
    """
    from bokeh.models import CDSView
    from bokeh.models.renderers import GlyphRenderer

    view = CDSView()
    none: dict[str, Any] = {"selection_glyph": None, "nonselection_glyph": None}
    return [
        GlyphRenderer(
            data_source=source, glyph=glyph, view=view, muted_glyph=None, hover_glyph=None, **none
        )
        for glyph in glyphs
    ]


def _base(series: Series) -> str:
    """The name of the key of a curve, and of those of earlier runs of the same."""
    return f"key of {series.label if series.age == 0 else series.of}"


def _same(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the browser has these columns already, as those of earlier runs."""
    return all(np.array_equal(now[name], wanted[name], equal_nan=True) for name in wanted)


def _dash(age: int) -> tuple[int, ...]:
    """Bokeh keeps a dash as a list of lengths, and what is set is compared to that."""
    return ((), (6,), (2, 4), (2, 4, 6, 4), (6, 4, 2, 4))[min(age, 4)]


def _new_name() -> Any:
    from bokeh.models import Node
    from bokeh.models.annotations import Label

    return Label(
        x=0, y=Node(target="frame", symbol="top", offset=3), text="", angle=90, angle_units="deg",
        text_align="right", text_baseline="bottom", text_font_size="10px", text_color=LINE_COLOUR,
    )  # fmt: skip


def _with_room(places: list[tuple[float, str]], room: float) -> list[tuple[float, str]]:
    """Those whose names do not cover each other, where each needs this much of the axis."""
    found: list[tuple[float, str]] = []
    for x, name in places:
        if not found or x - found[-1][0] > room:
            found.append((x, name))
    return found


def _set(model: Any, **values: Any) -> None:
    """Set what is another value: each assignment is a message to the browser."""
    for name, value in values.items():
        if getattr(model, name) != value:
            setattr(model, name, value)
