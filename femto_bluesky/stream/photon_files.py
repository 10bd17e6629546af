"""The photon files of a run: what an analysis hands on is written, and documents say so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from femto_bluesky.files import xye
from femto_bluesky.files.photon_file import FrameRow, PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo
from femto_bluesky.kernels.photons import PHOTON
from femto_bluesky.model.photons import CrowdedFrame, FoundWith, PhotonFrame
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.derived import DerivedRun
from femto_bluesky.stream.events import Burst

FIRST_PHOTON = "_first_photon"
"""Data key `<detector>_first_photon`: the row of the stream where photons begin (from 0)."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """A photon file that is being written; `shots` are those of the present event, with rows."""

    file: PhotonFile
    found_with: FoundWith
    n_told: int = 0
    shots: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Step:
    """Rows of the stream that hold a step's photons; `first` is None where others lie between."""

    number: int
    first: int | None
    stop: int


class PhotonFiles:
    """Writes a photon file for each detector whose frames come as photons, and each raw file.

    `directory` is where they go; with None, where the raw files are (see `files.xye.path_for`).
    When one cannot be written, `failure` says why, the log too, and no more is written in this run.
    """

    def __init__(self, derived: DerivedRun, directory: Path | None, *, is_wanted: bool) -> None:
        self.failure: Exception | None = None
        self._derived = derived
        self._directory = directory
        self._is_wanted = is_wanted
        self._without_file: set[str] = set()
        self._open: dict[tuple[str, ...], _Open] = {}
        self._first_of_shot: dict[str, dict[int, int]] = {}
        self._step: dict[str, _Step] = {}

    def take(self, shot: Shot, burst: Burst, index: int) -> None:
        """Take a shot as the analysis has handed it on; `index` is its place in the burst."""
        frame = shot.frame
        if not isinstance(frame, PhotonFrame | CrowdedFrame) or not self._is_on:
            return
        # counting may have been switched on in the middle of an event: from the next one on
        if self._derived.has_photons(shot.detector) and shot.detector not in self._without_file:
            with self._guarded():
                self._append(shot, frame, burst, index)

    def retract(self, shot: Shot) -> None:
        """Let the photons of a shot count no more, for it is taken again."""
        with self._guarded():
            for (detector, *_), held in self._open.items():
                if detector == shot.detector and held.file.holds(shot.number):
                    held.file.retract(shot.number)

    def flush(self, step: int, *, is_retake: bool, is_whole: bool) -> None:
        """Write what an event of a step has brought, and say so in documents.

        `is_retake`: the event replaces another one. `is_whole`: it is the whole step.
        """
        self._first_of_shot.clear()
        for (detector, *_), held in self._open.items():
            if not self._is_on:
                continue
            with self._guarded():
                held.file.flush()  # also what was taken back and is taken again into another file
                if not held.shots:
                    continue
                stop = held.file.n_photons
                row = self._derived.photons(detector, held.file, held.n_told, stop)
                self._first_of_shot[detector] = {
                    number: row + first - held.n_told for number, first in held.shots.items()
                }
                found = _Step(step, row, row + stop - held.n_told)
                before = self._step.get(detector)
                if before is not None and before.number == step and not is_whole:
                    found.first = None if is_retake else before.first
                self._step[detector] = found
                held.n_told = stop
                held.shots.clear()

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
        """Close the files."""
        for held in self._open.values():
            with self._guarded():
                held.file.close()
        self._open.clear()

    @property
    def _is_on(self) -> bool:
        return self._is_wanted and self.failure is None

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
        # a file tells of one region: where photons are looked for elsewhere, another one begins
        key = shot.detector, str(raw), str(frame.found_with.roi)
        held = self._open.get(key)
        row = FrameRow(
            frame=shot.number if raw is None else burst.start + index,
            shot=shot.number,
            step=shot.step,
            time=shot.time,
            n_hot=frame.n_hot,
            is_crowded=isinstance(frame, CrowdedFrame),
            overlap_share=frame.overlap_share,
            position=shot.position,
            labels=shot.labels,
        )
        if held is None:
            held = self._begin(shot, frame, row, raw)
            if held is None:
                return
            self._open[key] = held
        if held.found_with is not frame.found_with:
            held.file.change_settings(frame.found_with.settings)
            held.found_with = frame.found_with
        photons = frame.photons if isinstance(frame, PhotonFrame) else np.empty(0, PHOTON)
        held.shots[shot.number] = held.file.append(row, photons)

    def _begin(
        self,
        shot: Shot,
        frame: PhotonFrame | CrowdedFrame,
        row: FrameRow,
        raw: tuple[Path, str] | None,
    ) -> _Open | None:
        if raw is None and self._directory is None:
            log.warning(
                "the photons of %r are not written: its frames are in no file beside which they "
                "could stand; give a directory, as in LiveAnalysis(directory=...)", shot.detector,
            )  # fmt: skip
            self._without_file.add(shot.detector)
            return None
        found = frame.found_with
        start = self._derived.start
        info = PhotonFileInfo(
            detector=shot.detector,
            shape=frame.shape,
            settings=found.settings,
            bins=found.bins,
            roi=found.roi,
            run=shot.run,
            start=start,
            raw=raw if raw is not None and raw[1] else None,
            pixel_size_m=shot.pixel_size_m,
        )
        stem = f"scan_{start.get('scan_id', '')}_{shot.detector}"
        path = xye.path_for(raw[0] if raw is not None else None, self._directory, stem)
        return _Open(PhotonFile(path, info, row), found)
