"""A figure of an image over two axes that are no pixels: a map, I(q) of the steps, a cake."""

from __future__ import annotations

import textwrap
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import slug
from femto_bluesky.viewer.page.curve_figure import TITLE_LETTERS
from femto_bluesky.viewer.page.curve_plans import MapPlan

HEIGHT_PX: Final = 280
LONGEST_SIDE: Final = 400
"""Cells along each side that are sent at most; of more, the highest of each few."""


class MapFigure:
    """Shows a `MapPlan`; its zoom stays when data change, and begins anew with other axes."""

    def __init__(self, name: str) -> None:
        from bokeh.models import (
            BasicTicker,
            ColumnDataSource,
            HoverTool,
            LinearColorMapper,
            Range1d,
        )
        from bokeh.models.annotations import ColorBar
        from bokeh.palettes import Viridis256
        from bokeh.plotting import figure

        self._key = ""
        self._extent: tuple[float, ...] = ()
        shown: Any = figure(
            name=name, height=HEIGHT_PX, sizing_mode="stretch_width", title="",
            tools="box_zoom,pan,reset,save", active_drag="box_zoom", toolbar_location="right",
            x_range=Range1d(start=0, end=1), y_range=Range1d(start=0, end=1), min_border=4,
        )  # fmt: skip
        self.figure: Any = shown
        self.figure.toolbar.logo = None
        self.figure.title.text_font_size = "12px"
        self.figure.grid.visible = False
        for axis in (*self.figure.xaxis, *self.figure.yaxis):
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = "12px"
        self.source = ColumnDataSource(
            {name: [] for name in ("image", "value", "x", "y", "dw", "dh")}
        )
        self._colours = LinearColorMapper(palette=Viridis256, low=0, high=1, nan_color="#8c8c8c")
        image = self.figure.image(
            "image", x="x", y="y", dw="dw", dh="dh", source=self.source, name="map",
            color_mapper=self._colours,
        )  # fmt: skip
        self._bar = ColorBar(
            color_mapper=self._colours, width=10, padding=4, ticker=BasicTicker(),
            title_text_font_style="normal", background_fill_alpha=0,
        )  # fmt: skip
        self.figure.add_layout(self._bar, "right")
        self._hover = HoverTool(renderers=[image], visible=False)
        self.figure.add_tools(self._hover)

    def show(self, plan: MapPlan, stem: str) -> None:
        """Show this; `stem` is what files that are saved are called."""
        group = plan.group
        values = pooled(group)
        (y0, dh, y_names), (x0, dw, x_names) = (
            extent(axis, n) for axis, n in zip(group.axes, group.signal.values.shape, strict=True)
        )
        columns: dict[str, Any] = {"x": [x0], "y": [y0], "dw": [dw], "dh": [dh], "value": [values]}
        columns["image"] = [_logarithmic(values) if plan.is_log else values]
        self.source.data = columns
        shown = columns["image"][0]
        low, high = (0.0, 1.0) if not np.isfinite(shown).any() else (
            float(np.nanmin(shown)), float(np.nanmax(shown))
        )  # fmt: skip
        self._colours.update(low=low, high=high if high > low else low + 1)
        is_new = plan.key != self._key
        if is_new or self._extent != (x0, y0, dw, dh):
            # a map that grows step by step is followed unless somebody has zoomed
            for name, start, size in (("x_range", x0, dw), ("y_range", y0, dh)):
                self._follow(getattr(self.figure, name), start, start + size, is_new=is_new)
            self._extent, self._key = (x0, y0, dw, dh), plan.key
        y_axis, x_axis = group.axes
        self.figure.update(name=plan.name, visible=True)
        self.figure.title.text = "\n".join(textwrap.wrap(group.title, TITLE_LETTERS))
        for axis, of, names in (
            (self.figure.xaxis[0], x_axis, x_names), (self.figure.yaxis[0], y_axis, y_names)
        ):  # fmt: skip
            label = of.label.replace("angstrom", "Å")
            axis.update(axis_label=label, major_label_overrides=names)
            axis.ticker.min_interval = 1 if names else 0
        unit = group.signal.label
        self._bar.title = f"log10 {unit}" if plan.is_log else unit
        self._hover.tooltips = [
            (x_axis.name, "$x{0.[0000]}"), (y_axis.name, "$y{0.[0000]}"), (unit, "@value{0.[0000]}")
        ]  # fmt: skip
        for tool in self.figure.toolbar.tools:
            if type(tool).__name__ == "SaveTool":
                tool.filename = f"{stem}_{slug(plan.name)}"

    def hide(self) -> None:
        """Show nothing."""
        self.figure.update(visible=False, name="")

    def _follow(self, range_: Any, start: float, end: float, *, is_new: bool) -> None:
        is_zoomed = (range_.start, range_.end) != (range_.reset_start, range_.reset_end)
        range_.update(reset_start=start, reset_end=end)
        if is_new or not is_zoomed:
            range_.update(start=start, end=end)


def pooled(group: DataGroup) -> NDArray[np.float32]:
    """The image, NaN where it is masked; the highest of each few cells where there are many."""
    values = np.asarray(group.signal.values, np.float32)
    if group.mask is not None:
        values = np.where(group.mask, np.float32(np.nan), values)
    for axis in (0, 1):
        factor = -(-values.shape[axis] // LONGEST_SIDE)
        if factor > 1:
            values = np.fmax.reduceat(values, np.arange(0, values.shape[axis], factor), axis=axis)
    return np.ascontiguousarray(values)


def extent(axis: Quantity, n: int) -> tuple[float, float, dict[int, str]]:
    """Where the first cell begins, how long all are, and names of places along the axis.

    An axis that is not even, or text, is drawn by the index, with its values for names.
    """
    values = np.asarray(axis.values)
    if values.dtype.kind in "iuf" and np.isfinite(values).all():
        step = float(values[-1] - values[0]) / (n - 1) if n > 1 else 1.0
        even = values[0] + step * np.arange(n)
        if step and np.allclose(values, even, rtol=0, atol=abs(step) / 10):
            return float(values[0]) - step / 2, step * n, {}
    return -0.5, float(n), {i: _text(value) for i, value in enumerate(values)}


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _logarithmic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log10(values), np.float32(np.nan)).astype(np.float32)
