"""Photon files of runs that several workers analyse: each writes parts, which are joined.

A part (.npz) holds photons of a piece on one detector. It appears under its name when it is
complete, and the name is that of its first shot: what is done twice is there once. The joined file
holds what one process would have written.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from femto_bluesky.files import xye
from femto_bluesky.files.names import new_file
from femto_bluesky.files.photon_file import FrameRow, PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo, settings_record
from femto_bluesky.kernels.photons import Photons
from femto_bluesky.model.photons import CrowdedFrame, EnergyBins, PhotonFrame
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import Shot
from femto_bluesky.reprocess.pieces import Piece
from femto_bluesky.stream.events import Burst
from femto_bluesky.stream.photon_rows import photons_of, row_of

RawFrames = tuple[Path, str]
"""The file and the dataset where raw frames are; the dataset is empty where there is none."""

PART_BYTES: Final = 64 * 2**20
"""Photons that are held in memory at most, before a part is written."""

_JOINED_BYTES: Final = 16 * 2**20
_SUFFIX: Final = ".part.npz"
_TARGET: Final = "target"

_Row = tuple[FrameRow, Photons, Mapping[str, Any]]
"""A frame, its photons, and the settings with which they were found."""


@dataclass(slots=True)
class _Part:
    """What waits to be written of one detector and raw file."""

    folder: Path
    info: dict[str, Any]
    rows: list[_Row] = field(default_factory=list)
    n_bytes: int = 0


class PhotonPartWriter:
    """Takes the shots of one piece and writes its parts; see `folding.PartWriter`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[tuple[str, ...], _Part] = {}
        self._n_frames = 0

    def take(self, handed_on: Shot, burst: Burst, index: int) -> None:
        """Take a shot as the analysis has handed it on; what are no photons is left.

        Raises `OSError` where a part cannot be written.
        """
        shot, frame = handed_on, handed_on.frame
        if not isinstance(frame, PhotonFrame | CrowdedFrame):
            return
        raw = None if burst.source is None else burst.source.file
        # a file tells of one region and one file of raw frames
        key = shot.detector, str(raw), str(frame.found_with.roi)
        part = self._parts.get(key)
        if part is None:
            name = hashlib.sha256("\0".join(key).encode()).hexdigest()[:12]
            folder = self._folder / shot.run / f"{shot.detector}-{name}"
            part = self._parts[key] = _Part(folder, _info(shot, frame, raw))
        row, photons = row_of(shot, frame, burst, index), photons_of(frame).copy()
        part.rows.append((row, photons, frame.found_with.settings))
        part.n_bytes += photons.nbytes
        self._n_frames += 1
        if part.n_bytes >= PART_BYTES:
            _write(part)

    def end(self) -> int | None:
        """Write what waits; how many frames there were. Raises `OSError`."""
        for part in self._parts.values():
            _write(part)
        return self._n_frames or None

    def abandon(self) -> None:
        """Let go of what waits. What was written is whole and true, and will be written again."""
        self._parts.clear()


def _info(shot: Shot, frame: PhotonFrame | CrowdedFrame, raw: RawFrames | None) -> dict[str, Any]:
    """What a part says once, as plain data."""
    bins, roi = frame.found_with.bins, frame.found_with.roi
    return {
        "detector": shot.detector,
        "shape": list(frame.shape),
        "bins": [bins.width_adu, bins.n],
        "roi": None if roi is None else roi.model_dump(),
        "run": shot.run,
        "raw": None if raw is None else [str(raw[0]), raw[1]],
        "pixel_size_m": shot.pixel_size_m,
    }


def _write(part: _Part) -> None:
    """Write the rows that wait; the part appears when it is complete."""
    if not part.rows:
        return
    part.folder.mkdir(parents=True, exist_ok=True)
    settings: list[str] = []
    rows = []
    for row, photons, found_with in part.rows:
        record = settings_record(found_with).decode()
        if not settings or record != settings[-1]:
            settings.append(record)
        rows.append([asdict(row), len(photons), len(settings) - 1])
    told = {"info": part.info, "rows": rows, "settings": list(map(json.loads, settings))}
    new = part.folder / f".{secrets.token_hex(8)}.npz"
    try:
        np.savez(
            new,
            photons=np.concatenate([photons for _, photons, _ in part.rows]),
            told=np.frombuffer(json.dumps(told).encode(), np.uint8),
        )
        new.replace(part.folder / f"{part.rows[0][0].shot:012d}{_SUFFIX}")
    finally:
        new.unlink(missing_ok=True)
    part.rows.clear()
    part.n_bytes = 0


@dataclass(frozen=True, slots=True)
class PhotonParts:
    """Where the parts of all runs are, on a disk that all workers share; see `folding.Parts`."""

    path: Path

    def begin(self, piece: Piece) -> PhotonPartWriter:
        """What takes the shots of this piece."""
        return PhotonPartWriter(self.path)

    def join(self, run: str, start: Mapping[str, Any], out: Path) -> list[Path]:
        """Join the parts of a run into photon files in `out`, one for each detector and raw file.

        `start` is what the files say of the run. What was joined by a process that has ended since
        is not joined again. Raises `OutputError` where a file cannot be written.
        """
        folders = (self.path / run).glob("*") if (self.path / run).is_dir() else ()
        there = {folder: sorted(folder.glob(f"*{_SUFFIX}")) for folder in folders}
        named = [(f.name.rpartition("-")[0], of[0].name, f) for f, of in there.items() if of]
        return [_joined(folder, there[folder], start, out) for _, _, folder in sorted(named)]

    def joined(self) -> list[Path]:
        """The files that were joined of what is here, or were to be."""
        return [
            Path(noted.read_text(encoding="utf-8")) for noted in self.path.glob(f"*/*/{_TARGET}")
        ]

    def remove(self) -> None:
        """Remove all parts, when all is joined."""
        shutil.rmtree(self.path, ignore_errors=True)


def _joined(folder: Path, parts: list[Path], start: Mapping[str, Any], out: Path) -> Path:
    noted = folder / _TARGET
    if noted.exists():
        target = Path(noted.read_text(encoding="utf-8"))
        if target.is_file():
            return target
    told, _ = _read(parts[0])
    about = told["info"]
    raw = None if about["raw"] is None else (Path(about["raw"][0]), about["raw"][1])
    stem = f"scan_{start.get('scan_id', '')}_{about['detector']}"
    target = xye.path_for(None if raw is None else raw[0], out, stem)
    with noted.open("w", encoding="utf-8") as file:
        file.write(str(target))
        file.flush()
        os.fsync(file.fileno())
    rows, columns = about["shape"]
    info = PhotonFileInfo(
        detector=about["detector"],
        shape=(rows, columns),
        settings=told["settings"][0],
        bins=EnergyBins(*about["bins"]),
        roi=None if about["roi"] is None else Roi.model_validate(about["roi"]),
        run=about["run"],
        start=start,
        raw=raw if raw is not None and raw[1] else None,
        pixel_size_m=None if about["pixel_size_m"] is None else tuple(about["pixel_size_m"]),
    )
    with new_file(target) as new:
        new.unlink()  # a photon file makes itself
        _copy(parts, new, info)
        with h5py.File(new, "r+", libver="latest") as file:
            file.attrs["file_name"] = target.name
    return target


def _copy(parts: list[Path], new: Path, info: PhotonFileInfo) -> None:
    target: PhotonFile | None = None
    last, used = -1, info.settings
    try:
        for row, photons, settings in _in_order(parts):
            if row.shot == last:
                continue  # of a piece that was cut in another way, before it was broken off
            last = row.shot
            if target is None:
                target = PhotonFile(new, info, row)
            if settings is not used:
                target.change_settings(settings)
                used = settings
            target.append(row, photons)
            if target.waiting_bytes > _JOINED_BYTES:
                target.flush()
    finally:
        if target is not None:
            target.close()


def _in_order(parts: list[Path]) -> Iterator[_Row]:
    """The frames of all parts in the order of their shots; a part is read when it is reached."""
    waiting = sorted(((int(path.name.partition(".")[0]), path) for path in parts), reverse=True)
    active: list[tuple[int, int, _Row, Iterator[_Row]]] = []

    def push(number: int, rows: Iterator[_Row]) -> None:
        row = next(rows, None)
        if row is not None:
            heapq.heappush(active, (row[0].shot, number, row, rows))

    while waiting or active:
        while waiting and (not active or waiting[-1][0] <= active[0][0]):
            number, path = waiting.pop()
            push(len(waiting), _rows_of(path))
        _, number, row, rows = heapq.heappop(active)
        yield row
        push(number, rows)


def _rows_of(path: Path) -> Iterator[_Row]:
    """The frames of one part."""
    told, photons = _read(path)
    first = 0
    for row, n, index in told["rows"]:
        yield FrameRow(**row), photons[first : first + n], told["settings"][index]
        first += n


def _read(path: Path) -> tuple[dict[str, Any], Photons]:
    """What a part says, and its photons."""
    with np.load(path, allow_pickle=False) as part:
        return json.loads(part["told"].tobytes()), part["photons"]
