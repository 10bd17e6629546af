"""Refines a geometry on rings, from the inner ones outwards, until it moves no more.

Each round measures how far out the rings lie in each cell (`kernels.ring_cells`) and moves the
parameters so that these shifts vanish, by weighted least squares. A ring takes part as soon as the
uncertainty of where it is expected is small beside the distance to its neighbours, so no ring is
taken for another one. Cells scatter by more than their counts say where a powder is grainy, for
one crystallite lies anywhere within the ring's width; that part is estimated and added to the
errors, as in a meta-analysis (DerSimonian & Laird, Controlled Clin. Trials 7, 177, 1986), and cells
that lie far off (a spot, a shadow) lose weight (Huber).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels.ring_cells import Cells, Profiles, measure, widening
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.offline.ring_image import CalibrationError, RingImage
from femto_bluesky.offline.ring_parameters import Parameters
from femto_bluesky.offline.ring_search import q_of_mm

log = logging.getLogger(__name__)
Array = NDArray[np.float64]
Places = NDArray[np.intp]

_WINDOW = 4.5  # half a window, in widths of a ring
_ROOM = 2.2  # widths that a ring needs on each side before its neighbour's room begins
_SECTORS = (72, 36, 24, 12, 6)
_CELL = 6.0  # a ring is cut into cells whose amplitudes are so many standard errors
_SEEN = 5.0  # a ring is seen if its amplitude is so many standard errors
_USED = 3.0  # and a cell is used
_CHOOSING, _SETTLING = 12, 15  # rounds at most
_SETTLED = 0.05  # standard errors: pixels that enter and leave windows move so much for ever
_HUBER = 2.5
_ARCS = 4  # a cell is a few arcs, for each of which it is known how it moves
_FEWEST = 5  # cells, that anything can be said of their scatter


class TooFewSeenError(CalibrationError):
    """So few sectors of rings are seen that nothing can be refined on them."""


@dataclass(frozen=True, slots=True, eq=False)
class CellTable:
    """The cells of all rings: where each lies, what was measured, and how it moves."""

    line: Array
    ring: Places
    chi_deg: Array
    y: Array
    x: Array
    shift: Array
    error: Array
    weight: Array
    gradient: Array


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Where the fit ended; `significance` is that of each line, NaN for what the frame misses."""

    values: Array
    covariance: Array
    cells: CellTable
    widths: Array
    significance: Array
    graininess: float
    gain: float
    is_settled: bool


class RingFit:
    """A fit in rounds."""

    def __init__(
        self, image: RingImage, lines: Array, parameters: Parameters, values: Array, width_mm: float
    ) -> None:
        self.image, self.lines, self.parameters = image, lines, parameters
        self.values = values
        self.widths = np.full(len(lines), width_mm * q_of_mm(parameters.start))
        self.covariance = np.diag(parameters.doubts**2)
        self.significance = np.full(len(lines), np.nan)
        spacing = np.diff(lines, prepend=-np.inf, append=np.inf)
        self.room = np.minimum(spacing[1:], spacing[:-1]) / 2
        if len(lines) == 1:
            self.room = np.full(1, lines[0] / 4)
        self.n_sectors = np.full(len(lines), 12)
        self.doubt = np.full(len(lines), np.inf)
        self.template, self.chosen = self.widths, np.ones(len(lines), np.bool_)
        self.used = np.zeros(0, np.bool_)

    def choose(self) -> Fit:
        """Rounds in which rings and cells are chosen; doubts about the start hold the parameters.

        What follows from them is no result yet, but its `covariance` is that without the doubts.
        Raises `TooFewSeenError` where it says so.
        """
        self._doubt_about(self.values)
        found, n_seen = self._round(is_last=False), -1
        for number in range(_CHOOSING):
            n_before, n_seen = n_seen, int((np.nan_to_num(self.significance) > _SEEN).sum())
            if self._move(number, found) < 0.5 and n_seen == n_before:
                break
            found = self._round(is_last=False)
        self._keep_cells()
        return found

    def settle(self) -> Fit:
        """Rounds, after those of `choose`, in which only the rings move."""
        found = self._round(is_last=True)
        for number in range(_SETTLING):
            # half of the way is enough where whole steps swing to and fro
            if self._move(number, found, 1.0 if number < 2 else 0.5) < _SETTLED:
                return replace(found, is_settled=True)
            found = self._round(is_last=True)
        return found

    def _move(self, number: int, found: Fit, share: float = 1.0) -> float:
        """Go where a round ended, but not too far; returns how far that is, in standard errors."""
        most = 5 * self.parameters.doubts
        moved = np.clip(found.values - self.values, -most, most)
        self.values = self.values + share * moved
        size = float((np.abs(moved) / np.sqrt(np.maximum(np.diag(found.covariance), 1e-300))).max())
        log.info("round %d: %d cells, %.3f standard errors", number, len(found.cells.line), size)
        return size

    def _round(self, *, is_last: bool) -> Fit:
        geometry = self.parameters.geometry(self.values)
        if not is_last:
            self._choose_rings()
        pixels, ring, offset = self._pixels(geometry)
        chi = geometry.chi(pixels.y, pixels.x)
        if not is_last:
            self._cut(pixels, ring, offset, chi)
        n_sectors = self.n_sectors[ring]
        along = np.clip((chi + 180) / 360, 0, 1 - 1e-12) * n_sectors
        sector = along.astype(np.intp)
        cell = (np.cumsum(self.n_sectors) - self.n_sectors)[ring] + sector
        ring_of_cell = np.repeat(np.arange(len(self.lines)), self.n_sectors)
        profiles = Profiles.of(pixels.counts, pixels.exposure, offset, cell, len(ring_of_cell))
        cells = measure(profiles, ring_of_cell)
        if not is_last:
            self._look_at_rings(cells, ring_of_cell)
            with np.errstate(invalid="ignore"):
                self.used = cells.amplitude > _USED * cells.amplitude_error
            self.used &= (np.nan_to_num(self.significance) > _SEEN)[ring_of_cell]
        table = self._table(pixels, chi, offset, cell, along - sector, cells, ring_of_cell)
        if len(table.line) < _FEWEST:
            n = int((np.nan_to_num(self.significance) > _SEEN).sum())
            raise TooFewSeenError(
                f"{n} rings of the {len(self.lines)} on the frame are seen, in {len(table.line)} "
                f"sectors, and {_FEWEST} sectors are needed at least; take a longer sum"
            )
        found = self._solved(table, cells.gain, is_free=is_last)
        if not is_last:
            self._widen(profiles, ring_of_cell)
            self._doubt_about(found.values)
        return found

    def _choose_rings(self) -> None:
        """The rings that take part, and how wide each is taken to be: as it is, and as doubtful."""
        template = np.sqrt(self.widths**2 + self.doubt**2)
        self.chosen = _ROOM * template <= self.room
        if not self.chosen.any():
            self.chosen[np.argmin(template / self.room)] = True
        self.template = np.minimum(template, self.room / _ROOM)

    def _pixels(self, geometry: Geometry) -> tuple[RingImage, Places, Array]:
        """The pixels near the rings that take part: how far out of its ring each is, in widths."""
        q = geometry.q(self.image.y, self.image.x)
        ring = np.searchsorted((self.lines[1:] + self.lines[:-1]) / 2, q)
        half = np.where(self.chosen, np.minimum(_WINDOW * self.template, self.room), -1.0)
        offset = q - self.lines[ring]
        is_near = np.abs(offset) < half[ring]
        ring = ring[is_near]
        return self.image.near(is_near), ring, offset[is_near] / self.template[ring]

    def _cut(self, pixels: RingImage, ring: Places, offset: Array, chi: Array) -> None:
        """Into how many sectors each ring is cut: so many that each still has enough counts."""
        rings = np.arange(len(self.lines))
        if np.isnan(self.significance[self.chosen]).all():
            profiles = Profiles.of(pixels.counts, pixels.exposure, offset, ring, len(rings))
            self._look_at_rings(measure(profiles, rings), rings)
        finest = np.clip(((chi + 180) * _SECTORS[0] / 360).astype(np.intp), 0, _SECTORS[0] - 1)
        there = np.bincount(ring * _SECTORS[0] + finest, minlength=len(rings) * _SECTORS[0]) > 0
        covered = there.reshape(len(rings), -1).mean(axis=1)
        for i in rings:
            most = np.nan_to_num(self.significance[i]) ** 2 / (_CELL**2 * max(covered[i], 1e-3))
            self.n_sectors[i] = max((n for n in _SECTORS if n <= most), default=_SECTORS[-1])

    def _keep_cells(self) -> None:
        """Leave rings, widths and sectors as they are, and forget the pixels that are far off."""
        q = self.parameters.geometry(self.values).q(self.image.y, self.image.x)
        ring = np.searchsorted((self.lines[1:] + self.lines[:-1]) / 2, q)
        half = np.where(self.chosen, 1.5 * _WINDOW * self.template, -1.0)
        self.image = self.image.near(np.abs(q - self.lines[ring]) < half[ring])

    def _look_at_rings(self, cells: Cells, ring_of_cell: Places) -> None:
        """How significant each ring is."""
        n = len(self.lines)
        weight = np.nan_to_num(cells.amplitude_error**-2.0)
        of = np.bincount(ring_of_cell, weight, n)
        height = np.nan_to_num(cells.amplitude)
        mean = np.bincount(ring_of_cell, weight * height, n) / np.maximum(of, 1e-300)
        # a spot is not a ring: no cell counts for more than it would with thrice the usual height
        height = np.minimum(height, 3 * np.maximum(mean, 0)[ring_of_cell])
        mean = np.bincount(ring_of_cell, weight * height, n) / np.maximum(of, 1e-300)
        self.significance = np.where(of > 0, mean * np.sqrt(of), np.nan)

    def _table(
        self, pixels: RingImage, chi: Array, offset: Array, cell: Places, within: Array,
        cells: Cells, ring_of_cell: Places,
    ) -> CellTable:  # fmt: skip
        """The cells that are used, and how their rings move with the parameters.

        `within` is how far along its sector each pixel lies, from 0 to 1.
        """
        is_used = self.used & np.isfinite(cells.shift) & (cells.amplitude > 0)
        n = len(ring_of_cell)
        core = (np.abs(offset) < 1.5) & is_used[cell]
        near, of = pixels.near(core), cell[core]
        weight = near.exposure * np.exp(-(offset[core] ** 2) / 2)
        total = np.maximum(np.bincount(of, weight, n), 1e-300)

        def mean(values: Array) -> Array:
            found: Array = np.bincount(of, weight * values, n) / total
            return found[is_used]

        angle = np.radians(chi[core])
        part = of * _ARCS + (within[core] * _ARCS).astype(np.intp)
        each = np.zeros((len(self.values), n * _ARCS))
        share = np.bincount(part, weight, n * _ARCS)
        held = share > 0
        at = (np.bincount(part, weight * place, n * _ARCS)[held] for place in (near.y, near.x))
        y, x = (places / share[held] for places in at)
        each[:, held] = self.parameters.gradient(self.values, y, x) * share[held]
        gradient = each.reshape(len(each), n, _ARCS).sum(axis=2) / total
        ring = ring_of_cell[is_used]
        return CellTable(
            line=self.lines[ring],
            ring=ring,
            chi_deg=np.degrees(np.arctan2(mean(np.sin(angle)), mean(np.cos(angle)))),
            y=mean(near.y),
            x=mean(near.x),
            # the template's linear part is no guide beyond its width
            shift=np.clip(cells.shift[is_used], -2, 2) * self.template[ring],
            error=cells.shift_error[is_used] * self.template[ring],
            weight=np.ones(len(ring)),
            gradient=gradient[:, is_used],
        )

    def _solved(self, table: CellTable, gain: float, *, is_free: bool) -> Fit:
        """The parameters without the shifts, by weighted least squares."""
        prior = np.zeros(len(self.values)) if is_free else self.parameters.doubts**-2.0
        n_free = max(len(table.line) - len(self.values), 1)
        grain = 0.0
        huber = np.ones(len(table.line))
        step = np.zeros(len(self.values))
        left = table.shift
        scaled = np.zeros(0)
        for _ in range(12):
            variance = table.error**2 + (grain * self.widths[table.ring]) ** 2
            weight = huber / variance
            normal = (table.gradient * weight) @ table.gradient.T + np.diag(prior)
            self.covariance = _inverse(normal)
            step = -self.covariance @ (table.gradient @ (weight * table.shift))
            left = table.shift + step @ table.gradient
            scaled = left / np.sqrt(variance)
            size = np.abs(scaled)
            huber = np.where(size > _HUBER, _HUBER / np.maximum(size, 1e-300), 1.0)
            excess = float((huber * scaled**2).sum() / n_free)
            per_grain = float((huber * self.widths[table.ring] ** 2 / variance).sum() / n_free)
            grain = np.sqrt(max(0.0, grain**2 + (excess - 1) / max(per_grain, 1e-300)))
        covariance = _inverse(normal - np.diag(prior)) * max(1.0, excess)
        table = CellTable(
            table.line, table.ring, table.chi_deg, table.y, table.x, left, np.sqrt(variance),
            huber, table.gradient,
        )  # fmt: skip
        return Fit(
            self.values + step, covariance, table, self.widths.copy(), self.significance.copy(),
            float(grain), gain, False,
        )  # fmt: skip

    def _widen(self, profiles: Profiles, ring_of_cell: Places) -> None:
        """The widths of the rings that are seen well; between them, those of their neighbours."""
        change, error = widening(profiles, ring_of_cell)
        with np.errstate(invalid="ignore"):
            good = (self.significance > 2 * _SEEN) & (error < 0.3)
        if good.any():
            width = self.template[good] * np.sqrt(np.clip(1 + change[good], 0.4, 2.0))
            self.widths = np.interp(self.lines, self.lines[good], width)

    def _doubt_about(self, values: Array) -> None:
        """How uncertain it is where each ring lies; infinitely for those the frame misses."""
        geometry = self.parameters.geometry(values)
        curves = [geometry.ring(float(q), n=37, shape=self.image.shape) for q in self.lines]
        ring = np.repeat(np.arange(len(curves)), [len(y) for y, _ in curves])
        y, x = (np.concatenate(places) for places in zip(*curves, strict=True))
        there = np.isfinite(y)
        gradient = self.parameters.gradient(values, y[there], x[there])
        variance = np.einsum("pn,pq,qn->n", gradient, self.covariance, gradient)
        n = np.bincount(ring[there], minlength=len(curves))
        total = np.bincount(ring[there], variance, len(curves))
        self.doubt = np.where(n > 0, np.sqrt(total / np.maximum(n, 1)), np.inf)


def _inverse(normal: Array) -> Array:
    """The inverse of a normal matrix, large where nothing is told of a parameter."""
    size = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    scaled = normal / size / size[:, None]
    values, vectors = np.linalg.eigh(scaled)
    inverse: Array = (vectors / np.maximum(values, 1e-12)) @ vectors.T / size / size[:, None]
    return inverse
