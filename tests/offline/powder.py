"""Images of a powder whose geometry is known, tilts included, and starts that are off."""

from __future__ import annotations

import math

import numpy as np

from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.model.geometry import Geometry

SHAPE = (240, 400)
TRUTH = Geometry(
    energy_kev=13.5, distance_m=0.131, x0_px=60, y0_px=120, tilt_deg=1.0, rotation_deg=40,
    pixel_size_m=(172e-6, 172e-6),
)  # fmt: skip
COUNTS_PER_PHOTON = 13.5


def expected(truth=TRUTH, shape=SHAPE, *, calibrant="LaB6", width=0.012, background=0.3, keep=None):
    """The share of the photons that each pixel is expected to get."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    q = truth.q(y, x)
    image = np.zeros(shape)
    lines = calibrant_lines(calibrant, (0.5, 7))
    for number, line in enumerate(lines if keep is None else lines[:keep]):
        height = (0.4 + 0.6 * ((number * 7) % 5) / 4) / line.q
        image += height * np.exp(-(((q - line.q) / width) ** 2) / 2)
    image *= np.cos(np.radians(truth.two_theta(y, x))) ** 3
    return (1 - background) * image / image.sum() + background / image.size


def image_of(share, n_photons, seed=0):
    """Counts of so many photons."""
    return np.random.default_rng(seed).poisson(n_photons * share) * COUNTS_PER_PHOTON


def off(seed, truth=TRUTH, pixels=5.0, share=0.02):
    """A start that is off by up to so many pixels and such a share of the distance, not tilted."""
    rng = np.random.default_rng([seed, 1])
    return truth.model_copy(
        update={
            "distance_m": truth.distance_m * (1 + rng.uniform(-share, share)),
            "x0_px": truth.x0_px + rng.uniform(-pixels, pixels),
            "y0_px": truth.y0_px + rng.uniform(-pixels, pixels),
            "tilt_deg": 0.0,
            "rotation_deg": 0.0,
        }
    )


def values(geometry, names):
    """A geometry in the parameters that are fitted."""
    turn = math.radians(geometry.rotation_deg)
    known = {
        "tilt_x_deg": geometry.tilt_deg * math.cos(turn),
        "tilt_y_deg": geometry.tilt_deg * math.sin(turn),
    }
    return np.array([known[n] if n in known else getattr(geometry, n) for n in names])


def pulls(found, truth=TRUTH):
    """How far each parameter is from the truth, in its standard error."""
    away = values(found.geometry, found.names) - values(truth, found.names)
    return away / np.sqrt(np.diag(found.covariance))
