"""A curve with error bars that can be given new points, unlike matplotlib's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CurveWithBars:
    """Points joined by a line, and a bar with caps through each; NaN is a gap.

    `Axes.errorbar` makes artists that cannot be moved. Here the bars are one line too, with a gap
    after each, so that new points are two calls and the axes find their limits by themselves.
    """

    def __init__(self, axes: Axes, *, label: str, colour: str, is_faded: bool) -> None:
        self._axes = axes
        strength, on_top = (0.45, 2.0) if is_faded else (1.0, 3.0)
        (self.bars,) = axes.plot(
            [], [], color=colour, alpha=0.6 * strength, zorder=on_top, linewidth=1.1,
            marker="_", markersize=6, label="_bars",
        )  # fmt: skip
        (self.line,) = axes.plot(
            [], [], color=colour, alpha=strength, zorder=on_top + 0.1, linewidth=1.2,
            marker="o", markersize=4, label=label,
        )  # fmt: skip

    def set(self, x: NDArray[Any], y: NDArray[Any], errors: NDArray[Any]) -> None:
        """Draw these points and no others; where there is no error, there is no bar."""
        self.line.set_data(x, y)
        has_bar = np.isfinite(y) & np.isfinite(errors) & (errors > 0)
        x, y, errors = x[has_bar], y[has_bar], errors[has_bar]
        gap = np.full(x.shape, np.nan)
        self.bars.set_data(
            np.column_stack([x, x, gap]).ravel(),
            np.column_stack([y - errors, y + errors, gap]).ravel(),
        )
        self._axes.relim()
        self._axes.autoscale_view()

    def remove(self) -> None:
        """Take it out of its axes."""
        for artist in (self.line, self.bars):
            if artist.axes is not None:
                artist.remove()
