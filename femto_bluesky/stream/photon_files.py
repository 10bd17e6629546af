"""The photon files of a run: what an analysis hands on is written, and documents say so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from femto_bluesky.files import xye
from femto_bluesky.files.names import OutputError, new_path
from femto_bluesky.files.photon_file import PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo
from femto_bluesky.model.photons import CrowdedFrame, PhotonFrame
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.derived import DerivedRun
from femto_bluesky.stream.events import Burst
from femto_bluesky.stream.patient_file import FileGoneError, PatientFile, Waiting
from femto_bluesky.stream.photon_rows import photons_of, row_of

FIRST_PHOTON = "_first_photon"
"""Data key `<detector>_first_photon`: the row of the stream where photons begin (from 0)."""

WAITING_BYTES: Final = 256 * 2**20
"""So much of a run's photons waits in memory where they cannot be written."""

MAX_SPANS: Final = 5
"""So many spans of shots are named."""

_Key = tuple[str, ...]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """A photon file that is being written; `now` are the shots of the present event."""

    file: PatientFile
    now: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Place:
    """Where a photon file is to be, and what it says of itself; `path` when that was tried."""

    raw: Path | None
    info: PhotonFileInfo
    path: Path | None = None
    is_used: bool = False


@dataclass(slots=True)
class _Step:
    """The row of the stream where a step's photons begin; None where they do not lie together."""

    number: int
    first: int | None


class PhotonFiles:
    """Writes a photon file for each detector whose frames come as photons, and each raw file.

    `directory` is where they go; with None, where the raw files are (see `files.xye.path_for`).

    Where one cannot be written, as on a full disk, the log says so once, `problem` as long as it is
    so, and photons wait in memory; when they are `WAITING_BYTES`, those of frames to come are left
    out. It is tried again with each event, and at the end. What is in no file then stands in
    `not_written`, and in `failure`. Documents tell only of what is in a file.
    """

    def __init__(self, derived: DerivedRun, directory: Path | None, *, is_wanted: bool) -> None:
        self.failure: Exception | None = None
        self.problem = ""
        """Why photons are not written now; empty where all is well."""
        self.not_written: dict[str, set[int]] = {}
        """The shots of each detector whose photons are in no file."""
        self._why = ""  # the last problem there was
        self._failing: set[_Key] = set()
        self._is_full = False
        self._derived = derived
        self._directory = directory
        self._is_wanted = is_wanted
        self._without_file: set[str] = set()
        self._open: dict[_Key, _Open] = {}
        self._first_of_shot: dict[str, dict[int, int]] = {}
        self._step: dict[str, _Step] = {}
        self._cut: set[str] = set()  # detectors of which not all of an event is written

    def take(self, shot: Shot, burst: Burst, index: int) -> None:
        """Take a shot as the analysis has handed it on; `index` is its place in the burst."""
        frame = shot.frame
        if not isinstance(frame, PhotonFrame | CrowdedFrame) or not self._is_wanted:
            return
        # counting may have been switched on in the middle of an event: from the next one on
        if not self._derived.has_photons(shot.detector) or shot.detector in self._without_file:
            return
        if self.failure is None and self._has_memory():
            with self._guarded():
                self._append(shot, frame, burst, index)
                return
        self.not_written.setdefault(shot.detector, set()).add(shot.number)
        self._cut.add(shot.detector)

    def retract(self, shot: Shot) -> None:
        """Let the photons of a shot count no more, for it is taken again."""
        self.not_written.get(shot.detector, set()).discard(shot.number)
        with self._guarded():
            for (detector, *_), held in self._open.items():
                if detector == shot.detector:
                    held.file.retract(shot.number)

    def flush(self, step: int, *, is_retake: bool, is_whole: bool) -> None:
        """Write what an event of a step has brought, and say so in documents.

        `is_retake`: the event replaces another one. `is_whole`: it is the whole step.
        """
        self._first_of_shot.clear()
        for key, held in self._open.items():
            detector = key[0]
            now, held.now = held.now, []
            with self._guarded():
                # also what was taken back and is taken again into another file
                rows = self._write(key, held)
                if not now:
                    continue
                firsts = {number: rows[number] for number in now if number in rows}
                self._first_of_shot.setdefault(detector, {}).update(firsts)
                found = _Step(step, firsts.get(now[0]))
                before = self._step.get(detector)
                if before is not None and before.number == step and not is_whole:
                    found.first = None if is_retake else before.first
                self._step[detector] = found
        for detector in self._cut:
            self._step[detector] = _Step(step, None)
        self._cut.clear()

    def of_shot(self, number: int) -> dict[str, int | None]:
        """Where in the stream the photons of a shot of the last event begin."""
        return {
            f"{detector}{FIRST_PHOTON}": firsts.get(number)
            for detector, firsts in self._first_of_shot.items()
        }

    def of_step(self, number: int) -> dict[str, int | None]:
        """Where in the stream the photons of a step begin; None where others lie between them."""
        return {
            f"{detector}{FIRST_PHOTON}": step.first
            for detector, step in self._step.items()
            if step.number == number
        }

    def close(self) -> None:
        """Write what waits, if it can be, and close the files; what is in none is a failure."""
        for key, held in self._open.items():
            with self._guarded():
                self._write(key, held)
            with self._guarded():
                self.not_written.setdefault(key[0], set()).update(held.file.close())
        self._open.clear()
        n_frames = sum(map(len, self.not_written.values()))
        if n_frames:
            shots = in_words(set().union(*self.not_written.values()))
            why = self.failure or self._why
            self.failure = OutputError(f"those of {n_frames} frames ({shots}): {why}")
            log.error("photons were not written: %s", self.failure)

    def _has_memory(self) -> bool:
        """Whether the photons of a frame that comes can be kept until they are written."""
        if self.problem and not self._is_full:
            n_bytes = sum(held.file.waiting_bytes for held in self._open.values())
            if n_bytes >= WAITING_BYTES:
                self._is_full = True
                log.error(
                    "%.0f MB of photons wait in memory for a disk; those of the frames that come "
                    "are counted and not kept, until they can be written again", n_bytes / 1e6,
                )  # fmt: skip
        return not self._is_full

    def _write(self, key: _Key, held: _Open) -> dict[int, int]:
        """Write and tell what waits; for each of its shots the row of the stream to look at."""
        if self.failure is not None:
            return {}
        file = held.file
        try:
            try:
                found = file.write()
            except FileGoneError as error:
                self._why = str(error)
                log.error("%s; what comes now is written into another file", error)
                found = file.write()
        except OSError as error:
            self._fails(key, error)
            return {}
        self._works(key)
        told, firsts, file.first_rows = file.n_told, file.first_rows, {}
        if found is None or not firsts:
            return {}
        file.n_told = found.n_photons
        row = self._derived.photons(key[0], found, told, file.n_told)
        return {number: row + first - told for number, first in firsts.items()}

    def _fails(self, key: _Key, error: OSError) -> None:
        if not self._failing:
            log.error("photons wait in memory until they can be written: %s", error)
        self._failing.add(key)
        self.problem = self._why = str(error)

    def _works(self, key: _Key) -> None:
        if key in self._failing:
            self._failing.remove(key)
            if not self._failing:
                self.problem, self._is_full = "", False
                log.warning("photons are written again, and those that waited are")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Whatever goes wrong with a file must not stop the analysis."""
        try:
            yield
        except Exception as failure:
            if self.failure is None:
                log.exception("photons are not written any more in this run")
                self.failure = failure

    def _append(
        self, shot: Shot, frame: PhotonFrame | CrowdedFrame, burst: Burst, index: int
    ) -> None:
        raw = None if burst.source is None else burst.source.file
        if raw is None and self._directory is None:
            log.warning(
                "the photons of %r are not written: its frames are in no file beside which they "
                "could stand; give a directory, as in LiveAnalysis(directory=...)", shot.detector,
            )  # fmt: skip
            self._without_file.add(shot.detector)
            return
        # a file tells of one region: where photons are looked for elsewhere, another one begins
        key = shot.detector, str(raw), str(frame.found_with.roi)
        held = self._open.get(key)
        if held is None:
            place = _Place(None if raw is None else raw[0], self._info(shot, frame, raw))
            held = _Open(PatientFile(partial(self._begin, place)))
            self._open[key] = held
        row = row_of(shot, frame, burst, index)
        held.file.append(Waiting(row, photons_of(frame), frame.found_with.settings))
        held.now.append(shot.number)

    def _info(
        self, shot: Shot, frame: PhotonFrame | CrowdedFrame, raw: tuple[Path, str] | None
    ) -> PhotonFileInfo:
        return PhotonFileInfo(
            detector=shot.detector,
            shape=frame.shape,
            settings=frame.found_with.settings,
            bins=frame.found_with.bins,
            roi=frame.found_with.roi,
            run=shot.run,
            start=self._derived.start,
            raw=raw if raw is not None and raw[1] else None,
            pixel_size_m=shot.pixel_size_m,
        )

    def _begin(self, place: _Place, frame: Waiting) -> PhotonFile:
        path = place.path
        # a name that was found is kept while it is tried: the log says which are taken
        if path is None or place.is_used or os.path.lexists(path) or not path.parent.is_dir():
            stem = f"scan_{self._derived.start.get('scan_id', '')}_{place.info.detector}"
            path = xye.path_for(place.raw, self._directory, stem)
            if place.is_used and path == place.path:  # documents tell of another file there
                path = new_path(path.parent, f"{path.stem}_again", ".h5")
            place.path, place.is_used = path, False
        file = PhotonFile(path, replace(place.info, settings=frame.settings), frame.row)
        place.is_used = True
        return file


def in_words(shots: set[int]) -> str:
    """Which shots these are, the first spans of them.

    >>> in_words({3, 4, 5, 9})
    'shots 3 to 5, 9'
    """
    numbers = sorted(shots)
    starts = [n for n in numbers if n - 1 not in shots]
    spans = [
        f"{first} to {last}" if last > first else f"{first}"
        for first, last in zip(starts, (n for n in numbers if n + 1 not in shots), strict=True)
    ]
    if len(spans) > MAX_SPANS:
        spans = [*spans[: MAX_SPANS - 1], f"and others up to {numbers[-1]}"]
    return f"shots {', '.join(spans)}"
