"""The points of a curve as they are drawn: with their bars, and no more than can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import DataGroup, Quantity

Floats = NDArray[np.float64]

N_COLUMNS: Final = 1000
"""So many columns of the screen get a lowest and a highest point each, at most."""

FEW: Final = 300
"""So many points are sent as text."""

Window = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Where the points are, and from where to where their bars go (NaN: no bar).

    `n` is how many shots or frames each is of (NaN: not known), `n_all` how many points there are
    where some are not drawn.
    """

    x: Floats
    y: Floats
    low: Floats
    high: Floats
    error: Floats
    n: Floats
    n_all: int

    @property
    def columns(self) -> dict[str, Any]:
        """What a source of Bokeh is given.

        An array is a message of its own to the browser: few points are cheaper as a list.
        """
        found = {
            "x": self.x, "y": self.y, "low": self.low, "high": self.high, "error": self.error,
            "n": self.n,
        }  # fmt: skip
        return found if len(self.x) > FEW else {k: v.tolist() for k, v in found.items()}


def numbers(quantity: Quantity) -> Floats:
    """The values to draw at: where they are text, 0, 1, 2 ..."""
    values = np.asarray(quantity.values)
    if values.dtype.kind not in "biuf":
        return np.arange(len(values), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)


def texts(quantity: Quantity) -> dict[int, str]:
    """What stands at 0, 1, 2 ... of an axis that is text."""
    values = np.asarray(quantity.values)
    return {} if values.dtype.kind in "biuf" else {i: str(v) for i, v in enumerate(values)}


def errors_of(group: DataGroup, wanted: str = "std") -> tuple[Floats, str]:
    """The errors of a curve and what they are: `sem` where it is wanted and stands beside it."""
    columns = {column.name.rpartition("_")[2]: column.values for column in group.columns}
    if wanted == "sem" and "sem" in columns:
        return np.asarray(columns["sem"], np.float64), "standard error"
    if group.errors is None:
        return np.full(group.signal.values.shape, np.nan), ""
    return np.asarray(group.errors, np.float64), group.errors_name


def points_of(
    group: DataGroup,
    x: Floats,
    *,
    errors: str = "std",
    is_log: bool = False,
    is_histogram: bool = False,
    window: Window | None = None,
) -> Points:
    """The points of a curve at these places; where y is logarithmic, none that cannot stand there.

    Of more points than can be told apart, the lowest and the highest of each column of the screen
    are kept, with finer columns in the `window` of x that is looked at.
    """
    values = np.asarray(group.signal.values)
    y = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    error = errors_of(group, errors)[0]
    n = _counts(group)
    if is_histogram:
        return _stairs(x, y, is_log)
    kept = seen(x, y, window)
    x, y, error, n, n_all = x[kept], y[kept], error[kept], n[kept], len(y)
    if is_log:
        y = np.where(y > 0, y, np.nan)
    has_bar = np.isfinite(y) & np.isfinite(error) & (error > 0)
    low, high = np.where(has_bar, y - error, np.nan), np.where(has_bar, y + error, np.nan)
    if is_log:
        # a bar that reaches 0 goes to the bottom, which has no end: a tenth of its point shows it
        low = np.where(low > 0, low, y / 10)
        low = np.where(has_bar, low, np.nan)
    return Points(x, y, low, high, np.where(has_bar, error, np.nan), n, n_all)


def seen(x: Floats, y: Floats, window: Window | None = None) -> NDArray[np.intp]:
    """Which points are drawn, in their order: all, or the extremes of each column."""
    n = len(x)
    if n <= 2 * N_COLUMNS or not (np.diff(x) >= 0).all():
        return np.arange(n)
    begin, end = (0, n) if window is None else np.searchsorted(x, sorted(window)).tolist()
    begin, end = max(0, begin - 1), min(n, end + 1)
    if end <= begin:
        begin, end = 0, n
    pieces = ((0, begin, N_COLUMNS // 4), (begin, end, N_COLUMNS), (end, n, N_COLUMNS // 4))
    return np.concatenate([_extremes(y, *piece) for piece in pieces])


def _extremes(y: Floats, begin: int, end: int, n_columns: int) -> NDArray[np.intp]:
    """The places of the lowest and highest point of each of some columns of equal length."""
    n = end - begin
    if n <= 2 * n_columns:
        return np.arange(begin, end)
    length = -(-n // n_columns)
    n_columns = -(-n // length)
    padded = np.full(n_columns * length, np.nan)
    padded[:n] = y[begin:end]
    block = padded.reshape(n_columns, length)
    is_there = np.isfinite(block)
    lowest = np.where(is_there, block, np.inf).argmin(axis=1)
    highest = np.where(is_there, block, -np.inf).argmax(axis=1)
    starts = begin + length * np.arange(n_columns)
    places = np.concatenate([starts + lowest, starts + highest, [begin, end - 1]])
    return np.unique(places[places < end])


def _counts(group: DataGroup) -> Floats:
    """How many shots, or frames, each point is of."""
    columns = {column.name: column.values for column in group.columns}
    ends = ("n", "n_photons_n", "n_shots", "n_frames")
    found: Any = next((columns[end] for end in ends if end in columns), None)
    if found is None:
        return np.full(group.signal.values.shape, np.nan)
    return np.asarray(found, np.float64)


def _stairs(x: Floats, y: Floats, is_log: bool) -> Points:
    """Bins as stairs, as far as there are counts; where y is logarithmic, down to half a count."""
    filled = np.flatnonzero(y > 0)
    last = min(len(x), int(filled[-1]) + 2) if len(filled) else min(len(x), 2)
    x, y = x[:last], y[:last]
    half = (x[1] - x[0]) / 2 if len(x) > 1 else 0.5
    x, y = np.column_stack([x - half, x + half]).ravel(), np.repeat(y, 2)
    if is_log:
        y = np.where(y > 0, y, 0.5)
    none = np.full(x.shape, np.nan)
    return Points(x, y, none, none, none, none, len(y))
