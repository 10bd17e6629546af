"""The file of a group: its images and curves, its numbers, and where they come from.

What compares groups reads these files, one at a time: so memory does not grow with their number,
and work that was interrupted need not be done again to be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.names import OutputExistsError
from femto_bluesky.files.opening import open_hdf5
from femto_bluesky.files.results import write_results
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import Roi
from femto_bluesky.reprocess.journal import FOLDER
from femto_bluesky.reprocess.summary import GroupSummary, summed_up

if TYPE_CHECKING:
    from femto_bluesky.reprocess.results import Group


def file_name(group: str) -> str:
    """What the file of a group is called, without its suffix: another one for each group.

    >>> file_name("delay=-1.5, sample=LaB6"), file_name("laser on")
    ('delay=-1.5,sample=LaB6', 'laser_on-671236')
    """
    short = group.replace(", ", ",")
    name = re.sub(r"[^\w.,=+-]+", "_", short)
    if name == short and not name.startswith(".") and len(name) <= 100:
        return name
    # what was changed may have become the name of another one
    return f"{name.lstrip('.')[:80]}-{hashlib.sha256(group.encode()).hexdigest()[:6]}"


def write_group(
    directory: Path,
    group: Group,
    start: Mapping[str, Any],
    work: str,
    units: Mapping[str, str] | None = None,
) -> Path:
    """Write the file of a group; its path.

    `start` is what all results say of where they come from, `work` what tells this work from any
    other: a file of the same work is replaced, for it is older, and none of another. `units` are
    those of motors and labels.
    Raises `OutputExistsError`, and what `write_results` raises.
    """
    summary, curves = summed_up(group, units)
    path = directory / f"{file_name(group.name)}.h5"
    told = {**start, **_one_run(summary), "group": summary.record(), "work": work}
    n_runs = len(summary.runs)
    title = f"{group.name}: {summary.n_shots} shots of {n_runs} run{'s' * (n_runs != 1)}"
    groups = [*results_of(group), *curves]
    replaced(path, lambda new: write_results(new, groups, title=title, start=told), work)
    return path


def _one_run(summary: GroupSummary) -> dict[str, Any]:
    """What a start document says of the runs that results are of."""
    runs = summary.runs
    told: dict[str, Any] = {"parent_uids": [run["uid"] for run in runs]}
    if runs:
        told["original_time"] = min(float(run["time"]) for run in runs)
    if len(runs) == 1:
        told |= {"original_run_uid": runs[0]["uid"], "scan_id": runs[0]["scan_id"]}
        if told["scan_id"] is None:
            del told["scan_id"]
    return told


def results_of(group: Group) -> list[DataGroup]:
    """What the analysis shows of all of a group; of one run alone, that too.

    An analysis shows some results of a run and some of all that it has seen. The latter are those
    that are the same whichever run is asked for.
    """
    uids = sorted(uid for uid, shots in group.shots.items() if len(shots))
    first = {found.path: found for found in group.analysis.groups(uids[0])} if uids else {}
    if len(uids) < 2:
        return list(first.values())
    last = {found.path: found for found in group.analysis.groups(uids[-1])}
    shared = first.keys() & last.keys()
    same = [found for path, found in first.items() if path in shared and _same(found, last[path])]
    return [_of_group(found, {one.path for one in same}) for found in same]


def _of_group(found: DataGroup, paths: Collection[str]) -> DataGroup:
    """A result of the running sum under the name that it has of one run, as I(q)."""
    path = found.path.removesuffix("_accumulated")
    if path == found.path or path in paths:
        return found
    return replace(found, path=path, title=found.title.replace(" of the running sum", ""))


def _same(one: DataGroup, other: DataGroup) -> bool:
    return one.title == other.title and bool(
        np.array_equal(one.signal.values, other.signal.values, equal_nan=_is_real(one))
    )


def _is_real(group: DataGroup) -> bool:
    return group.signal.values.dtype.kind == "f"


def replaced(path: Path, write: Callable[[Path], object], work: str | None = None) -> None:
    """Let `write` make a file, which then appears as `path` in the place of an older one.

    `write` is given a name at which there is no file. With `work`, one that is there must be of
    that work: else `OutputExistsError` is raised.
    """
    if work is not None and os.path.lexists(path) and work_of(path) != work:
        raise OutputExistsError(
            f"{path} exists already, and is none of this work; nothing is overwritten: move it "
            "away, or choose another directory"
        )
    folder = path.parent / FOLDER / "new"
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / path.name
    new.unlink(missing_ok=True)  # of a process that was ended while it wrote
    write(new)
    new.replace(path)
    with suppress(OSError):
        folder.rmdir()


def work_of(path: Path) -> str | None:
    """Of which work an HDF5 file of ours says that it is; None for any other file."""
    try:
        with open_hdf5(path) as file:
            return str(_start(file).get("work"))
    except (OSError, KeyError, ValueError):
        return None


def read_summary(path: Path) -> GroupSummary:
    """The numbers of a group, from its file."""
    with open_hdf5(path) as file:
        return GroupSummary.from_record(_start(file)["group"])


def _start(file: h5py.File) -> dict[str, Any]:
    found = json.loads(file["entry/start_document/data"].asstr()[()])
    return found if isinstance(found, dict) else {}


def read_results(
    path: Path, wanted: Sequence[str] | None = None, ndim: int | None = None
) -> dict[str, DataGroup]:
    """The results in a file of `write_results`, by their paths; of `wanted` kinds, or all.

    The kind is the first part of the path. With `ndim`, curves (1) or images (2) alone.
    """
    found: dict[str, DataGroup] = {}

    def visit(name: str, item: Any) -> None:
        is_result = isinstance(item, h5py.Group) and item.attrs.get("NX_class") == "NXdata"
        if is_result and ndim in (None, item[item.attrs["signal"]].ndim):
            found[name] = _read(name, item)

    with open_hdf5(path) as file:
        for kind, item in file["entry"].items():
            if isinstance(item, h5py.Group) and (wanted is None or kind in wanted):
                visit(kind, item)
                item.visititems(lambda name, inner, kind=kind: visit(f"{kind}/{name}", inner))
    return found


def _read(path: str, data: h5py.Group) -> DataGroup:
    signal = str(data.attrs["signal"])
    axes = [str(name) for name in data.attrs["axes"]]
    errors = data.get(f"{signal}_errors")
    used = {signal, f"{signal}_errors", *axes, "title", "mask", "rois", "rings", "lines"}
    used |= {axis.removesuffix("_index") for axis in axes}
    rois = json.loads(data["rois"].asstr()[()]) if "rois" in data else {}
    kept = {
        key: _plain(value)
        for key, value in data.attrs.items()
        if key not in ("NX_class", "signal", "axes", "SILX_style", "default")
        and not key.endswith("_indices")
    }
    return DataGroup(
        path=path,
        title=str(data["title"].asstr()[()]),
        signal=_quantity(data[signal]),
        axes=tuple(_quantity(_shown(data, name)) for name in axes),
        errors=None if errors is None else errors[()],
        errors_name=""
        if errors is None
        else str(errors.attrs["long_name"]).rpartition(" [")[0] or str(errors.attrs["long_name"]),
        columns=tuple(
            _quantity(item)
            for name, item in data.items()
            if name not in used and isinstance(item, h5py.Dataset)
        ),
        mask=data["mask"][()] != 0 if "mask" in data else None,
        rois={name: Roi.model_validate(roi) for name, roi in rois.items()},
        attributes=kept,
        rings={str(r.attrs["label"]): (r[0], r[1]) for r in data.get("rings", {}).values()},
        lines=json.loads(data["lines"].asstr()[()]) if "lines" in data else {},
    )


def _shown(data: h5py.Group, axis: str) -> h5py.Dataset:
    """The axis, or the text that stands beside it where the axis is its index."""
    text = axis.removesuffix("_index")
    return data[text] if text != axis and text in data else data[axis]


def _quantity(dataset: h5py.Dataset) -> Quantity:
    name, units = dataset.name.rpartition("/")[2], str(dataset.attrs.get("units", ""))
    label = str(dataset.attrs.get("long_name", name))
    long_name = label.removesuffix(f" [{units}]") if units else label
    values: NDArray[Any] = dataset.asstr()[()] if dataset.dtype.kind == "O" else dataset[()]
    return Quantity(name, values, units, "" if long_name == name else long_name)


def _plain(value: Any) -> str | int | float:
    plain: str | int | float = value.item() if hasattr(value, "item") else value
    return plain
