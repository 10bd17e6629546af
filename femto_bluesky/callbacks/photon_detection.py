"""Count single photons on camera frames."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks.photon_columns import (
    COLUMNS,
    OF_SHOT,
    OF_STEP,
    counted_detectors,
    of_step,
    typed,
)
from femto_bluesky.callbacks.photon_groups import energy_groups, number_groups
from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings, counter_of
from femto_bluesky.files.arrays import KeptImages
from femto_bluesky.kernels.photons import OVERLAP
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.eta import N_BINS, count_offsets
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.photons import CrowdedFrame, PhotonCounter, PhotonFrame
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import DenseFrame, Mask, Shot
from femto_bluesky.model.table import Column, ShotTable
from femto_bluesky.stream.analysis import Analysis, AnalysisError, Row
from femto_bluesky.stream.between_shots import between_shots
from femto_bluesky.stream.steps import FRAME_AXIS
from femto_bluesky.stream.used_settings import UsedSettings

log = logging.getLogger(__name__)


class PhotonDetection(Analysis):
    """Finds the photons of each frame and hands it on as their list.

    For each shot the number of photons, the largest energy and the shares of overlaps and hot
    pixels; for each step their sums, mean and spread; histograms of the energies, of each step and
    in all. A frame with so many photons that too many would overlap is handed on thresholded, and
    `is_crowded` of it is 1. Frames of other detectors are handed on as they are.

    Compiled code is loaded when it is made, not when the first frame comes. Raises `ValueError` for
    files that cannot be read, and for dark images and masks of another shape than the frames.
    """

    settings: PhotonDetectionSettings

    def __init__(
        self,
        dark_adu: float | None = None,
        dark_file: Path | str | None = None,
        dark_files: Mapping[str, Path | str] | None = None,
        pixel_threshold_adu: float | None = None,
        energy_min_adu: float | None = None,
        overlap_adu: float | None = None,
        photon_adu: float | None = None,
        view_min_adu: float | None = None,
        hot_share: float | None = None,
        max_overlap_share: float | None = None,
        hot_pixel_file: Path | str | None = None,
        hot_pixel_files: Mapping[str, Path | str] | None = None,
        roi: Roi | None = None,
        histogram_bin_adu: float = 10.0,
        histogram_n_bins: int = 500,
        counting: bool = True,
        detector: str | None = None,
    ) -> None:
        given = {
            "dark_adu": dark_adu,
            "dark_file": dark_file,
            "dark_files": dark_files or {},
            "pixel_threshold_adu": pixel_threshold_adu,
            "energy_min_adu": energy_min_adu,
            "overlap_adu": overlap_adu,
            "photon_adu": photon_adu,
            "view_min_adu": view_min_adu,
            "hot_share": hot_share,
            "max_overlap_share": max_overlap_share,
            "hot_pixel_file": hot_pixel_file,
            "hot_pixel_files": hot_pixel_files or {},
            "roi": roi,
            "histogram_bin_adu": histogram_bin_adu,
            "histogram_n_bins": histogram_n_bins,
            "counting": counting,
            "detector": detector,
        }
        super().__init__(PhotonDetectionSettings.model_validate(given))
        self.table = ShotTable()
        self._histograms: dict[tuple[str, str, int], NDArray[np.int64]] = {}
        self._offsets: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._used: UsedSettings[PhotonCounter] = UsedSettings()
        self._images = KeptImages()
        self._frames: dict[str, tuple[DetectorSettings, tuple[int, int]]] = {}  # those seen last
        self._told: set[tuple[str, str]] = set()
        self._counters: dict[tuple[Any, ...], tuple[Mask | None, PhotonCounter]] = {}
        self.check(self.settings).warm(np.uint16)

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings. Files are read at once (again, where their names are the same).

        Raises `ValueError`, and changes nothing, where one cannot be read, and for the bins of the
        histogram: photons counted in other bins could not be added.
        """
        self.check(self.settings.model_validate({**dict(self.settings), **changes}))
        with between_shots(self):
            super().configure(changes)
            self._counters.clear()

    def check(self, settings: PhotonDetectionSettings) -> PhotonCounter:
        """Raise `ValueError` where settings do not fit their files, or the frames seen so far."""
        if settings.bins != self.settings.bins and self._histograms:
            raise ValueError(
                "the bins of the histogram cannot be changed while photons are counted into them; "
                "make a new PhotonDetection, or clear() this one"
            )
        for detector, (known, shape) in self._frames.items():
            if settings.counts_on(detector, known):
                counter = counter_of(settings, detector, known, images=self._images)
                counter.search.check_shape(shape)
        for path in settings.dark_files.values():
            self._images.read(path, "dark image", np.float32)
        for path in settings.hot_pixel_files.values():
            self._images.read(path, "mask of hot pixels", np.bool_)
        return counter_of(settings, "", DetectorSettings(dark_adu=0), images=self._images)

    # the fold

    def update(self, shot: Shot) -> Shot:
        """Count the photons of the shot's frame, and hand it on as their list."""
        counter = self._counter(shot, self.settings)
        if counter is None:
            return shot
        frame = self._look(counter, shot)
        if self.table.holds(shot, f"{shot.detector}_is_crowded"):
            # seen before and not taken back, as in a second replay: it counts once, as now
            earlier = self._used.of(shot) or counter
            before = frame if earlier is counter else self._look(earlier, shot)
            if isinstance(before, PhotonFrame):
                self._count(shot, before, -1)
            self.table.drop_column(shot, f"{shot.detector}_")
        self._used.note(shot, counter)
        row: dict[str, float] = {"overlap_share_expected": frame.overlap_share, "is_crowded": 1}
        if isinstance(frame, PhotonFrame):
            photons = frame.photons
            row |= {
                "n_photons": len(photons),
                "n_photons_by_energy": counter.count_by_energy(photons),
                "photon_energy_max": float(photons["energy"].max()) if len(photons) else np.nan,
                "n_overlaps": int(np.count_nonzero(photons["flags"] & OVERLAP)),
                "n_hot_pixels": frame.n_hot,
                "is_crowded": 0,
            }
            self._count(shot, frame, 1)
        else:
            self._tell(shot, frame.overlap_share)
        self.table.add(shot, {f"{shot.detector}_{name}": value for name, value in row.items()})
        return shot.with_frame(frame)

    def retract(self, shot: Shot) -> Shot:
        """Forget the shot, and hand it on as `update` did, also where settings have changed."""
        counter = self._used.of(shot)
        if counter is None and self.table.holds(shot, f"{shot.detector}_is_crowded"):
            counter = self._counter(shot, self.settings)
        if counter is None:  # it was not counted, and was handed on as it is
            return shot
        frame = self._look(counter, shot)
        if isinstance(frame, PhotonFrame):
            self._count(shot, frame, -1)
        self.table.drop(shot)
        return shot.with_frame(frame)

    def merge(self, other: Self) -> None:
        """Take in the other's rows and histograms. Raises `ValueError` where a shot is in both."""
        both = self.table.shared(other.table, "_is_crowded")
        if both is not None:
            raise ValueError(
                f"shot {both[1]} of run {both[0]} is in both parts that are to be merged; cut the "
                "run into parts that do not overlap"
            )
        self.table.merge(other.table)
        _merge(self._histograms, other._histograms)
        _merge(self._offsets, other._offsets)

    def clear(self) -> None:
        """Forget all photons."""
        self.table.clear()
        self._histograms.clear()
        self._offsets.clear()
        self._used.clear()
        self._told.clear()

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: what was found, without prepared images."""
        kept = super().__getstate__()
        return kept | {"_counters": {}, "_used": UsedSettings(), "_images": KeptImages()}

    def _counter(self, shot: Shot, settings: PhotonDetectionSettings) -> PhotonCounter | None:
        """What counts the photons of a shot; None where there is nothing to count."""
        frame = shot.frame
        if not settings.counts_on(shot.detector, shot.known) or not isinstance(frame, DenseFrame):
            return None
        self._frames[shot.detector] = shot.known, frame.shape
        # of the settings as they are: `configure` clears the counters
        key = shot.detector, shot.known, frame.shape, id(frame.mask)
        if key in self._counters:
            return self._counters[key][1]
        if settings.roi is not None and settings.roi.is_on(shot.detector):
            settings.roi.check_inside(frame.shape, "of the photons", shot.detector)
        try:
            counter = counter_of(settings, shot.detector, shot.known, frame.mask, self._images)
        except ValueError as error:
            raise AnalysisError(f"counting photons on {shot.detector!r}: {error}") from error
        if frame.mask is None or not frame.mask.flags.writeable:
            if len(self._counters) > 8:
                self._counters.clear()
            # with the mask, or another one could get its place in memory, and its id
            self._counters[key] = frame.mask, counter
        return counter

    def _look(self, counter: PhotonCounter, shot: Shot) -> PhotonFrame | CrowdedFrame:
        try:
            return counter.count(shot.frame.dense())
        except ValueError as error:
            # who reads it wants to know which file does not fit
            used = counter.found_with.settings
            files = ", ".join(filter(None, (used.get("dark_file"), used.get("hot_pixel_file"))))
            raise AnalysisError(
                f"counting photons on {shot.detector!r}: {error}{f' (from {files})' * bool(files)}"
            ) from error

    def _tell(self, shot: Shot, share: float) -> None:
        """Say once for each run that photons are too many to be counted."""
        if (shot.run, shot.detector) not in self._told:
            self._told.add((shot.run, shot.detector))
            log.warning(
                "run %s, shot %d: too many photons on %r to be counted, %.0f %% are expected to "
                "overlap; such frames are thresholded instead, and counted in n_crowded (said once "
                "a run). Attenuate, or raise max_overlap_share", shot.run, shot.number,
                shot.detector, 100 * share,
            )  # fmt: skip

    def _count(self, shot: Shot, frame: PhotonFrame, times: int) -> None:
        """Count the photons of a frame into the histograms; with -1, take them out."""
        # of a run without motors each frame is a step, and hours of histograms would pile up
        step = 0 if FRAME_AXIS in shot.position else shot.step
        histogram = times * self.settings.bins.count(frame.photons)
        _merge(self._histograms, {(shot.run, shot.detector, step): histogram})
        offsets = times * count_offsets(frame.photons)
        _merge(self._offsets, {(shot.run, shot.detector): offsets})

    # what it gives out

    def result(self, run: str | None = None) -> dict[str, NDArray[Any]]:
        """The steps of a run (the newest) as columns: motors, n_shots, and those of each detector.

        For what they mean see `OF_STEP`. NaN is a missing value; motors that read text are text.
        """
        self.wait()
        run = run or next(reversed(self.table.runs), "")
        rows: list[Row] = [
            {**position, "n_shots": n_shots} | _of_detectors(columns)
            for _, position, n_shots, columns in self.table.split(run)
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        return {
            name: np.array([np.nan if row.get(name) is None else row[name] for row in rows])
            for name in names
        }

    def histogram(self, detector: str, run: str | None = None) -> NDArray[np.int64]:
        """How many photons of a run (of all runs) have an energy in each bin, see the settings."""
        self.wait()
        found = [
            counts
            for (of_run, of_detector, _), counts in self._histograms.items()
            if of_detector == detector and run in (None, of_run)
        ]
        return sum(found, start=np.zeros(self.settings.bins.n, np.int64))

    def offsets(self, detector: str, run: str | None = None) -> NDArray[np.int64]:
        """How often each offset from a pixel's centre came, see `model.eta.count_offsets`."""
        found = [
            counts
            for (of_run, of_detector), counts in self._offsets.items()
            if of_detector == detector and run in (None, of_run)
        ]
        return sum(found, start=np.zeros((2, N_BINS), np.int64))

    def outputs(self, detectors: Mapping[str, DetectorSettings]) -> list[Output]:
        """Numbers of each shot and each step, and the photons themselves."""
        if self.settings.detector is not None and self.settings.detector not in detectors:
            log.warning(
                "photons are to be counted on %r, which this run does not have; it has %s",
                self.settings.detector, sorted(detectors),
            )  # fmt: skip
        counted = [
            name for name, known in detectors.items() if self.settings.counts_on(name, known)
        ]
        found = []
        for name in counted:
            photons = "photons" if len(counted) == 1 else f"photons_{name}"
            for stream, declared in (("shots", OF_SHOT), ("primary", OF_STEP)):
                for key, (text, dtype, units) in declared.items():
                    hinted = stream == "primary" and key == "n_photons_mean"
                    found.append(
                        Output(f"{name}_{key}", stream, name, text, dtype, units, hinted=hinted)
                    )
            for key, (text, dtype, units) in COLUMNS.items():
                output = Output(f"{name}_photon_{key}", photons, name, text, dtype, units)
                found.append(replace(output, column=key))
        return found

    def shot_row(self, run: str, number: int) -> Row:
        """The numbers of one shot on each detector."""
        row = self.table.shot(run, number)
        return {
            f"{detector}_{key}": typed(row.get(f"{detector}_{key}"), dtype)
            for detector in counted_detectors(row)
            for key, (_, dtype, _) in OF_SHOT.items()
        }

    def step_row(self, run: str, step: int) -> Row:
        """Sums, mean and spread of one step on each detector."""
        return _of_detectors(self.table.values(run, step))

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """For each detector: photons a shot against the motor, photons of each shot, energies."""
        self.wait()
        run = run or next(reversed(self.table.runs), "")
        found, steps = [], self.result(run)
        for detector in counted_detectors(self.table.rows(run)):
            found += number_groups(detector, self.table, run, steps)
            of_steps = {
                step: counts
                for (of_run, of_detector, step), counts in self._histograms.items()
                if (of_run, of_detector) == (run, detector)
            }
            found += energy_groups(detector, self.table, run, self.settings.bins, of_steps)
        return found


def _of_detectors(columns: Mapping[str, Column]) -> Row:
    """The values of one step on each detector that has shots in it."""
    return {
        f"{detector}_{key}": value
        for detector in counted_detectors(columns)
        if not np.isnan(columns[f"{detector}_is_crowded"]).all()
        for key, value in of_step(columns, detector).items()
    }


def _merge(mine: dict[Any, NDArray[np.int64]], theirs: Mapping[Any, NDArray[np.int64]]) -> None:
    """Add counts; what has become nothing is dropped, so that it looks as if never seen."""
    for key, counts in theirs.items():
        total = counts + mine.get(key, 0)
        if total.any():
            mine[key] = total
        else:
            mine.pop(key, None)
