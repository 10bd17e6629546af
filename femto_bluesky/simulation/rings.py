"""Frames of a powder on a Pilatus: Debye-Scherrer rings, few photons a frame, truth known."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from femto_bluesky.model.geometry import HC_KEV_ANGSTROM

# Modules of a Pilatus and the gaps between them, in pixels: Dectris, "Pilatus3 user manual".
MODULE_ROWS, MODULE_COLUMNS = 195, 487
GAP_ROWS, GAP_COLUMNS = 17, 7
GAP_VALUE = -1
DEAD_VALUE = -2


def cubic_lines(lattice_angstrom: float, n_lines: int) -> tuple[float, ...]:
    """The first lines of a primitive cubic powder: q in 1/A, rising.

    LaB6 (NIST SRM 660: a = 4.1569 A) has the rings on which detectors are calibrated.

    >>> [round(q, 2) for q in cubic_lines(4.1569, 5)]
    [1.51, 2.14, 2.62, 3.02, 3.38]
    """
    # h^2 + k^2 + l^2 takes every value but those of the form 4^a (8b + 7) (Legendre).
    upto = math.isqrt(2 * n_lines) + 2
    axis = range(upto)
    sums = sorted({h * h + k * k + m * m for h in axis for k in axis for m in axis} - {0})
    return tuple(2 * math.pi / lattice_angstrom * math.sqrt(n) for n in sums[:n_lines])


class RingSettings(BaseModel):
    """What is measured, with what, and how weak it is. The defaults are FemtoMAX and LaB6."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int] = Field(default=(831, 1475), description="rows and columns of a frame")
    x0: float = Field(
        default=210.0, description="column of the beam; pixel i reaches from i to i + 1"
    )
    y0: float = Field(default=373.0, description="row of the beam; pixel i reaches from i to i + 1")
    distance_m: float = Field(default=0.131, gt=0, description="sample to detector, along the beam")
    pixel_size_m: float = Field(default=172e-6, gt=0, description="side of a pixel")
    energy_kev: float = Field(default=13.5, gt=0, description="photon energy")
    ring_q: tuple[float, ...] = Field(
        default=cubic_lines(4.1569, 8), description="where the rings are: q in 1/A"
    )
    ring_width_q: float = Field(
        default=0.015, gt=0, description="standard deviation of each ring in q, 1/A"
    )
    ring_photons: float = Field(
        default=2000.0, ge=0, description="mean photons a frame in all rings together, at scale 1"
    )
    background_photons: float = Field(
        default=500.0, ge=0, description="mean photons a frame spread evenly over the live pixels"
    )
    counts_per_photon: float = Field(
        default=13.5, gt=0, description="what one photon adds to its pixel (TOT applied: keV)"
    )
    has_gaps: bool = Field(default=True, description="whether there are gaps between modules (-1)")
    n_dead_pixels: int = Field(default=40, ge=0, description="pixels that never count (-2)")
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="frames of one seed are always the same"
    )


class RingFrames:
    """Frames with rings, each drawn from its own random numbers, and the truth behind them.

    `frames(index, position)` is a source for a simulated detector: the rings' intensity is
    `scale_at(position)` times that of the settings (without `scale_at`: everywhere 1).
    """

    def __init__(
        self,
        settings: RingSettings | None = None,
        scale_at: Callable[[float], float] | None = None,
    ) -> None:
        self.settings = settings or RingSettings()
        self._scale_at = scale_at
        if not self.is_live.any():
            raise ValueError(
                f"no pixel of a {self.settings.shape} frame is alive with "
                f"{self.settings.n_dead_pixels} dead pixels; ask for fewer, or a larger shape"
            )

    def __call__(self, index: int, position: float) -> NDArray[np.float32]:
        """The frame of this index, taken at this motor position."""
        return self.frame(index, 1.0 if self._scale_at is None else self._scale_at(position))

    @cached_property
    def flags(self) -> NDArray[np.float32]:
        """What stands in pixels that carry no data: -1 in gaps, -2 in dead pixels; else 0."""
        rows, columns = self.settings.shape
        flags = np.zeros((rows, columns), np.float32)
        if self.settings.has_gaps:
            flags[np.arange(rows) % (MODULE_ROWS + GAP_ROWS) >= MODULE_ROWS, :] = GAP_VALUE
            flags[:, np.arange(columns) % (MODULE_COLUMNS + GAP_COLUMNS) >= MODULE_COLUMNS] = (
                GAP_VALUE
            )
        # A spawn key gives random numbers that no frame's (seed, index) can give.
        rng = np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=(0,)))
        live = np.flatnonzero(flags == 0)
        n_dead = min(self.settings.n_dead_pixels, live.size)
        flags.flat[rng.choice(live, n_dead, replace=False)] = DEAD_VALUE
        return flags

    @cached_property
    def is_live(self) -> NDArray[np.bool_]:
        """True where a pixel carries data."""
        live: NDArray[np.bool_] = self.flags == 0
        return live

    @cached_property
    def q(self) -> NDArray[np.float64]:
        """The scattering vector of each pixel's centre, 1/A."""
        theta = np.arctan(self._radius_m() / self.settings.distance_m) / 2
        q: NDArray[np.float64] = (
            4 * np.pi * self.settings.energy_kev / HC_KEV_ANGSTROM * np.sin(theta)
        )
        return q

    def ring_radius_px(self, q: float) -> float:
        """The radius of a ring on the detector: r = D tan(2 theta), in pixels.

        Raises `ValueError` where 2 theta reaches 90 degrees: such a ring meets no flat detector.
        """
        sin_theta = q * HC_KEV_ANGSTROM / (4 * math.pi * self.settings.energy_kev)
        if not 0 <= sin_theta < math.sqrt(0.5):
            raise ValueError(
                f"q = {q} 1/A scatters by 90 degrees or more at {self.settings.energy_kev} keV, "
                "past a flat detector; take a smaller q or a higher energy"
            )
        two_theta = 2 * math.asin(sin_theta)
        return self.settings.distance_m * math.tan(two_theta) / self.settings.pixel_size_m

    def expected(self, scale: float = 1.0) -> NDArray[np.float64]:
        """The mean frame, in counts; NaN where a pixel carries no data."""
        settings = self.settings
        photons = scale * settings.ring_photons * self._ring_share
        photons += settings.background_photons / self._live_pixels.size
        image = np.full(settings.shape, np.nan)
        image.flat[self._live_pixels] = photons * settings.counts_per_photon
        return image

    def frame(self, index: int, scale: float = 1.0) -> NDArray[np.float32]:
        """Frame `index`, each live pixel a Poisson number of photons around its mean.

        The same index and scale give the same frame, whatever was drawn before. Raises
        `ValueError` for a negative index or scale.
        """
        if index < 0 or scale < 0:
            raise ValueError(f"index and scale are 0 or more, not {index} and {scale}")
        settings = self.settings
        rng = np.random.default_rng([settings.seed, index])
        # A Poisson number of photons, each in a pixel drawn by its share, is the same thing as an
        # independent Poisson number in every pixel; it costs by the photon, not by the pixel.
        n_rings = rng.poisson(scale * settings.ring_photons) if self._ring_share.any() else 0
        n_background = rng.poisson(settings.background_photons)
        hit = np.concatenate(
            [
                np.searchsorted(self._ring_cumulative, rng.random(n_rings), side="right"),
                rng.integers(self._live_pixels.size, size=n_background),
            ]
        )
        image = self.flags.copy()
        where, photons = np.unique(self._live_pixels[hit], return_counts=True)
        image.flat[where] = photons * settings.counts_per_photon
        return image

    @cached_property
    def _live_pixels(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.is_live)

    @cached_property
    def _ring_share(self) -> NDArray[np.float64]:
        # Of each live pixel: its part of the rings' photons. cos^3(2 theta) is the solid angle of
        # a pixel on a flat detector, relative to one in the beam (as pyFAI corrects for it).
        q = self.q.flat[self._live_pixels]
        density = np.zeros(q.shape)
        for line in self.settings.ring_q:
            density += np.exp(-(((q - line) / self.settings.ring_width_q) ** 2) / 2)
        cosine = self.settings.distance_m / np.hypot(
            self._radius_m().flat[self._live_pixels], self.settings.distance_m
        )
        density *= cosine**3
        total = float(density.sum())
        return density / total if total > 0 else density

    @cached_property
    def _ring_cumulative(self) -> NDArray[np.float64]:
        cumulative = np.cumsum(self._ring_share)
        if self._ring_share.any():
            cumulative /= cumulative[-1]  # the last must be 1: no draw may fall behind it
        return cumulative

    def _radius_m(self) -> NDArray[np.float64]:
        rows, columns = self.settings.shape
        y = np.arange(rows)[:, None] + 0.5 - self.settings.y0
        x = np.arange(columns)[None, :] + 0.5 - self.settings.x0
        radius: NDArray[np.float64] = np.hypot(x, y) * self.settings.pixel_size_m
        return radius
