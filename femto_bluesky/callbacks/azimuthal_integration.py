"""I(q) of each step, of the run and of the running sum."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.azimuthal_binnings import Binnings
from femto_bluesky.callbacks.azimuthal_groups import (
    cake_group,
    curve_group,
    curve_row,
    lines_in,
    rings_on,
    steps_group,
)
from femto_bluesky.callbacks.azimuthal_settings import AzimuthalSettings, by_name
from femto_bluesky.callbacks.azimuthal_steps import StepSums, kind_of
from femto_bluesky.files.geometries import keep_poni
from femto_bluesky.model.detectors import DetectorSettings, settings_of
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.radial import RadialBins, RadialProfile
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.shots import Shot
from femto_bluesky.model.sums import AccumulatedImage, Kind
from femto_bluesky.stream.analysis import Analysis, Row
from femto_bluesky.stream.per_detector import PerDetector

log = logging.getLogger(__name__)

STREAM = "azimuthal"
"""The stream of the derived run: one event for each step, and one for the run when it ends."""

WHOLE_RUN = -1
"""What stands for the step in the event of the whole run."""


class AzimuthalIntegration(Analysis):
    """I(q) with its Poisson error, of detectors that a geometry is known of.

    Pixels are not split among bins (see `model.radial`), so sums are exact and equal pyFAI's. Of a
    detector that gives images, the frames of a step are added up and integrated once, when the step
    is whole; a list of photons is binned at once. A run that scans nothing is one step.

    The running sum is that of `accumulations`; where none are given it keeps its own. A change of
    geometry counts from the next shot on, and for all of the running sum, which is integrated anew
    whenever somebody asks. A step or run that has shots from before and after it is shown as it is
    after. Geometries go by the beginning of detectors' names; one alone is for every detector. A
    frame that cannot be integrated is logged and left out, and nothing else stops: `problems` says
    why, by detector.

    Where `read_as` names a directory, the geometry of each detector that frames have come from is
    kept there as `<detector>.poni`, and again when it changes.
    """

    settings: AzimuthalSettings

    def __init__(
        self,
        geometries: Geometry | Mapping[str, Geometry] | None = None,
        n_bins: int = 1000,
        q_range: tuple[float, float] | None = None,
        correct_solid_angle: bool = True,
        polarisation: float | None = None,
        mask_files: Mapping[str, Path | str] | None = None,
        counts_per_photon: float | None = None,
        n_azimuth: int = 0,
        calibrant: str | None = None,
        q_lines: Sequence[float] = (),
        *,
        accumulations: PerDetector[Accumulation] | None = None,
    ) -> None:
        given = {
            "geometries": by_name(geometries),
            "n_bins": n_bins,
            "q_range": q_range,
            "correct_solid_angle": correct_solid_angle,
            "polarisation": polarisation,
            "mask_files": dict(mask_files or {}),
            "counts_per_photon": counts_per_photon,
            "n_azimuth": n_azimuth,
            "calibrant": calibrant,
            "q_lines": tuple(q_lines),
        }
        super().__init__(AzimuthalSettings.model_validate(given))
        self.problems: dict[str, str] = {}
        self._binnings = Binnings(self.settings)
        self._steps = StepSums()
        self._owns_sums = accumulations is None
        self._accumulations = accumulations or PerDetector(Accumulation())
        self._told: set[str] = set()
        self._kinds: dict[str, Kind] = {}  # of the newest frame of each detector
        self._declared: set[str] = set()
        self._kept: dict[str, Geometry] = {}  # in files beside the results
        self.poni_files: dict[str, Path] = {}
        """The newest file in which the geometry of each detector is kept."""

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings; mask files are read at once (again, where they have changed).

        A single `Geometry` may stand for the mapping. Raises `ValueError`, and changes nothing,
        where a value is not allowed or a file cannot be read.
        """
        self.use(self.check(changes))

    def check(self, changes: Mapping[str, Any]) -> Binnings:
        """What changed settings make of frames, for `use`; changes nothing.

        What frames of the kinds seen so far need is made here, which takes seconds for large ones:
        it may be done beside frames that come. Raises `ValueError` where settings cannot be so.
        """
        wanted = {**dict(self.settings), **changes}
        wanted["geometries"] = by_name(wanted["geometries"])
        binnings = Binnings(AzimuthalSettings.model_validate(wanted), self._binnings)
        binnings.prepare(list(self._kinds.values()))
        return binnings

    def use(self, binnings: Binnings) -> None:
        """Integrate with what `check` has given, from the next shot on."""
        self._close_all()  # what was seen before the change is integrated as it was then
        self.settings, self._binnings = binnings.settings, binnings
        binnings.let_go_of_earlier()
        self.problems.clear()
        self._told.clear()
        for detector in self._kinds:
            self._keep_poni(detector)

    def geometry(self, detector: str) -> Geometry | None:
        """Where a detector stands (the whole sensor); None where that is not known."""
        return self._binnings.geometry(detector)

    # the fold

    def update(self, shot: Shot) -> Shot:
        """Add the shot's frame to its step and, without `accumulations` of others, to the sum."""
        kind = kind_of(shot)
        if self._kinds.get(shot.detector) != kind:
            self._kinds[shot.detector] = kind
            # a mask that does not fit one readout region may fit the next
            self.problems.pop(shot.detector, None)
        # also of what has no I(q): the newest run is the newest of all detectors
        self._steps.table.add(shot, {})
        if self.geometry(shot.detector) is None:
            self._tell_once(shot.detector)
            return shot
        if shot.detector not in self._told:
            self._told.add(shot.detector)
            self._binnings.compare_pixels(shot)
        if self._owns_sums:
            self._accumulations.update(shot)
        if shot.detector not in self.problems:
            try:
                self._steps.see(shot, self._binnings)
                self._keep_poni(shot.detector)
            except Exception as error:
                # whatever it is: a curve that fails must not stop what else is made of the frames
                self._give_up(shot.detector, error)
        return shot

    def retract(self, shot: Shot) -> Shot:
        """Take the shot out of its step."""
        if self._owns_sums and shot.detector in self._accumulations.of:
            self._accumulations.retract(shot)
        if (shot.run, shot.detector) in self._steps.seen:
            try:
                self._steps.take_back(shot, self._binnings)
            except Exception as error:
                self._give_up(shot.detector, error)
        self._steps.table.drop(shot)
        return shot

    def merge(self, other: Self) -> None:
        """Add the other's sums. Raises `ValueError` where a shot is in both."""
        self._close_all()
        other._close_all()
        self._steps.merge(other._steps)
        if self._owns_sums:
            self._accumulations.merge(other._accumulations)

    def clear(self) -> None:
        """Forget all frames (of `accumulations` that were given: nothing)."""
        self._steps = StepSums()
        self.problems.clear()
        self._told.clear()
        self._kinds.clear()
        if self._owns_sums:
            self._accumulations.clear()

    def _close_all(self) -> None:
        for detector in self._steps.open:
            try:
                self._steps.close(detector, self._binnings)
            except Exception as error:
                self._give_up(detector, error)

    def with_rings(self, group: DataGroup) -> DataGroup:
        """The image of a sum with the rings at all lines on it, where a geometry is known."""
        at, used = group.attributes, self.settings
        geometry = self.geometry(str(at["detector"]))
        if geometry is None or (used.calibrant is None and not used.q_lines):
            return group
        origin = int(at.get("y_origin", 0)), int(at.get("x_origin", 0))
        rows, columns = group.signal.values.shape
        try:
            region = geometry.for_region(origin)
            rings = rings_on(region, (rows, columns), used.calibrant, used.q_lines)
        except ValueError as error:
            log.error("no rings on %r: %s", at["detector"], error)
            return group
        named = {} if used.calibrant is None else {"calibrant": used.calibrant}
        return replace(group, rings=rings, attributes={**at, **named})

    def _tell_once(self, detector: str) -> None:
        if self.settings.geometries and detector not in self._told:
            self._told.add(detector)
            log.info(
                "no I(q) of %r: geometries are known of detectors that begin with %s",
                detector, sorted(self.settings.geometries),
            )  # fmt: skip

    def _keep_poni(self, detector: str) -> None:
        """Write the geometry beside the results: with the first frame, and when it has changed."""
        geometry, directory = self.geometry(detector), self._reading.directory
        if directory is None or geometry is None or self._kept.get(detector) is geometry:
            return
        self._kept[detector] = geometry
        _, frame, origin = self._kinds[detector]
        # the frame's own shape says nothing of the sensor where only a region is read out
        shape = frame if origin == (0, 0) else None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lines = self.settings.calibrant or ""
            kept = keep_poni(directory, detector, geometry, shape=shape, calibrant=lines)
            self.poni_files[detector] = kept
        except (OSError, ValueError) as error:
            self.poni_files.pop(detector, None)
            log.error("the geometry of %r is not kept beside the results: %s", detector, error)

    def _give_up(self, detector: str, error: Exception) -> None:
        """Say why there is no I(q) of a detector until settings change, or its frames do."""
        self.problems[detector] = str(error)
        self._steps.drop_open(detector)
        log.error(
            "no I(q) of %r until settings or frames change: %s", detector, error,
            exc_info=None if isinstance(error, ValueError) else error,
        )  # fmt: skip

    # what it gives out

    def result(self, run: str | None = None) -> dict[str, RadialProfile]:
        """I(q) of a whole run (the newest), by detector."""
        self.wait()
        run = run or next(reversed(self._steps.table.runs), "")
        found = {name: self._of_steps(run, name, None) for name in self._steps.detectors(run)}
        return {name: profile for name, (profile, _) in found.items() if profile is not None}

    def step(self, run: str, step: int, detector: str) -> RadialProfile | None:
        """I(q) of one step; None where there is none."""
        return self._of_steps(run, detector, step)[0]

    def accumulated(self, detector: str | None = None) -> RadialProfile | None:
        """I(q) of the running sum, under the geometry as it is now; None where there is no sum.

        Raises `KeyError` where there is no such detector, or more than one to choose from, or no
        geometry of it, and `ValueError` where it cannot be integrated.
        """
        image = self._accumulations.get(detector).result()
        return None if image is None else self.integrate(image)

    def integrate(self, image: AccumulatedImage) -> RadialProfile:
        """I(q) of an accumulated image, under the geometry as it is now.

        Raises `KeyError` where no geometry of its detector is known, and `ValueError` where it
        cannot be integrated.
        """
        bins = self._bins_of(image)
        seen = [found for (_, name), found in self._steps.seen.items() if name == image.detector]
        known = seen[-1].known if seen else settings_of(image.detector)
        is_real = seen[-1].is_real if seen else image.image.dtype.kind == "f"
        unit = self._binnings.counts_per_photon(known, is_real=is_real, bins=bins)
        return self._binnings.binning(bins).of_accumulated(image, unit)

    def outputs(self, detectors: Mapping[str, DetectorSettings]) -> list[Output]:
        """q, intensity, sigma and norm of each step and of the whole run."""
        named = [name for name in detectors if self.geometry(name) is not None]
        self._declared.update(named)
        if not named:
            return []
        text = "the step, from 0; -1 is the whole run"
        found = [Output("step", STREAM, "", text, "integer")]
        for name in named:
            found.append(
                Output(f"{name}_n_frames", STREAM, name, "frames that it is of", "integer")
            )
            for key, (text, units) in {
                "q": ("middle of each bin of q", "1/angstrom"),
                "intensity": ("counts a frame and pixel; 0 in a bin without pixels", "counts"),
                "sigma": ("Poisson error of the intensity", "counts"),
                "norm": ("valid pixels in each bin, weighted; 0: a bin without pixels", "px"),
            }.items():
                found.append(
                    Output(f"{name}_{key}", STREAM, name, text, units=units, is_array=True)
                )
        return found

    def step_rows(self, run: str, step: int) -> dict[str, Row]:
        """I(q) of one step on each detector; none of a run that scans nothing."""
        return {} if run in self._steps.unscanned else self._row(run, step)

    def run_rows(self, run: str) -> dict[str, Row]:
        """I(q) of the whole run on each detector."""
        return self._row(run, None)

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """I(q) of the run, of the running sum where it is another, of all steps, and the cake."""
        self.wait()
        of_run = run or next(reversed(self._steps.table.runs), "")
        known = [name for name in self._accumulations.of if self.geometry(name) is not None]
        found = []
        for name in sorted({*self._steps.detectors(of_run), *known}):
            profile, bins = self._of_steps(of_run, name, None)
            if profile is not None and bins is not None:
                found.append(curve_group(name, profile, self._lines_in(profile, bins)))
                found += self._group_of_steps(name, of_run, bins)
            try:
                shown = {} if profile is None else {of_run: profile.n_frames}
                found += self._groups_of_sum(name, run, shown)
            except Exception as error:
                self._give_up(name, error)
        return found

    def _group_of_steps(self, name: str, run: str, bins: RadialBins) -> list[DataGroup]:
        if run in self._steps.unscanned:
            return []
        found = (
            (step, self._of_steps(run, name, step[0], bins)[0])
            for step in self._steps.table.steps(run)
        )
        there = ((step, profile) for step, profile in found if profile is not None)
        group = steps_group(name, bins.n, there)
        return [] if group is None else [group]

    def _groups_of_sum(
        self, name: str, run: str | None, shown: Mapping[str, int]
    ) -> list[DataGroup]:
        """What there is of the running sum that is not shown: frames of other runs, the cake."""
        held = self._accumulations.of.get(name)
        image = None if held is None or self.geometry(name) is None else held.result()
        if image is None or (run is not None and run not in image.n_frames_of_run):
            return []
        found = []
        bins = self._bins_of(image)
        if image.n_frames_of_run != shown:
            profile, is_sum = self.integrate(image), image.is_sum
            lines = self._lines_in(profile, bins)
            found.append(curve_group(name, profile, lines, is_accumulated=True, is_sum=is_sum))
        if self.settings.n_azimuth:
            cake = self._binnings.binning(bins).cake(image, self.settings.n_azimuth)
            found.append(cake_group(name, *cake, image.n_frames))
        return found

    def _of_steps(
        self, run: str, detector: str, step: int | None, bins: RadialBins | None = None
    ) -> tuple[RadialProfile | None, RadialBins | None]:
        try:
            return self._steps.profile(run, detector, step, self._binnings, bins)
        except Exception as error:
            self._give_up(detector, error)
            return None, None

    def _lines_in(self, profile: RadialProfile, bins: RadialBins) -> dict[str, float]:
        used = self.settings
        return lines_in(profile.q, bins.geometry, used.calibrant, used.q_lines)

    def _bins_of(self, image: AccumulatedImage) -> RadialBins:
        rows, columns = image.image.shape
        return self._binnings.bins((image.detector, (rows, columns), image.origin))

    def _row(self, run: str, step: int | None) -> dict[str, Row]:
        """The event of a step or run; of a detector without I(q) in it, of no frames.

        Whatever stores events can do with zeros, and with no null and no array that is missing.
        """
        found = {}
        for name in self._steps.detectors(run):
            # one whose geometry was deleted is declared no more
            profile = None if self.geometry(name) is None else self._of_steps(run, name, step)[0]
            if profile is not None:
                found[name] = profile
        if not found:
            return {}
        row: Row = {"step": WHOLE_RUN if step is None else step}
        for name in sorted(self._declared | found.keys()):
            row |= curve_row(name, found.get(name), self.settings.n_bins)
        return {STREAM: row}
