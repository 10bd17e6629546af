"""What is in each region of the image that is shown, while frames go on to be added to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from femto_bluesky.model.mask_counts import MaskParts
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import Roi, slug
from femto_bluesky.model.sums import Glimpse

CHUNK_PX: Final = 1 << 16
"""So many pixels at once: what is made of them stays in the cache."""


@dataclass(frozen=True, slots=True)
class BoxStatistics:
    """Of the valid pixels of a box: their number, mean, population std, sum and largest value.

    Where none is valid, mean, std and largest are NaN.
    """

    n: int
    mean: float
    std: float
    sum: float
    largest: float


@np.errstate(invalid="ignore", over="ignore")  # of infinite pixels some are no number
def box_statistics(glimpse: Glimpse, roi: Roi) -> BoxStatistics:
    """The statistics of a box that lies within the image; no copy of the image is made."""
    within = _cut(glimpse, roi)
    mask = within.mask()
    n, largest, total, about, squares = 0, -np.inf, 0.0, None, 0.0
    for rows in _parts(within.image.shape):
        valid = _valid(within.image[rows], None if mask is None else mask[rows])
        if valid.size:
            n += valid.size
            largest = max(largest, float(valid.max()))
            # about a value near the mean, or the squares of a bright region would lose the digits;
            # a whole number, with which the sum of counts is exact
            about = float(np.round(valid.mean(dtype=np.float64))) if about is None else about
            valid = np.subtract(valid, about, dtype=np.float64)
            total += float(valid.sum())
            squares += float(np.vdot(valid, valid))
    if about is None:
        return BoxStatistics(0, np.nan, np.nan, 0.0, np.nan)
    away = total / n
    variance = np.maximum(0.0, squares / n - away**2)
    return BoxStatistics(n, about + away, float(np.sqrt(variance)), about * n + total, largest)


def newest_steps(
    groups: Iterable[DataGroup], detector: str, names: Iterable[str]
) -> dict[str, tuple[float, float]]:
    """Mean and std of the newest step, by the names of the regions; of curves of the newest run."""
    by_path = {group.path: group for group in groups}
    found = {}
    for name in names:
        group = by_path.get(f"step_means/{detector}_{slug(name)}")
        if group is not None and len(group.signal.values):
            std = 0.0 if group.errors is None else float(group.errors[-1])
            found[name] = float(group.signal.values[-1]), std
    return found


def in_words(found: BoxStatistics | None, step: tuple[float, float] | None) -> Mapping[str, str]:
    """The numbers as they stand in the list; a dash for what is not there."""
    texts = dict.fromkeys(("mean", "std", "sum", "max", "n"), "-")
    if found is not None:
        texts["sum"], texts["n"] = short(found.sum), short(found.n)
        if found.n:
            texts |= {"mean": short(found.mean), "std": short(found.std)}
            texts["max"] = short(found.largest)
    texts["step"] = "-"
    if step is not None and np.isfinite(step[0]):
        texts["step"] = with_spread(*step)
    return texts


def with_spread(mean: float, std: float) -> str:
    """A mean and its std with the digits that say something: two of the std, and as far the mean.

    >>> with_spread(0.0654475, 0.0089057), with_spread(1520.5, 48.1), with_spread(0.25, 0.0)
    ('0.0654 ± 0.0089', '1520 ± 48', '0.25 ± 0')
    """
    # as it is when rounded: 0.0996 has the two digits of 0.10
    power = int(f"{std:.1e}".partition("e")[2]) if std > 0 and np.isfinite(std) else None
    if power is None or not (1e-4 <= abs(mean) < 1e6) or not (1e-5 <= std < 1e6):
        return f"{short(mean)} ± {std:.2g}"
    places = max(0, 1 - power)
    return f"{mean:.{places}f} ± {std:.{places}f}"


def short(value: float) -> str:
    """A number for a narrow column: all digits of counts below a million, else three or four.

    >>> short(659133), short(1930.52), short(74519.5), short(0.000123456), short(69759400)
    ('659133', '1931', '74520', '1.23e-4', '6.98e7')
    """
    if not np.isfinite(value):
        return f"{value:g}"
    is_many = 1e3 <= abs(value) < 999_999.5  # no fractions, or columns would flicker in their form
    if is_many or (value == round(value) and abs(value) < 1e6):
        return str(round(value))
    text = f"{value:.4g}" if 1e-3 <= abs(value) < 1e3 else f"{value:.2e}"
    digits, e, power = text.partition("e")
    return f"{digits}e{int(power)}" if e else text


def _cut(glimpse: Glimpse, roi: Roi) -> Glimpse:
    counts, fixed, n_fixed = glimpse.masks
    box = roi.box
    masks = MaskParts(
        None if counts is None else counts[box], None if fixed is None else fixed[box], n_fixed
    )
    return replace(glimpse, image=glimpse.image[box], masks=masks)


def _parts(shape: Sequence[int]) -> Iterable[slice]:
    n = max(1, CHUNK_PX // max(1, shape[1]))
    return (slice(begin, begin + n) for begin in range(0, shape[0], n))


def _valid(image: Any, mask: Any) -> Any:
    return image.ravel() if mask is None else image[~mask]
