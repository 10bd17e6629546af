"""Frames into sums: how close to the speed of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from femto_bluesky.callbacks import Accumulation, LiveAnalysis
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import DenseFrame, Shot

ZYLA = (2160, 2560)
BALOR = (4104, 4128)
ROIS = {
    f"roi {i}": Roi(x0=200 + 500 * i, y0=300 + 300 * i, x1=300 + 500 * i, y1=400 + 300 * i)
    for i in range(4)
}


def camera_frame(shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Dark level 100, noise 2.5 ADU, a photon in every thousandth pixel."""
    rng = np.random.default_rng(0)
    frame = rng.normal(100, 2.5, shape)
    frame[rng.random(shape) < 1e-3] += 800
    return np.rint(frame).astype(np.uint16)


def shots(detector: str, pixels: NDArray[Any], mask: NDArray[Any] | None = None) -> Any:
    """The same frame as one shot after the other, as a run brings them."""
    frame, known = DenseFrame(pixels, mask), settings_of(detector)
    return iter([Shot("run", 0, number, detector, frame, known=known) for number in range(500)])


@pytest.mark.parametrize("shape", [ZYLA, BALOR], ids=["2160x2560", "4104x4128"])
def bench_sum_of_uint16(ratio: Any, shape: tuple[int, int]) -> None:
    """A uint16 frame into the uint32 sum of `Accumulation`."""
    frame, total = camera_frame(shape), np.zeros(shape, np.uint32)
    accumulation, stream = Accumulation(), shots("camera", frame)
    ratio(
        lambda: accumulation.update(next(stream)),
        lambda: np.add(total, frame, out=total),
        goal=0.6,
        than="np.add into uint32",
    )


def bench_clean_sum_and_four_rois(ratio: Any) -> None:
    """The whole pipeline of a Zyla: subtract, threshold, accumulate, four ROI means."""
    frame, total = camera_frame(ZYLA), np.zeros(ZYLA, np.uint32)
    live, stream = LiveAnalysis(ROIS), shots("andor3_zyla10", frame)
    ratio(
        lambda: live.update(next(stream)),
        lambda: np.add(total, frame, out=total),
        goal=0.5,
        than="np.add into uint32",
    )


def bench_pilatus_frame(ratio: Any) -> None:
    """A float32 frame of 831x1475 whose mask differs from frame to frame."""
    rng = np.random.default_rng(0)
    frame = rng.poisson(0.01, (831, 1475)).astype(np.float32)
    frame[195:212] = -1
    mask, total = frame < 0, np.zeros(frame.shape)
    live = LiveAnalysis({"roi": Roi(x0=600, y0=220, x1=700, y1=400)})
    stream = shots("pilatus", frame, mask)
    ratio(
        lambda: live.update(next(stream)),
        lambda: np.add(total, frame, out=total, where=~mask),
        goal=1.0,
        than="np.add where valid",
    )
