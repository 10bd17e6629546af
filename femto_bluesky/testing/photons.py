"""Photons that were found, held against those that were put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Which found photon is which true one: `found[i]` is the index of that of `truth[i]`.

    Every photon is in one pair at most. `doubles` are found photons without a partner near a true
    one that has another: counted twice. `ghosts` are those with no true one near them, such as hot
    pixels. `missed` are the true ones that nobody found, such as one of two that overlap.
    `offsets_px` (pairs, 2) are the found row and column less the true ones.
    """

    found: NDArray[np.intp]
    truth: NDArray[np.intp]
    offsets_px: NDArray[np.float64]
    doubles: NDArray[np.intp]
    ghosts: NDArray[np.intp]
    missed: NDArray[np.intp]

    @property
    def efficiency(self) -> float:
        """The share of the true photons that were found; NaN where there are none."""
        n_true = len(self.truth) + len(self.missed)
        return len(self.truth) / n_true if n_true else float("nan")

    @property
    def n_double(self) -> int:
        """How many photons were counted twice."""
        return len(self.doubles)

    @property
    def n_ghosts(self) -> int:
        """How many were found where there was none."""
        return len(self.ghosts)


def match(found: NDArray[Any], truth: NDArray[Any], radius_px: float = 1.5) -> Match:
    """Pair found and true photons (structured arrays with `y` and `x`), one to one.

    The nearest two are a pair, then the nearest two of the others, up to a distance of `radius_px`.
    Raises `ValueError` for a radius that is not above 0.
    """
    if not radius_px > 0:
        raise ValueError(f"radius_px is {radius_px}, expected pixels above 0")
    found_yx, truth_yx = _places(found), _places(truth)
    near = cKDTree(found_yx).sparse_distance_matrix(
        cKDTree(truth_yx), radius_px, output_type="ndarray"
    )
    is_free_found = np.ones(len(found), np.bool_)
    is_free_truth = np.ones(len(truth), np.bool_)
    pairs = []
    # of equal distances the first by index, so that the same lists give the same pairs
    for k in np.lexsort((near["j"], near["i"], near["v"])):
        i, j = int(near["i"][k]), int(near["j"][k])
        if is_free_found[i] and is_free_truth[j]:
            is_free_found[i] = is_free_truth[j] = False
            pairs.append((i, j))
    paired = np.array(sorted(pairs, key=lambda pair: pair[1]), np.intp).reshape(-1, 2)
    has_true_near = np.zeros(len(found), np.bool_)
    has_true_near[near["i"]] = True
    return Match(
        found=paired[:, 0],
        truth=paired[:, 1],
        offsets_px=found_yx[paired[:, 0]] - truth_yx[paired[:, 1]],
        doubles=np.flatnonzero(is_free_found & has_true_near),
        ghosts=np.flatnonzero(is_free_found & ~has_true_near),
        missed=np.flatnonzero(is_free_truth),
    )


def _places(photons: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([photons["y"], photons["x"]], axis=1).astype(np.float64)
