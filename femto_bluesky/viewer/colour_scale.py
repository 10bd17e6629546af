"""How values become the 255 colours of a palette, and what stands beside the colour bar."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["log", "sqrt", "linear"]
Autoscale = Literal["min-max", "percentile", "visible", "fixed"]

KINDS: Final[tuple[Kind, ...]] = ("log", "sqrt", "linear")
MAX_FILTERS: Final = (0, 3, 5, 7)

N_COLOURS: Final = 255
"""Colours of the palette; the code 0 is what carries no data, codes 1 to 255 are colours."""

SPANS: Final = (16.0, 2.0**24)
"""A logarithmic scale spans such ratios, from its smallest step to its largest value."""

SPAN: Final = 1000.0
"""What it spans at least where its smallest step is not known, which is 1 or less then."""

MAX_TICKS: Final = 8
_APART: Final = 0.06  # of the bar's length: less, and the numbers touch


class ScaleError(ValueError):
    """A colour scale that cannot be; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ColourScale:
    """How an image is coloured.

    `autoscale` says where the limits come from: the smallest and largest pixel of the whole image;
    the percentiles `100 - percentile` and `percentile` of the whole image as a screen shows it; the
    smallest and largest value in sight; or `fixed`. `max_filter` is the least size of a photon in
    pixels of the screen, 0 for what it is. `mean` shows the mean of the pixels that fall on one
    pixel of the screen, not the largest.
    """

    kind: Kind = "log"
    autoscale: Autoscale = "min-max"
    fixed: tuple[float, float] = (0.0, 100.0)
    percentile: float = 99.9
    max_filter: int = 0
    mean: bool = False

    def __post_init__(self) -> None:
        low, high = self.fixed
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ScaleError(
                f"the limits of the colours are {low:g} and {high:g}: the first must be below the "
                "second, and both must be numbers"
            )
        if not 50 < self.percentile <= 100:
            raise ScaleError(f"the percentile is {self.percentile:g}: it must be in 50 to 100")


@dataclass(frozen=True, slots=True)
class Limits:
    """The values of the first and the last colour of a scale.

    A position is 0 at the first and 1 at the last. On a square root or logarithmic scale it is that
    of the distance from the first: sqrt(d), and log(1 + a d) / log(1 + a), where d is 0 to 1 and a
    is the `span`: large enough for the smallest step, such as one photon, to be told from none.
    Source: the stretches of SAOImage DS9.
    """

    kind: Kind
    low: float
    high: float
    span: float

    @classmethod
    def of(cls, kind: Kind, low: float, high: float, step: float | None = None) -> Limits:
        """The limits, apart from each other: an image of one value has a colour too.

        `step` is the smallest distance from the first value that matters, for logarithms.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = 0.0, 1.0
        if not high > low:
            high = low + max(1.0, abs(low) * 1e-6)
        span = max(high - low, SPAN)
        if step is not None and step > 0:
            # powers of 2: colours must not change with every frame
            span = 2.0 ** math.ceil(math.log2(max((high - low) / step, 1.0)))
            span = min(max(span, SPANS[0]), SPANS[1])
        return cls(kind, low, high, span)

    def positions(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Where values stand between the limits, 0 to 1; NaN stays NaN."""
        # subtracted before the type is made smaller: limits may be close to each other, and large
        away = np.subtract(values, self.low, dtype=np.float64)
        np.clip(away, 0, self.high - self.low, out=away)
        d: NDArray[np.float32] = np.empty(away.shape, np.float32)
        np.multiply(away, 1 / (self.high - self.low), out=d, casting="same_kind")
        if self.kind == "sqrt":
            np.sqrt(d, out=d)
        elif self.kind == "log":
            d *= np.float32(self.span)
            d += np.float32(1)
            np.log(d, out=d)
            d *= np.float32(1 / math.log1p(self.span))
        return d

    def codes(self, values: NDArray[Any], is_empty: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        """The colours of values, 1 to 255; 0 where there is no data, and for NaN."""
        codes = self._codes_of_counts(values) if values.dtype.kind in "iu" else None
        if codes is None:
            codes = self._codes(values)
        if is_empty is not None:
            codes[is_empty] = 0
        return codes

    def _codes(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        d = self.positions(values)
        d *= np.float32(N_COLOURS - 0.01)
        d += np.float32(1)
        if values.dtype.kind == "f":
            np.nan_to_num(d, copy=False, nan=0.0)
        return d.astype(np.uint8)

    def _codes_of_counts(self, values: NDArray[Any]) -> NDArray[np.uint8] | None:
        """Counts are looked up, in half the time; None where they are too far apart."""
        if not values.size:
            return None
        low, high = int(values.min()), int(values.max())
        if high - low >= values.size // 4 or high >= np.iinfo(values.dtype).max:
            return None
        table = self._codes(np.arange(low, high + 1, dtype=values.dtype))
        # the smallest is 0 in almost any image; "clip" is quicker, and there is nothing to clip
        return table.take(values - values.dtype.type(low) if low else values, mode="clip")

    def ticks(self) -> dict[float, str]:
        """Round values between the limits that stand well apart, by their positions from 0 to 1."""
        taken: dict[float, str] = {}
        for values in self._round_values():
            if len(taken) > MAX_TICKS // 2:
                break
            for value in values:
                position = float(self.positions(np.array([value]))[0])
                if all(abs(position - other) >= _APART for other in taken):
                    taken[position] = number(value)
        return dict(sorted(list(taken.items())[:MAX_TICKS]))

    def _round_values(self) -> Iterator[list[float]]:
        """Candidates, the most welcome first."""
        if self.kind == "linear":
            step = _round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step - 1e-9)
            n = math.floor(self.high / step + 1e-9) - first + 1
            yield [(first + i) * step for i in range(max(0, n))]
        else:
            largest = max(abs(self.low), abs(self.high))
            top = math.floor(math.log10(largest))
            for factors in ((0, 1), (5, 2)):
                sizes = [f * 10.0**e for e in range(top, top - MAX_TICKS + 1, -1) for f in factors]
                both = [sign * size for size in sizes for sign in (1, -1)]
                yield [value for value in both if self.low <= value <= self.high]
        yield [self.low, self.high]


def filtered(codes: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Each colour is the highest in a square around it, of `size` (odd) codes; no data stays so."""
    if size <= 1:
        return codes
    reach = size // 2
    found = codes
    for axis in (0, 1):
        highest = found.copy()
        for shift in range(1, min(reach, found.shape[axis] - 1) + 1):
            ahead = (slice(None),) * axis + (slice(shift, None),)
            behind = (slice(None),) * axis + (slice(None, -shift),)
            np.maximum(highest[ahead], found[behind], out=highest[ahead])
            np.maximum(highest[behind], found[ahead], out=highest[behind])
        found = highest
    found[codes == 0] = 0
    return found


def filter_size(max_filter: int, screen_px: float) -> int:
    """The odd number of blocks that a photon has to cover to have its size on the screen.

    >>> filter_size(5, 1.0), filter_size(5, 1.9), filter_size(5, 6.0), filter_size(0, 1.0)
    (5, 3, 1, 1)
    """
    return max(1, round((max_filter / max(screen_px, 1e-6) - 1) / 2) * 2 + 1)


def number(value: float) -> str:
    """A number as it stands beside a colour bar, in at most seven letters or so.

    >>> number(0.0), number(2000.0), number(1e6), number(-0.025), number(123456.0)
    ('0', '2000', '1e6', '-0.025', '1.23e5')
    """
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.5g}"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least as large."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
