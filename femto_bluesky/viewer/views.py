"""What part of an image a screen shows, and how many pixels go into one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

SMALLEST_CANVAS: Final = 16
LARGEST_CANVAS: Final = 4096
"""Pixels of a screen that a browser may ask for, in each direction."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a browser shows: a range of rows and columns, on a canvas of pixels of the screen.

    The ranges are as the axes show them, in pixels from the outer edge of the first one: pixel i
    reaches from i to i + 1, as in settings of the geometry and in regions (and not as in positions,
    whose whole numbers are centres). They may be wider than the image. None is the whole image.
    """

    height: float
    width: float
    y: tuple[float, float] | None = None
    x: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The part of an image that is sent: a box of pixels, in blocks of `factor` x `factor`.

    The box is half-open and begins at a whole block, so that blocks stay where they are when the
    image is moved on the screen. `screen_px` is how many pixels of the screen a block covers.
    """

    y0: int
    y1: int
    x0: int
    x1: int
    factor: int
    screen_px: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First row, end, first column, end."""
        return self.y0, self.y1, self.x0, self.x1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return -(-(self.y1 - self.y0) // self.factor), -(-(self.x1 - self.x0) // self.factor)

    def is_all(self, shape: tuple[int, int]) -> bool:
        """Whether it is the whole of an image of a shape."""
        return self.box == (0, shape[0], 0, shape[1])


def view_of(window: Window, shape: tuple[int, int]) -> View | None:
    """The view of an image of a shape (rows, columns) in a window; None where nothing is in sight.

    Blocks are as large as they have to be for there to be no more of them than pixels of the
    screen, in both directions alike.

    >>> view_of(Window(height=500, width=500), (1000, 800))
    View(y0=0, y1=1000, x0=0, x1=800, factor=2, screen_px=1.0)
    """
    rows, columns = shape
    y_first, y_last = _ordered(window.y, rows)
    x_first, x_last = _ordered(window.x, columns)
    height, width = _canvas(window.height), _canvas(window.width)
    # the scale is that of the whole window, beside the image too
    per_pixel = min(height / (y_last - y_first), width / (x_last - x_first))
    y0, y1 = max(0, math.floor(y_first)), min(rows, math.ceil(y_last))
    x0, x1 = max(0, math.floor(x_first)), min(columns, math.ceil(x_last))
    if y1 <= y0 or x1 <= x0:
        return None
    # a canvas is measured in whole pixels: a hair's breadth must not halve what is seen
    factor = max(1, math.ceil(1 / per_pixel - 0.01))
    factor = max(factor, -(-max(y1 - y0, x1 - x0) // LARGEST_CANVAS))
    y0, y1 = _whole_blocks(y0, y1, factor, rows)
    x0, x1 = _whole_blocks(x0, x1, factor, columns)
    return View(y0, y1, x0, x1, factor, factor * per_pixel)


def _ordered(ends: tuple[float, float] | None, n: int) -> tuple[float, float]:
    if ends is None or not all(math.isfinite(end) for end in ends) or ends[0] == ends[1]:
        return 0.0, float(n)
    return min(ends), max(ends)


def _canvas(pixels: float) -> float:
    return min(max(pixels, SMALLEST_CANVAS), LARGEST_CANVAS)


def _whole_blocks(first: int, end: int, factor: int, n: int) -> tuple[int, int]:
    return first // factor * factor, min(n, -(-end // factor) * factor)
