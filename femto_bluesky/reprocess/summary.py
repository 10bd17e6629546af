"""What the shots of a group say: mean and spread of every number that a shot has.

The numbers are those that an analysis declares for the stream `shots`: the mean of each region, how
many photons there were. They are reduced in the order of runs and shots, so that they do not depend
on how the work was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.detectors import DETECTORS, settings_of
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.table import statistics
from femto_bluesky.reprocess.group_by import Value

if TYPE_CHECKING:
    from femto_bluesky.reprocess.results import Group, RunInfo
    from femto_bluesky.stream.analysis import Analysis

OF_RUNS = "means_of_runs"
"""Where in a group's file its means run by run stand."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One number of the shots of a group: its mean and spread; None is what cannot be known.

    `std` is the population standard deviation of all shots, `sem` their std(ddof=1)/sqrt(n_shots).
    `std_of_runs` is the spread (ddof=1) of the means of the runs: where it is much larger than
    `sem`, something drifts from run to run.
    """

    label: str
    description: str
    units: str
    mean: float | None
    std: float | None
    sem: float | None
    n_shots: int
    n_runs: int
    std_of_runs: float | None


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group without its images: what it is of, and its numbers by their names in documents.

    `units` are those of its values, where they are known.
    """

    name: str
    values: Mapping[str, Value]
    n_shots: int
    runs: Sequence[Mapping[str, Any]]
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def scan(self) -> int | None:
        """The scan number of a group that is one run; None of others."""
        scan = self.runs[0]["scan_id"] if "run" in self.values and len(self.runs) == 1 else None
        return scan if isinstance(scan, int) else None

    @property
    def label(self) -> str:
        """The name for people: of a run its scan number."""
        return (
            self.name if self.scan is None else re.sub(r"run=[^,]+", f"scan {self.scan}", self.name)
        )

    def record(self) -> dict[str, Any]:
        """As plain data; `from_record` makes it again."""
        return {
            "name": self.name,
            "values": dict(self.values),
            "units": dict(self.units),
            "n_shots": self.n_shots,
            "runs": [dict(run) for run in self.runs],
            "numbers": {
                name: {key: getattr(found, key) for key in Numbers.__slots__}
                for name, found in self.numbers.items()
            },
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """What `record` said."""
        numbers = {name: Numbers(**found) for name, found in record["numbers"].items()}
        return cls(
            record["name"], record["values"], record["n_shots"], record["runs"], numbers,
            record["units"],
        )  # fmt: skip


def run_record(run: RunInfo, n_shots: int | None = None) -> dict[str, Any]:
    """What is told of a run in results: nothing of the machine that has worked on it."""
    return {
        "uid": run.uid,
        "scan_id": run.scan_id,
        "time": run.time,
        "n_shots": run.n_shots if n_shots is None else n_shots,
        "exit_status": run.exit_status,
    }


def summed_up(
    group: Group, units: Mapping[str, str] | None = None
) -> tuple[GroupSummary, list[DataGroup]]:
    """The numbers of a group, and a curve of each: its mean in every run, for what drifts.

    `units` are those of motors and labels, by their names.
    """
    runs = [run for run in in_time(group.runs.values()) if len(group.shots[run.uid])]
    shots = [sorted(int(number) for number in group.shots[run.uid]) for run in runs]
    declared = _declared(group.analysis, runs)
    columns = _columns(group.analysis, list(declared), runs, shots)
    numbers, curves = {}, []
    for name, by_run in columns.items():
        output = declared[name]
        means = np.array([or_nan(statistics(values).mean) for values in by_run])
        there = means[~np.isnan(means)]
        found = statistics(np.concatenate(by_run))
        numbers[name] = Numbers(
            label=_label(output), description=output.description, units=_units(output),
            mean=found.mean, std=found.std, sem=found.sem, n_shots=found.n, n_runs=len(there),
            std_of_runs=float(np.std(there, ddof=1)) if len(there) > 1 else None,
        )  # fmt: skip
        if len(runs) > 1:
            curves.append(_curve_of_runs(name, numbers[name], runs, by_run, means))
    told = [run_record(run, len(of)) for run, of in zip(runs, shots, strict=True)]
    n_shots = sum(map(len, shots))
    known = {key: (units or {}).get(key, "") for key in group.values}
    return GroupSummary(group.name, dict(group.values), n_shots, told, numbers, known), curves


def in_time(runs: Iterable[RunInfo]) -> list[RunInfo]:
    """Runs in the order in which they were measured."""
    return sorted(runs, key=lambda run: (run.time, run.uid))


def _columns(
    analysis: Analysis,
    names: Sequence[str],
    runs: Sequence[RunInfo],
    shots: Sequence[Sequence[int]],
) -> dict[str, list[NDArray[np.float64]]]:
    """Numbers by name: for each run a column over its shots; NaN is missing."""
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for run, numbers in zip(runs, shots, strict=True):
        rows = [analysis.shot_row(run.uid, number) for number in numbers]
        for name in names:
            found[name].append(np.array([_number(row.get(name)) for row in rows], np.float64))
    # what was declared and never came, as of a detector that was not counted on
    return {name: by_run for name, by_run in found.items() if not _is_empty(by_run)}


def _declared(analysis: Analysis, runs: Sequence[RunInfo]) -> dict[str, Output]:
    """What an analysis declares of a shot, by name: regions first, for they are looked for."""
    names = dict.fromkeys(
        [str(group.attributes["detector"]) for group in analysis.groups()
         if "detector" in group.attributes]
        + [str(name) for run in runs for name in run.start.get("detectors") or ()]
    )  # fmt: skip
    table = {**DETECTORS, **analysis._reading.detectors}
    known = {name: settings_of(name, table) for name in names}
    outputs = sorted(analysis.outputs(known), key=lambda output: not output.roi)
    return {
        output.name: output
        for output in outputs
        if output.stream == "shots" and not (output.is_image or output.is_array or output.column)
    }


def _label(output: Output) -> str:
    """What a number is called for people."""
    if output.roi:
        return f"{output.roi} on {output.detector}"
    name = output.name.removeprefix(f"{output.detector}_")
    text = name.replace("_", " ")
    return text if name == output.name else f"{text} on {output.detector}"


def _units(output: Output) -> str:
    return "counts/pixel" if output.roi and not output.units else output.units


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float | np.number | np.bool_)
    return float(value) if is_number else float("nan")


def or_nan(value: float | None) -> float:
    """A number as columns hold it."""
    return float("nan") if value is None else value


def _is_empty(by_run: Iterable[NDArray[np.float64]]) -> bool:
    return all(bool(np.isnan(values).all()) for values in by_run)


def _curve_of_runs(
    name: str,
    numbers: Numbers,
    runs: Sequence[RunInfo],
    by_run: Sequence[NDArray[np.float64]],
    means: NDArray[np.float64],
) -> DataGroup:
    """The mean of a number in each run, in the order in which they were measured."""
    found = [statistics(values) for values in by_run]
    return DataGroup(
        path=f"{OF_RUNS}/{name}",
        title=f"{numbers.label}, mean of each run",
        signal=Quantity("mean", means, numbers.units, numbers.label),
        axes=(axis_of_runs(runs),),
        errors=np.array([or_nan(one.sem) for one in found]),
        errors_name="sem of the shots",
        columns=(
            Quantity("std", np.array([or_nan(one.std) for one in found]), numbers.units),
            Quantity("n_shots", np.array([one.n for one in found])),
            Quantity("time", np.array([run.time for run in runs]), "s", "time since 1970"),
        ),
    )


def axis_of_runs(runs: Sequence[RunInfo]) -> Quantity:
    """What runs are drawn against: their scan numbers where these tell them apart."""
    scans = [run.scan_id for run in runs]
    if all(isinstance(scan, int) for scan in scans) and len(set(scans)) == len(scans):
        return Quantity("scan_id", np.array(scans), long_name="scan")
    return Quantity("run", np.arange(len(runs)), long_name="run, in the order of time")


def in_order(groups: Iterable[GroupSummary]) -> list[GroupSummary]:
    """Groups by their values: numbers rising, then text; what lacks a value comes last.

    Runs are in the order of time.
    """
    found = list(groups)
    keys = list(dict.fromkeys(key for group in found for key in group.values))

    def place(group: GroupSummary) -> tuple[Any, ...]:
        values = {**group.values}
        if "run" in values and group.runs:
            values["run"] = float(group.runs[0]["time"])
        return [_rank(values.get(key)) for key in keys], group.name

    return sorted(found, key=place)


def _rank(value: Value | None) -> tuple[int, float, str]:
    if isinstance(value, str):
        return 1, 0.0, value
    if value is None or np.isnan(value):
        return 2, 0.0, ""
    return 0, float(value), ""
