"""The table of shots: one row a shot, from which every mean and spread is made.

Rows are reduced in the order of the shots, whatever order they came in. So results do not depend
on how a run was cut among workers, or resumed: not in the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import Quantity
from femto_bluesky.model.shots import Shot

Column = NDArray[np.float64]
Position = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and spread of `n` values.

    `std` is the population standard deviation (ddof 0), `sem` the standard error of the mean,
    std(ddof 1) / sqrt(n). What cannot be known is None: no value, no mean.
    """

    mean: float | None
    std: float | None
    sem: float | None
    n: int


def statistics(values: Column) -> Statistics:
    """Mean and spread of the values that are not NaN, in their order.

    >>> statistics(np.array([1.0, np.nan, 3.0]))
    Statistics(mean=2.0, std=1.0, sem=1.0, n=2)
    """
    there = values[~np.isnan(values)]
    n = len(there)
    if n == 0:
        return Statistics(None, None, None, 0)
    sem = float(np.std(there, ddof=1) / np.sqrt(n)) if n > 1 else None
    return Statistics(float(np.mean(there)), float(np.std(there)), sem, n)


@dataclass(slots=True)
class _Rows:
    """The rows of one run, at the places of their shot numbers; step -1 is a shot not seen."""

    steps: NDArray[np.int64] = field(default_factory=lambda: np.full(64, -1))
    times: Column = field(default_factory=lambda: np.full(64, np.nan))
    columns: dict[str, Column] = field(default_factory=dict)
    labels: dict[str, Column] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    end: int = 0

    def reserve(self, end: int) -> None:
        self.end = max(self.end, end)
        size = len(self.steps)
        if end <= size:
            return
        more = max(size, end - size)
        self.steps = np.concatenate([self.steps, np.full(more, -1)])
        self.times = np.concatenate([self.times, np.full(more, np.nan)])
        for columns in (self.columns, self.labels):
            for name, column in columns.items():
                columns[name] = np.concatenate([column, np.full(more, np.nan)])

    def put(self, columns: dict[str, Column], name: str, where: Any, values: Any) -> None:
        if name not in columns:
            columns[name] = np.full(len(self.steps), np.nan)
        columns[name][where] = values


class ShotTable:
    """Rows of named numbers for the shots of any number of runs; NaN is a missing value."""

    def __init__(self) -> None:
        self._runs: dict[str, _Rows] = {}

    @property
    def runs(self) -> list[str]:
        """The runs with rows, the newest last: in the order of the times of their first shots."""
        # not in the order of arrival, which is another one where tables are merged
        return sorted(self._runs, key=lambda run: float(np.nanmin(self._runs[run].times)))

    def add(self, shot: Shot, values: Mapping[str, float]) -> None:
        """Put values and the shot's labels into its row; other values already there stay."""
        rows = self._runs.setdefault(shot.run, _Rows())
        rows.reserve(shot.number + 1)
        rows.steps[shot.number] = shot.step
        rows.times[shot.number] = shot.time
        rows.positions[shot.step] = shot.position
        for name, value in values.items():
            rows.put(rows.columns, name, shot.number, value)
        for name, value in shot.labels.items():
            rows.put(rows.labels, name, shot.number, value)

    def drop(self, shot: Shot) -> None:
        """Take the row of a shot out."""
        rows = self._runs.get(shot.run)
        if rows is not None and shot.number < rows.end:
            rows.steps[shot.number] = -1
            for column in (rows.times, *rows.columns.values(), *rows.labels.values()):
                column[shot.number] = np.nan
            if not (rows.steps >= 0).any():
                del self._runs[shot.run]

    def merge(self, other: ShotTable) -> None:
        """Take in the rows of another table; where both have a value, the other's counts."""
        for run, theirs in other._runs.items():
            rows = self._runs.setdefault(run, _Rows())
            rows.reserve(theirs.end)
            seen = theirs.steps[: theirs.end] >= 0
            rows.steps[: theirs.end][seen] = theirs.steps[: theirs.end][seen]
            rows.times[: theirs.end][seen] = theirs.times[: theirs.end][seen]
            rows.positions.update(theirs.positions)
            for mine, other_columns in (
                (rows.columns, theirs.columns),
                (rows.labels, theirs.labels),
            ):
                for name, column in other_columns.items():
                    there = np.flatnonzero(~np.isnan(column[: theirs.end]))
                    rows.put(mine, name, there, column[there])

    def clear(self) -> None:
        """Forget all rows."""
        self._runs.clear()

    def shot(self, run: str, number: int) -> dict[str, float | None]:
        """The values of one shot, None where one is missing; none of a shot that is not there."""
        rows = self._runs.get(run)
        if rows is None or number >= rows.end or rows.steps[number] < 0:
            return {}
        values = {name: float(column[number]) for name, column in rows.columns.items()}
        return {name: None if np.isnan(value) else value for name, value in values.items()}

    def values(self, run: str, step: int) -> dict[str, Column]:
        """Every column over the shots of one step, in their order; NaN is a missing value."""
        rows = self._runs.get(run)
        if rows is None:
            return {}
        where = np.flatnonzero(rows.steps[: rows.end] == step)
        return {name: column[where] for name, column in sorted(rows.columns.items())}

    def step(self, run: str, step: int) -> dict[str, Statistics]:
        """Mean and spread of every column over the shots of one step."""
        return {name: statistics(values) for name, values in self.values(run, step).items()}

    def by_step(self, run: str) -> Iterator[tuple[Position, int, dict[str, Statistics]]]:
        """Every step of a run in order: the motors' readings, the number of shots, and `step`."""
        for _, position, n_shots, columns in self.split(run):
            yield position, n_shots, {name: statistics(found) for name, found in columns.items()}

    def split(self, run: str) -> Iterator[tuple[int, Position, int, dict[str, Column]]]:
        """Every step of a run in order: its number, the motors' readings, how many shots, `values`.

        The rows are sorted once, so that many steps cost little more than many shots.
        """
        rows = self._runs.get(run)
        if rows is None:
            return
        seen = np.flatnonzero(rows.steps[: rows.end] >= 0)
        # stable: within a step the shots keep their order
        order = seen[np.argsort(rows.steps[seen], kind="stable")]
        steps, starts = np.unique(rows.steps[order], return_index=True)
        columns = sorted(rows.columns.items())
        for step, where in zip(steps, np.split(order, starts[1:]), strict=True):
            found = {name: column[where] for name, column in columns}
            yield int(step), rows.positions[int(step)], len(where), found

    def holds(self, shot: Shot, column: str) -> bool:
        """Whether the row of a shot has a value in a column."""
        rows = self._runs.get(shot.run)
        if rows is None or shot.number >= rows.end or column not in rows.columns:
            return False
        return not np.isnan(rows.columns[column][shot.number])

    def drop_column(self, shot: Shot, prefix: str) -> None:
        """Take the values of columns that begin so out of the row of a shot."""
        for name, column in self._runs[shot.run].columns.items():
            if name.startswith(prefix):
                column[shot.number] = np.nan

    def shared(self, other: ShotTable, end: str) -> tuple[str, int] | None:
        """A run and shot that have a value here and there, in a column whose name ends so."""
        for run, theirs in other._runs.items():
            mine = self._runs.get(run)
            for name in theirs.columns if mine is not None else ():
                if mine is not None and name.endswith(end) and name in mine.columns:
                    n = min(mine.end, theirs.end)
                    there = ~np.isnan(mine.columns[name][:n]) & ~np.isnan(theirs.columns[name][:n])
                    if there.any():
                        return run, int(np.flatnonzero(there)[0])
        return None

    def n_shots(self, run: str, step: int) -> int:
        """How many shots a step has."""
        rows = self._runs.get(run)
        return 0 if rows is None else int(np.count_nonzero(rows.steps[: rows.end] == step))

    def steps(self, run: str) -> list[tuple[int, Position]]:
        """The steps of a run that have shots, in order, with the motors' readings at each."""
        rows = self._runs.get(run)
        if rows is None:
            return []
        found = np.unique(rows.steps[: rows.end])
        return [(int(step), rows.positions[int(step)]) for step in found if step >= 0]

    def rows(self, run: str) -> dict[str, NDArray[Any]]:
        """All rows of a run as columns in the order of the shots: shot, step, labels, values."""
        rows = self._runs.get(run)
        if rows is None:
            return {}
        where = np.flatnonzero(rows.steps[: rows.end] >= 0)
        columns: dict[str, NDArray[Any]] = {"shot": where, "step": rows.steps[where]}
        there = sorted(rows.labels.items()) + sorted(rows.columns.items())
        return columns | {name: column[where] for name, column in there}


def step_axis(steps: list[tuple[int, Position]]) -> tuple[Quantity, list[Quantity]]:
    """What step means are drawn against, and the motors that are not the axis.

    The axis is the motor that is scanned; where there are several, or it reads text, the number of
    the step.
    """
    names = dict.fromkeys(name for _, position in steps for name in position)
    motors = []
    for name in names:
        values = [position.get(name, np.nan) for _, position in steps]
        if all(isinstance(value, int | float) for value in values):
            motors.append(Quantity(name, np.array(values, np.float64)))
    if len(names) == 1 and motors:
        return motors[0], []
    return Quantity("step", np.array([number for number, _ in steps])), motors
