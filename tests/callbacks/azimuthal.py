"""Frames with rings and what is made of them, for tests of `AzimuthalIntegration`."""

from __future__ import annotations

import numpy as np

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.documents import Recorder, difference
from femto_bluesky.testing.laws import plain_parts
from femto_bluesky.testing.runs import burst_scan, run_plan

SHAPE = (60, 80)
GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.015, x0_px=20, y0_px=30, pixel_size_m=(172e-6, 172e-6)
)
MOVED = GEOMETRY.model_copy(update={"x0_px": 22.0, "distance_m": 0.016})
RINGS = RingFrames(
    RingSettings(
        shape=SHAPE, x0=20, y0=30, distance_m=0.015, ring_photons=400, background_photons=100,
        n_dead_pixels=5,
    )
)  # fmt: skip


def frame(index, detector="pilatus", step=0, pixels=None, **more):
    pixels = RINGS.frame(index) if pixels is None else pixels
    mask = pixels < 0 if detector == "pilatus" else None
    return Shot(
        run=more.pop("run", "run"), step=step, number=index, detector=detector,
        frame=DenseFrame(pixels, mask), known=settings_of(detector), time=float(index),
        position=more.pop("position", {"stage": 0.5 * step}), **more,
    )  # fmt: skip


def seen(analysis, shots):
    for shot in shots:
        analysis.update(shot)
    return analysis


def pyfai(pixels, geometry=GEOMETRY, n=50, **options):
    return geometry.integrator(pixels.shape).integrate1d_ng(
        np.where(pixels < 0, 0, pixels).astype(float), n, unit="q_A^-1", mask=pixels < 0,
        method=("no", "csr", "cython"), error_model="poisson", **options,
    )  # fmt: skip


def same(one, other):
    return difference(plain_parts(one), plain_parts(other)) is None


def scanned(folder, analysis, *, n_steps=3, **settings):
    """Live documents of a burst scan, and those of the derived run."""
    detector = SimulatedDetector(
        name="pilatus", source=RINGS, directory=folder / "raw", num_images=2
    )
    derived = Recorder()
    analysis.subscribe(derived)
    motor = SimulatedMotor(name="stage")
    plan = burst_scan([detector], motor, list(range(n_steps)), **settings)
    return run_plan(plan, analysis), derived


def of_stream(derived, stream="azimuthal"):
    uids = [doc["uid"] for doc in derived.of("descriptor") if doc["name"] == stream]
    return [doc for doc in derived.of("event") if doc["descriptor"] in uids]
