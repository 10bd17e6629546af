"""The counts of each shot over all valid pixels, and how they are distributed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Self

import numpy as np
from pydantic import Field

from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Shot
from femto_bluesky.model.table import ShotTable
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings, Row


class TotalCountsSettings(AnalysisSettings):
    """How the histogram is made."""

    bin_counts: float = Field(default=100.0, gt=0, description="width of a bin of the histogram")


class TotalCounts(Analysis):
    """The total of each shot's valid pixels, its mean for each step, and a histogram of the run."""

    settings: TotalCountsSettings

    def __init__(self, bin_counts: float = 100.0) -> None:
        super().__init__(TotalCountsSettings(bin_counts=bin_counts))
        self.table = ShotTable()

    def update(self, shot: Shot) -> Shot:
        """Note the total of the shot."""
        rows, columns = shot.frame.shape
        total, n_valid = shot.frame.sum_and_count(Roi(x0=0, y0=0, x1=columns, y1=rows))
        self.table.add(shot, {f"{shot.detector}_counts": total if n_valid else np.nan})
        return shot

    def retract(self, shot: Shot) -> Shot:
        """Forget the shot: it was taken again."""
        self.table.drop(shot)
        return shot

    def merge(self, other: Self) -> None:
        """Take in the other's rows."""
        self.table.merge(other.table)

    def clear(self) -> None:
        """Forget all rows."""
        self.table.clear()

    def result(self) -> dict[str, tuple[Any, Any]]:
        """Of each detector in the newest run: the left edges of the bins, and the shots in each."""
        width, found = self.settings.bin_counts, {}
        for run in self.table.runs[-1:]:
            for name, totals in self.table.rows(run).items():
                if name.endswith("_counts"):
                    bins = np.floor(totals[~np.isnan(totals)] / width).astype(np.int64)
                    first = int(bins.min()) if len(bins) else 0
                    n_shots = np.bincount(bins - first)
                    found[name] = (first + np.arange(len(n_shots))) * width, n_shots
        return found

    def outputs(self, detectors: Collection[str]) -> list[Output]:
        """The total of each shot, and its mean over each step."""
        per_shot = [Output(f"{d}_counts", "shots", d, "sum of the valid pixels") for d in detectors]
        per_step = [
            Output(f"{d}_counts_mean", "primary", d, "mean of the step's shots", hinted=True)
            for d in detectors
        ]
        return per_shot + per_step

    def shot_row(self, run: str, number: int) -> Row:
        """The totals of one shot."""
        return dict(self.table.shot(run, number))

    def step_row(self, run: str, step: int) -> Row:
        """The mean totals of one step."""
        return {f"{name}_mean": found.mean for name, found in self.table.step(run, step).items()}

    def groups(self) -> list[DataGroup]:
        """A histogram for each detector."""
        return [
            DataGroup(
                path=f"histogram/{name}",
                title=f"Total counts, {name.removesuffix('_counts')}",
                signal=Quantity("n_shots", n_shots, long_name="shots"),
                axes=(Quantity("counts", left, long_name="counts of a shot (left edge of bin)"),),
            )
            for name, (left, n_shots) in self.result().items()
        ]
