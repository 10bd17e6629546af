"""Better positions of photons, learned from the photons themselves.

Photons fall evenly over a pixel, but their centres of gravity do not: the cloud of charge is
narrow, so they crowd towards the middle. The cumulative distribution of the offsets that were found
tells, for each of them, which offset it stands for. It needs no model of the cloud. This is the eta
function of strip detectors, here for each axis of a pixel: E. Belau et al., "Charge collection in
silicon strip detectors", Nucl. Instrum. Methods 214 (1983) 253-260,
https://doi.org/10.1016/0167-5087(83)90591-4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels.photons import CLOSE, EDGE, HOT, OVERLAP, Photons

N_BINS = 1000
"""Bins of an offset from -0.5 to 0.5 px; far finer than any offset is known."""

MIN_PHOTONS = 1000
"""From fewer, the correction would be a guess; its error is about 0.5 px / sqrt(photons)."""


def count_offsets(photons: Photons) -> NDArray[np.int64]:
    """How often each offset from the nearest pixel's centre comes: (y and x, `N_BINS`).

    Photons with a flag are left out: what disturbed them disturbed their position. Counts of
    several lots of photons may be added.
    """
    clean = photons[(photons["flags"] & (OVERLAP | HOT | EDGE | CLOSE)) == 0]
    return np.stack([_counts(clean[axis]) for axis in ("y", "x")])


def correct(photons: Photons, counts: NDArray[np.int64]) -> Photons:
    """The photons with positions corrected by counted offsets; those with a flag stay as they are.

    Raises `ValueError` where fewer than `MIN_PHOTONS` were counted.
    """
    n_photons = int(counts[0].sum())
    if n_photons < MIN_PHOTONS:
        raise ValueError(
            f"the positions of {n_photons} photons were counted, expected at least {MIN_PHOTONS} "
            "to learn a correction from; use the raw positions, or count more frames"
        )
    corrected = photons.copy()
    clean = photons["flags"] & (OVERLAP | HOT | EDGE | CLOSE) == 0
    edges = np.linspace(-0.5, 0.5, N_BINS + 1)
    for axis, of_axis in zip(("y", "x"), counts, strict=True):
        share = np.concatenate([[0.0], np.cumsum(of_axis)]) / of_axis.sum()
        values = photons[axis][clean]
        pixel = np.floor(values + 0.5)
        corrected[axis][clean] = pixel + np.interp(values - pixel, edges, share) - 0.5
    return corrected


def _counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    offsets = values - np.floor(values + 0.5)
    bins = np.minimum(((offsets + 0.5) * N_BINS).astype(np.int64), N_BINS - 1)
    return np.bincount(bins, minlength=N_BINS)
