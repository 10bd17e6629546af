"""Groups as curves: what they have against what they are of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.reprocess.group_by import Value
from femto_bluesky.reprocess.group_files import read_results
from femto_bluesky.reprocess.summary import GroupSummary, Numbers, in_order, or_nan


@dataclass(frozen=True, slots=True)
class Series:
    """Groups that make one curve: `name` says what they have in common; empty where all do."""

    name: str
    x: Quantity
    groups: Sequence[GroupSummary]


def series_of(groups: Sequence[GroupSummary]) -> list[Series]:
    """The curves that groups make, each against the numbers that differ most among them.

    Runs are drawn against their scan numbers. Where no value is a number, groups stand in a row
    with their names.
    """
    groups = in_order(groups)
    keys = list(dict.fromkeys(key for group in groups for key in group.values))
    sizes = {
        key: len({group.values[key] for group in groups})
        for key in keys
        if all(isinstance(group.values.get(key), int | float) for group in groups)
    }
    if not sizes:
        scans = [group.scan for group in groups]
        if keys == ["run"] and None not in scans and len(set(scans)) == len(scans):
            return [Series("", Quantity("scan_id", np.array(scans), long_name="scan"), groups)]
        names = np.array([group.name for group in groups], dtype=object)
        return [Series("", Quantity(", ".join(keys) or "group", names), groups)]
    along = max(sizes, key=lambda key: sizes[key])  # of equals the first that was named
    rest = [key for key in keys if key != along]
    apart: dict[str, list[GroupSummary]] = {}
    for group in groups:
        shared = ", ".join(f"{key} {_text(group.values.get(key))}" for key in rest)
        apart.setdefault(shared, []).append(group)
    return [
        Series(name, Quantity(along, _numbers_of(along, of), of[0].units.get(along, "")), of)
        for name, of in apart.items()
    ]


def _numbers_of(key: str, groups: Sequence[GroupSummary]) -> NDArray[np.float64]:
    return np.array([float(group.values[key]) for group in groups])


def curves_of(groups: Sequence[GroupSummary]) -> list[DataGroup]:
    """For each number a curve of its means against what the groups are of, with sem as error."""
    found = []
    names = dict.fromkeys(name for group in in_order(groups) for name in group.numbers)
    for name in names:
        for series in series_of([group for group in groups if name in group.numbers]):
            numbers = [group.numbers[name] for group in series.groups]
            found.append(_curve(name, series, numbers))
    return found


def _curve(name: str, series: Series, numbers: Sequence[Numbers]) -> DataGroup:
    first = numbers[0]
    columns = {
        key: np.array([or_nan(getattr(one, key)) for one in numbers])
        for key in ("mean", "std", "sem", "std_of_runs")
    }
    counts = {
        key: np.array([getattr(one, key) for one in numbers]) for key in ("n_shots", "n_runs")
    }
    of = f" ({series.name})" if series.name else ""
    return DataGroup(
        path="/".join(["means", name, *([path_part(series.name)] if series.name else [])]),
        title=f"{first.label}{of}, mean of each group",
        signal=Quantity("mean", columns["mean"], first.units, first.label),
        axes=(series.x,),
        errors=columns["sem"],
        errors_name="sem of the shots",
        columns=(
            Quantity("std", columns["std"], first.units, "std of the shots"),
            Quantity("sem", columns["sem"], first.units, "std(ddof=1)/sqrt(n) of the shots"),
            Quantity("std_of_runs", columns["std_of_runs"], first.units, "std of the runs' means"),
            *(Quantity(key, values) for key, values in counts.items()),
            Quantity("group", np.array([group.name for group in series.groups], dtype=object)),
        ),
    )


def path_part(text: str) -> str:
    """A text as one part of a path of results."""
    return text.replace("/", "_").strip() or "_"


def _text(value: Value | None) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:g}"


def whole_curves(path: Path) -> dict[str, DataGroup]:
    """The curves in the file of a group that say of how many frames they are, by their paths."""
    return {
        name: group
        for name, group in read_results(path, ndim=1).items()
        if "n_frames" in group.attributes
    }


def stacked(
    of_groups: Iterable[tuple[GroupSummary, Mapping[str, DataGroup]]],
) -> list[DataGroup]:
    """Curves of all groups, such as I(q), as images: a row for each group.

    Only those that all groups have, on one axis, in groups that make one series.
    """
    held = list(of_groups)
    found = {group.name: curves for group, curves in held}
    series = series_of([group for group, _ in held])
    if len(series) != 1 or len(held) < 2:
        return []
    ordered = [found[group.name] for group in series[0].groups]
    return [
        _stack(path, series[0].x, [curves[path] for curves in ordered])
        for path in ordered[0]
        if all(path in curves and _fits(curves[path], ordered[0][path]) for curves in ordered)
    ]


def _fits(one: DataGroup, other: DataGroup) -> bool:
    return np.array_equal(one.axes[0].values, other.axes[0].values)


def _stack(path: str, x: Quantity, curves: Sequence[DataGroup]) -> DataGroup:
    first = curves[0]
    signal = np.array([curve.signal.values for curve in curves])
    errors = None
    if all(curve.errors is not None for curve in curves):
        errors = np.array([curve.errors for curve in curves])
    n_frames = np.array([curve.attributes["n_frames"] for curve in curves])
    return DataGroup(
        path=f"curves/{path}",
        title=f"{first.title.partition(',')[0]}, of each group",
        signal=Quantity(first.signal.name, signal, first.signal.units, first.signal.long_name),
        axes=(x, first.axes[0]),
        errors=errors,
        errors_name=first.errors_name,
        mask=np.isnan(signal) if signal.dtype.kind == "f" else None,
        columns=(Quantity("n_frames", n_frames),),
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What the report is made of. `files` are those of the groups, in the order of `groups`.

    `differences` are the files of differences from `reference`, by the names of groups. `seconds`
    and `n_workers` say how long it took.
    """

    record: Mapping[str, Any]
    groups: Sequence[GroupSummary]
    files: Sequence[Path]
    reference: str = ""
    differences: Mapping[str, Path] = field(default_factory=dict)
    n_workers: int = 1
    seconds: float = 0.0
