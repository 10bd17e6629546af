"""Raw shots as a beamline's detectors give them, small and always the same, to try analyses on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.shots import DenseFrame, Shot


def make_shots(
    detectors: Sequence[str] = ("pilatus",),
    *,
    runs: Sequence[str] = ("run-1",),
    n_steps: int = 3,
    n_frames: int = 2,
    shape: tuple[int, int] = (12, 16),
    seed: int = 0,
) -> list[Shot]:
    """Shots of scans as a run brings them: step by step, a burst of each detector.

    A detector's name, by the package's table, says what its frames are. With photons: uint16 frames
    with whole photons, overlaps and a hot pixel; at times too many photons to be counted. With a
    dark level: uint16 camera frames with pixels below it, noise, photons and a saturated one. With
    negative flags: float32 counts that are not whole numbers, with a gap (-1) and pixels that are
    dead (-2) in some frames only. Any other: float32 with NaN in some frames. Flags and NaN are
    masked.

    Each run scans `stage_x` in `n_steps` bursts of `n_frames`; labels are `laser_on` (of each shot)
    and `ring_current_ma` (of each burst). Time goes on from run to run.
    """
    rng = np.random.default_rng(seed)
    shots = []
    for event, (run, step) in enumerate(itertools.product(runs, range(n_steps))):
        current = float(rng.uniform(200, 300))
        for detector, index in itertools.product(detectors, range(n_frames)):
            known = settings_of(detector)
            if known.photons is not None:
                frame = photon_frame(rng, shape, index == 0)
            elif known.dark_adu is not None:
                frame = camera_frame(rng, shape, known.dark_adu)
            elif known.mask_negative:
                frame = counting_frame(rng, shape)
            else:
                frame = frame_with_nan(rng, shape)
            number = step * n_frames + index
            shots.append(
                Shot(
                    run=run, step=step, number=number, detector=detector, frame=frame,
                    position={"stage_x": 0.5 * step},
                    labels={"laser_on": float(number % 2), "ring_current_ma": current},
                    known=known, pixel_size_m=known.pixel_size_m, time=1e9 + event,
                )
            )  # fmt: skip
    return shots


def camera_frame(rng: np.random.Generator, shape: tuple[int, int], dark_adu: float) -> DenseFrame:
    """A uint16 frame without mask: noise about the dark level, photons, one saturated pixel."""
    pixels = rng.normal(dark_adu, 5, shape) + 900 * rng.poisson(0.05, shape)
    pixels[tuple(rng.integers(shape))] = np.iinfo(np.uint16).max
    return DenseFrame(np.clip(np.rint(pixels), 0, 65535).astype(np.uint16))


def photon_frame(
    rng: np.random.Generator, shape: tuple[int, int], may_be_crowded: bool
) -> DenseFrame:
    """A uint16 frame without mask: dark level 100, photons of some 1200 ADU, one hot pixel."""
    pixels = rng.normal(100, 2.5, shape)
    share = 0.03 if may_be_crowded and rng.integers(3) == 0 else 0.005
    n_photons = 1 + int(share * shape[0] * shape[1])
    cloud = np.outer([0.15, 0.7, 0.15], [0.15, 0.7, 0.15])
    for y, x in rng.integers((1, 1), (shape[0] - 1, shape[1] - 1), (n_photons, 2)):
        pixels[y - 1 : y + 2, x - 1 : x + 2] += rng.normal(1200, 40) * cloud
    pixels[tuple(rng.integers(shape))] += 3000
    return DenseFrame(np.clip(np.rint(pixels), 0, 65535).astype(np.uint16))


def counting_frame(rng: np.random.Generator, shape: tuple[int, int]) -> DenseFrame:
    """A float32 frame of counts with flags: one gap column, two pixels dead in this frame only."""
    pixels: NDArray[np.float32] = rng.poisson(0.3, shape).astype(np.float32) * np.float32(1.07)
    pixels[:, shape[1] // 2] = -1
    for _ in range(2):
        pixels[tuple(rng.integers(shape))] = -2
    return DenseFrame(pixels, pixels < 0)


def frame_with_nan(rng: np.random.Generator, shape: tuple[int, int]) -> DenseFrame:
    """A float32 frame with values of both signs; about every second one has a masked NaN pixel."""
    pixels = rng.integers(-2000, 2000, shape).astype(np.float32) / np.float32(64)
    if rng.integers(2):
        pixels[tuple(rng.integers(shape))] = np.nan
    mask = np.isnan(pixels)
    return DenseFrame(pixels, mask if mask.any() else None)
