"""The pictures of the report, as PNG in memory."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from femto_bluesky.files.curves import draw_curve
from femto_bluesky.files.lettering import DPI, printable, wrapped
from femto_bluesky.files.pictures import draw
from femto_bluesky.model.results import DataGroup

MOST_NAMED = 12
"""So many curves have their names beside them."""

_BANDS = 3
"""Of so many curves errors are drawn as bands; those of more would cover each other."""

_GREY = "#73828f"
"""Letters that are read on white and on black."""

_LONGEST = 700
"""Pixels of a difference image on the screen, along its longer side."""


def curve_png(group: DataGroup) -> bytes:
    """One curve with its error bars."""
    figure, axes = _figure(6.6, 3.5)
    draw_curve(axes, group)
    return _png(figure)


def overlay_png(
    curves: Sequence[DataGroup],
    names: Sequence[str],
    values: Sequence[float] | None = None,
    key: str = "",
    title: str = "",
    *,
    wide: bool = False,
) -> bytes:
    """Several curves on one another, coloured by a number (`values` of what is called `key`)."""
    figure, axes = _figure(12.6 if wide else 6.6, 4.4 if wide else 3.5)
    norm = _norm(values)
    colours = _colours(len(curves), values, norm)
    is_log = curves[0].attributes.get("scale") == "log"
    lowest = math.inf
    for group, name, colour in zip(curves, names, colours, strict=True):
        x = np.asarray(group.axes[0].values, np.float64)
        y = np.where(np.isfinite(group.signal.values), group.signal.values, np.nan)
        y = np.where(y > 0, y, np.nan) if is_log else y
        few = len(x) <= 40
        style: dict[str, Any] = {"color": colour, "linewidth": 1.3 if few else 1.0, "label": name}
        errors = _errors(group)
        if few:
            axes.errorbar(x, y, yerr=errors, marker="o", markersize=4, capsize=2, **style)
        else:
            axes.plot(x, y, **style)
            if errors is not None and len(curves) <= _BANDS:
                axes.fill_between(x, y - errors, y + errors, color=colour, alpha=0.2, linewidth=0)
        if is_log and np.isfinite(y).any():
            lowest = min(lowest, float(np.nanpercentile(y, 2)) / 2)
    if is_log:
        axes.set_yscale("log")
        if math.isfinite(lowest):
            axes.set_ylim(bottom=lowest)
    elif axes.get_ylim()[0] < 0 < axes.get_ylim()[1]:
        axes.axhline(0, color="0.6", linewidth=0.8, zorder=0.5)
    if all(group.axes[0].values.dtype.kind in "iu" for group in curves):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(printable(curves[0].axes[0].label), parse_math=False)
    axes.set_ylabel(printable(curves[0].signal.label), parse_math=False)
    if title:
        axes.set_title(wrapped(title, 600, 11), fontsize=11, parse_math=False)
    if norm is not None and len(curves) > 2:
        bar = figure.colorbar(ScalarMappable(norm, _map()), ax=axes, pad=0.02)
        bar.set_label(printable(key), parse_math=False)
    elif len(curves) <= MOST_NAMED:
        legend = axes.legend(fontsize=8, framealpha=0.7)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return _png(figure)


def image_png(group: DataGroup, title: str) -> bytes:
    """An image as everywhere in the package, small; its ground is that of the page."""
    names = "text.color axes.labelcolor axes.titlecolor axes.edgecolor xtick.color ytick.color"
    style: dict[Any, Any] = {**dict.fromkeys(names.split(), _GREY), "figure.facecolor": "none"}
    with rc_context(style):
        figure, axes = _image_figure(group.signal.values.shape)
        draw(replace(group, title=title), axes)
        return _png(figure)


def difference_png(group: DataGroup, title: str) -> bytes:
    """An image of differences: white is none, red is more, blue is less; grey has no data.

    Large images are binned by their mean. The colours end at the 99.5th percentile.
    """
    values = np.asarray(group.signal.values, np.float64)
    valid = np.isfinite(values) if group.mask is None else np.isfinite(values) & ~group.mask
    factor = max(1, math.ceil(max(values.shape) / _LONGEST))
    shown = _binned(values, valid, factor)
    there = np.abs(shown.compressed())
    there = there[there > 0]
    most = float(np.percentile(there, 99.5)) if there.size else 1.0
    figure, axes = _image_figure(values.shape)
    rows, columns = values.shape
    image = axes.imshow(
        shown, norm=Normalize(-most, most), cmap=colormaps["RdBu_r"].with_extremes(bad="#8c8c8c"),
        interpolation="nearest", origin="upper", extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
    )  # fmt: skip
    axes.spines[:].set_visible(False)
    note = f"mean of {factor}x{factor} pixels" if factor > 1 else ""
    axes.set_xlabel("\n".join(filter(None, [group.axes[1].label, note])), parse_math=False)
    axes.set_ylabel(group.axes[0].label, parse_math=False)
    axes.set_title(wrapped(title, 380, 11), fontsize=11, parse_math=False)
    bar = figure.colorbar(image, ax=axes, extend="both")
    bar.set_label(printable(group.signal.label), parse_math=False)
    return _png(figure)


def _binned(
    values: NDArray[np.float64], valid: NDArray[np.bool_], factor: int
) -> np.ma.MaskedArray:
    """The mean of the valid pixels of each box of factor x factor pixels."""
    total, n = np.where(valid, values, 0.0), valid.astype(np.float64)
    if factor > 1:
        for axis in (0, 1):
            starts = np.arange(0, values.shape[axis], factor)
            total, n = (np.add.reduceat(part, starts, axis=axis) for part in (total, n))
    mean = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
    return np.ma.MaskedArray(mean, mask=n == 0)


def _image_figure(shape: tuple[int, ...]) -> tuple[Figure, Axes]:
    """A figure in which an image of this shape and its colour bar have just their room (inches)."""
    rows, columns = shape
    wide, left, right, below, above = 4.6, 0.62, 0.15, 0.72, 0.38
    inside = wide - left - right
    # of which a colour bar takes a fifth
    high = float(np.clip(0.8 * inside * rows / max(columns, 1), 1.0, 6.0))
    figure = Figure(figsize=(wide, high + below + above), dpi=DPI)
    FigureCanvasAgg(figure)
    all_high = high + below + above
    box = (left / wide, below / all_high, inside / wide, high / all_high)
    return figure, figure.add_axes(box)


def _errors(group: DataGroup) -> NDArray[np.float64] | None:
    if group.errors is None:
        return None
    errors = np.asarray(group.errors, np.float64)
    errors = np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)
    return errors if errors.any() else None


def _norm(values: Sequence[float] | None) -> Normalize | None:
    if not values or min(values) == max(values):
        return None
    return Normalize(min(values), max(values))


def _colours(n: int, values: Sequence[float] | None, norm: Normalize | None) -> list[str]:
    if norm is not None and values is not None:
        return [to_hex(_map()(norm(value))) for value in values]
    if n <= 10:
        return [to_hex(colormaps["tab10"](i)) for i in range(n)]
    return [to_hex(_map()(i / (n - 1))) for i in range(n)]


def _map() -> Colormap:
    """From blue to green; the yellow beyond is not seen on white."""
    return ListedColormap(colormaps["viridis"](np.linspace(0, 0.85, 256)))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    # whoever draws asks how much room there is
    figure.draw_without_rendering()
    return figure, axes


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()
