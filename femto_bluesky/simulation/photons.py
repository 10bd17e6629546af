"""Frames of a camera that sees single photons, as the Balor does at FemtoMAX, truth known.

A photon leaves a cloud of charge that is narrower than two pixels. What a pixel collects of it is
the integral of the cloud over the pixel's area; what falls beyond the sensor is lost. Then come the
faults of a real camera: read noise, hot pixels, patterns of gain and dark level, saturation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import ndtr

TRUTH = np.dtype([("y", "<f8"), ("x", "<f8"), ("energy", "<f8")])
"""A photon as it was put in: row, column (pixel centres are whole numbers), mean 3x3 sum in ADU."""

# What random numbers are for: each purpose has its own, so that none changes with another setting.
_PHOTONS, _SPOT, _ELECTRONS, _FIRING, _NOISE = range(5)
_HOT, _HOT_SHARES, _HOT_EXCESS, _GAIN, _DARK = range(5)

_ROWS_AT_ONCE = 32  # noise is made in so many rows, which fit a processor's cache
_PHOTONS_AT_ONCE = 4096
_SATURATED = np.iinfo(np.uint16).max


class BalorSettings(BaseModel):
    """What falls on the camera, and how good it is. The defaults are a Balor at FemtoMAX."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int] = Field(default=(4104, 4128), description="rows and columns of a frame")
    n_photons: float = Field(
        default=1000.0, ge=0, description="mean photons a frame, spread evenly over the sensor"
    )
    is_exact: bool = Field(
        default=False, description="every frame has just n_photons; else a Poisson number"
    )
    spot_photons: float = Field(
        default=0.0, ge=0, description="mean photons a frame in a Gaussian spot, at scale 1"
    )
    spot_y: float = Field(
        default=2000.0, description="row of the spot; pixel i reaches from i - 0.5 to i + 0.5"
    )
    spot_x: float = Field(
        default=2000.0, description="column of the spot; pixel i reaches from i - 0.5 to i + 0.5"
    )
    spot_sigma_px: float = Field(
        default=20.0, ge=0, description="standard deviation of the spot on each axis"
    )
    photon_adu: float = Field(
        default=1200.0, gt=0, description="mean 3x3 sum of a photon, less dark"
    )
    energy_spread: float = Field(
        default=0.035, ge=0, le=0.5, description="relative standard deviation of that sum"
    )
    cloud_sigma_px: float = Field(
        default=0.45, gt=0, description="standard deviation of the cloud of charge"
    )
    halo_sigma_px: float = Field(
        default=1.2, gt=0, description="standard deviation of the wider cloud around it"
    )
    halo_share: float = Field(
        default=0.06, ge=0, le=1, description="share of the charge in the wider cloud"
    )
    has_electron_statistics: bool = Field(
        default=False, description="every pixel collects a Poisson number of electrons"
    )
    adu_per_electron: float = Field(default=0.45, gt=0, description="what one electron adds")
    dark_adu: float = Field(default=100.0, ge=0, description="mean dark level")
    dark_spread_adu: float = Field(
        default=0.0, ge=0, description="standard deviation of the dark level from pixel to pixel"
    )
    gain_spread: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="standard deviation of the gain from pixel to pixel, about 1",
    )
    read_noise_adu: float = Field(
        default=2.5, ge=0, description="standard deviation of a pixel from frame to frame"
    )
    n_hot_pixels: int = Field(default=50, ge=0, description="pixels that fire without light")
    hot_share_of_frames: tuple[float, float] = Field(
        default=(0.5, 1.0), description="each fires in a share of the frames between these"
    )
    hot_excess_adu: tuple[float, float] = Field(
        default=(200.0, 3000.0), description="each fires with an excess between these"
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="frames of one seed are always the same"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> BalorSettings:
        rows, columns = self.shape
        if min(rows, columns) < 1 or self.n_hot_pixels > rows * columns:
            raise ValueError(
                f"found a shape of {rows} x {columns} with {self.n_hot_pixels} hot pixels, "
                "expected at least one row and column, and no more hot pixels than pixels"
            )
        low, high = self.hot_share_of_frames
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"hot_share_of_frames is {low}, {high}; expected the lower and the upper share, "
                "both from 0 to 1"
            )
        low, high = self.hot_excess_adu
        if not 0 <= low <= high:
            raise ValueError(
                f"hot_excess_adu is {low}, {high}; expected the lower and the upper excess in ADU"
            )
        if self.is_exact and self.n_photons != round(self.n_photons):
            raise ValueError(
                f"n_photons is {self.n_photons}, expected a whole number where is_exact is set"
            )
        return self


class BalorFrames:
    """Frames with single photons, each drawn from its own random numbers, and their truth.

    Called with an index and a motor position it gives the frame (rows, columns) of uint16: a source
    for a simulated detector. The photons of the spot are `scale_at(position)` times those of the
    settings (without `scale_at`: everywhere 1); all else is the same at every position.
    """

    def __init__(
        self,
        settings: BalorSettings | None = None,
        scale_at: Callable[[float], float] | None = None,
    ) -> None:
        self.settings = settings or BalorSettings()
        self._scale_at = scale_at

    def __call__(self, index: int, position: float = 0.0) -> NDArray[np.uint16]:
        """The frame of this index, taken at this motor position.

        The same index and position give the same frame, whatever was drawn before. Raises
        `ValueError` for a negative index or scale.
        """
        signal = self._charge(index, self.truth(index, position))
        if self.settings.gain_spread:
            signal *= self.gain
        if self.settings.n_hot_pixels:
            does_fire = self._rng(index, _FIRING).random(len(self.hot_shares)) < self.hot_shares
            signal[self.hot_pixels] += np.where(does_fire, self.hot_excess_adu, 0)
        return self._read_out(index, signal)

    def truth(self, index: int, position: float = 0.0) -> NDArray[np.void]:
        """The photons of that frame: a structured array of `TRUTH`.

        First those that are spread evenly, then those of the spot, each in the order in which they
        were drawn, which is that of no place. `energy` is what the photon's 3x3 sum is on average
        over all places in a pixel, its own spread included; hot pixels are no photons. Raises
        `ValueError` for a negative index or scale.
        """
        scale = 1.0 if self._scale_at is None else float(self._scale_at(position))
        if index < 0 or not 0 <= scale < math.inf:
            raise ValueError(f"index and scale are 0 or more, not {index} and {scale}")
        settings = self.settings
        rng = self._rng(index, _PHOTONS)
        n = settings.n_photons
        even = rng.random((int(n) if settings.is_exact else rng.poisson(n), 2))
        even = even * settings.shape - 0.5
        energy = self._energies(rng, len(even))
        rng = self._rng(index, _SPOT)
        spot = rng.standard_normal((rng.poisson(scale * settings.spot_photons), 2))
        spot = spot * settings.spot_sigma_px + (settings.spot_y, settings.spot_x)
        spot_energy = self._energies(rng, len(spot))
        # a photon that misses the sensor is none
        hits = ((spot >= -0.5) & (spot < np.subtract(settings.shape, 0.5))).all(axis=1)
        truth = np.empty(len(even) + int(hits.sum()), TRUTH)
        truth["y"], truth["x"] = np.concatenate([even, spot[hits]]).T
        truth["energy"] = np.concatenate([energy, spot_energy[hits]])
        return truth

    @cached_property
    def hot_pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the hot pixels, in reading order: `frame[hot_pixels]` are theirs."""
        n_pixels = self.settings.shape[0] * self.settings.shape[1]
        rng = self._fixed_rng(_HOT)
        chosen = np.sort(rng.choice(n_pixels, self.settings.n_hot_pixels, replace=False))
        rows, columns = np.unravel_index(chosen, self.settings.shape)
        return rows, columns

    @cached_property
    def hot_shares(self) -> NDArray[np.float64]:
        """The share of the frames in which each hot pixel fires."""
        rng = self._fixed_rng(_HOT_SHARES)
        return rng.uniform(*self.settings.hot_share_of_frames, self.settings.n_hot_pixels)

    @cached_property
    def hot_excess_adu(self) -> NDArray[np.float64]:
        """How far above the dark level each hot pixel is when it fires."""
        rng = self._fixed_rng(_HOT_EXCESS)
        return rng.uniform(*self.settings.hot_excess_adu, self.settings.n_hot_pixels)

    @cached_property
    def gain(self) -> NDArray[np.float32]:
        """What the charge in each pixel is multiplied by (rows, columns)."""
        return self._pattern(_GAIN, 1.0, self.settings.gain_spread)

    @cached_property
    def dark(self) -> NDArray[np.float32]:
        """The dark level of each pixel in ADU (rows, columns)."""
        return self._pattern(_DARK, self.settings.dark_adu, self.settings.dark_spread_adu)

    @cached_property
    def mean_3x3_share(self) -> float:
        """The share of a photon's charge in its 3x3, on average over all places in a pixel."""
        core, halo = (
            _mean_share_of_three(sigma) ** 2
            for sigma in (self.settings.cloud_sigma_px, self.settings.halo_sigma_px)
        )
        return (1 - self.settings.halo_share) * core + self.settings.halo_share * halo

    def _rng(self, index: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng(
            np.random.SeedSequence(self.settings.seed, spawn_key=(index, purpose))
        )

    def _fixed_rng(self, purpose: int) -> np.random.Generator:
        # a shorter spawn key gives random numbers that those of no frame can be
        return np.random.default_rng(
            np.random.SeedSequence(self.settings.seed, spawn_key=(purpose,))
        )

    def _pattern(self, purpose: int, mean: float, spread: float) -> NDArray[np.float32]:
        pattern = self._fixed_rng(purpose).standard_normal(self.settings.shape, np.float32)
        pattern *= np.float32(spread)
        pattern += np.float32(mean)
        return np.maximum(pattern, 0, out=pattern)

    def _energies(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        relative = 1 + self.settings.energy_spread * rng.standard_normal(n)
        return self.settings.photon_adu * np.maximum(relative, 0)

    def _charge(self, index: int, truth: NDArray[np.void]) -> NDArray[np.float32]:
        """What the photons leave in each pixel, in ADU at a gain of 1."""
        rows, columns = self.settings.shape
        reach = self._reach
        # a margin takes what is lost beyond the sensor
        image = np.zeros((rows + 2 * reach, columns + 2 * reach), np.float32)
        flat, width = image.reshape(-1), image.shape[1]
        side = np.arange(2 * reach + 1)
        around = (side[:, None] * width + side).ravel()
        rng = self._rng(index, _ELECTRONS)
        for part in _parts(truth):
            y, x = np.floor(part["y"] + 0.5), np.floor(part["x"] + 0.5)
            clouds = self._clouds(part["y"] - y, part["x"] - x)
            clouds *= (part["energy"] / self.mean_3x3_share)[:, None, None]
            if self.settings.has_electron_statistics:
                electron = self.settings.adu_per_electron
                np.multiply(rng.poisson(clouds / electron), electron, out=clouds)
            corner = (y * width + x).astype(np.intp)
            places = (corner[:, None] + around).ravel()
            np.add.at(flat, places, clouds.ravel().astype(np.float32))
        return image[reach : reach + rows, reach : reach + columns]

    @cached_property
    def _reach(self) -> int:
        # four standard deviations from anywhere in a pixel: what is beyond is 1e-4 of the cloud
        sigma = self.settings.cloud_sigma_px
        if self.settings.halo_share:
            sigma = max(sigma, self.settings.halo_sigma_px)
        return math.ceil(4 * sigma + 0.5)

    def _clouds(self, dy: NDArray[np.float64], dx: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each pixel gets of photons so far off the middle one: (photon, row, column)."""
        share = self.settings.halo_share
        clouds = (1 - share) * _product(dy, dx, self.settings.cloud_sigma_px, self._reach)
        if share:
            clouds += share * _product(dy, dx, self.settings.halo_sigma_px, self._reach)
        return clouds

    def _read_out(self, index: int, signal: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Add dark level and noise, round, saturate. The signal is used up."""
        settings = self.settings
        rng = self._rng(index, _NOISE)
        frame = np.empty(settings.shape, np.uint16)
        dark = self.dark if settings.dark_spread_adu else None
        for y in range(0, settings.shape[0], _ROWS_AT_ONCE):
            band = slice(y, y + _ROWS_AT_ONCE)
            noisy = rng.standard_normal(signal[band].shape, np.float32)
            noisy *= np.float32(settings.read_noise_adu)
            noisy += signal[band]
            noisy += np.float32(settings.dark_adu) if dark is None else dark[band]
            np.rint(noisy, out=noisy)
            frame[band] = np.clip(noisy, 0, _SATURATED, out=noisy)
        return frame


def _parts(truth: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    for first in range(0, len(truth), _PHOTONS_AT_ONCE):
        yield truth[first : first + _PHOTONS_AT_ONCE]


def _product(
    dy: NDArray[np.float64], dx: NDArray[np.float64], sigma: float, reach: int
) -> NDArray[np.float64]:
    """A Gaussian cloud's integral over each pixel: what rows get times what columns get."""
    edges = np.arange(-reach, reach + 2) - 0.5
    rows, columns = (np.diff(ndtr((edges - d[:, None]) / sigma), axis=1) for d in (dy, dx))
    product: NDArray[np.float64] = rows[:, :, None] * columns[:, None, :]
    return product


def _mean_share_of_three(sigma: float) -> float:
    """The share of a Gaussian in three pixels of a row, about the one in which its centre is.

    That is an integral of the normal distribution, averaged over the centre's place in the pixel;
    u ndtr(u) + exp(-u^2 / 2) / sqrt(2 pi) is the integral of ndtr.

    >>> round(_mean_share_of_three(0.45), 4)
    0.9959
    """
    near, far = (
        u * float(ndtr(u)) + math.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
        for u in (1 / sigma, 2 / sigma)
    )
    return 2 * sigma * (far - near) - 1
