"""Where the names of rings stand, so that all that is in sight can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import Curve

Floats = NDArray[np.float64]

Range = tuple[float, float]

PLACES: Final = tuple(0.5 + side * step / 24 for step in range(12) for side in (1, -1))[1:]
"""Where along a piece its name may stand: the middle first, then ever further from it."""

LETTER_PX: Final = 3.3
"""Half the width of a letter, and half the height of a line, on the screen."""

LINE_PX: Final = 9.0


def places(
    rings: Mapping[str, Curve],
    x_range: Range,
    y_range: Range,
    size_px: tuple[float, float] = (600.0, 600.0),
) -> dict[str, tuple[float, float]]:
    """The position (y, x) of the name of each ring that is in sight, where it covers no other.

    The ranges are what is in sight, upwards or downwards, on a canvas of `size_px`, width and
    height. Names without room are left out.
    """
    line = LINE_PX / size_px[1]
    found: dict[str, tuple[float, float]] = {}
    taken: list[tuple[float, float, float]] = []
    for name, (y, x) in rings.items():
        half = LETTER_PX * (len(name) + 1) / size_px[0]
        across, along = _scaled(x, x_range), _scaled(y, y_range)
        for index in _candidates(across, along, (half, line)):
            at_x, at_y = across[index], along[index]
            if all(
                abs(at_x - other_x) > half + other_half or abs(at_y - other_y) > 2 * line
                for other_x, other_y, other_half in taken
            ):
                taken.append((at_x, at_y, half))
                found[name] = float(y[index]), float(x[index])
                break
    return found


def _scaled(values: NDArray[np.float64], within: Range) -> Floats:
    """Positions as parts of the range: 0 where it begins, 1 where it ends."""
    start, end = within
    return (np.asarray(values, np.float64) - start) / ((end - start) or 1.0)


def _candidates(across: Floats, along: Floats, room: tuple[float, float]) -> Iterator[int]:
    """Points of a ring where its name is whole, the best first: of its longest pieces in sight."""
    with np.errstate(invalid="ignore"):
        is_inside = np.abs(across - 0.5) < 0.5 - room[0]
        is_inside &= np.abs(along - 0.5) < 0.5 - room[1]
    n = len(is_inside)
    order = np.arange(n)
    if n and np.allclose((across[0], along[0]), (across[-1], along[-1])):
        # closed, and begins on its right side: there names stand in line with those of cut rings
        order = np.roll(order, n // 2 if is_inside.all() else -int(np.argmin(is_inside)))
    ends = np.flatnonzero(np.diff(np.r_[False, is_inside[order], False]))
    pieces = [order[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True)]
    for piece in sorted(pieces, key=len, reverse=True):
        yield from _spread(piece)


def _spread(piece: NDArray[np.intp]) -> Iterator[int]:
    seen = dict.fromkeys(round(place * (len(piece) - 1)) for place in PLACES)
    for place in seen:
        yield int(piece[place])
