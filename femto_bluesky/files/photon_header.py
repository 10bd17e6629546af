"""What a photon file says before its first frame: its header, and its columns without rows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from femto_bluesky import __version__
from femto_bluesky.files.growing import Column, free_name, text_dtype
from femto_bluesky.model import eta
from femto_bluesky.model.photons import EnergyBins
from femto_bluesky.model.rois import Roi

PHOTON_ROWS = 65536
"""Photons in a chunk."""
FRAME_ROWS = 1024
"""Frames in a chunk."""
TEXT_BYTES = 256
"""Room for a motor position that is text."""
SETTINGS_BYTES = 8192
"""Least room for a record of settings; twice the first record where that is more."""

PHOTON_COLUMNS = {
    "y": ("<f8", "px", "row"),
    "x": ("<f8", "px", "column"),
    "energy": ("<f4", "adu", "3x3 sum less dark"),
    "frame": ("<i8", "", "index of the frame in the raw dataset"),
    "flags": ("u1", "", "1 overlap, 2 hot pixel, 4 edge or masked pixel, 8 close to another"),
}
FRAME_COLUMNS = {
    "frame": ("<i8", "", "index in the raw dataset"),
    "shot": ("<i8", "", "shot"),
    "step": ("<i8", "", "step"),
    "n_photons": ("<i8", "", "photons"),
    "first_photon": ("<i8", "", "row of the first photon"),
    "n_hot_pixels": ("<i8", "", "hits dropped as hot pixels"),
    "is_crowded": ("u1", "", "1: too many photons to be told apart"),
    "overlap_share": ("<f8", "", "share of photons expected to overlap"),
    "time": ("<f8", "s", "time since 1970"),
    "superseded": ("u1", "", "1: does not count, it was taken again or taken back"),
    "settings_index": ("<i4", "", "row of /entry/process/settings"),
}


class PhotonFileError(ValueError):
    """What cannot stand in a photon file; the message says what and what to do."""


@dataclass(frozen=True, slots=True)
class PhotonFileInfo:
    """What a photon file says once.

    `shape` is that of a frame (rows, columns). `settings` are all numbers with which photons are
    found, as JSON. `run` is the raw run's uid, `start` a start document, and `raw` the file and the
    dataset with the raw frames. `pixel_size_m` is height, width.
    """

    detector: str
    shape: tuple[int, int]
    settings: Mapping[str, Any]
    bins: EnergyBins = field(default_factory=EnergyBins)
    roi: Roi | None = None
    run: str = ""
    start: Mapping[str, Any] = field(default_factory=dict)
    raw: tuple[Path, str] | None = None
    pixel_size_m: tuple[float, float] | None = None


def settings_record(settings: Mapping[str, Any]) -> bytes:
    """Settings as JSON in UTF-8; paths become their text. Raises `PhotonFileError`."""
    try:
        return json.dumps(dict(settings), ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PhotonFileError(
            f"the settings cannot be kept as JSON ({error}); give numbers, text, lists and "
            "dictionaries with text as keys"
        ) from error


def write_header(file: h5py.File, path: Path, info: PhotonFileInfo) -> Column:
    """Write all but the columns; return that of the settings, with one row."""
    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = "entry"
    file.attrs["file_name"] = path.name
    file.attrs["creator"] = "femto_bluesky"
    file.attrs["creator_version"] = __version__
    entry = _nexus_group(file, "entry", "NXentry")
    entry.attrs["default"] = "energy_histogram"
    start = info.start
    scan = f"scan {start['scan_id']}: " if "scan_id" in start else ""
    entry["title"] = f"{scan}photons of {info.detector}"
    entry["program_name"] = "femto_bluesky"
    entry["program_name"].attrs["version"] = __version__
    entry["detector"] = info.detector
    entry["shape"] = np.array(info.shape, np.int64)
    if info.run:
        entry["entry_identifier"] = info.run
    if "scan_id" in start:
        entry["scan_id"] = start["scan_id"]
    time = start.get("original_time", start.get("time"))
    if time is not None:
        entry["start_time"] = datetime.fromtimestamp(float(time), UTC).isoformat()
    if start:
        note = _nexus_group(entry, "start_document", "NXnote")
        note["type"] = "application/json"
        note["data"] = settings_record(start).decode()
    if info.pixel_size_m is not None:
        entry["pixel_size"] = np.array(info.pixel_size_m, float)
        entry["pixel_size"].attrs["units"] = "m"
        entry["pixel_size"].attrs["long_name"] = "height and width of a pixel"
    if info.roi is not None:
        roi = _nexus_group(entry, "roi", "NXcollection")
        for name, value in info.roi.model_dump(exclude_none=True).items():
            roi[name] = value
    if info.raw is not None:
        _write_raw(entry, path, *info.raw)

    process = _nexus_group(entry, "process", "NXprocess")
    process["program"] = "femto_bluesky"
    process["version"] = __version__
    record = settings_record(info.settings)
    room = text_dtype(max(SETTINGS_BYTES, 2 * len(record)))
    settings = Column(process, "settings", room, 1, long_name="how photons are found, as JSON")
    settings.write(0, [record])
    return settings


def photon_columns(entry: h5py.Group) -> dict[str, Column]:
    """The columns of the photons."""
    group = _nexus_group(entry, "photons", "NXcollection")
    return {
        name: Column(group, name, dtype, PHOTON_ROWS, units=units, long_name=long_name)
        for name, (dtype, units, long_name) in PHOTON_COLUMNS.items()
    }


def frame_columns(entry: h5py.Group) -> dict[str, Column]:
    """The columns of the frames that every file has."""
    group = _nexus_group(entry, "frames", "NXdata")
    group.attrs["signal"] = "n_photons"
    group.attrs["axes"] = ["shot"]
    group.attrs["shot_indices"] = 0
    return {
        name: Column(group, name, dtype, FRAME_ROWS, units=units, long_name=long_name)
        for name, (dtype, units, long_name) in FRAME_COLUMNS.items()
    }


def reading_columns(
    entry: h5py.Group, position: Mapping[str, float | str], labels: Mapping[str, float]
) -> dict[str, dict[str, Column]]:
    """The columns of motors and labels, by their role and full name, beside those of the frames.

    Their datasets have names that are free and hold no slash; attributes tell role and full name.
    """
    taken = {*FRAME_COLUMNS, "title", "errors"}
    columns: dict[str, dict[str, Column]] = {}
    for role, readings in (("position", position), ("label", labels)):
        columns[role] = {}
        for name, value in readings.items():
            dtype = text_dtype(TEXT_BYTES) if isinstance(value, str) else np.dtype("<f8")
            column = Column(
                entry["frames"], free_name(name, taken), dtype, FRAME_ROWS, long_name=name
            )
            column.data.attrs["role"] = role
            columns[role][name] = column
    return columns


def write_histogram(entry: h5py.Group, bins: EnergyBins) -> h5py.Dataset:
    """The histogram of energies, still empty; return its counts."""
    group = _nexus_group(entry, "energy_histogram", "NXdata")
    group.attrs["signal"] = "counts"
    group.attrs["axes"] = ["energy"]
    group.attrs["energy_indices"] = 0
    group.attrs["bin_width_adu"] = float(bins.width_adu)
    group["title"] = "energies of the photons; the last bin holds all above"
    group["energy"] = bins.centres
    group["energy"].attrs["units"] = "adu"
    group["energy"].attrs["long_name"] = "energy [adu]"
    group["counts"] = np.zeros(bins.n, np.int64)
    group["counts"].attrs["long_name"] = "photons"
    return group["counts"]


def write_offsets(entry: h5py.Group) -> tuple[h5py.Dataset, h5py.Dataset]:
    """How often each offset came, still empty; return the counts of y and of x."""
    group = _nexus_group(entry, "offsets", "NXdata")
    group.attrs["signal"] = "y"
    group.attrs["auxiliary_signals"] = ["x"]
    group.attrs["axes"] = ["offset"]
    group.attrs["offset_indices"] = 0
    group["title"] = "offsets of the photons from their pixel's centre"
    group["offset"] = (np.arange(eta.N_BINS) + 0.5) / eta.N_BINS - 0.5
    group["offset"].attrs["units"] = "px"
    group["offset"].attrs["long_name"] = "offset [px]"
    for axis in ("y", "x"):
        group[axis] = np.zeros(eta.N_BINS, np.int64)
        group[axis].attrs["long_name"] = f"photons ({axis})"
    return group["y"], group["x"]


def _write_raw(entry: h5py.Group, path: Path, raw: Path, dataset: str) -> None:
    """Link to the raw frames, from here, so that a tree that is moved as a whole keeps its links.

    HDF5 looks for a relative name in the folder of the file that holds the link.
    """
    target, folder = raw.resolve(), path.parent.resolve()
    link = str(target)
    if os.path.commonpath([target, folder]) != target.anchor:
        link = os.path.relpath(target, folder)
    entry["raw"] = h5py.ExternalLink(link, dataset)
    entry["raw_file"] = str(raw.absolute())
    entry["raw_dataset"] = dataset


def _nexus_group(parent: h5py.Group, name: str, nexus_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nexus_class
    return group


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays become lists, everything else its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
