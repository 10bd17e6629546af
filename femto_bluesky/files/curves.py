"""The panel of one curve: points or a line against the motor, with error bars or a band."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from femto_bluesky.files.lettering import DPI, LETTER, printable, wrapped
from femto_bluesky.model.results import DataGroup, Quantity

# More points than this are drawn as a line in a band: markers and bars would cover each other.
_MOST_MARKERS = 150
_NAME_PX = 48  # the room that a slanted name needs along an axis


def draw_curve(axes: Axes, group: DataGroup) -> None:
    """Draw a curve with its errors: bars, or where points are many a band. NaN is a gap."""
    y = np.where(np.isfinite(group.signal.values), group.signal.values, np.nan).astype(float)
    errors = np.zeros(y.shape) if group.errors is None else np.asarray(group.errors, dtype=float)
    errors = np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)
    x = _positions(axes, group.axes[0])
    # Without an order, a line would only join what happened to be measured in succession.
    is_ordered = bool(np.all(np.diff(x[np.isfinite(x)]) > 0) or np.all(np.diff(x) < 0))
    line: dict[str, Any] = {"color": "#1f5fa8", "linestyle": "-" if is_ordered else "none"}
    if is_ordered and len(x) > _MOST_MARKERS:
        axes.fill_between(x, y - errors, y + errors, color="#1f5fa8", alpha=0.28, linewidth=0)
        gaps = np.concatenate([[True], np.isnan(y), [True]])
        alone = np.flatnonzero(gaps[:-2] & gaps[2:])  # a line does not show these
        axes.plot(x, y, linewidth=0.9, marker="o", markersize=3, markevery=alone, **line)
        what = "band"
    else:
        few = len(x) <= 40
        bars: dict[str, Any] = {"ecolor": "#6d8fb5", "elinewidth": 1.2 if few else 0.7}
        points: dict[str, Any] = {"marker": "o", "markersize": 5 if few else 3, "linewidth": 1.2}
        yerr = errors if errors.any() else None
        axes.errorbar(x, y, yerr=yerr, capsize=3 if few else 0, **bars, **points, **line)
        what = "error bars"
    if group.attributes.get("scale") == "log" and (y > 0).any():
        axes.set_yscale("log")
        axes.set_ylim(bottom=float(np.percentile(y[y > 0], 2)) / 2)
    _mark_lines(axes, group)
    if not (np.isfinite(x) & np.isfinite(y)).any():
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", va="center")
    axes.grid(True, color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(printable(group.axes[0].label), parse_math=False)
    box = axes.get_window_extent()
    label = wrapped(group.signal.label, box.height, 10)
    if errors.any():
        label += f"\n({what}: {printable(group.errors_name or 'errors')})"
    axes.set_ylabel(label, parse_math=False)
    axes.set_title(wrapped(group.title, box.width, 11), fontsize=11, parse_math=False)


def _mark_lines(axes: Axes, group: DataGroup) -> None:
    """Mark places along x with thin lines behind the curve, and their names where there is room."""
    room, before = 0.03 * np.subtract(*axes.get_xlim()[::-1]), -math.inf
    for name, place in sorted(group.lines.items(), key=lambda item: item[1]):
        axes.axvline(place, color="#c2571a", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.9)
        if place - before > room:
            before = place
            axes.annotate(
                printable(name), (place, 1), (2, -2), xycoords=("data", "axes fraction"),
                textcoords="offset points", rotation=90, va="top", ha="left", fontsize=7,
                color="#c2571a", parse_math=False,
            )  # fmt: skip


def _positions(axes: Axes, quantity: Quantity) -> NDArray[np.float64]:
    """The points along x: the values, or where they are texts 0, 1, 2 ... named by them."""
    if quantity.values.dtype.kind in "biuf":
        return np.where(np.isfinite(quantity.values), quantity.values, np.nan).astype(float)
    texts = [textwrap.shorten(printable(str(v)), 24, placeholder="...") for v in quantity.values]
    width = axes.get_window_extent().width
    most = max(2, int(width / _NAME_PX))
    shown = range(0, len(texts), math.ceil(len(texts) / most) or 1)
    slanted = max(map(len, texts), default=0) * len(shown) > 0.7 * width / (LETTER * 10 * DPI / 72)
    axes.set_xticks(
        list(shown),
        [texts[i] for i in shown],
        rotation=35 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
        parse_math=False,
    )
    return np.arange(len(texts), dtype=float)
