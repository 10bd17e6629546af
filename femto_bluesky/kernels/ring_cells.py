"""Where rings lie, measured cell by cell: a cell is one sector of one ring.

Counts are few, so no peak is looked for. In each cell the counts of the pixels are a sum of what
a ring that lies where it should would give, of what a small shift adds to it, and of a background
with a slope. Such a sum is linear, so its parts follow from weighted least squares in one step,
without a starting value, also where most pixels hold nothing. The weights are those of Poisson
counts around the model and not around the counts themselves, which would favour pixels that
happen to hold few: for these weights least squares is the scoring step of maximum likelihood
(Nelder & Wedderburn, J. R. Stat. Soc. A 135, 370, 1972).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.intp]

_N_PARTS = 4  # amplitude, shift, background, slope of the background
_FLOOR = 0.3  # of the ring's mean model: no cell's model is trusted to be less than this part


_BINS = 64  # over a window; a bin has the mean offset of its pixels, so its width does no harm


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """What was counted in each cell over the offset from its ring, in bins that are not empty.

    `offset` is the mean one of the bin's pixels, in widths of the template; `squares` the sum of
    counts^2 / exposure over its pixels.
    """

    n_cells: int
    cell: Places
    offset: Array
    counts: Array
    exposure: Array
    squares: Array
    n_pixels: Places

    @classmethod
    def of(
        cls, counts: Array, exposure: Array, offset: Array, cell: Places, n_cells: int
    ) -> Profiles:
        """The profiles of pixels.

        Of each: its counts, for how many frames it was valid (in any unit, above 0), how far out
        of the ring's place it lies in widths of the template, and its cell.
        """
        farthest = float(np.abs(offset).max(initial=0)) or 1.0
        place = ((offset / farthest + 1) * (_BINS / 2)).astype(np.intp)
        key = cell * _BINS + np.minimum(place, _BINS - 1)
        size = n_cells * _BINS
        total = _sums(key, exposure, size)
        held = np.flatnonzero(total)
        return cls(
            n_cells,
            held // _BINS,
            _sums(key, exposure * offset, size)[held] / total[held],
            _sums(key, counts, size)[held],
            total[held],
            _sums(key, counts**2 / exposure, size)[held],
            np.bincount(key, minlength=size)[held],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What was measured in each cell; arrays of one value a cell, NaN where there is none.

    `amplitude` is the height of the ring above the background, in counts a pixel, `shift` how far
    out the ring lies, in widths of the template. Both have standard errors. `gain` is the variance
    of the counts in units of their mean.
    """

    amplitude: Array
    amplitude_error: Array
    shift: Array
    shift_error: Array
    gain: float


def measure(profiles: Profiles, ring_of_cell: Places) -> Cells:
    """Measure the cells; `ring_of_cell` says which of them lie on one ring."""
    cell, counts, exposure, offset = (
        profiles.cell, profiles.counts, profiles.exposure, profiles.offset,
    )  # fmt: skip
    n_cells, ring = profiles.n_cells, ring_of_cell[profiles.cell]
    template = np.exp(-(offset**2) / 2)
    parts = (template, offset * template, np.ones_like(offset), offset)
    mean = _mean(counts, exposure, ring)
    level = mean
    for _ in range(2):
        of_ring, _ = _solved(counts, exposure, parts, level, ring, int(ring.max(initial=0)) + 1)
        own = np.nan_to_num(of_ring[2][ring] + of_ring[0][ring] * template)
        level = np.maximum(own, _FLOOR * mean)
    pooled = level
    found, variance = _solved(counts, exposure, parts, level, cell, n_cells)
    # What is symmetric about the ring's place says nothing about the shift, so a cell's own
    # amplitude and background may go into its weights.
    own = np.nan_to_num(found[2][cell] + found[0][cell] * template)
    level = np.maximum(own, _FLOOR * pooled)
    found, variance = _solved(counts, exposure, parts, level, cell, n_cells)
    model = sum(np.nan_to_num(f)[cell] * p for f, p in zip(found, parts, strict=True))
    squares = profiles.squares - 2 * model * counts + model**2 * exposure
    n_pixels = profiles.n_pixels
    # not squares / level: a level that follows the counts would make that too small
    gain = _gain(
        _sums(cell, squares / pooled, n_cells),
        _sums(cell, n_pixels * level / pooled, n_cells),
        np.bincount(cell, n_pixels, n_cells).astype(np.intp),
    )
    error = np.sqrt(gain * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Cells(found[0], error[0], found[1] / found[0], error[1] / np.abs(found[0]), gain)


def widening(profiles: Profiles, ring_of_cell: Places) -> tuple[Array, Array]:
    """By how much the squared width of each ring is that of its template, and the error of it.

    Both in units of the template's squared width and for Poisson counts of 1 a photon; for rings
    that lie where they should.
    """
    ring, offset = ring_of_cell[profiles.cell], profiles.offset
    n_rings = int(ring_of_cell.max(initial=-1)) + 1
    template = np.exp(-(offset**2) / 2)
    parts = (template, (offset**2 - 1) * template / 2, np.ones_like(offset), offset)
    mean = _mean(profiles.counts, profiles.exposure, ring)
    level = mean
    for _ in range(3):
        found, variance = _solved(profiles.counts, profiles.exposure, parts, level, ring, n_rings)
        own = np.nan_to_num(found[2][ring] + found[0][ring] * template)
        level = np.maximum(own, _FLOOR * mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return found[1] / found[0], np.sqrt(variance[1]) / np.abs(found[0])


def _sums(of: Places, values: Array, n: int = 0) -> Array:
    """The sum of the values of each cell or ring."""
    return np.asarray(np.bincount(of, values, n), np.float64)


def _mean(counts: Array, exposure: Array, ring: Places) -> Array:
    """The mean count of each bin's ring, for one unit of exposure; nowhere 0."""
    total = np.maximum(_sums(ring, exposure), 1e-300)
    mean = _sums(ring, counts) / total
    least = 1e-6 * float(mean.max(initial=0)) or 1.0  # where nothing was counted, nothing matters
    return np.asarray(np.maximum(mean, least)[ring])


def _solved(
    counts: Array, exposure: Array, parts: tuple[Array, ...], level: Array, of: Places, n: int
) -> tuple[Array, Array]:
    """How much of each part is in each cell (parts, cells), and the variances for Poisson counts.

    `level` is what a pixel of unit exposure is expected to count.
    """
    normal = np.empty((n, _N_PARTS, _N_PARTS))
    right = np.empty((n, _N_PARTS))
    for i, one in enumerate(parts):
        right[:, i] = _sums(of, counts * one / level, n)
        for j in range(i + 1):
            sums = _sums(of, exposure * one * parts[j] / level, n)
            normal[:, i, j] = normal[:, j, i] = sums
    size = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-300))
    normal /= size[:, :, None] * size[:, None, :]
    # a cell that the detector's edge cuts so that its parts cannot be told apart tells nothing
    told = np.flatnonzero(np.isfinite(normal).all(axis=(1, 2)))
    told = told[np.linalg.eigvalsh(normal[told])[:, 0] > 1e-4]
    inverse = np.full_like(normal, np.nan)
    inverse[told] = np.linalg.inv(normal[told])
    found = np.einsum("nij,nj->in", inverse, right / size) / size.T
    return found, np.einsum("nii->in", inverse) / size.T**2


def _gain(scatter: Array, expected: Array, n_pixels: Places) -> float:
    """The variance of counts in units of their mean, from the squared residuals of each cell.

    `expected` is what they would be for Poisson counts. Cells with a bright spot, which scatter by
    thrice what is usual, are left out.
    """
    enough = n_pixels > 10 * _N_PARTS
    if not enough.any():
        return 1.0
    n = n_pixels[enough]
    scatter, expected = scatter[enough], expected[enough] * (n - _N_PARTS) / n
    kept = scatter <= 3 * np.median(scatter / expected) * expected
    return float(scatter[kept].sum() / expected[kept].sum())
