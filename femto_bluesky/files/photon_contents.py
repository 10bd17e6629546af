"""What is in a photon file, ours or the predecessor's, also while it grows.

The predecessor's has ``/hits/hits_xye`` (photons, 3) as row, column, energy, and
``/hits/hits_frame_number`` (photons), which may be missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.checked import CheckedFile, XyeError
from femto_bluesky.files.photon_header import FRAME_COLUMNS
from femto_bluesky.kernels.photons import PHOTON, Photons
from femto_bluesky.model import eta
from femto_bluesky.model.photons import EnergyBins
from femto_bluesky.model.rois import Roi

NO_FRAME = -1
"""The frame of photons of which it is not known."""

_PHOTONS, _HITS = "/entry/photons", "/hits/hits_xye"


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What counts in a photon file, in the order of the shots; superseded frames are left out.

    `photons` have the dtype `kernels.photons.PHOTON`, `frame_of_photon` the frame of each. `frames`
    holds the columns of the frames by the names in the file (`shot`, `n_photons`...), where
    `first_photon` is an index into `photons`; `positions` and `labels` are those of its columns
    that come from motors and labels, by their full names. `histogram` is counted in `bins`;
    `offsets` are the counts of `model.eta.count_offsets`. `settings` has a record for each change,
    into which ``frames["settings_index"]`` points.

    Of the predecessor's files, there are the photons, in the order of the file, and a histogram.
    """

    photons: Photons
    frame_of_photon: NDArray[np.int64]
    bins: EnergyBins
    histogram: NDArray[np.int64]
    offsets: NDArray[np.int64] | None = None
    frames: dict[str, NDArray[Any]] = field(default_factory=dict)
    positions: dict[str, NDArray[Any]] = field(default_factory=dict)
    labels: dict[str, NDArray[Any]] = field(default_factory=dict)
    n_superseded: int = 0
    settings: list[dict[str, Any]] = field(default_factory=list)
    detector: str = ""
    shape: tuple[int, int] | None = None
    roi: Roi | None = None
    run: str = ""
    pixel_size_m: tuple[float, float] | None = None
    raw: tuple[Path, str] | None = None


def read_contents(file: CheckedFile) -> Contents:
    """What is in an open file. Raises `XyeError`."""
    if _PHOTONS in file:
        return _read_ours(file)
    if _HITS in file:
        return _read_predecessors(file)
    raise XyeError(
        f"{file.path} holds no photons: found {file.names() or 'nothing'}, expected {_PHOTONS} (a "
        f"photon file of this package) or {_HITS} (the predecessor's)"
    )


def _read_ours(file: CheckedFile) -> Contents:
    # The file may grow while it is read. A frame is marked as superseded after the one in its place
    # has got its row in n_photons, and that after all its other columns. So they are opened in the
    # opposite order; HDF5 may keep what it has seen of a dataset.
    marks = file.column("/entry/frames/superseded", "iu")
    n_of_frame = file.column("/entry/frames/n_photons", "iu").astype(np.int64)
    n_frames = len(n_of_frame)
    superseded = np.zeros(n_frames, bool)
    superseded[: len(marks)] = marks[:n_frames] != 0
    columns: dict[str, NDArray[Any]] = {"n_photons": n_of_frame, "superseded": superseded}
    for name in FRAME_COLUMNS.keys() - columns.keys():
        kinds = "f" if FRAME_COLUMNS[name][0][1] == "f" else "iu"
        columns[name] = file.column(f"/entry/frames/{name}", kinds, n_frames)
    rows, starts = _rows_that_count(file, columns)
    photons, frame_of_photon = _gather(file, starts, n_of_frame[rows], columns)

    positions: dict[str, NDArray[Any]] = {}
    labels: dict[str, NDArray[Any]] = {}
    frames = {name: columns[name][rows] for name in FRAME_COLUMNS if name != "superseded"}
    frames["is_crowded"] = frames["is_crowded"] != 0
    frames["first_photon"] = np.cumsum(n_of_frame[rows]) - n_of_frame[rows]
    for name, role, full_name in file.readings("/entry/frames"):
        column = file.column(f"/entry/frames/{name}", "fS", n_frames)[rows]
        if column.dtype.kind == "S":
            column = np.char.decode(column, "utf-8", "replace")
        frames[name] = (positions if role == "position" else labels)[full_name] = column

    settings = _settings(file)
    index = frames["settings_index"]
    if len(index) and not 0 <= index.min() <= index.max() < len(settings):
        raise XyeError(
            f"{file.path}: frames name the settings {index.min()} to {index.max()}, but there are "
            f"{len(settings)} records of them; the file is damaged"
        )
    bins, histogram = _histogram(file, photons)
    shape, size = file.numbers("/entry/shape", 2), file.numbers("/entry/pixel_size", 2)
    return Contents(
        photons, frame_of_photon, bins, histogram, _offsets(file, photons), frames, positions,
        labels,
        n_superseded=n_frames - len(rows),
        settings=settings,
        detector=file.text("/entry/detector"),
        shape=None if shape is None else (int(shape[0]), int(shape[1])),
        roi=_roi(file),
        run=file.text("/entry/entry_identifier"),
        pixel_size_m=None if size is None else (float(size[0]), float(size[1])),
        raw=_raw(file),
    )  # fmt: skip


def _rows_that_count(
    file: CheckedFile, columns: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the frames that count, in the order of shots, and their first photons."""
    n, first = columns["n_photons"], columns["first_photon"].astype(np.int64)
    length = min(file.length(f"/entry/photons/{name}") for name in ("frame", *(PHOTON.names or ())))
    wrong = np.flatnonzero((n < 0) | (n > length) | (first < 0) | (first > length - n))
    if len(wrong):
        i = wrong[0]
        raise XyeError(
            f"{file.path}: the frame in row {i} names {n[i]} photons from row {first[i]} on, but "
            f"the shortest column of the photons has {length} rows; the file is damaged"
        )
    needed = int((first + n).max(initial=0))
    for name in ("frame", *(PHOTON.names or ())):
        file.check_rows(f"/entry/photons/{name}", needed)
    # of the same shot the last; it may not have been marked yet that the others do not count
    shots = columns["shot"].astype(np.int64)
    _, from_behind = np.unique(shots[::-1], return_index=True)
    rows = len(shots) - 1 - from_behind
    rows = rows[~columns["superseded"][rows]]
    if int(n[rows].sum()) > needed:
        raise XyeError(
            f"{file.path}: its frames name {n[rows].sum()} photons in {needed} rows, some of them "
            "more than once; the file is damaged"
        )
    return rows, first[rows]


def _gather(
    file: CheckedFile,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    columns: dict[str, NDArray[Any]],
) -> tuple[Photons, NDArray[np.int64]]:
    """The photons of frames that begin at rows `starts`, one frame after the other."""
    needed = int((starts + counts).max(initial=0))
    ends = np.cumsum(counts)
    index: slice | NDArray[np.int64] = slice(0, needed)
    if not (len(ends) and ends[-1] == needed and (starts == ends - counts).all()):
        index = np.repeat(starts - (ends - counts), counts) + np.arange(counts.sum())
    photons = np.empty(int(counts.sum()), PHOTON)
    for name in PHOTON.names or ():
        kinds = "iu" if name == "flags" else "f"
        photons[name] = file.column(f"/entry/photons/{name}", kinds, needed)[index]
    frame = file.column("/entry/photons/frame", "iu", needed)[index]
    return photons, frame.astype(np.int64, copy=False)


def _histogram(file: CheckedFile, photons: Photons) -> tuple[EnergyBins, NDArray[np.int64]]:
    """The histogram of the file, or of the photons where the file has moved on since."""
    counts = file.column("/entry/energy_histogram/counts", "iu").astype(np.int64)
    width = file.attribute("/entry/energy_histogram", "bin_width_adu")
    if not (isinstance(width, float) and 0 < width < np.inf):
        raise XyeError(
            f"{file.path}: the bins of the histogram are {width!r} ADU wide, expected a number "
            "above 0; the file is damaged"
        )
    bins = EnergyBins(width, len(counts))
    return bins, counts if counts.sum() == len(photons) else bins.count(photons)


def _offsets(file: CheckedFile, photons: Photons) -> NDArray[np.int64]:
    """The offsets that the file has counted, or those of the photons, as above."""
    y, x = (file.column(f"/entry/offsets/{axis}", "iu").astype(np.int64) for axis in "yx")
    if len(y) != eta.N_BINS or len(x) != eta.N_BINS or min(y.min(), x.min()) < 0:
        raise XyeError(
            f"{file.path}: the offsets are {len(y)} and {len(x)} counts, expected {eta.N_BINS} "
            "numbers, none below 0, for y and x; the file is damaged"
        )
    n_clean = np.count_nonzero(photons["flags"] == 0)
    return np.stack([y, x]) if y.sum() == x.sum() == n_clean else eta.count_offsets(photons)


def _settings(file: CheckedFile) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for text in file.column("/entry/process/settings", "S"):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise XyeError(f"{file.path}: its settings are no JSON ({error})") from error
        if not isinstance(record, dict):
            raise XyeError(f"{file.path}: its settings are {record!r}, expected a dictionary")
        records.append(record)
    return records


def _roi(file: CheckedFile) -> Roi | None:
    if "/entry/roi" not in file:
        return None
    corners = [file.numbers(f"/entry/roi/{name}", 1) for name in ("x0", "y0", "x1", "y1")]
    x0, y0, x1, y1 = (None if found is None else int(found[0]) for found in corners)
    try:
        return Roi.model_validate(
            {"x0": x0, "y0": y0, "x1": x1, "y1": y1,
             "detector": file.text("/entry/roi/detector") or None}
        )  # fmt: skip
    except ValueError as error:
        raise XyeError(f"{file.path}: its ROI cannot be one: {error}") from error


def _raw(file: CheckedFile) -> tuple[Path, str] | None:
    """The raw frames: where the link leads if a file is there, else where they were."""
    link = file.link("/entry/raw")
    if link is None:
        return None
    target = file.path.parent.resolve() / link.filename
    name = file.text("/entry/raw_file")
    found = target.resolve() if target.is_file() or not name else Path(name)
    return found, link.path


def _read_predecessors(file: CheckedFile) -> Contents:
    hits = file.table(_HITS, 3)
    photons = np.zeros(len(hits), PHOTON)
    for index, name in enumerate(("y", "x", "energy")):
        photons[name] = hits[:, index]
    frame = np.full(len(hits), NO_FRAME, np.int64)
    name = "/hits/hits_frame_number"
    if name in file:
        if file.length(name) != len(hits):
            raise XyeError(
                f"{file.path}: {name} has {file.length(name)} rows, but {_HITS} has {len(hits)}; "
                "each photon needs a frame. Was the file written to its end?"
            )
        frame[:] = file.column(name, "iuf")
    bins = EnergyBins()
    return Contents(photons, frame, bins, bins.count(photons))
