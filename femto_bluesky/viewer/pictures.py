"""Pictures of sums that go on changing: what is in sight, at the resolution of a screen.

A picture costs one pass over the pixels in sight, and nothing of it in the thread of the RunEngine:
the memory of the sum is read while frames are added to it. It may show part of a frame; when no
more frames come, the last one shows all of them. Browsers that show the same share pictures.
"""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.kernels.pooling import Extremes, Pooled, extremes, pool_max, pool_mean
from femto_bluesky.model.shots import Mask
from femto_bluesky.model.sums import Glimpse
from femto_bluesky.viewer.aged import Aged, Made
from femto_bluesky.viewer.colour_scale import ColourScale, Limits, filter_size, filtered
from femto_bluesky.viewer.known_detectors import known_detector
from femto_bluesky.viewer.once import Once
from femto_bluesky.viewer.views import View, Window, view_of

OVERVIEW_S: Final = 0.5
"""So old may be what is known of the whole image while a part of it is shown."""

ENDS_S: Final = 2.0
"""So old may be what is known of its smallest pixel."""

OVERVIEW: Final = 1024
"""Pixels of the screen for which percentiles of the whole image are taken."""

_MOST_RANKED: Final = 100_000

Kind = tuple[str, tuple[int, int], tuple[int, int]]
"""Detector, shape and origin: pictures of one kind are of the same pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a browser shows of a sum: `codes` are colours of a palette, 0 carries no data.

    `total` and `hottest` are those of the whole image. Where they (or the limits) are those of a
    moment ago, `is_final` is False: a picture made later would differ, though no frame has come.
    `units` are those of the values; `number` names a picture.
    """

    number: int
    kind: Kind
    view: View
    scale: ColourScale
    codes: NDArray[np.uint8]
    limits: Limits
    total: float
    hottest: float
    n_frames: int
    is_sum: bool
    units: str
    is_final: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole image."""
        return self.kind[1]

    @property
    def title(self) -> str:
        """What it shows, in words."""
        plural = "s" * (self.n_frames != 1)
        what = f"Sum of {self.n_frames} image{plural}" if self.is_sum else "Newest image"
        return f"{what}, Total {self.total:.6g}, Hottest {self.hottest:.6g}"

    def is_of(self, window: Window) -> bool:
        """Whether it is what a window shows."""
        return view_of(window, self.shape) == self.view

    def may_follow(self, base: Picture) -> bool:
        """Whether the codes of another are of the same blocks of pixels."""
        return base.kind == self.kind and base.view == self.view


class Projections(NamedTuple):
    """Sums of what is in sight, over its columns (`of_rows`) and its rows (`of_columns`).

    `rows` and `columns` are where they are drawn, as the axes show it: the middles of pixels, or of
    blocks of some pixels where there are more than the screen has.
    """

    rows: NDArray[np.float64]
    of_rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    of_columns: NDArray[np.float64]


@cache
def warm() -> None:
    """Compile what pictures of sums need, or load it from the cache: the first one comes sooner."""
    box = (0, 2, 0, 2)
    fixed = np.zeros((2, 2), np.bool_)
    fixed.flags.writeable = False
    for dtype in (np.uint32, np.float64):
        for mask in (None, fixed.copy(), fixed):
            pool_max(np.zeros((2, 2), dtype), mask, box, 2)
            extremes(np.zeros((2, 2), dtype), mask)


class Pictures:
    """Makes pictures of the sums of an analysis, for all browsers; any thread may ask."""

    def __init__(self, live: LiveAnalysis, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._numbers = itertools.count(1)
        # one of each is in use for each browser that shows something else
        self._glimpses, self._pooled, self._pictures = Once(8), Once(32), Once(64)
        self._encoded = Once(64)
        self._aged = Aged(clock)

    def kind(self, detector: str) -> Kind | None:
        """What pictures of a detector are of; None where nothing has come."""
        found = self._look(detector)
        return None if found is None else _kind(found[1])

    def picture(self, detector: str, window: Window, scale: ColourScale) -> Picture | None:
        """What a window shows of the sum of a detector; None where there is nothing to be seen."""
        found = self._look(detector)
        if found is None:
            return None
        sums, seen = found
        view = view_of(window, seen.image.shape)
        if view is None:
            return None
        overview = self._overview(sums, seen, view, mean=scale.mean)
        ends = self._ends(sums, seen) if scale.mean or scale.autoscale == "min-max" else None
        versions = tuple(made.version for made in (overview, ends) if made is not None)
        key = (sums, seen.version, view, scale, versions)
        return self._pictures.get(
            key,
            lambda: self._picture(sums, seen, view, scale, overview, ends),
            of=(sums, view, scale),
        )

    def encoded(self, picture: Picture, base: Picture | None = None) -> bytes:
        """The codes of a picture, deflated; with a `base` that fits, what differs from its codes.

        That is their exclusive or: of a sum, little changes with one frame.
        """
        if base is None or not picture.may_follow(base):
            return self._encoded.get(picture.number, lambda: _deflated(picture.codes))
        key = (picture.number, base.number)
        return self._encoded.get(key, lambda: _deflated(picture.codes ^ base.codes))

    def value(self, detector: str, y: int, x: int) -> float | None:
        """The value of a pixel; None where it carries no data, or there is no such pixel."""
        found = self._look(detector)
        if found is None:
            return None
        seen = found[1]
        rows, columns = seen.image.shape
        if not (0 <= y < rows and 0 <= x < columns) or seen.is_masked(y, x):
            return None
        return float(seen.image[y, x])

    def projections(self, detector: str, window: Window) -> Projections | None:
        """The sums of what is in sight along its rows and its columns."""
        found = self._look(detector)
        view = None if found is None else view_of(window, found[1].image.shape)
        if found is None or view is None:
            return None
        y0, y1, x0, x1 = view.box
        pooled = pool_mean(found[1].image, None, view.box, view.factor).values
        heights = np.diff([*range(y0, y1, view.factor), y1])
        widths = np.diff([*range(x0, x1, view.factor), x1])
        # of a row of pixels, not of a block: what the screen's resolution is must not matter
        return Projections(
            y0 + np.cumsum(heights) - heights / 2, pooled @ widths,
            x0 + np.cumsum(widths) - widths / 2, heights @ pooled,
        )  # fmt: skip

    def _look(self, detector: str) -> tuple[Accumulation, Glimpse] | None:
        sums = self._live.accumulations.of.get(detector)
        if sums is None:
            return None
        # of the newest frame alone an image is made: once for all
        seen = self._glimpses.get((sums, sums.version), sums.look, of=sums)
        return None if seen is None else (sums, seen)

    def _mask(self, sums: Accumulation, seen: Glimpse) -> Mask | None:
        return self._glimpses.get((sums, seen.version, "mask"), seen.mask, of=(sums, "mask"))

    def _pool(self, sums: Accumulation, seen: Glimpse, view: View, *, mean: bool) -> Pooled:
        pool = pool_mean if mean else pool_max
        key = (sums, seen.version, view.box, view.factor, mean)
        return self._pooled.get(
            key,
            lambda: pool(seen.image, self._mask(sums, seen), view.box, view.factor),
            of=(sums, view.box, view.factor, mean),
        )

    def _overview(
        self, sums: Accumulation, seen: Glimpse, view: View, *, mean: bool
    ) -> Made[Pooled] | None:
        """The whole image as a screen has it, now or a moment ago; None where it is all shown."""
        kind = _kind(seen)
        whole = view_of(Window(OVERVIEW, OVERVIEW), kind[1])
        if whole is None or view.is_all(kind[1]):
            return None
        return self._aged.get(
            (kind, mean), seen.version, OVERVIEW_S,
            lambda: self._pool(sums, seen, whole, mean=mean),
        )  # fmt: skip

    def _ends(self, sums: Accumulation, seen: Glimpse) -> Made[Extremes]:
        """The smallest and the largest pixel of the whole image, now or a moment ago."""
        return self._aged.get(
            _kind(seen), seen.version, ENDS_S,
            lambda: extremes(seen.image, self._mask(sums, seen)),
        )  # fmt: skip

    def _picture(
        self,
        sums: Accumulation,
        seen: Glimpse,
        view: View,
        scale: ColourScale,
        overview: Made[Pooled] | None,
        ends: Made[Extremes] | None,
    ) -> Picture:
        pooled = self._pool(sums, seen, view, mean=scale.mean)
        whole = pooled if overview is None else overview.value
        low, high = _range_of(whole)
        hottest = ends.value.hottest if ends is not None and scale.mean else high
        if scale.autoscale == "fixed":
            low, high = scale.fixed
        elif scale.autoscale == "visible":
            low, high = _range_of(pooled)
        elif scale.autoscale == "percentile":
            low, high = np.percentile(
                _ranked(whole), [100 - scale.percentile, scale.percentile]
            ).tolist()
        elif ends is not None and not scale.mean and np.isfinite(ends.value.lowest):
            # what is drawn of a block is its largest pixel: the smallest ones are darker still
            low = min(low, ends.value.lowest)
        step = _step(whole, low) if scale.kind == "log" else None
        limits = Limits.of(scale.kind, low, high, step)
        codes = limits.codes(pooled.values, pooled.is_empty)
        codes = filtered(codes, filter_size(scale.max_filter, view.screen_px))
        is_final = all(made is None or made.version == seen.version for made in (overview, ends))
        is_camera = known_detector(self._live, seen.detector).kind == "camera"
        return Picture(
            next(self._numbers), _kind(seen), view, scale, codes, limits, whole.total, hottest,
            seen.n_frames, seen.is_sum, "ADU" if is_camera else "counts", is_final,
        )  # fmt: skip


def _kind(seen: Glimpse) -> Kind:
    rows, columns = seen.image.shape
    return seen.detector, (rows, columns), seen.origin


def _valid(pooled: Pooled) -> NDArray[Any]:
    return pooled.values if pooled.is_empty is None else pooled.values[~pooled.is_empty]


def _ranked(pooled: Pooled) -> NDArray[Any]:
    """Values to take percentiles of: not more than are needed, for to rank them takes time."""
    valid = _valid(pooled).ravel()
    ranked = _finite(valid[:: max(1, len(valid) // _MOST_RANKED)])
    return ranked if ranked.size else np.zeros(1)


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _step(pooled: Pooled, low: float) -> float | None:
    """How far the darkest pixels are from a value that they are above; None where none is."""
    ranked = _ranked(pooled)
    above = ranked[ranked > low]
    if not above.size:
        return None
    n = above.size // 100  # of measured values the very smallest distance says nothing
    return float(np.partition(above, n)[n] - low)


def _range_of(pooled: Pooled) -> tuple[float, float]:
    """The smallest and the largest value that is finite."""
    valid = _valid(pooled)
    if valid.size and not (np.isfinite(valid.min()) and np.isfinite(valid.max())):
        valid = _finite(valid)
    return (float(valid.min()), float(valid.max())) if valid.size else (0.0, 0.0)


def _deflated(codes: NDArray[np.uint8]) -> bytes:
    # counts are noise to a search for repeats: runs and Huffman's code do better in half the time
    stream = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return stream.compress(codes.tobytes()) + stream.flush()
