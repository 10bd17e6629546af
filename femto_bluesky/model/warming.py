"""Have the compiled code ready before the first frame comes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from femto_bluesky.kernels import cmos
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.mask_counts import MaskCounts
from femto_bluesky.model.photons import PhotonCounter
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import DenseFrame, Frame, Mask, ThresholdedFrame
from femto_bluesky.model.sums import sum_dtype


@cache
def warm() -> None:
    """Compile what the frames of the beamline's detectors need, or load it from the cache.

    The first time on a machine that takes some seconds, later on a fraction of one. It is done
    once in a process, when a pipeline is made; a live run then loses nothing to compilation.
    """
    box = Roi(x0=0, y0=0, x1=3, y1=1)
    camera, counts = np.zeros((1, 3), np.uint16), np.zeros((1, 3), np.float32)
    dark = cmos.dark_rows(0, (1, 3), camera.dtype)
    # what cannot be written to has compiled code of its own; so are masks that stay the same
    fixed = np.zeros((1, 3), np.bool_)
    fixed.flags.writeable = False
    masks: tuple[Mask | None, ...] = (None, fixed.copy(), fixed)
    for mask in masks:
        frames: list[Frame] = [
            ThresholdedFrame(camera, dark, np.uint16(1), mask),
            DenseFrame(camera, mask),
            DenseFrame(counts, mask),
        ]
        for frame in frames:
            # float64 is what a sum becomes that frames of several kinds are added to
            for dtype in {sum_dtype(frame.dtype), np.dtype(np.float64)}:
                total: Any = np.zeros((1, 3), dtype)
                frame.add_to(total)
            frame.sum_and_count(box)
            frame.dense()
        MaskCounts().add(mask)
    PhotonCounter(PhotonFinding(), 0.0).warm(np.uint16)
