"""Rings drawn on the picture of an image: thin and broken, so that the counts show through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from femto_bluesky.files.lettering import printable
from femto_bluesky.model.results import Curve

Floats = NDArray[np.float64]

_COLOUR = "#7dff9b"
# Of the line, a quarter is there: the ring of counts under it stays to be seen.
_DASHES = (0, (3.0, 9.0))
_LABEL_SIZE = 8
_ROOM = 3  # pixels of the screen around a label
# Where along a piece its label may stand: the middle first, then ever further from it.
_PLACES = tuple(0.5 + side * step / 40 for step in range(19) for side in (1, -1))[1:]


def draw_rings(
    axes: Axes,
    rings: Mapping[str, Curve],
    to_axes: tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]],
    taken: Sequence[Bbox] = (),
) -> None:
    """Draw each ring with its name beside it; no name covers another, or a box of `taken`.

    `to_axes` turns positions y and x on the frame into coordinates of the axes. A name for which
    there is no room is left out. Comes last: names are placed by the size of the image on the
    screen. `taken` are boxes on the screen.
    """
    boxes = list(taken)
    inside = axes.get_window_extent()
    for name, (y, x) in rings.items():
        at_y, at_x = to_axes[0](np.asarray(y, float)), to_axes[1](np.asarray(x, float))
        axes.add_line(
            Line2D(
                at_x,
                at_y,
                color=_COLOUR,
                linewidth=1.1,
                linestyle=_DASHES,
                dash_capstyle="butt",
                path_effects=[withStroke(linewidth=2.4, foreground="black")],
            )
        )
        if name:
            _write_name(axes, name, axes.transData.transform(np.c_[at_x, at_y]), inside, boxes)


def _write_name(axes: Axes, name: str, curve: Floats, inside: Bbox, boxes: list[Bbox]) -> None:
    """Put the name on its curve (on the screen) where it is whole and covers no other."""
    text = axes.text(
        0,
        0,
        printable(name),
        color=_COLOUR,
        fontsize=_LABEL_SIZE,
        fontweight="bold",
        ha="center",
        va="center",
        parse_math=False,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )
    extent = text.get_window_extent()
    half = extent.width / 2 + _ROOM, extent.height / 2 + _ROOM
    for x, y in _places(curve):
        box = Bbox(((x - half[0], y - half[1]), (x + half[0], y + half[1])))
        is_whole = inside.x0 <= box.x0 and box.x1 <= inside.x1
        is_whole = is_whole and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if is_whole and box.count_overlaps(boxes) == 0:
            at_x, at_y = axes.transData.inverted().transform((x, y))
            text.set_position((float(at_x), float(at_y)))
            boxes.append(box)
            return
    text.remove()


def _places(curve: Floats) -> Iterator[tuple[float, float]]:
    """Points of the curve, the best for its name first: the middle of its longest piece."""
    gaps = np.flatnonzero(np.isnan(curve).any(axis=1))
    pieces = [piece[~np.isnan(piece).any(axis=1)] for piece in np.split(curve, gaps)]
    lengths = [np.hypot(*np.diff(piece, axis=0).T).sum() for piece in pieces]
    for index in np.argsort(lengths)[::-1]:
        piece = pieces[index]
        if len(piece) < 2:
            continue
        if np.allclose(piece[0], piece[-1]):
            # A closed ring begins on its right side: there names stand in one line with those of
            # the rings that are cut.
            piece = np.roll(piece[:-1], len(piece) // 2, axis=0)
        for place in _PLACES:
            x, y = piece[round(place * (len(piece) - 1))]
            yield float(x), float(y)
