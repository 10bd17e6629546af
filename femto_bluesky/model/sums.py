"""Exact sums of frames."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.mask_counts import MaskCounts, MaskParts
from femto_bluesky.model.shots import Mask, Shot

Kind = tuple[str, tuple[int, int], tuple[int, int]]
"""Detector, frame shape and origin of the readout region: frames of one kind can be added."""


@dataclass(frozen=True, slots=True, eq=False)
class AccumulatedImage:
    """A sum of clean frames, or the newest clean frame where the accumulation is stopped.

    `image` (rows, columns) is uint32 or uint64 for unsigned frames, int64 for signed ones and
    float64 for the rest; masked pixels are 0. `n_valid` is how many frames each pixel was valid
    in, or None where that is `n_frames` for all that are not masked. `mask` is True where a pixel
    was valid in no frame. `pixel_size_m` is height and width, None where it is not known, `origin`
    the first row and column of the readout region.
    """

    image: NDArray[Any]
    mask: Mask
    n_frames: int
    n_valid: NDArray[np.uint32] | None
    pixel_size_m: tuple[float, float] | None
    detector: str
    is_sum: bool
    n_frames_of_run: Mapping[str, int]
    origin: tuple[int, int] = (0, 0)

    @property
    def total(self) -> float:
        """The sum over all valid pixels."""
        return float(self.image.sum())

    @property
    def hottest(self) -> float:
        """The largest valid pixel; 0 where none is valid."""
        largest = float(self.image.max())
        if largest == 0 and self.mask.any():  # 0 is also what a masked pixel holds
            valid = self.image[~self.mask]
            largest = float(valid.max()) if valid.size else 0.0
        return largest


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """A sum as it is at this moment, while frames may be added to it: for the eye alone.

    `image` is the sum's own memory and not a copy, and is not to be written to; it may hold part of
    a frame. When nothing has changed any more, it is whole. `version` is another one after every
    change. `masks` may know of one frame more than `n_frames`. The rest is as in
    `AccumulatedImage`.
    """

    image: NDArray[Any]
    masks: MaskParts
    n_frames: int
    detector: str
    origin: tuple[int, int]
    pixel_size_m: tuple[float, float] | None
    is_sum: bool
    version: tuple[int, int]

    def mask(self) -> Mask | None:
        """True where no frame had a valid pixel; None where there is no such pixel for sure."""
        counts, fixed, n_fixed = self.masks
        if counts is None:
            return fixed if n_fixed >= self.n_frames else None
        masked: Mask = counts >= self.n_frames
        if fixed is not None:
            masked |= fixed & (counts >= self.n_frames - n_fixed)
        return masked

    def is_masked(self, y: int, x: int) -> bool:
        """Whether no frame had a valid value for a pixel."""
        counts, fixed, n_fixed = self.masks
        n = 0 if counts is None else int(counts[y, x])
        return n + (n_fixed if fixed is not None and fixed[y, x] else 0) >= self.n_frames


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which frames of a dtype are summed exactly.

    Small unsigned integers begin in uint32, which is faster, and go on in uint64 before it could
    wrap. float32 frames are exact in float64 as long as the dynamic range of the sum fits 53 bits.
    """
    if dtype.kind in "ub":
        return np.dtype(np.uint32 if dtype.itemsize <= 2 else np.uint64)
    return np.dtype(np.int64 if dtype.kind == "i" else np.float64)


MAX_UINT32_FRAMES = np.iinfo(np.uint32).max // np.iinfo(np.uint16).max
"""So many frames of 16 bits fit a sum of 32 bits whatever their pixels hold."""


class FrameSum:
    """A running sum of frames of one kind, and of which shots it is.

    `since` is the time of its first shot, in seconds since 1970.
    """

    def __init__(self, shot: Shot) -> None:
        self.kind: Kind = (shot.detector, shot.frame.shape, shot.origin)
        self.pixel_size_m = shot.pixel_size_m
        self.since = shot.time
        self.total = np.zeros(shot.frame.shape, sum_dtype(shot.frame.dtype))
        self.masks = MaskCounts()
        self.shots: dict[str, bytearray] = {}
        self.n_frames = 0

    @classmethod
    def made_of(
        cls,
        kind: Kind,
        total: NDArray[Any],
        masks: MaskCounts,
        shots: Mapping[str, bytes],
        n_frames: int,
        pixel_size_m: tuple[float, float] | None,
        since: float,
    ) -> Self:
        """A sum of its parts, which were those of another; arrays are not copied."""
        new = cls.__new__(cls)
        new.kind, new.total, new.masks, new.n_frames = kind, total, masks, n_frames
        new.shots = {run: bytearray(numbers) for run, numbers in shots.items()}
        new.pixel_size_m, new.since = pixel_size_m, since
        return new

    def holds(self, shot: Shot) -> bool:
        """Whether this shot is in the sum."""
        seen = self.shots.get(shot.run, b"")
        return shot.number < len(seen) and bool(seen[shot.number])

    def add(self, shot: Shot) -> None:
        """Add the frame of a shot of this kind."""
        frame = shot.frame
        self._make_room(sum_dtype(frame.dtype), 1)
        frame.add_to(self.total)
        self.masks.add(frame.mask)
        self._note(shot, 1)

    def take_out(self, shot: Shot) -> None:
        """Undo `add`: exact, for the sum is."""
        one = FrameSum(shot)
        one.add(shot)
        self.total -= one.total.astype(self.total.dtype)
        self.masks.add(shot.frame.mask, -1)
        self._note(shot, 0)

    def merge(self, other: FrameSum) -> None:
        """Add another sum. Raises `ValueError` where kinds differ or a shot is in both."""
        if other.kind != self.kind:
            raise ValueError(
                f"sums of {describe(self.kind)} and of {describe(other.kind)} cannot be merged; "
                "accumulate each on its own"
            )
        for run, theirs in other.shots.items():
            pairs = zip(self.shots.get(run, b""), theirs, strict=False)
            both = [n for n, (a, b) in enumerate(pairs) if a and b]
            if both:
                raise ValueError(
                    f"shot {both[0]} of run {run} ({len(both)} shots in all) is in both sums that "
                    "are to be merged; cut the run into parts that do not overlap"
                )
        for run, theirs in other.shots.items():
            mine = self.shots.setdefault(run, bytearray())
            mine.extend(bytes(max(0, len(theirs) - len(mine))))
            for number, seen in enumerate(theirs):
                mine[number] |= seen
        self._make_room(other.total.dtype, other.n_frames)
        self.total += other.total
        self.n_frames += other.n_frames
        self.since = min(self.since, other.since)
        self.masks.merge(other.masks)

    @property
    def n_runs(self) -> int:
        """Of how many runs there are frames in it; any thread may ask."""
        return sum(any(numbers) for numbers in list(self.shots.values()))

    def copy(self) -> FrameSum:
        """A sum that shares no memory with this one."""
        return copy.deepcopy(self)

    def room(self) -> FrameSum:
        """Memory for a copy of this, already given by the operating system."""
        total = np.full_like(self.total, 1)
        counts = None if self.masks.look().counts is None else np.full(total.shape, 1, np.uint32)
        masks = MaskCounts(MaskParts(counts, None, 0))
        return FrameSum.made_of(self.kind, total, masks, {}, 0, self.pixel_size_m, self.since)

    def into(self, room: FrameSum | None) -> FrameSum:
        """A copy, in the memory of an earlier one where that fits: that takes a third of the time.

        Read-only masks are shared.
        """
        total = None if room is None else room.total
        if total is None or (total.shape, total.dtype) != (self.total.shape, self.total.dtype):
            total = np.empty_like(self.total)
        np.copyto(total, self.total)
        masks = self.masks.into(None if room is None else room.masks)
        shots = {run: bytes(numbers) for run, numbers in self.shots.items()}
        return FrameSum.made_of(
            self.kind, total, masks, shots, self.n_frames, self.pixel_size_m, self.since
        )

    def look(self, version: tuple[int, int], *, is_sum: bool) -> Glimpse:
        """The sum as it is at this moment; the memory is shared, and goes on changing."""
        detector, _, origin = self.kind
        # how many frames first: what has come since then can only make a pixel seem masked
        n_frames = self.n_frames
        return Glimpse(
            self.total, self.masks.look(), n_frames, detector, origin, self.pixel_size_m, is_sum,
            version,
        )  # fmt: skip

    def _make_room(self, dtype: np.dtype[Any], n_frames: int) -> None:
        """Widen the sum before it could wrap, or for frames of another kind of number."""
        wanted = np.promote_types(self.total.dtype, dtype)
        if wanted == np.uint32 and self.n_frames + n_frames > MAX_UINT32_FRAMES:
            wanted = np.dtype(np.uint64)
        if wanted != self.total.dtype:
            self.total = self.total.astype(wanted)

    def _note(self, shot: Shot, seen: int) -> None:
        numbers = self.shots.setdefault(shot.run, bytearray())
        numbers.extend(bytes(max(0, shot.number + 1 - len(numbers))))
        numbers[shot.number] = seen
        self.n_frames += 1 if seen else -1


def describe(kind: Kind) -> str:
    """A kind of frames in words.

    >>> describe(("zyla", (2160, 2560), (0, 0)))
    "2160x2560 frames of 'zyla'"
    """
    detector, (rows, columns), origin = kind
    place = f" from row {origin[0]}, column {origin[1]}" if origin != (0, 0) else ""
    return f"{rows}x{columns} frames of {detector!r}{place}"


def accumulated_image(held: FrameSum, *, is_sum: bool) -> AccumulatedImage:
    """A sum as it is shown; it shares the memory of the sum."""
    n_frames = held.n_frames
    masked = held.masks.counts
    if masked is None:
        mask, n_valid = np.zeros(held.total.shape, np.bool_), None
    else:
        mask = masked == n_frames
        n_valid = (n_frames - masked).astype(np.uint32)
        if np.array_equal(mask, masked > 0):
            n_valid = None
    return AccumulatedImage(
        image=held.total,
        mask=mask,
        n_frames=n_frames,
        n_valid=n_valid,
        pixel_size_m=held.pixel_size_m,
        detector=held.kind[0],
        is_sum=is_sum,
        n_frames_of_run={run: sum(seen) for run, seen in held.shots.items() if sum(seen)},
        origin=held.kind[2],
    )
