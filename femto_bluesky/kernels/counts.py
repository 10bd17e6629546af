"""How often a pixel fires alone, counted in one pass over the memory.

A photon's cloud of charge is wider than a pixel: wherever it falls, its neighbours see it. What
makes one pixel bright, or two beside each other, and leaves those around them dark, is no photon.
So frame by frame a pixel is compared with its neighbours, and it does not matter how many photons
fall there. As in `kernels.photons`, blocks of 128 pixels without a bright one are passed over.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from femto_bluesky.kernels.photon_loops import _candidates, _if_on_sensor, _less_dark
from femto_bluesky.kernels.photons import _below


@njit(cache=True, nogil=True, error_model="numpy")
def _is_alone(
    img: Any, dark: Any, level: float, mask: Any, y: int, x: int, threshold: float, share: float
) -> bool:
    """Whether a pixel is above the threshold and its neighbours are not."""
    e = _less_dark(img, dark, level, mask, y, x)
    if not e > threshold:
        return False
    largest = total = 0.0
    n = 0
    for j in range(y - 1, y + 2):
        for i in range(x - 1, x + 2):
            v = _if_on_sensor(img, dark, level, mask, j, i)
            if not np.isnan(v) and (j != y or i != x):
                n += 1
                total += v
                largest = max(largest, v)
    is_edge = y == 0 or x == 0 or y == img.shape[0] - 1 or x == img.shape[1] - 1
    if n < (5 if is_edge else 6):
        return False  # where so many are missing, a photon might look the same
    if n >= 7:
        total -= largest
    return total < share * e


@njit(cache=True, nogil=True, error_model="numpy")
def _count_alone(
    img: Any, dark: Any, level: float, mask: Any, least: Any, threshold: float, share: float,
    counts: Any,
) -> None:  # fmt: skip
    columns = np.empty(img.shape[1] + 1, np.int64)
    above = np.empty(128, np.uint8)
    eights = above.view(np.uint64)
    for y in range(img.shape[0]):
        for k in range(_candidates(img, y, 0, img.shape[1], least, above, eights, columns)):
            x = columns[k]
            if _is_alone(img, dark, level, mask, y, x, threshold, share):
                counts[y, x] += 1


def count_alone(
    frame: NDArray[Any],
    dark: float | NDArray[np.float32],
    mask: NDArray[np.uint8] | None,
    lowest_dark: float,
    threshold: float,
    share: float,
    counts: NDArray[np.uint32],
) -> None:
    """Count, in place, the pixels of a frame that fire alone, or as one of two beside each other.

    A pixel fires where it is more than `threshold` above dark (a level, or an image whose lowest
    level is `lowest_dark`). It does so alone where its neighbours, but for the largest of them,
    hold together less than `share` of what it holds itself. Fewer neighbours can be told apart
    where some carry no data, are beyond the sensor, or are `kernels.photons.MASKED` in `mask`: with
    two missing, and at the edge of the sensor, the largest counts too; with more, none fires alone.
    All arrays have the shape of the frame (rows, columns).
    """
    is_level = np.ndim(dark) == 0
    _count_alone(
        frame, None if is_level else dark, float(dark) if is_level else 0.0, mask,
        _below(lowest_dark + threshold, frame.dtype), threshold, share, counts,
    )  # fmt: skip
