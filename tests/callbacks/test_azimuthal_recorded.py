"""I(q) of the recorded LaB6 powder, with the geometry of the README beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky import replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.model.geometry import Geometry

LAB6 = Path(__file__).parents[2].parent / "shared" / "data" / "lab6"

pytestmark = pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the recordings are not there: put them into {LAB6.parent}"
)


def test_lab6_is_integrated_as_pyfai_does_it_and_has_its_lines():
    geometry = Geometry(
        energy_kev=13.5, distance_m=0.131, x0_px=210, y0_px=373, pixel_size_m=(172e-6, 172e-6)
    )
    live = LiveAnalysis(geometries=geometry)
    replay([LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"], live)
    found, whole = live.result().azimuthal["pilatus"], live.diffraction.accumulated()
    image = live.accumulation().result()
    assert found.signal.sum() == pytest.approx(1555495.6, abs=0.01)
    np.testing.assert_array_equal(found.signal, whole.signal)
    np.testing.assert_array_equal(found.norm, whole.norm)
    theirs = geometry.integrator(image.image.shape).integrate1d_ng(
        image.image, 1000, unit="q_A^-1", method=("no", "csr", "cython"), mask=image.mask
    )
    # pyFAI takes images as float32
    np.testing.assert_allclose(found.signal, theirs.sum_signal, rtol=1e-7)
    rounded = live.diffraction.integrate(replace(image, image=image.image.astype(np.float32)))
    np.testing.assert_array_equal(rounded.signal, theirs.sum_signal)
    # one pixel was valid in 24 of the 30 frames only, which pyFAI knows nothing of
    norm = 30 * theirs.sum_normalization
    (place,) = np.flatnonzero(found.norm != norm)
    solid_angle = np.cos(np.radians(geometry.two_theta(181, 1011))) ** 3
    assert norm[place] - found.norm[place] == pytest.approx(6 * solid_angle, rel=1e-6)
    # uncalibrated, rings are off by up to 3 %; of 211 and the lines before, one hides in no other
    for line in calibrant_lines("LaB6", (1.4, 3.8)):
        near = abs(found.q / line.q - 1) < 0.035
        around = (abs(found.q / line.q - 1) < 0.08) & ~near
        assert found.intensity[near].max() > 2 * np.nanmedian(found.intensity[around]), line
