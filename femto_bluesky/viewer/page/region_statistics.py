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
            about = float(np.round(valid.mean())) if about is None else about
            valid = valid - about
            total += float(valid.sum())
            squares += float(np.vdot(valid, valid))
    if about is None:
        return BoxStatistics(0, np.nan, np.nan, 0.0, np.nan)
    away = total / n
    variance = max(0.0, squares / n - away**2)
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
        texts["step"] = f"{step[0]:.4g} ± {step[1]:.2g}"
    return texts


def short(value: float) -> str:
    """A number for a narrow column: all digits of counts below a million, else three or four.

    >>> short(659133), short(1930.52), short(0.000123456), short(69759400)
    ('659133', '1931', '1.23e-4', '6.98e7')
    """
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    text = f"{value:.4g}" if 1e-3 <= abs(value) < 99_999.5 else f"{value:.2e}"
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
