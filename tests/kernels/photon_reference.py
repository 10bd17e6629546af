"""What the photon finder is held against: the same rules in plain numpy, written on their own.

No code is shared with the kernel, and none of its ways: no blocks, no lossless threshold, no
look-up of raw numbers. Every pixel of the frame is looked at, through arrays shifted against each
other. Sums are made in the documented order, in float64, so the two can be compared bit for bit.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

PHOTON = np.dtype([("y", "<f8"), ("x", "<f8"), ("energy", "<f4"), ("flags", "u1")])
OVERLAP, HOT, EDGE, CLOSE = 1, 2, 4, 8

RASTER = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def shifted(image: NDArray[Any], reach: int, fill: Any) -> dict[tuple[int, int], NDArray[Any]]:
    """For each place of a square window, what stands there as seen from every pixel."""
    rows, columns = image.shape
    wide = np.full((rows + 2 * reach, columns + 2 * reach), fill, image.dtype)
    wide[reach : reach + rows, reach : reach + columns] = image
    steps = range(-reach, reach + 1)
    return {
        (dy, dx): wide[reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]
        for dy in steps
        for dx in steps
    }


def less_dark(frame: NDArray[Any], dark: Any, mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Pixels less their dark level in float64; NaN where they carry no data.

    A dark image is one of float32, a level is a float64.
    """
    levels = np.float64(dark) if np.ndim(dark) == 0 else np.asarray(dark, np.float32)
    values = frame.astype(np.float64) - levels
    if mask is not None:
        values[mask] = np.nan
    return values


def find(
    frame: NDArray[Any],
    dark: Any = 100.0,
    threshold: float = 110.0,
    energy_min: float = 800.0,
    energy_max: float = 1400.0,
    roi: Any = None,
    mask: NDArray[np.bool_] | None = None,
    hot_share: float = 0.75,
) -> NDArray[np.void]:
    """The photons of a frame, as `PhotonSearch` documents them."""
    raw = frame.astype(np.float64)
    values = less_dark(frame, dark, mask)
    around = shifted(values, 1, np.nan)
    is_photon = (values > 0) & (raw > threshold)
    for place in RASTER[:4]:
        is_photon &= ~(around[place] >= values)  # of equal pixels the first is the maximum
    for place in RASTER[5:]:
        is_photon &= ~(around[place] > values)
    known = {place: np.where(np.isnan(image), 0.0, image) for place, image in around.items()}
    total = functools.reduce(operator.add, (known[place] for place in RASTER))
    is_photon &= total > energy_min
    if roi is not None:
        inside = np.zeros(frame.shape, bool)
        inside[roi.box] = True
        is_photon &= inside
    hits = shifted(is_photon, 2, False)
    n_near = functools.reduce(operator.add, (image.astype(int) for image in hits.values()))
    lacks = functools.reduce(operator.or_, (np.isnan(image) for image in around.values()))
    flags = (
        OVERLAP * (total > energy_max)
        + HOT * (values > hot_share * total)
        + EDGE * lacks
        + CLOSE * (n_near > 1)
    )
    rows, columns = np.nonzero(is_photon)
    up, down = (sum_of(known, [(dy, -1), (dy, 0), (dy, 1)])[is_photon] for dy in (-1, 1))
    left, right = (sum_of(known, [(-1, dx), (0, dx), (1, dx)])[is_photon] for dx in (-1, 1))
    photons = np.empty(len(rows), PHOTON)
    photons["y"] = rows + (down - up) / total[is_photon]
    photons["x"] = columns + (right - left) / total[is_photon]
    photons["energy"] = total[is_photon]
    photons["flags"] = flags[is_photon]
    return photons


def sum_of(known: dict[tuple[int, int], NDArray[Any]], places: list[tuple[int, int]]) -> Any:
    """The sum of three neighbours, from above to below or from left to right."""
    a, b, c = (known[place] for place in places)
    return a + b + c
