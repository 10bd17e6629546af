"""The photon file: what was found on the frames of one detector, one row a photon.

It can be read while it grows, and what is flushed stays when the writer is killed. Layout::

    /entry                    NXentry    default = "energy_histogram"
    /entry/photons            NXcollection: y, x, energy, frame, flags; one row a photon
    /entry/frames             NXdata     n_photons against shot, and other columns; one row a frame
    /entry/energy_histogram   NXdata     counts against energy
    /entry/offsets            NXdata     y, x: how often each offset from a pixel's centre came
    /entry/process            NXprocess  program, version, settings (JSON, a row for each change)
    /entry/roi, shape, pixel_size, detector, scan_id, start_time, start_document
    /entry/raw                link to the raw frames; raw_file, raw_dataset: the same as text

A frame counts from the moment when `n_photons` has its row, which is written last. Of two frames of
the same shot the later one counts, and the earlier one is marked in `superseded`; the photons of a
frame so marked count in neither histogram nor offsets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from femto_bluesky.files import photon_header as header
from femto_bluesky.files.growing import Column, as_text
from femto_bluesky.files.names import OutputError
from femto_bluesky.files.opening import close_hdf5, create_hdf5, is_gone, take_room
from femto_bluesky.files.photon_header import PhotonFileError, PhotonFileInfo
from femto_bluesky.files.stacks import file_uri
from femto_bluesky.kernels.photons import PHOTON, Photons
from femto_bluesky.model import eta

logger = logging.getLogger(__name__)

ROW_BYTES = 1024
"""What a frame without photons takes in memory, about."""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """What is kept of one frame beside its photons.

    `frame` is its index in the raw dataset, or the shot number where there is none. `time` is in
    seconds since 1970. A label that is missing is NaN.
    """

    frame: int
    shot: int
    step: int = 0
    time: float = 0.0
    n_hot: int = 0
    is_crowded: bool = False
    overlap_share: float = 0.0
    position: Mapping[str, float | str] = field(default_factory=dict)
    labels: Mapping[str, float] = field(default_factory=dict)


class PhotonFile:
    """A new photon file. Rows are kept in memory until `flush`.

    HDF5 takes no new dataset once others may read, so the position and the labels of the row `like`
    say which columns there are; what a later row has beyond them is left out, and the log says so.
    Raises `OutputExistsError` where `path` is taken, `OutputError` where it cannot be written, and
    `PhotonFileError` for settings that are no JSON.
    """

    def __init__(self, path: Path, info: PhotonFileInfo, like: FrameRow) -> None:
        self.path = path.absolute()
        self.info = info
        # see `growing`: no chunk cache
        self._file = create_hdf5(self.path, chunk_cache_bytes=0)
        try:
            self._settings = header.write_header(self._file, self.path, info)
            self._photons = header.photon_columns(self._file["entry"])
            self._frames = header.frame_columns(self._file["entry"])
            self._readings = header.reading_columns(self._file["entry"], like.position, like.labels)
            self._histogram = header.write_histogram(self._file["entry"], info.bins)
            self._offsets = header.write_offsets(self._file["entry"])
            self._file.swmr_mode = True
        except BaseException:
            close_hdf5(self._file)
            with suppress(OSError):
                self.path.unlink()
            raise
        self._counts = np.zeros(info.bins.n, np.int64)
        self._offset_counts = np.zeros((2, eta.N_BINS), np.int64)
        self._records = [header.settings_record(info.settings)]
        self._n_records = 1  # in the file, as all that follow
        self._n_photons = self._n_frames = self._n_waiting = 0
        self._pending: list[tuple[FrameRow, Photons, int, int]] = []
        self._superseded: list[int] = []
        self._row_of_shot: dict[int, tuple[int, int, int]] = {}
        self._warned: set[str] = set()

    @property
    def uri(self) -> str:
        """The file as documents name it."""
        return file_uri(self.path)

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What a stream_resource says of each column of the photons."""
        return {
            name: {"dataset": column.data.name, "chunk_shape": list(column.data.chunks),
                   "swmr": True}
            for name, column in self._photons.items()
        }  # fmt: skip

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """The type of each column of the photons."""
        return {name: column.dtype for name, column in self._photons.items()}

    @property
    def n_photons(self) -> int:
        """How many rows the photons have, flushed or not, superseded or not."""
        return self._n_photons + self._n_waiting

    @property
    def n_frames(self) -> int:
        """How many rows the frames have in the file, superseded or not."""
        return self._n_frames

    @property
    def waiting_bytes(self) -> int:
        """How much memory is held by what was appended and is not in the file yet."""
        return self._n_waiting * PHOTON.itemsize + len(self._pending) * ROW_BYTES

    def written_shots(self) -> list[int]:
        """The shots whose frames are in the file and count."""
        return [s for s, (place, _, _) in self._row_of_shot.items() if place < self._n_frames]

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted while it is written."""
        return is_gone(self._file)

    def append(self, row: FrameRow, photons: Photons) -> int:
        """Add a frame with its photons; return the row of its first photon.

        A frame of the same shot, if there is one, does not count any more.
        """
        if not self._file:
            raise PhotonFileError(f"{self.path} is closed; append to it before")
        if photons.dtype != PHOTON or photons.ndim != 1:
            raise PhotonFileError(
                f"{self.path}: append photons as a list of {PHOTON}; found {photons.ndim} "
                f"dimensions of {photons.dtype}"
            )
        counts, offset_counts = self.info.bins.count(photons), eta.count_offsets(photons)
        if row.shot in self._row_of_shot:
            self.retract(row.shot)
        first = self.n_photons
        place = self._n_frames + len(self._pending)
        self._pending.append((row, photons.copy(), first, len(self._records) - 1))
        self._n_waiting += len(photons)
        self._row_of_shot[row.shot] = place, first, len(photons)
        self._counts += counts
        self._offset_counts += offset_counts
        return first

    def holds(self, shot: int) -> bool:
        """Whether a frame of a shot is there and counts."""
        return shot in self._row_of_shot

    def retract(self, shot: int) -> None:
        """Let the frame of a shot count no more; its rows stay, marked as superseded."""
        if shot not in self._row_of_shot:
            raise PhotonFileError(f"{self.path} has no frame of shot {shot} that counts")
        place, first, n = self._row_of_shot[shot]
        if place >= self._n_frames:
            photons = self._pending[place - self._n_frames][1]
        else:
            photons = np.empty(n, PHOTON)
            for name in PHOTON.names or ():
                photons[name] = self._photons[name].read(first, n)
        del self._row_of_shot[shot]
        self._superseded.append(place)
        self._counts -= self.info.bins.count(photons)
        self._offset_counts -= eta.count_offsets(photons)

    def change_settings(self, settings: Mapping[str, Any]) -> None:
        """The settings with which the photons of the frames that follow are found.

        Raises `PhotonFileError` where they have no room: it is fixed when the file is made.
        """
        record = header.settings_record(settings)
        room = self._settings.dtype.itemsize
        if len(record) > room:
            raise PhotonFileError(
                f"{self.path}: the new settings have {len(record)} bytes as JSON, but {room} were "
                "set aside when the file was made; begin a new file with them"
            )
        if record != self._records[-1]:
            self._records.append(record)

    def take_back(self) -> list[tuple[FrameRow, Photons, dict[str, Any]]]:
        """What was appended and is not in the file, with its settings; it will not be written.

        Frames that were taken again count no more all the same; that takes no room.
        """
        waiting = [
            (row, photons, json.loads(self._records[index]))
            for place, (row, photons, _, index) in enumerate(self._pending, self._n_frames)
            if self._row_of_shot.get(row.shot, (-1,))[0] == place
        ]
        for row, photons, _ in waiting:
            del self._row_of_shot[row.shot]
            self._counts -= self.info.bins.count(photons)
            self._offset_counts -= eta.count_offsets(photons)
        self._pending, self._n_waiting = [], 0
        self._superseded = [place for place in self._superseded if place < self._n_frames]
        return waiting

    def flush(self) -> None:
        """Write what was appended: the photons first, then what makes their frames count.

        A reader never sees a frame whose photons are missing, nor a shot without its frame when it
        was taken again; not even where the writer is killed in between. Raises `OutputError` where
        that fails, as on a full disk; nothing is lost then, and it may be tried again. The file is
        then as after the last flush, and so it is left when it is closed.
        """
        if not self._pending and not self._superseded:
            return
        n_photons = [len(photons) for _, photons, _, _ in self._pending]
        column = self._frames["n_photons"]
        try:
            if self._pending:
                take_room(self._file, self._growth())
                self._write_photons()
                self._write_frames()
                self._file.flush()
                take_room(self._file, column.growth(len(n_photons)))
                column.write(self._n_frames, n_photons)
                # rows beyond the end are seen after a flush, others as soon as they are written
                self._file.flush()
            for place in self._superseded:
                self._frames["superseded"].write(place, [1])
            self._histogram[...] = self._counts
            for dataset, counts in zip(self._offsets, self._offset_counts, strict=True):
                dataset[...] = counts
            self._file.flush()
        except OutputError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise OutputError(
                f"cannot write photons to {self.path}: {error}; make room on the disk, or see "
                "whether it is still there"
            ) from error
        self._n_photons, self._n_frames = self.n_photons, self._n_frames + len(self._pending)
        self._n_records = len(self._records)
        self._pending, self._superseded, self._n_waiting = [], [], 0

    def close(self) -> None:
        """Flush and close the file. A second call does nothing."""
        if self._file:
            try:
                self.flush()
            finally:
                close_hdf5(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _growth(self) -> int:
        """How many bytes the columns grow by with what is pending."""
        n_records = len(self._records) - self._n_records
        of_frames = [self._frames, *self._readings.values()]
        return (
            self._settings.growth(n_records)
            + sum(column.growth(self._n_waiting) for column in self._photons.values())
            + sum(c.growth(len(self._pending)) for columns in of_frames for c in columns.values())
        )

    def _write_photons(self) -> None:
        self._settings.write(self._n_records, self._records[self._n_records :])
        if self.n_photons == self._n_photons:
            return
        photons = np.concatenate([photons for _, photons, _, _ in self._pending])
        for name in PHOTON.names or ():
            self._photons[name].write(self._n_photons, photons[name])
        frames = [row.frame for row, _, _, _ in self._pending]
        counts = [len(photons) for _, photons, _, _ in self._pending]
        self._photons["frame"].write(self._n_photons, np.repeat(frames, counts))

    def _write_frames(self) -> None:
        """All columns but the one that makes the frames count."""
        rows = [row for row, _, _, _ in self._pending]
        values: dict[str, list[Any]] = {
            "frame": [row.frame for row in rows],
            "shot": [row.shot for row in rows],
            "step": [row.step for row in rows],
            "first_photon": [first for _, _, first, _ in self._pending],
            "n_hot_pixels": [row.n_hot for row in rows],
            "is_crowded": [row.is_crowded for row in rows],
            "overlap_share": [row.overlap_share for row in rows],
            "time": [row.time for row in rows],
            "superseded": [0] * len(rows),
            "settings_index": [index for _, _, _, index in self._pending],
        }
        for name, column in values.items():
            self._frames[name].write(self._n_frames, column)
        for role, columns in self._readings.items():
            of_rows = [row.position if role == "position" else row.labels for row in rows]
            for readings in of_rows:
                for name in readings.keys() - columns.keys():
                    self._warn(f"{role} {name!r}", "there is no column for it and it is left out")
            for name, reading in columns.items():
                found = [self._value(role, name, reading, of_row) for of_row in of_rows]
                reading.write(self._n_frames, found)

    def _value(
        self, role: str, name: str, column: Column, readings: Mapping[str, Any]
    ) -> bytes | float:
        """A reading as its column takes it; NaN, or no text, where it is missing."""
        value = readings.get(name)
        if column.dtype.kind == "S":
            text = as_text("" if value is None else value, column.dtype.itemsize)
            if value is not None and text.decode() != str(value):
                self._warn(f"{role} {name!r}", f"its text is cut to {len(text)} bytes")
            return text
        try:
            return float("nan" if value is None else value)
        except (TypeError, ValueError):
            self._warn(f"{role} {name!r}", f"{value!r} is not a number as before; written as NaN")
            return float("nan")

    def _warn(self, what: str, why: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s: %s: %s (said once)", self.path, what, why)
