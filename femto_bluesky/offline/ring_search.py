"""The first look for rings: a start that is some pixels and per cent off is brought near.

The image is cut into sectors of azimuth, each a row of counts over q. Where a trial geometry puts
a ring, a matched filter (a bell less its surroundings) says by how many standard deviations there
is more than around it. The sum over all rings and sectors is the evidence for the trial, and the
trials are a grid: nothing is climbed, so no local optimum can hold it, and the evidence that
chance gives is known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.offline.ring_image import RingImage
from femto_bluesky.offline.ring_parameters import Parameters

log = logging.getLogger(__name__)
Array = NDArray[np.float64]

FARTHEST_MM = 2.0
"""How far the centre of a start may be off, in millimetres on the detector."""
FARTHEST_SHARE = 0.04
"""By which share the distance (or, where only it is refined, the energy) of a start may be off."""

_N_SECTORS = 36
_N_RINGS = 8  # the inner ones: further out, a tilt that is not known moves rings too far
_WIDTHS_MM = (0.2, 0.4, 0.8)
_N_TRIALS = 17  # along each parameter
_HIGHEST = 6.0  # standard deviations: a single spot is not evidence for a ring


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best trial: its parameters, its evidence, and whether it lies at the grid's edge."""

    values: Array
    evidence: float
    is_at_edge: bool
    width_mm: float


def search(image: RingImage, lines: Array, parameters: Parameters) -> Found:
    """The best of a grid of trials around the start.

    `evidence` is in standard deviations of what chance gives to one trial: some 4 is the best of
    all trials without rings.
    """
    start = parameters.start
    rows = SectorRows.of(image, start)
    lines = lines[(lines > rows.first) & (lines < rows.last)][:_N_RINGS]
    gradient = _gradient(lines, parameters)
    trials = [
        (_best(rows, rows.filtered(width), lines, gradient, parameters), width)
        for width in _WIDTHS_MM
    ]
    coarse, width = max(trials, key=lambda trial: trial[0].evidence)
    fine = _best(rows, rows.filtered(width), lines, gradient, parameters, around=coarse)
    log.info("rings have an evidence of %.1f standard deviations", fine.evidence)
    return Found(parameters.values + fine.values, fine.evidence, coarse.is_at_edge, width)


@dataclass(frozen=True, slots=True, eq=False)
class SectorRows:
    """Counts and exposure over q (sectors, places), under one geometry."""

    counts: Array
    exposure: Array
    first: float
    step: float
    q_of_mm: float

    @classmethod
    def of(cls, image: RingImage, geometry: Geometry) -> SectorRows:
        """The rows of an image."""
        q, chi = geometry.q(image.y, image.x), geometry.chi(image.y, image.x)
        scale = q_of_mm(geometry)
        step = 0.5 * _WIDTHS_MM[0] * scale
        first = float(q.min())
        n = int((float(q.max()) - first) / step) + 1
        sector = np.minimum(((chi + 180) * (_N_SECTORS / 360)).astype(np.intp), _N_SECTORS - 1)
        place = sector * n + ((q - first) / step).astype(np.intp)
        sums = np.zeros((2, _N_SECTORS, n))
        for total, values in zip(sums, (image.counts, image.exposure), strict=True):
            total += np.bincount(place, values, _N_SECTORS * n).reshape(_N_SECTORS, n)
        return cls(sums[0], sums[1], first, step, scale)

    @property
    def last(self) -> float:
        """Where the rows end, in q."""
        return float(self.first + self.counts.shape[1] * self.step)

    @property
    def q(self) -> Array:
        """The middle of each place, 1/A."""
        return np.asarray(self.first + self.step * (np.arange(self.counts.shape[1]) + 0.5))

    def filtered(self, width_mm: float) -> Array:
        """By how many standard deviations each place holds more than what is around it.

        0 where too few pixels are live.
        """
        width = width_mm * self.q_of_mm / self.step

        def bell(values: Array, factor: float) -> Array:
            smooth: Array = gaussian_filter1d(values, factor * width, axis=1, mode="constant")
            return smooth

        near, far = bell(self.exposure, 1), bell(self.exposure, 3)
        if not (near > 0).any():
            return np.zeros_like(near)
        with np.errstate(divide="ignore", invalid="ignore"):
            around = np.nan_to_num(bell(self.counts, 3) / far, posinf=0)
        noise = np.sqrt(np.maximum(around, 0) * near)
        usable = (near > 0.3 * float(np.median(near[near > 0]))) & (noise > 0)
        found = np.zeros_like(near)
        found[usable] = (bell(self.counts, 1) - around * near)[usable] / noise[usable]
        if usable.any():
            # counts are in any unit, so the noise is what most places scatter by; rings are few
            size = np.abs(found[usable])
            gain = float(np.median(size)) / 0.6745
            found /= max(gain, float(np.sqrt(np.mean(np.minimum(size, 3 * gain) ** 2))) or 1.0)
        return np.clip(found, -_HIGHEST, _HIGHEST)

    def evidence(self, width_mm: float) -> Array:
        """How sure it is that there is a ring, at each q: standard deviations over all sectors."""
        filtered = self.filtered(width_mm)
        found: Array = filtered.sum(axis=0) / np.sqrt(np.maximum((filtered != 0).sum(axis=0), 1))
        return found


def q_of_mm(geometry: Geometry) -> float:
    """How much q a millimetre beside the beam is, 1/A."""
    y, x = geometry.beam
    q = geometry.q([y, y + 1e-3 / geometry.pixel_size_m[0]], [x, x])
    return float(q[1] - q[0])


def _gradient(lines: Array, parameters: Parameters) -> Array:
    """How q changes at each ring in each sector (parameters, rings, sectors); NaN: not there."""
    start = parameters.start
    middle = np.radians((np.arange(_N_SECTORS) + 0.5) * 360 / _N_SECTORS - 180)
    y, x = np.full((2, len(lines), _N_SECTORS), np.nan)
    for i, line in enumerate(lines):
        curve = start.ring(float(line), n=721)
        inside = np.isfinite(curve[0])
        if inside.any():
            rows, columns = curve[0][inside], curve[1][inside]
            around = np.radians(start.chi(rows, columns))
            apart = np.abs(np.angle(np.exp(1j * (around[:, None] - middle))))
            nearest = np.argmin(apart, axis=0)
            y[i], x[i] = rows[nearest], columns[nearest]
    there = np.isfinite(y)
    gradient = np.full((len(parameters.names), *y.shape), np.nan)
    gradient[:, there] = parameters.gradient(parameters.values, y[there], x[there])
    return gradient


def _best(
    rows: SectorRows, filtered: Array, lines: Array, gradient: Array, parameters: Parameters,
    around: Found | None = None,
) -> Found:  # fmt: skip
    """The best trial of a grid around the start, or of a finer one around a trial."""
    grid, farthest = _grid(parameters, 1.0 if around is None else 0.15)
    trials = grid if around is None else around.values + grid
    evidence = np.zeros(len(trials))
    n_live = 0
    n = filtered.shape[1]
    for ring, line in enumerate(lines):
        for sector in np.flatnonzero(np.isfinite(gradient[0, ring])):
            moved = line - trials @ gradient[:, ring, sector]
            place = ((moved - rows.first) / rows.step).astype(np.intp)
            values = filtered[sector, np.clip(place, 0, n - 1)]
            if values.any():
                n_live += 1
                evidence += np.where((place >= 0) & (place < n), values, 0)
    evidence /= np.sqrt(max(n_live, 1))
    best = int(np.argmax(evidence))
    is_at_edge = bool((np.abs(grid[best]) >= 0.99 * farthest)[farthest > 0].any())
    return Found(trials[best], float(evidence[best]), is_at_edge, 0.0)


def _grid(parameters: Parameters, scale: float) -> tuple[Array, Array]:
    """Trials around 0 (trials, parameters), and the farthest of each parameter."""
    start = parameters.start
    reach = {
        "y0_px": FARTHEST_MM * 1e-3 / start.pixel_size_m[0],
        "x0_px": FARTHEST_MM * 1e-3 / start.pixel_size_m[1],
    }
    for name in ("distance_m", "energy_kev"):
        if name in parameters.names:
            reach[name] = FARTHEST_SHARE * float(getattr(start, name))
            break
    axes = []
    for name in parameters.names:
        far = scale * reach.get(name, 0.0)
        axes.append(np.linspace(-far, far, _N_TRIALS) if far else np.zeros(1))
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    return grid, np.array([axis[-1] for axis in axes])
