"""Finding photons on a whole frame of the Balor: how close to the speed of memory, one thread.

`frame.max()` is what it takes to read the frame once. At no photon at all the finder's search for
bright blocks is alone: if that ratio is several, the compiler no longer vectorises it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from femto_bluesky.kernels.photons import PHOTON, PhotonSearch, find_photons
from femto_bluesky.kernels.sparse import clean_image
from femto_bluesky.model.photons import EnergyBins
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

SHAPE = (4104, 4128)
GOALS = {0: 1.5, 100: 1.5, 1_000: 1.5, 10_000: 3.5, 100_000: 14.0}


@functools.cache
def balor_frame(n_photons: int) -> NDArray[np.uint16]:
    """A frame with so many photons, 50 hot pixels and read noise."""
    return BalorFrames(BalorSettings(shape=SHAPE, n_photons=n_photons, is_exact=True))(0)


@functools.cache
def dark_image() -> NDArray[np.float32]:
    """Levels of 100 ADU that differ by 2 ADU from pixel to pixel."""
    rng = np.random.default_rng(0)
    return rng.normal(100, 2, SHAPE).astype(np.float32)


@functools.cache
def hot_pixels() -> NDArray[np.bool_]:
    """A mask of a thousand pixels."""
    mask = np.zeros(SHAPE, np.bool_)
    mask.reshape(-1)[np.random.default_rng(0).integers(0, mask.size, 1000)] = True
    return mask


@pytest.mark.parametrize("n_photons", GOALS)
def bench_find(ratio: Any, n_photons: int) -> None:
    """With one dark level for all pixels: the usual way."""
    frame, search = balor_frame(n_photons), PhotonSearch()
    assert len(search.find(frame)) >= 0.96 * n_photons
    ratio(
        lambda: search.find(frame), lambda: frame.max(), goal=GOALS[n_photons], than="frame.max()"
    )


@pytest.mark.parametrize("n_photons", GOALS)
def bench_find_with_a_mask(ratio: Any, n_photons: int) -> None:
    """With a mask of hot pixels."""
    frame, search = balor_frame(n_photons), PhotonSearch(mask=hot_pixels())
    ratio(lambda: search.find(frame), lambda: frame.max(), goal=None, than="frame.max()")


@pytest.mark.parametrize("n_photons", GOALS)
def bench_find_with_a_dark_image(ratio: Any, n_photons: int) -> None:
    """With a dark level for each pixel."""
    frame, search = balor_frame(n_photons), PhotonSearch(dark_image())
    ratio(lambda: search.find(frame), lambda: frame.max(), goal=None, than="frame.max()")


@pytest.mark.parametrize("n_photons", [1_000, 100_000])
def bench_clean_image(ratio: Any, n_photons: int) -> None:
    """The image of the photons of one frame; what it takes to make the memory is in both."""
    photons = find_photons(balor_frame(n_photons))

    def with_numpy() -> NDArray[np.float32]:
        image = np.zeros(SHAPE, np.float32)
        seen = photons[photons["energy"] > 1100]
        rows, columns = (
            np.clip(np.floor(seen[axis] + 0.5).astype(np.int64), 0, size - 1)
            for axis, size in zip(("y", "x"), SHAPE, strict=True)
        )
        np.add.at(image, (rows, columns), seen["energy"])
        return image

    np.testing.assert_array_equal(clean_image(photons, SHAPE), with_numpy())
    ratio(
        lambda: clean_image(photons, SHAPE),
        with_numpy,
        goal=1.0 if n_photons == 1_000 else None,
        than="np.zeros and np.add.at",
    )


@pytest.mark.parametrize("n_photons", [1_000, 100_000])
def bench_histogram(ratio: Any, n_photons: int) -> None:
    """The energies of one frame's photons into bins."""
    rng = np.random.default_rng(0)
    photons, bins = np.zeros(n_photons, PHOTON), EnergyBins()
    photons["energy"] = rng.normal(1200, 80, n_photons)
    edges = np.arange(bins.n + 1) * bins.width_adu
    ratio(
        lambda: bins.count(photons),
        lambda: np.histogram(photons["energy"], edges),
        goal=1.0,
        than="np.histogram",
    )
