from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from femto_bluesky.model import pixel_arrays
from femto_bluesky.model.geometry import Geometry, GeometryError
from femto_bluesky.model.pixel_arrays import (
    UNIT,
    q_and_chi_of_pixels,
    q_and_norm_of_pixels,
    q_of_pixels,
)

SHAPE = (61, 45)
GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.02, x0_px=31.3, y0_px=17.8, tilt_deg=7, rotation_deg=-130,
    pixel_size_m=(172e-6, 55e-6),
)  # fmt: skip


@pytest.mark.parametrize("block", [1, 45 * 7, 10**9])
def test_blocks_of_rows_are_the_whole_to_the_last_bit(monkeypatch, block):
    monkeypatch.setattr(pixel_arrays, "_BLOCK", block)
    pyfai = GEOMETRY.integrator(SHAPE)
    expected = pyfai.array_from_unit(SHAPE, "center", "q_A^-1", scale=True)
    norm = pyfai.solidAngleArray(SHAPE).astype(np.float32) * pyfai.polarization(SHAPE, 0.95)
    q, norms = q_and_norm_of_pixels(GEOMETRY, SHAPE, polarisation=0.95)
    np.testing.assert_array_equal(q, expected)
    np.testing.assert_array_equal(norms, np.rint(norm * np.float32(UNIT)))
    np.testing.assert_array_equal(q_of_pixels(GEOMETRY, SHAPE), expected)
    chi = pyfai.array_from_unit(SHAPE, "center", "chi_deg", scale=True)
    np.testing.assert_array_equal(q_and_chi_of_pixels(GEOMETRY, SHAPE)[1], chi)
    plain = q_and_norm_of_pixels(GEOMETRY, SHAPE, correct_solid_angle=False)[1]
    assert (plain == UNIT).all()


def test_memory_is_that_of_the_result_and_a_block():
    shape = 1200, 1200
    tracemalloc.start()
    try:
        q_and_norm_of_pixels(GEOMETRY, shape, polarisation=0.95)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # of the whole at once it is more than 100 bytes a pixel
    assert peak < 12 * 1200**2 + 130 * pixel_arrays._BLOCK


def test_a_beam_that_cannot_be_is_refused():
    far = GEOMETRY.model_copy(update={"x0_px": 1e6})
    with pytest.raises(GeometryError, match="px outside a frame of 61 rows and 45 columns"):
        q_of_pixels(far, SHAPE)
