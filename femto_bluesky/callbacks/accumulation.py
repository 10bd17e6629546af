"""The sum of clean frames, for as long as one likes, across runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from pydantic import Field

from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.kept_sums import KeptSum, Taken
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.model.sums import (
    AccumulatedImage,
    FrameSum,
    Glimpse,
    Kind,
    accumulated_image,
    describe,
)
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings, Row
from femto_bluesky.stream.between_shots import between_shots

log = logging.getLogger(__name__)


class AccumulationSettings(AnalysisSettings):
    """What is accumulated."""

    detector: str | None = Field(
        default=None, description="the detector; None: the first one that a run brings"
    )
    accumulating: bool = Field(
        default=True, description="add frames; if not, forward the newest clean frame alone"
    )


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a sum is of; `since` is the time of its first shot, in seconds since 1970."""

    n_frames: int = 0
    n_runs: int = 0
    since: float | None = None


class Accumulation(Analysis):
    """The sum of the clean frames of one detector since the last reset, across runs.

    Sums are exact and cannot wrap. Masked pixels are not added, and how often each pixel was valid
    is counted. When a run brings frames of another shape, readout region or detector, the sum
    begins anew and `why_reset` (and the log) says so. When stopped, the sum stays as it is and
    the newest clean frame is forwarded. `undo_reset` brings a sum back.
    """

    settings: AccumulationSettings

    def __init__(self, detector: str | None = None, accumulating: bool = True) -> None:
        super().__init__(AccumulationSettings(detector=detector, accumulating=accumulating))
        self.why_reset = ""
        self.n_changes = 0
        """How often it has changed: those who look from another thread see that it has moved on."""
        self._sum: FrameSum | None = None
        self._before: FrameSum | None = None
        self._newest: Shot | None = None
        self._ignored: set[tuple[str, str]] = set()
        self._told_twice: set[str] = set()
        self._followed: dict[str, str] = {}  # the detector of each run; "": none any more
        self._taken = Taken()

    # what users call

    def start(self) -> None:
        """Add frames from now on."""
        self.configure({"accumulating": True})

    def stop(self) -> None:
        """Add no frames from now on; the newest one is forwarded, and the sum is kept."""
        self.configure({"accumulating": False})

    def reset(self) -> None:
        """Begin the sum anew; `undo_reset` brings the old one back."""
        with between_shots(self):
            self._reset("reset by the user")
            self._taken.begin_anew()

    def undo_reset(self) -> None:
        """Bring back the sum before the last reset; what was added since then is added to it.

        Raises `ValueError` where there was no reset, or the frames since are of another kind.
        """
        with between_shots(self):
            if self._before is None:
                raise ValueError(
                    "there is no reset to undo: none since the start, or undone already"
                )
            restored = self._before.copy()
            if self._sum is not None:
                restored.merge(self._sum)
            self._sum, self._before, self.why_reset = restored, None, ""
            self.n_changes += 1

    # what who keeps it calls, and nobody adds frames meanwhile

    def room(self, room: FrameSum | None) -> FrameSum | None:
        """Memory for a copy: the one given, or a new one where that does not fit. Needs no lock."""
        held = self._sum
        if held is None or (room is not None and room.total.shape == held.total.shape):
            return room
        return held.room()

    def to_keep(self, room: FrameSum | None = None) -> KeptSum:
        """What is to be kept of it: a copy of the sum, in the memory of an earlier one if given.

        The sum before the last reset is not copied; `before_is` says whether it is still the same.
        """
        total = None if self._sum is None else self._sum.into(room)
        return KeptSum(total, self._before, self.why_reset, self._taken.counts())

    def before_is(self, kept: KeptSum, version: tuple[int, int]) -> bool:
        """Whether the sum before the last reset is as it was kept, when its version was this."""
        return self._before is kept.before and self.version_before == version

    @property
    def version_before(self) -> tuple[int, int]:
        """Another one after every change of the sum before the last reset."""
        before = self._before
        return (0, 0) if before is None else (before.n_frames, before.masks.n_settled)

    def restore(self, kept: KeptSum) -> None:
        """Go on from what was kept, with its history; it is not copied.

        Shots that went into it are not added again, so that the run in which they were taken may be
        replayed whole. Raises `ValueError` where frames have been added already.
        """
        if self._sum is not None or self._before is not None:
            raise ValueError("frames have been added since the start; restore before the first run")
        self._sum, self._before, self.why_reset = kept.total, kept.before, kept.why_reset
        self._taken = Taken(kept.taken)
        self.n_changes += 1

    # what those who look from another thread call

    @property
    def can_undo(self) -> bool:
        """Whether there is a reset that can be undone: no frames of another kind since."""
        before, held = self._before, self._sum
        return before is not None and (held is None or held.kind == before.kind)

    @property
    def extent(self) -> Extent:
        """How much is in the sum, also where the newest frame is shown instead of it."""
        held = self._sum
        return Extent() if held is None else Extent(held.n_frames, held.n_runs, held.since)

    @property
    def kind(self) -> Kind | None:
        """Detector, shape and origin of what is shown; None when no frame was seen."""
        newest, held = self._newest, self._sum
        if newest is not None and not self.settings.accumulating:
            return newest.detector, newest.frame.shape, newest.origin
        return None if held is None else held.kind

    @property
    def pixel_size_m(self) -> tuple[float, float] | None:
        """Height and width of the pixels; None where that is not known."""
        held = self._sum or self._newest
        return None if held is None else held.pixel_size_m

    @property
    def version(self) -> tuple[int, int]:
        """Another one after every change of what is shown; any thread may ask, at any time."""
        held = self._sum
        return self.n_changes, 0 if held is None else held.masks.n_settled

    def look(self) -> Glimpse | None:
        """What `result` shows, without a copy and without a lock; None when no frame was seen.

        Any thread may look at any time, and the thread that adds frames notices nothing of it. The
        sum may hold part of a frame: what has another `version` afterwards is looked at again.
        """
        version, held, newest = self.version, self._sum, self._newest
        if not self.settings.accumulating and newest is not None:
            shown = FrameSum(newest)
            shown.add(newest)
            return shown.look(version, is_sum=False)
        return None if held is None else held.look(version, is_sum=True)

    # the fold

    def update(self, shot: Shot) -> Shot:
        """Add the shot's frame, or note it as the newest."""
        if self._is_followed(shot) and self._is_next(shot):
            if not self.settings.accumulating:
                self._newest = _newer(self._newest, _copied(shot))
            else:
                self._begin_anew_for(shot)
                if self._sum is None:
                    self._sum = FrameSum(shot)
                elif self._sum.holds(shot) and shot.run not in self._told_twice:
                    self._told_twice.add(shot.run)
                    log.warning(
                        "run %s is in the sum already and is added again; reset() before a replay "
                        "if that is not meant", shot.run,
                    )  # fmt: skip
                self._sum.add(shot)
            self.n_changes += 1
        return shot

    def retract(self, shot: Shot) -> Shot:
        """Take the shot's frame out of the sum, if it is in it, and show it no more as the newest.

        Which frame was the newest before is not known; it comes back with the next one.
        """
        if not self._taken.is_next(shot):
            return shot
        for held in (self._sum, self._before):
            if held is not None and held.kind[0] == shot.detector and held.holds(shot):
                held.take_out(shot)
        # a sum of nothing binds nobody to its kind
        self._sum, self._before = _not_empty(self._sum), _not_empty(self._before)
        if self._newest is not None and _name(self._newest) == _name(shot):
            self._newest = None
        self.n_changes += 1
        return shot

    def merge(self, other: Self) -> None:
        """Add the other's sum. Raises `ValueError` where kinds differ or a shot is in both."""
        if other._sum is not None:
            if self._sum is None:
                self._sum = other._sum.copy()
            else:
                self._sum.merge(other._sum)
        if other._newest is not None:
            self._newest = _newer(self._newest, other._newest)
        self.n_changes += 1

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings; they count from the next shot on."""
        super().configure(changes)
        self.n_changes += 1

    def clear(self) -> None:
        """Forget all frames; this cannot be undone."""
        self._sum = self._before = self._newest = None
        self._ignored.clear()
        self._told_twice.clear()
        self._followed.clear()
        self._taken = Taken()
        self.why_reset = ""
        self.n_changes += 1

    def result(self) -> AccumulatedImage | None:
        """The sum (when stopped: the newest clean frame), a copy; None when no frame was seen."""
        self.wait()
        if not self.settings.accumulating and self._newest is not None:
            shown = FrameSum(self._newest)
            shown.add(self._newest)
            return accumulated_image(shown, is_sum=False)
        return None if self._sum is None else accumulated_image(self._sum.copy(), is_sum=True)

    # what it gives out

    def outputs(self, detectors: Collection[str]) -> list[Output]:
        """Number of frames, total, hottest pixel and the image, when the run ends."""
        name = self.settings.detector or next(iter(detectors), "")
        if name not in detectors:
            return []
        return [
            Output(f"{name}_n_accumulated", "accumulated", name, "frames in the sum", "integer",
                   reset_by="user"),
            Output(f"{name}_total", "accumulated", name, "sum of all valid pixels", units="adu",
                   reset_by="user"),
            Output(f"{name}_hottest", "accumulated", name, "the largest pixel of the sum",
                   units="adu", reset_by="user"),
            Output(f"{name}_image", "accumulated", name, "the sum of the clean frames",
                   units="adu", is_image=True, reset_by="user"),
        ]  # fmt: skip

    def run_rows(self, run: str) -> dict[str, Row]:
        """The sum as it stands, for the stream `accumulated`, where the run has a part in it."""
        found = self.result()
        if found is None or run not in found.n_frames_of_run:
            return {}
        name = found.detector
        row = {"n_accumulated": found.n_frames, "total": found.total, "hottest": found.hottest}
        return {
            "accumulated": {f"{name}_{key}": value for key, value in row.items()}
            | {f"{name}_image": found.image}
        }

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """The accumulated image; none where a run is named that has no part in it."""
        found = self.result()
        if found is None or run not in (None, *found.n_frames_of_run):
            return []
        n_runs = len(found.n_frames_of_run)
        runs = f" of {n_runs} runs" * (n_runs > 1)
        what = f"Sum of {found.n_frames} images{runs}" if found.is_sum else "Newest image"
        of = f"{found.detector}: {what}"
        # of a camera that counts photons their energies are added up, of another one its signal
        what_it_is = "ADU" if settings_of(found.detector).kind == "camera" else "counts"
        rows, columns = found.image.shape
        total, hottest = found.total, found.hottest  # each goes through the whole image
        attributes: dict[str, str | int | float] = {
            "n_frames": found.n_frames, "total": total, "hottest": hottest,
            "detector": found.detector, "why_reset": self.why_reset,
        }  # fmt: skip
        if found.pixel_size_m is not None:
            attributes["y_pixel_size_m"], attributes["x_pixel_size_m"] = found.pixel_size_m
        if found.origin != (0, 0):
            attributes["y_origin"], attributes["x_origin"] = found.origin
        n_valid = found.n_valid
        return [
            DataGroup(
                path=f"accumulated/{found.detector}",
                title=f"{of}, Total {total:.6g}, Hottest {hottest:.6g}",
                signal=Quantity("image", found.image, long_name=what_it_is),
                axes=(
                    Quantity("y", np.arange(rows), units="px", long_name="row"),
                    Quantity("x", np.arange(columns), units="px", long_name="column"),
                ),
                columns=() if n_valid is None else (Quantity("n_valid", n_valid),),
                mask=found.mask,
                attributes=attributes,
            )
        ]

    def _is_followed(self, shot: Shot) -> bool:
        """Whether the shot is of the detector that is accumulated: of a run's several, the first.

        A run that goes on beside the one that has begun the sum anew with another detector is
        followed no more, or the two would take turns in throwing away the other's sum.
        """
        if self.settings.detector is not None:
            return shot.detector == self.settings.detector
        is_of_sum = self._sum is not None and shot.run in self._sum.shots
        first = self._sum.kind[0] if self._sum is not None and is_of_sum else shot.detector
        followed = self._followed.setdefault(shot.run, first)
        if shot.detector != followed and (shot.run, shot.detector) not in self._ignored:
            self._ignored.add((shot.run, shot.detector))
            log.warning(
                "%r is not accumulated, %r is; use Accumulation(detector=%r) for it",
                shot.detector, followed or "that of another run", shot.detector,
            )  # fmt: skip
        return shot.detector == followed

    def _is_next(self, shot: Shot) -> bool:
        """Whether a shot is still to be added: it may have been, before a restart."""
        is_next = self._taken.is_next(shot)
        if not is_next and shot.run not in self._told_twice:
            self._told_twice.add(shot.run)
            log.info(
                "shots of run %s are in the sum that was restored, and are not added again; after "
                "reset() they would be", shot.run,
            )  # fmt: skip
        return is_next

    def _begin_anew_for(self, shot: Shot) -> None:
        """Reset where the shot's frame is of another kind than those of the sum, and say so."""
        kind: Kind = (shot.detector, shot.frame.shape, shot.origin)
        if self._sum is None or self._sum.kind == kind:
            return
        if self._sum.kind[0] != shot.detector:
            self._followed = {**dict.fromkeys(self._followed, ""), shot.run: shot.detector}
        self._reset(f"{describe(self._sum.kind)} were followed by {describe(kind)}")
        log.warning("the accumulation begins anew: %s", self.why_reset)

    def _reset(self, why: str) -> None:
        if self._sum is not None:
            self._before, self._sum = self._sum, None
        self.why_reset = why
        self.n_changes += 1


def _copied(shot: Shot) -> Shot:
    """The shot with a frame of its own."""
    mask = None if shot.frame.mask is None else shot.frame.mask.copy()
    return replace(shot, frame=DenseFrame(np.array(shot.frame.dense()), mask))


def _not_empty(held: FrameSum | None) -> FrameSum | None:
    return None if held is None or held.n_frames == 0 else held


def _name(shot: Shot) -> tuple[str, int, str]:
    return shot.run, shot.number, shot.detector


def _newer(one: Shot | None, other: Shot) -> Shot:
    """The later one; the names decide between equal times, so that merging has no order."""
    if one is None:
        return other
    return max(other, one, key=lambda shot: (shot.time, shot.number, shot.run, shot.detector))
