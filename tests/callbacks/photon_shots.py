"""Shots of a small Balor, and what is true of them."""

from __future__ import annotations

from femto_bluesky.kernels.photons import HOT, find_photons
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

BALOR = "andor3_balor1"
SHAPE = (300, 400)
FRAMES = BalorFrames(BalorSettings(shape=SHAPE, n_photons=60, n_hot_pixels=3))


def shot(pixels, number=0, step=0, detector=BALOR, mask=None, run="run", position=None):
    return Shot(
        run=run, step=step, number=number, detector=detector, frame=DenseFrame(pixels, mask),
        position={"delay": 0.5 * step} if position is None else position,
        known=settings_of(detector), time=float(number),
    )  # fmt: skip


def accepted(pixels, **options):
    hits = find_photons(pixels, **options)
    return hits[(hits["flags"] & HOT) == 0]


def seen(analysis, frames):
    """Two frames a step."""
    return [analysis.update(shot(f, n, n // 2)) for n, f in enumerate(frames)]
