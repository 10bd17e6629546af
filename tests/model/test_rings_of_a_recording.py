"""The rings of LaB6, with the geometry that the beamline had, lie on those that were recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.sources import recordings
from tests.model.test_geometry import LAB6, SHAPE

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "lab6"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the LaB6 recording is not there: put it into {DATA}"
)


def sum_of_frames() -> np.ndarray:
    total = np.zeros(SHAPE)
    documents = recordings.read([DATA / "pilatus.cbors.gz", DATA / "sardana.cbors"])
    for name, doc in documents:
        if name == "event":
            for values in doc["data"].values():
                frames = np.asarray(values)
                if frames.shape[-2:] == SHAPE:
                    total += frames.clip(0).reshape(-1, *SHAPE).sum(axis=0)
    return total


def test_counts_lie_on_the_rings():
    image = sum_of_frames()
    assert image.sum() == pytest.approx(1555483.6, rel=1e-4)
    q = LAB6.q(*np.mgrid[: SHAPE[0], : SHAPE[1]])
    for line in calibrant_lines("LaB6", (1.5, 3.5)):
        # The beam of the viewer is some 3 px off, which spreads a ring by 0.02 1/A.
        on = np.abs(q - line.q) < 0.025
        beside = (np.abs(q - line.q) > 0.06) & (np.abs(q - line.q) < 0.1)
        assert image[on].mean() > 2 * image[beside].mean(), line.label
        y, x = LAB6.ring(line.q, shape=SHAPE)
        at = np.rint(np.c_[y, x][np.isfinite(y)]).astype(int)
        at = at[((at >= 0) & (at < SHAPE)).all(axis=1)]
        assert on[tuple(at.T)].all()
