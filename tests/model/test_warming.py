from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from femto_bluesky.kernels import cmos, sparse
from femto_bluesky.kernels import photons as finder
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.photons import CrowdedFrame, PhotonCounter, PhotonFrame
from femto_bluesky.model.rois import Roi

SHAPE = (40, 150)
BOX = Roi(x0=60, y0=10, x1=140, y1=30)


def n_compiled() -> int:
    return sum(
        len(value.signatures)
        for module in (finder, sparse, cmos)
        for value in vars(module).values()
        if hasattr(value, "signatures")
    )


WARMED = [
    ("a level", False, False),
    ("a level", True, False),
    ("an image", False, False),
    ("an image", True, False),
    ("a level", True, True),
]


@pytest.mark.parametrize(("dark_is", "is_masked", "is_read_only"), WARMED)
def test_what_was_warmed_compiles_nothing(
    dark_is: str, is_masked: bool, is_read_only: bool
) -> None:
    """Types of pixels that no other test of this file has, so that nothing is compiled yet."""
    dtype = "int16" if is_read_only else "uint8"
    pixels = np.full(SHAPE, 10, dtype)
    pixels[5:8, 5:8] = pixels[5:8, 15:18] = 50
    mask = np.zeros(SHAPE, bool) if is_masked else None
    if mask is not None:
        mask.flags.writeable = not is_read_only
    finding = PhotonFinding(pixel_threshold_adu=11, energy_min_adu=40, view_min_adu=40)
    dark: Any = 10.0 if dark_is == "a level" else np.full(SHAPE, 10.0)
    counters = [
        PhotonCounter(finding.model_copy(update={"max_overlap_share": limit}), dark, mask=mask)
        for limit in (1, 1e-9)
    ]
    counters[0].warm(dtype)
    compiled, kinds = n_compiled(), []
    for counter in counters:
        frame = counter.count(pixels)
        frame.add_to(np.zeros(SHAPE))
        frame.sum_and_count(BOX)
        kinds.append(type(frame))
    assert kinds == [PhotonFrame, CrowdedFrame]
    assert n_compiled() == compiled
