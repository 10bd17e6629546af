"""The q of each pixel and its weight, as pyFAI has them, a block of rows at a time.

For a whole frame at once pyFAI makes a dozen arrays of positions and angles: 2 GB for 17 million
pixels. By blocks it gives the same numbers, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.geometry import Geometry

UNIT = 2.0**30
"""In which norms are counted. pyFAI's are float32 of at most 1; from 2^-6 on such a number is a
multiple of 1 / UNIT, so it is taken as it is, and sums of it have no order."""

# Pixels of a block: 2 MB for each array that pyFAI makes, which stays in the processor's cache.
_BLOCK = 1 << 18


def q_of_pixels(geometry: Geometry, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The q of the centre of each pixel (rows, columns), 1/A.

    Raises `GeometryError` where frames of this shape cannot have this geometry.
    """
    q = np.empty(shape, np.float64)
    for rows, of_block, pyfai in _blocks(geometry, shape):
        q[rows] = _q(pyfai, of_block)
    return q


def q_and_norm_of_pixels(
    geometry: Geometry,
    shape: tuple[int, int],
    *,
    correct_solid_angle: bool = True,
    polarisation: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The q of each pixel, and its weight: solid angle times polarisation, in 1 / `UNIT`.

    pyFAI's weights are float32, whose product is float32 too. Raises `GeometryError` as above.
    """
    q, found = np.empty(shape, np.float64), np.empty(shape, np.int32)
    for rows, of_block, pyfai in _blocks(geometry, shape):
        q[rows] = _q(pyfai, of_block)
        norm = np.ones(of_block, np.float32)
        if correct_solid_angle:
            norm *= pyfai.solidAngleArray(of_block).astype(np.float32)
        if polarisation is not None:
            norm *= pyfai.polarization(of_block, polarisation)
        norm *= np.float32(UNIT)
        found[rows] = np.rint(norm)
    return q, found


def q_and_chi_of_pixels(
    geometry: Geometry, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The q of each pixel, 1/A, and its azimuth around the beam, degrees."""
    q, chi = np.empty(shape, np.float64), np.empty(shape, np.float64)
    for rows, of_block, pyfai in _blocks(geometry, shape):
        q[rows] = _q(pyfai, of_block)
        chi[rows] = pyfai.array_from_unit(of_block, "center", "chi_deg", scale=True)
    return q, chi


def _q(pyfai: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray(pyfai.array_from_unit(shape, "center", "q_A^-1", scale=True))


def _blocks(
    geometry: Geometry, shape: tuple[int, int]
) -> Iterator[tuple[slice, tuple[int, int], Any]]:
    """Rows of a frame, the shape of these, and an integrator that takes them for its frame."""
    geometry.check_frame(shape)
    n_rows, n_columns = shape
    step = max(1, _BLOCK // n_columns)
    for first in range(0, n_rows, step):
        end = min(first + step, n_rows)
        of_block = end - first, n_columns
        pyfai = geometry.integrator()
        _begin_at(pyfai.detector, first)
        _keep_positions(pyfai, of_block)
        yield slice(first, end), of_block, pyfai


def _begin_at(detector: Any, first: int) -> None:
    """Have a detector count its rows from `first` on: a shifted PONI would round differently."""
    positions = detector.calc_cartesian_positions

    def shifted(d1: Any, d2: Any, *others: Any, **named: Any) -> Any:
        return positions(d1 + first, d2, *others, **named)

    detector.calc_cartesian_positions = shifted


def _keep_positions(pyfai: Any, shape: tuple[int, int]) -> None:
    """Have q and the two angles of the polarisation made of the same positions."""
    found = pyfai.position_array(shape)
    pyfai.position_array = lambda *_, **__: found
