"""Frames that are lists of photons: added up, summed in a box, drawn, without a loop over pixels.

A photon stands in the pixel nearest to its position, with its whole energy. Energies are float32,
so their sums in float64 are exact, and the order in which they are added changes no bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from femto_bluesky.kernels.photons import Box, Photons


class Pixels(NamedTuple):
    """The pixels that photons stand in, and the energy in each; a pixel may come twice."""

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    energies: NDArray[np.float32]


@njit(cache=True, nogil=True)
def _nearest(
    photons: Any, energy_min: float, y0: int, y1: int, x0: int, x1: int, mask: Any,
    rows: Any, columns: Any, energies: Any,
) -> int:  # fmt: skip
    n = 0
    for photon in photons:
        if photon["energy"] > energy_min:
            y = int(np.floor(photon["y"] + 0.5))
            x = int(np.floor(photon["x"] + 0.5))
            # a position may lie next to the box, and its hottest pixel in it; no further off
            if y < y0 - 1 or y > y1 or x < x0 - 1 or x > x1:
                continue
            y, x = min(max(y, y0), y1 - 1), min(max(x, x0), x1 - 1)
            if mask is not None and mask[y, x]:
                continue
            rows[n], columns[n], energies[n] = y, x, photon["energy"]
            n += 1
    return n


def pixels_of(
    photons: Photons,
    shape: tuple[int, int],
    energy_min: float,
    roi: Box | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Pixels:
    """The pixels nearest to the photons above an energy, held within the ROI (or the frame).

    Photons whose pixel is masked are left out. Halves are rounded up.
    """
    n = len(photons)
    rows, columns = np.empty(n, np.int32), np.empty(n, np.int32)
    energies = np.empty(n, np.float32)
    box = (slice(0, shape[0]), slice(0, shape[1])) if roi is None else roi.box
    n = _nearest(
        photons, energy_min, box[0].start, box[0].stop, box[1].start, box[1].stop, mask,
        rows, columns, energies,
    )  # fmt: skip
    return Pixels(rows[:n], columns[:n], energies[:n])


@njit(cache=True, nogil=True)
def _which(photons: Any, rows: Any, columns: Any, energies: Any, found: Any) -> int:
    n = 0
    for i in range(len(photons)):
        if n == len(rows):
            break
        photon = photons[i]
        if (
            photon["energy"] == energies[n]
            and abs(photon["y"] - rows[n]) < 2
            and abs(photon["x"] - columns[n]) < 2
        ):
            found[n] = i
            n += 1
    return n


def photons_of(pixels: Pixels, photons: Photons) -> Photons:
    """The photons that stand in pixels, out of those that `pixels_of` was given, in their order."""
    if len(pixels.rows) == len(photons):
        return photons
    found = np.empty(len(pixels.rows), np.int64)
    n = _which(photons, *pixels, found)
    return photons[found[:n]]


@njit(cache=True, nogil=True)
def _add(rows: Any, columns: Any, energies: Any, total: Any) -> None:
    for i in range(len(rows)):
        total[rows[i], columns[i]] += energies[i]


def add(pixels: Pixels, total: NDArray[Any]) -> None:
    """Add the energies to an image in place."""
    _add(pixels.rows, pixels.columns, pixels.energies, total)


@njit(cache=True, nogil=True)
def _sum_in_box(
    rows: Any, columns: Any, energies: Any, y0: int, y1: int, x0: int, x1: int
) -> float:
    total = 0.0
    for i in range(len(rows)):
        if y0 <= rows[i] < y1 and x0 <= columns[i] < x1:
            total += np.float64(energies[i])
    return total


def sum_in_box(pixels: Pixels, roi: Box) -> float:
    """The sum of the energies in a box."""
    rows, columns = roi.box
    return float(_sum_in_box(*pixels, rows.start, rows.stop, columns.start, columns.stop))


def clean_image(
    photons: Photons,
    shape: tuple[int, int],
    energy_min: float = 1100.0,
    roi: Box | None = None,
) -> NDArray[np.float32]:
    """The image (rows, columns) that the photons above an energy make, in ADU.

    Each stands in the pixel nearest to its position; two in one pixel are added. 0 elsewhere, and
    outside the ROI.

    >>> from femto_bluesky.kernels.photons import PHOTON
    >>> clean_image(np.array([(0.2, 1.6, 1200, 0), (1.0, 0.0, 900, 0)], PHOTON), (2, 3)).tolist()
    [[0.0, 0.0, 1200.0], [0.0, 0.0, 0.0]]
    """
    image = np.zeros(shape, np.float32)
    add(pixels_of(photons, shape, energy_min, roi), image)
    return image
