"""Results as an HDF5/NeXus file that opens with a plot.

Layout of the file, after the NeXus base classes NXroot, NXentry, NXdata and NXprocess
(https://manual.nexusformat.org/classes/base_classes/index.html)::

    /                       NXroot        default = "entry"
    /entry                  NXentry       title, times, identifier, default = first group with data
    /entry/process          NXprocess     program, version, the raw run's uid, settings as JSON
    /entry/start_document   NXnote        the derived run's start document as JSON
    /entry/<path>           NXdata        one for each group; on the way to it, NXcollection
    /entry/<path>/rings     NXcollection  curves on an image: positions y, then x, one for each
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from femto_bluesky import __version__
from femto_bluesky.files.growing import free_name
from femto_bluesky.files.names import new_file
from femto_bluesky.files.opening import image_of, in_memory
from femto_bluesky.model.results import Curve, DataGroup, DataGroupError, Quantity

# Every HDF5 reader has these two filters, in a browser and in Matlab too. bitshuffle is ten times
# faster, but a reader needs a plugin for it, and an image is written once a run.
_COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
_CHUNK_BYTES = 1 << 20
_KEPT_FOR_NEXUS = frozenset({"NX_class", "axes", "auxiliary_signals", "default", "signal", "title"})


def write_results(
    path: str | Path,
    groups: Sequence[DataGroup],
    *,
    title: str,
    start: Mapping[str, Any],
    stop: Mapping[str, Any] | None = None,
) -> None:
    """Write the groups into a new NeXus file at `path`, each at ``/entry/<its path>``.

    `start` is the derived run's start document (uid, time, original_run_uid, scan_id, analysis
    {name, version, settings}); every part of it may be missing. `stop` is its stop document, for
    how the run ended. The first group that holds data is the file's default plot.

    NaN in a signal means "no value". Errors that are NaN, infinite or negative are written as 0,
    because viewers refuse them or draw them upside down. Text on an axis is kept, and the
    curve is plotted against its index. Images are compressed with shuffle and gzip.

    The file appears under its name when it is complete. Raises `OutputExistsError` where the name
    is taken, `OutputError` where nothing can be written, `DataGroupError` for groups that do not
    fit together.
    """
    for group in groups:
        group.check()
    _check_paths(groups)
    with new_file(path) as part, in_memory() as file:
        file.attrs["NX_class"] = "NXroot"
        file.attrs["default"] = "entry"
        file.attrs["file_name"] = Path(path).name
        file.attrs["creator"] = "femto_bluesky"
        file.attrs["creator_version"] = __version__
        file.attrs["h5py_version"] = h5py.version.version
        file.attrs["HDF5_Version"] = h5py.version.hdf5_version
        entry = _nexus_group(file, "entry", "NXentry")
        _write_provenance(entry, title, start, stop)
        for group in groups:
            _write_group(entry, group)
        _set_defaults(entry, groups)
        # HDF5 itself does not survive a disk that is full (see `opening`)
        part.write_bytes(image_of(file))


def _check_paths(groups: Sequence[DataGroup]) -> None:
    """Raise unless every group has a place of its own."""
    taken: list[str] = []
    for group in groups:
        parts = group.path.split("/")
        if any(part.strip() in {"", ".", ".."} or "\0" in part for part in parts):
            raise DataGroupError(
                f"the result {group.path!r} cannot stand in a file: give it a path of names with "
                "single slashes between them, such as 'step_means/ROI_2'"
            )
        if parts[0] in {"process", "start_document", "title"}:
            raise DataGroupError(
                f"the result {group.path!r}: {parts[0]!r} is kept for NeXus; rename the result"
            )
        for other in taken:
            if f"{group.path}/".startswith(f"{other}/") or other.startswith(f"{group.path}/"):
                raise DataGroupError(
                    f"the results {other!r} and {group.path!r} need the same place in the file; "
                    "give them paths of which none leads through the other"
                )
        for name in group.attributes:
            if name in _KEPT_FOR_NEXUS or name.endswith("_indices"):
                raise DataGroupError(
                    f"the result {group.path!r}: the attribute {name!r} is kept for NeXus; rename "
                    "it"
                )
        taken.append(group.path)


def _nexus_group(parent: h5py.Group, name: str, nexus_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nexus_class
    return group


def _json(value: Any) -> str:
    """JSON of a document; arrays become lists, and what JSON does not know its text."""
    return json.dumps(
        value,
        ensure_ascii=False,
        default=lambda item: item.tolist() if hasattr(item, "tolist") else str(item),
    )


def _write_note(parent: h5py.Group, name: str, description: str, value: Any) -> None:
    note = _nexus_group(parent, name, "NXnote")
    note["type"] = "application/json"
    note["description"] = description
    note["data"] = _json(value)


def _write_provenance(
    entry: h5py.Group, title: str, start: Mapping[str, Any], stop: Mapping[str, Any] | None
) -> None:
    analysis = start.get("analysis") or {}
    version = str(analysis.get("version") or __version__)
    entry["title"] = title
    entry["program_name"] = "femto_bluesky"
    entry["program_name"].attrs["version"] = version
    measured = start.get("original_time", start.get("time"))
    if measured is not None:
        entry["start_time"] = _iso(measured)
    for name in ("exit_status", "reason"):
        if (stop or {}).get(name):
            entry[name] = str((stop or {})[name])
    if "uid" in start:
        entry["entry_identifier"] = str(start["uid"])
    if "scan_id" in start:
        entry["scan_id"] = start["scan_id"]

    process = _nexus_group(entry, "process", "NXprocess")
    process["program"] = "femto_bluesky"
    process["version"] = version
    process["sequence_index"] = 1
    if "time" in start:
        process["date"] = _iso(start["time"])
    if "name" in analysis:
        process["analysis"] = str(analysis["name"])
    if "original_run_uid" in start:
        process["original_run_uid"] = str(start["original_run_uid"])
    _write_note(process, "settings", "settings of the analysis", analysis.get("settings") or {})
    _write_note(entry, "start_document", "start document of the derived run", dict(start))


def _iso(time: float) -> str:
    return datetime.fromtimestamp(float(time), UTC).isoformat()


def _write_group(entry: h5py.Group, group: DataGroup) -> None:
    parent = entry
    *above, name = group.path.split("/")
    for step in above:
        if step not in parent:
            _nexus_group(parent, step, "NXcollection")
        parent = parent[step]
    data = _nexus_group(parent, name, "NXdata")
    data.attrs.update(group.attributes)
    data["title"] = group.title

    names = _Names(data)
    signal = names.new(group.signal.name, also="_errors")
    data.attrs["signal"] = signal
    dataset = _write_quantity(data, signal, group.signal)
    is_image = group.signal.values.ndim == 2
    dataset.attrs["interpretation"] = "image" if is_image else "spectrum"
    if group.errors is not None:
        errors = np.asarray(group.errors, dtype=float)
        errors = np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)
        _write_quantity(
            data,
            f"{signal}_errors",
            Quantity("errors", errors, group.signal.units, group.errors_name),
        )
    axes = []
    for dimension, axis in enumerate(group.axes or _pixel_axes(group.signal.values.shape)):
        values = np.asarray(axis.values)
        shown = names.new(axis.name)
        if values.dtype.kind not in "biuf":
            # Viewers plot numbers only. The text stays beside the curve.
            _write_quantity(data, shown, axis)
            shown = names.new(f"{shown}_index")
            axis = Quantity(shown, np.arange(len(values)), long_name=f"{axis.label} (index)")
        _write_quantity(data, shown, axis)
        data.attrs[f"{shown}_indices"] = dimension
        axes.append(shown)
    data.attrs["axes"] = axes
    for column in group.columns:
        _write_quantity(data, names.new(column.name), column)
    if group.mask is not None:
        mask = Quantity("mask", group.mask.astype(np.uint8), long_name="1 where there is no data")
        _write_quantity(data, "mask", mask)
    if group.rois:
        data["rois"] = _json({key: roi.model_dump() for key, roi in group.rois.items()})
    if group.rings:
        _write_rings(data, group.rings)
    if group.lines:
        data["lines"] = _json(dict(group.lines))
    if is_image:
        # Among thousands of counts in one pixel, single photons are only seen on a log scale.
        data.attrs["SILX_style"] = _json({"signal_scale_type": "log"})


def _write_rings(data: h5py.Group, rings: Mapping[str, Curve]) -> None:
    """Each ring as an array (2, n): positions y and x in pixels, NaN between pieces."""
    collection = _nexus_group(data, "rings", "NXcollection")
    names = _Names(collection)
    for label, curve in rings.items():
        dataset = collection.create_dataset(names.new(label), data=np.asarray(curve, float))
        dataset.attrs["label"] = label
        dataset.attrs["units"] = "px"


class _Names:
    """Dataset names that are free in a group: no slash, and no name that viewers understand."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._taken = {"title", "errors", "lines", "mask", "rings", "rois"}

    def new(self, wanted: str, also: str = "") -> str:
        """A name like `wanted`, reserved together with the name that `also` is appended to."""
        name = free_name(wanted, self._taken)
        self._taken.add(name + also)
        return name


def _pixel_axes(shape: tuple[int, ...]) -> tuple[Quantity, ...]:
    return tuple(
        Quantity(name, np.arange(size, dtype=np.int32), "px")
        for name, size in zip("yx", shape, strict=True)
    )


def _write_quantity(group: h5py.Group, name: str, quantity: Quantity) -> h5py.Dataset:
    values = np.asarray(quantity.values)
    options: dict[str, Any] = {}
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    elif values.dtype.kind not in "iuf":
        values = np.array([str(value) for value in values.ravel()], dtype=object)
        values = values.reshape(np.shape(quantity.values))
        options["dtype"] = h5py.string_dtype()
    if values.ndim == 2 and values.size:
        rows = max(1, _CHUNK_BYTES // (values.shape[1] * values.dtype.itemsize))
        options |= {"chunks": (min(rows, values.shape[0]), values.shape[1]), **_COMPRESSION}
    dataset = group.create_dataset(name, data=values, **options)
    if quantity.units:
        dataset.attrs["units"] = quantity.units
    # Viewers show the long name as it is, without the units beside it.
    dataset.attrs["long_name"] = quantity.label
    return dataset


def _set_defaults(entry: h5py.Group, groups: Sequence[DataGroup]) -> None:
    """Lead from the entry, and from every collection, to the first group in it with data."""
    for group in sorted(groups, key=lambda item: item.signal.values.size == 0):
        parent = entry
        for step in group.path.split("/"):
            if "default" not in parent.attrs:
                parent.attrs["default"] = step
            parent = parent[step]
