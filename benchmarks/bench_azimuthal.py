"""I(q): against pyFAI's own integration with everything ready, and a list of photons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from femto_bluesky.kernels import sparse
from femto_bluesky.kernels.photons import PHOTON
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.photons import PhotonFrame
from femto_bluesky.model.radial import RadialBinning, RadialBins, RadialSums
from femto_bluesky.model.sums import AccumulatedImage

PILATUS = (831, 1475)
BALOR = (4104, 4128)
SHAPES = pytest.mark.parametrize(
    ("shape", "pixel_m"), [(PILATUS, 172e-6), (BALOR, 12e-6)], ids=["831x1475", "4104x4128"]
)


def geometry_of(shape: tuple[int, int], pixel_m: float) -> Geometry:
    """A detector whose beam is at one side."""
    return Geometry(
        energy_kev=13.5, distance_m=0.131, x0_px=0.15 * shape[1], y0_px=0.45 * shape[0],
        pixel_size_m=(pixel_m, pixel_m),
    )  # fmt: skip


def accumulated(rng: np.random.Generator, shape: tuple[int, int]) -> AccumulatedImage:
    """A sum of 30 frames with a gap."""
    pixels, mask = rng.poisson(1, shape).astype(np.float64), np.zeros(shape, np.bool_)
    mask[shape[0] // 3 : shape[0] // 3 + 17] = True
    pixels[mask] = 0
    return AccumulatedImage(pixels, mask, 30, None, None, "camera", True, {"run": 30})


@SHAPES
def bench_update_of_i_of_q(ratio: Any, shape: tuple[int, int], pixel_m: float) -> None:
    """An accumulated image with a gap to I(q) and its errors."""
    geometry = geometry_of(shape, pixel_m)
    found = accumulated(np.random.default_rng(0), shape)
    binning = RadialBinning(RadialBins(geometry, shape, 1000, polarisation=0.95))
    integrator = geometry.integrator(shape)
    ratio(
        lambda: binning.of_accumulated(found, 1.0),
        lambda: integrator.integrate1d_ng(
            found.image, 1000, unit="q_A^-1", mask=found.mask, polarization_factor=0.95,
            error_model="poisson", method=("no", "csr", "cython"),
        ),
        goal=1.1,
        than="pyFAI.integrate1d with a ready CSR engine",
        rounds=10,
    )  # fmt: skip


def bench_sparse_frame(ratio: Any) -> None:
    """A frame of 1000 photons into I(q) of its step, against an update with an image of its size.

    The image is the cheapest there is, without a mask: with one, its update takes half as long
    again. The two take turns, so the photons find the processor's caches full of the image, as they
    do behind a camera: that is 0.2 ms, just the goal. Called again and again it is 0.07 ms. Most of
    it is the call of pyFAI for the q of photons, however few; so it is more than the goal for
    smaller frames: a tenth of the update of an image of 831x1475 pixels.
    """
    rng = np.random.default_rng(0)
    binning = RadialBinning(RadialBins(geometry_of(BALOR, 12e-6), BALOR))
    photons = np.zeros(1000, PHOTON)
    photons["y"], photons["x"] = rng.uniform(0, BALOR[0] - 1, (2, 1000))
    photons["energy"] = 1200
    frame = PhotonFrame(photons, sparse.pixels_of(photons, BALOR, 1100), BALOR)
    sums, found = RadialSums(binning.q), accumulated(rng, BALOR)
    found = replace(found, mask=np.zeros(BALOR, np.bool_))
    ratio(
        lambda: sums.add(*binning.of_frame(frame), {0}),
        lambda: binning.of_accumulated(found, 1.0),
        goal=0.02,
        than="an update with an accumulated image of 4104x4128 without a mask",
        rounds=30,
    )
