"""The curve in which a cone of scattered X-rays meets a flat detector, by pieces.

All rays of one ring make the angle 2-theta with the beam; a flat detector cuts their cone in an
ellipse, a parabola or one branch of a hyperbola. A ray is followed by its azimuth around the beam,
so that each point is exact, and so are the azimuths at which the curve leaves a frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# An open curve goes on for ever. It is cut where its rays meet the plane under less than this
# angle (rad), a thousand distances away.
_GRAZING = 1e-3
_TURN = 2 * np.pi


def ring_curve(
    rotation: Floats,
    distance: float,
    foot: tuple[float, float],
    two_theta: float,
    *,
    edges: tuple[tuple[float, float], tuple[float, float]] | None = None,
    n: int = 361,
) -> tuple[Floats, Floats]:
    """Where rays at `two_theta` (rad) from the beam meet a flat detector: two coordinates.

    `rotation` turns coordinates along the detector's two sides and its normal into coordinates of
    the laboratory, whose third is the beam (3 x 3); `distance` is that of the detector's plane and
    `foot` where the normal from the sample meets it, both in one unit of length, which is also
    that of the result. `edges`, the least and greatest of each coordinate, cut the curve.

    Each piece has `n` points, and NaN stands between pieces. A closed curve ends where it begins.
    Both arrays are empty where the cone does not meet the detector.
    """
    sine, cosine = np.sin(two_theta), np.cos(two_theta)
    # The ray at the azimuth chi, along the detector's sides and its normal, is
    # directions @ (sin chi, cos chi, 1): every condition on it is a sine wave of chi.
    directions = rotation.T @ np.diag((sine, sine, cosine))

    def points(chi: Floats) -> tuple[Floats, Floats, Floats]:
        along = directions @ np.array((np.sin(chi), np.cos(chi), np.ones_like(chi)))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = distance / along[2]
        return foot[0] + scale * along[0], foot[1] + scale * along[1], along[2]

    conditions = [directions[2] - (0, 0, _GRAZING)]
    for side, limits in enumerate(edges or ()):
        conditions += [
            distance * directions[side] - (limit - foot[side]) * directions[2] for limit in limits
        ]
    cuts = sorted({chi for condition in conditions for chi in _zeros(condition)})
    starts = np.array(cuts or [0.0])
    ends = np.append(starts[1:], starts[0] + _TURN)
    first, second, normal = points((starts + ends) / 2)
    is_met = normal > _GRAZING
    if edges is not None:
        for values, (least, most) in zip((first, second), edges, strict=True):
            is_met &= (least < values) & (values < most)
    arcs = zip(starts[is_met], ends[is_met], strict=True)
    pieces = [points(np.linspace(start, end, n))[:2] for start, end in arcs]
    if not pieces:
        return np.empty(0), np.empty(0)
    curves = []
    for side in zip(*pieces, strict=True):
        parted = [values for piece in side for values in (piece, [np.nan])]
        curves.append(np.concatenate(parted[:-1]))
    return curves[0], curves[1]


def _zeros(wave: Floats) -> list[float]:
    """The angles in one turn at which a sin + b cos + c is zero: two, or none."""
    a, b, c = wave
    height = np.hypot(a, b)
    if not abs(c) < height:
        return []
    middle, apart = np.arctan2(a, b), np.arccos(-c / height)
    return [float((middle - apart) % _TURN), float((middle + apart) % _TURN)]
