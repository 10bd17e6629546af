"""Frames of a Balor as fast as they can be written, each of which says which one it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

STAMP = np.array([[120, 180, 120], [180, 1000, 180], [120, 180, 120]], np.uint16)
"""A photon of 1300 ADU above dark; it is found whatever thresholds the soak sets."""

SPACING = 8
"""Pixels between the places of stamps, and from the edges, so that no 3x3 is cut."""


class StampedFrames:
    """A source for a simulated camera: a few frames with photons that are shown in turn.

    To make a frame of a Balor takes longer than to write it, so they are made before. In each, one
    photon at a place of its own tells its index: `place`. The array that is handed out is changed
    later on, as the memory of a camera is.
    """

    def __init__(self, shape: tuple[int, int], n_photons: float, n_frames: int, seed: int) -> None:
        frames = BalorFrames(BalorSettings(shape=shape, n_photons=n_photons, n_hot_pixels=0,
                                           seed=seed))  # fmt: skip
        self.shape = shape
        self._pool = [frames(index) for index in range(n_frames)]
        self._under: list[tuple[tuple[slice, slice], NDArray[Any]] | None] = [None] * n_frames
        self._across = (shape[1] - SPACING) // SPACING
        self._places = self._across * ((shape[0] - SPACING) // SPACING)

    def __call__(self, index: int, position: float = 0.0) -> NDArray[Any]:
        """The frame of this index."""
        number = index % len(self._pool)
        frame, under = self._pool[number], self._under[number]
        if under is not None:
            frame[under[0]] = under[1]
        y, x = self.place(index)
        box = slice(y - 1, y + 2), slice(x - 1, x + 2)
        self._under[number] = box, frame[box].copy()
        frame[box] = STAMP
        return frame

    def place(self, index: int) -> tuple[int, int]:
        """Row and column of the photon that tells the index."""
        row, column = divmod(index % self._places, self._across)
        return SPACING * (row + 1), SPACING * (column + 1)

    def is_on(self, photons: NDArray[Any], index: int) -> bool:
        """Whether the photons (fields y and x) of a frame are those of the frame of this index."""
        y, x = self.place(index)
        near = (np.abs(photons["y"] - y) < 1.5) & (np.abs(photons["x"] - x) < 1.5)
        return bool(near.any())
