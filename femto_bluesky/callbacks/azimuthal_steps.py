"""The sums of each step in bins of q: what `AzimuthalIntegration` keeps of shots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks.azimuthal_binnings import Binnings
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.photons import PhotonFrame
from femto_bluesky.model.radial import RadialBins, RadialProfile, RadialSums, profile_of
from femto_bluesky.model.shots import Shot
from femto_bluesky.model.sums import FrameSum, Kind
from femto_bluesky.model.table import ShotTable
from femto_bluesky.stream.steps import FRAME_AXIS


class Place(NamedTuple):
    """What sums are of. A run that scans nothing is one step, 0."""

    run: str
    step: int
    detector: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a detector in a run; `is_real`: its pixels are no integers."""

    known: DetectorSettings
    is_real: bool


@dataclass(slots=True)
class StepSums:
    """Signal and norm of each step of each run, by the bins that they are in.

    `table` is of all shots, filled by whoever sees those without I(q) too.

    Of a detector that gives images, those of the newest step are summed as an image, which is put
    into bins when the step is over; as that is exact, it does not matter when it is done.
    """

    table: ShotTable = field(default_factory=ShotTable)
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    unscanned: set[str] = field(default_factory=set)
    _sums: dict[Place, dict[RadialBins, RadialSums]] = field(default_factory=dict)
    _open: dict[str, tuple[Place, FrameSum]] = field(default_factory=dict)

    def see(self, shot: Shot, binnings: Binnings) -> None:
        """Add the shot's frame. Raises `ValueError` where it cannot be integrated."""
        place, kind = _place(shot), kind_of(shot)
        bins = binnings.bins(kind)
        held = self._open.get(shot.detector)
        if held is not None and (held[0] != place or kind != held[1].kind):
            self.close(shot.detector, binnings)
            held = None
        sums = self._sums.get(place, {}).get(bins)
        if (sums and shot.number in sums.shots) or (held is not None and held[1].holds(shot)):
            return  # seen before and not taken back, as in a second replay: it counts once
        if isinstance(shot.frame, PhotonFrame):
            binning = binnings.binning(bins)
            self._at(place, bins, binning.q).add(*binning.of_frame(shot.frame), {shot.number})
        else:
            if held is None:
                binnings.binning(bins)  # which says at once what is wrong
                held = self._open[shot.detector] = place, FrameSum(shot)
            held[1].add(shot)
        is_real = shot.frame.dtype.kind == "f"
        self.seen.setdefault((shot.run, shot.detector), Seen(shot.known, is_real))
        if FRAME_AXIS in shot.position:
            self.unscanned.add(shot.run)

    def take_back(self, shot: Shot, binnings: Binnings) -> None:
        """Take the shot's frame out of its step, whichever bins it is in."""
        held = self._open.get(shot.detector)
        if held is not None and held[1].holds(shot):
            held[1].take_out(shot)
            if not held[1].n_frames:
                del self._open[shot.detector]
        place = _place(shot)
        of_step = self._sums.get(place, {})
        for bins in [bins for bins, sums in of_step.items() if shot.number in sums.shots]:
            found = binnings.binning(bins).of_frame(shot.frame)
            of_step[bins].take_out(*found, shot.number)
            if not of_step[bins].shots:
                del of_step[bins]
        if not of_step:
            self._sums.pop(place, None)

    def close(self, detector: str, binnings: Binnings) -> None:
        """Put the image of the open step into bins. Raises `ValueError` where that cannot be."""
        held = self._open.pop(detector, None)
        if held is None or binnings.geometry(detector) is None:
            return
        place, image = held
        bins = binnings.bins(image.kind)
        binning = binnings.binning(bins)
        found = binning.of_image(image.total, image.n_frames, image.masks.counts)
        numbers = np.flatnonzero(np.frombuffer(image.shots[place.run], np.uint8))
        self._at(place, bins, binning.q).add(*found, set(numbers.tolist()))

    def drop_open(self, detector: str) -> None:
        """Forget the image of the open step: it cannot be integrated."""
        self._open.pop(detector, None)

    @property
    def open(self) -> list[str]:
        """The detectors whose newest step is still an image."""
        return list(self._open)

    def merge(self, other: StepSums) -> None:
        """Add the other's sums. Raises `ValueError` where a shot is in both."""
        for place, theirs in other._sums.items():
            # whichever bins it is in: the geometry may have changed between the parts
            mine = self._sums.get(place, {})
            both = _shots_of(theirs) & _shots_of(mine)
            if both:
                raise ValueError(
                    f"shot {min(both)} of run {place.run} is in both parts that are to be "
                    "merged; cut the run into parts that do not overlap"
                )
        for place, theirs in other._sums.items():
            for bins, sums in theirs.items():
                self._at(place, bins, sums.q).merge(sums)
        self.seen.update(other.seen)
        self.unscanned |= other.unscanned
        self.table.merge(other.table)

    def detectors(self, run: str) -> list[str]:
        """The detectors that a run has sums of, by name."""
        return sorted(detector for of_run, detector in self.seen if of_run == run)

    def profile(
        self,
        run: str,
        detector: str,
        step: int | None,
        binnings: Binnings,
        bins: RadialBins | None = None,
    ) -> tuple[RadialProfile | None, RadialBins | None]:
        """I(q) of one step (None: of all), and its bins: those of now, else those of most frames.

        Sums in other bins, from before a change of geometry, cannot be added to them. Raises
        `ValueError` where the image of the open step cannot be integrated.
        """
        self.close(detector, binnings)
        places = [Place(run, step or 0, detector)]
        if step is None:
            places = sorted(at for at in self._sums if (at.run, at.detector) == (run, detector))
        there = [self._sums[place] for place in places if place in self._sums]
        n_frames: dict[RadialBins, int] = {}
        for of_step in there:
            for key, sums in of_step.items():
                n_frames[key] = n_frames.get(key, 0) + len(sums.shots)
        if bins is None and n_frames:
            now = binnings.of_now(detector)
            bins = max(n_frames, key=lambda key: (key in now, n_frames[key], repr(key)))
        if bins is None or bins not in n_frames:
            return None, bins
        seen = self.seen[run, detector]
        unit = binnings.counts_per_photon(seen.known, is_real=seen.is_real, bins=bins)
        return profile_of([found[bins] for found in there if bins in found], unit), bins

    def _at(self, place: Place, bins: RadialBins, q: NDArray[np.float64]) -> RadialSums:
        return self._sums.setdefault(place, {}).setdefault(bins, RadialSums(q))


def _shots_of(sums: Mapping[RadialBins, RadialSums]) -> set[int]:
    return set().union(*(of_bins.shots for of_bins in sums.values()))


def _place(shot: Shot) -> Place:
    # of a run without motors each frame is a step, and hours of curves would pile up
    return Place(shot.run, 0 if FRAME_AXIS in shot.position else shot.step, shot.detector)


def kind_of(shot: Shot) -> Kind:
    """Detector, shape and origin of a shot's frame."""
    return shot.detector, shot.frame.shape, shot.origin
