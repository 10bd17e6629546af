"""The mean of regions of interest, for each shot and for each step of a scan."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import Roi, RoiError, check_names, slug
from femto_bluesky.model.shots import Shot
from femto_bluesky.model.table import ShotTable, Statistics, step_axis
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings, Row
from femto_bluesky.stream.between_shots import between_shots

log = logging.getLogger(__name__)


class RoiMeansSettings(AnalysisSettings):
    """Which regions are looked at."""

    rois: Mapping[str, Roi] = Field(default={}, description="regions of interest by their names")


class RoiMeans(Analysis):
    """The mean of named pixel boxes over their valid pixels.

    A shot's mean is of the pixels that are not masked; where none is valid, the mean is missing. A
    step's mean is the mean of its shots' means, its std their population standard deviation, its
    sem their std(ddof 1) / sqrt(n). On frames that a region reaches out of it is left out, for one
    wrong box must not cost the photons of a run: the log says so, and `left_out` says why.
    """

    settings: RoiMeansSettings

    def __init__(self, rois: Mapping[str, Roi] | None = None) -> None:
        super().__init__(RoiMeansSettings(rois=dict(rois or {})))
        check_names(self.settings.rois)
        self.table = ShotTable()
        self._known_regions: dict[tuple[str, tuple[int, int]], list[tuple[str, Roi]]] = {}
        self._shapes: dict[str, tuple[int, int]] = {}  # of the newest frame of each detector
        self._owners: dict[str, str] = {}

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change the regions; rows of shots already seen stay as they are."""
        self.check(RoiMeansSettings.model_validate({**dict(self.settings), **changes}).rois)
        with between_shots(self):
            super().configure(changes)
            self._known_regions.clear()

    def check(self, rois: Mapping[str, Roi]) -> None:
        """Raise `RoiError` where regions clash, or reach outside all frames that they are for.

        Those seen so far are meant: a region on a detector that has shown nothing yet may be right.
        """
        check_names(rois)
        for name, roi in rois.items():
            on = {d: shape for d, shape in self._shapes.items() if roi.is_on(d)}
            if on and not any(map(roi.is_inside, on.values())):
                detector, shape = next(iter(on.items()))
                roi.check_inside(shape, name, detector)

    @property
    def left_out(self) -> dict[str, str]:
        """Why regions were left out on every detector that they are for, by their names."""
        reasons = {}
        for name, roi in self.settings.rois.items():
            try:
                self.check({name: roi})
            except RoiError as error:
                reasons[name] = str(error)
        return reasons

    def update(self, shot: Shot) -> Shot:
        """Note the mean of each region."""
        means = {}
        self._shapes[shot.detector] = shot.frame.shape
        for column, roi in self._regions(shot.detector, shot.frame.shape):
            total, n = shot.frame.sum_and_count(roi)
            means[column] = total / n if n else np.nan
        self.table.add(shot, means)
        return shot

    def _regions(self, detector: str, shape: tuple[int, int]) -> list[tuple[str, Roi]]:
        """The regions inside the frames of a detector, with the names of their columns."""
        known = self._known_regions.get((detector, shape))
        if known is None:
            known = []
            for name, roi in self.settings.rois.items():
                if not roi.is_on(detector):
                    continue
                try:
                    roi.check_inside(shape, name, detector)
                except RoiError as error:
                    log.warning("left out there: %s", error)
                else:
                    column = f"{detector}_{slug(name)}"
                    owner = self._owners.setdefault(column, detector)
                    if owner != detector:
                        raise RoiError(
                            f"ROI {name!r} on {detector!r} and a ROI on {owner!r} both become the "
                            f"data key {column!r}; rename one"
                        )
                    known.append((column, roi))
            self._known_regions[detector, shape] = known
        return known

    def retract(self, shot: Shot) -> Shot:
        """Drop the row of the shot."""
        self.table.drop(shot)
        return shot

    def merge(self, other: Self) -> None:
        """Take in the other's rows."""
        self.table.merge(other.table)

    def clear(self) -> None:
        """Forget all rows, and what frames there were."""
        self.table.clear()
        self._known_regions.clear()
        self._shapes.clear()
        self._owners.clear()

    def result(self, run: str | None = None) -> dict[str, NDArray[Any]]:
        """The steps of a run (the newest) as columns: motors, n_shots, and those of the regions.

        For each region on each detector: `_mean`, `_std`, `_sem` and `_n` (the shots with a valid
        pixel in it). float64 columns with NaN for what is missing; motors that read text are text.
        """
        self.wait()
        run = run or next(reversed(self.table.runs), "")
        rows: list[Row] = [
            {**position, "n_shots": n_shots} | _row(found)
            for position, n_shots, found in self.table.by_step(run)
        ]
        # in the order of the settings, then what settings no longer name
        names = sorted(dict.fromkeys(name for row in rows for name in row), key=self._rank)
        return {
            name: np.array([np.nan if row.get(name) is None else row[name] for row in rows])
            for name in names
        }

    def outputs(self, detectors: Collection[str]) -> list[Output]:
        """A mean for each shot, and mean, std, sem and n for each step, of each region."""
        for name, roi in self.settings.rois.items():
            if not any(map(roi.is_on, detectors)):
                log.warning(
                    "ROI %r is on the detector %r, which this run does not have; it has %s",
                    name, roi.detector, sorted(detectors),
                )  # fmt: skip
        return [
            output
            for detector in detectors
            for name, roi in self.settings.rois.items()
            if roi.is_on(detector)
            and (detector not in self._shapes or roi.is_inside(self._shapes[detector]))
            for output in _outputs(detector, name, roi)
        ]

    def shot_row(self, run: str, number: int) -> Row:
        """The mean of each region in one shot."""
        return dict(self.table.shot(run, number))

    def step_row(self, run: str, step: int) -> Row:
        """Mean and spread of each region over one step."""
        return _row(self.table.step(run, step))

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """For each region a curve of the step means, with std as error, and one of the shots."""
        self.wait()
        run = run or next(reversed(self.table.runs), "")
        steps, rows = self.result(run), self.table.rows(run)
        stems = [name.removesuffix("_mean") for name in steps if name.endswith("_mean")]
        # a motor's name may end in _mean too
        columns = [stem for stem in stems if stem in rows and f"{stem}_sem" in steps]
        x, others = step_axis(self.table.steps(run))
        found = []
        for column in columns:
            name, detector = self._named(column)
            title = f"{name} on {detector}"
            std = np.nan_to_num(steps[f"{column}_std"], nan=0.0)
            counts = [Quantity(end, steps[f"{column}_{end}"]) for end in ("sem", "n")]
            found.append(
                DataGroup(
                    path=f"step_means/{column}",
                    title=f"{title}, mean of each step",
                    signal=Quantity("mean", steps[f"{column}_mean"], "counts/pixel", title),
                    axes=(x,),
                    errors=std,
                    errors_name="std of the shots",
                    columns=(*counts, Quantity("n_shots", steps["n_shots"]), *others),
                )
            )
            found.append(
                DataGroup(
                    path=f"roi_means/{column}",
                    title=f"{title}, mean of each shot",
                    signal=Quantity("mean", rows[column], "counts/pixel", title),
                    axes=(Quantity("shot", rows["shot"]),),
                    columns=(Quantity("step", rows["step"]),),
                )
            )
        return found

    def _named(self, column: str) -> tuple[str, str]:
        """The full name of the region that a column is of, and its detector."""
        found = [name for name in self.settings.rois if column.endswith(f"_{slug(name)}")]
        if not found:
            return column, "a detector"
        name = max(found, key=len)
        return name, column.removesuffix(f"_{slug(name)}")

    def _rank(self, column: str) -> int:
        """Where a column stands: motors and counts, then regions in the order of the settings."""
        stem, _, kind = column.rpartition("_")
        if kind not in ("mean", "std", "sem", "n"):
            return -1
        names = list(self.settings.rois)
        name, _ = self._named(stem)
        return names.index(name) if name in names else len(names)


def _row(of_columns: Mapping[str, Statistics]) -> Row:
    row: Row = {}
    for column, found in of_columns.items():
        row[f"{column}_mean"], row[f"{column}_std"] = found.mean, found.std
        row[f"{column}_sem"], row[f"{column}_n"] = found.sem, found.n
    return row


def _outputs(detector: str, name: str, roi: Roi) -> list[Output]:
    column = f"{detector}_{slug(name)}"
    text = f"mean of {name} (x {roi.x0}..{roi.x1}, y {roi.y0}..{roi.y1})"
    return [
        Output(column, "shots", detector, f"{text}, one shot", roi=name),
        Output(
            f"{column}_mean", "primary", detector, f"{text}, mean of the step's shots",
            hinted=True, roi=name,
        ),
        Output(
            f"{column}_std", "primary", detector, f"{text}, population standard deviation of the "
            "step's shots", roi=name,
        ),
        Output(
            f"{column}_sem", "primary", detector, f"{text}, standard error std(ddof=1)/sqrt(n)",
            roi=name,
        ),
        Output(
            f"{column}_n", "primary", detector, f"shots with a valid pixel in {name}", "integer",
            roi=name,
        ),
    ]  # fmt: skip
