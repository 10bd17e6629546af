"""In how many frames each pixel was masked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.kernels import images
from femto_bluesky.model.shots import Mask


class MaskParts(NamedTuple):
    """How often each pixel was masked: `counts`, and in `n_fixed` frames more where `fixed` is."""

    counts: NDArray[np.uint32] | None
    fixed: Mask | None
    n_fixed: int


class MaskCounts:
    """Counts masks, pixel by pixel.

    A mask that can be written to is counted at once, for its memory may be filled with the next
    one. A read-only one stays as it is: the hot pixels of a sensor are the same in every frame, and
    to count them costs nothing until somebody asks.
    """

    def __init__(self, parts: MaskParts | None = None) -> None:
        self._counts, self._fixed, self._n_fixed = parts or MaskParts(None, None, 0)
        self.n_settled = 0
        """How often what is said in two parts was added up: who looked meanwhile looks again."""

    def add(self, mask: Mask | None, times: int = 1) -> None:
        """Count a mask; with -1, take it out again. None is a frame without masked pixels."""
        if mask is None:
            return
        if mask.flags.writeable and times == 1:
            images.add(mask, self._room(mask))
        elif mask.flags.writeable:
            self._spread(mask, times)
        else:
            if self._fixed is not mask:
                self._settle()
                self._fixed = mask
            self._n_fixed += times

    def merge(self, other: MaskCounts) -> None:
        """Add the counts of another."""
        other._settle()
        self._settle()
        if other._counts is not None:
            mine = np.uint32(0) if self._counts is None else self._counts
            self._counts = other._counts + mine

    @property
    def counts(self) -> NDArray[np.uint32] | None:
        """How often each pixel was masked; None where there never was a mask."""
        self._settle()
        return self._counts

    def look(self) -> MaskParts:
        """The counts as they are at this moment, which goes on changing; for the eye."""
        return MaskParts(self._counts, self._fixed, self._n_fixed)

    def into(self, room: MaskCounts | None) -> MaskCounts:
        """A copy, in the memory of an earlier one where that fits; a read-only mask is shared."""
        parts = self.look()
        if parts.counts is not None:
            counts = room._counts if room is not None else None
            if counts is None or counts.shape != parts.counts.shape:
                counts = np.empty_like(parts.counts)
            np.copyto(counts, parts.counts)
            parts = parts._replace(counts=counts)
        return MaskCounts(parts)

    def __getstate__(self) -> dict[str, object]:
        """What is copied or sent: the counts alone."""
        self._settle()
        return {"_counts": self._counts, "_fixed": None, "_n_fixed": 0, "n_settled": 0}

    def _settle(self) -> None:
        if self._fixed is not None:
            self._spread(self._fixed, self._n_fixed)
            self.n_settled += 1
        self._fixed, self._n_fixed = None, 0

    def _spread(self, mask: Mask, times: int) -> None:
        self._room(mask)[mask] += np.uint32(times % 2**32)  # the type wraps round to less

    def _room(self, mask: Mask) -> NDArray[np.uint32]:
        if self._counts is None:
            self._counts = np.zeros(mask.shape, np.uint32)
        return self._counts
