"""A photon file that waits for its disk: what cannot be written now is kept and written later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from femto_bluesky.files.names import OutputError
from femto_bluesky.files.photon_file import ROW_BYTES, FrameRow, PhotonFile
from femto_bluesky.kernels.photons import Photons

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A frame that is in no file yet, and the settings with which its photons were found."""

    row: FrameRow
    photons: Photons
    settings: Mapping[str, Any]

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, about."""
        return ROW_BYTES + self.photons.nbytes


class FileGoneError(OutputError):
    """A file that was deleted while it was written."""


class PatientFile:
    """Photons of frames on their way into a photon file, which `begin` makes for the first of them.

    `begin` may raise `OSError`; it is called again with the next `write`.
    """

    def __init__(self, begin: Callable[[Waiting], PhotonFile]) -> None:
        self.file: PhotonFile | None = None
        self.n_told = 0
        """Rows of the file that documents have told of."""
        self.first_rows: dict[int, int] = {}
        """The row of the first photon of each shot that is written since, or is to be."""
        self.lost: set[int] = set()
        """Shots that were in a file which is gone."""
        self._begin = begin
        self._waiting: dict[int, Waiting] = {}
        self._n_bytes = 0
        self._settings: Mapping[str, Any] = {}

    @property
    def waiting_bytes(self) -> int:
        """How much memory is held by what is in no file yet."""
        return self._n_bytes + (0 if self.file is None else self.file.waiting_bytes)

    def append(self, frame: Waiting) -> None:
        """Take a frame; one of the same shot, if there is one, does not count any more."""
        self.retract(frame.row.shot)
        if self.file is None:
            self._waiting[frame.row.shot] = frame
            self._n_bytes += frame.n_bytes
        else:
            self._append(self.file, frame)

    def retract(self, shot: int) -> None:
        """Let the frame of a shot, if there is one, count no more."""
        if shot in self._waiting:
            self._n_bytes -= self._waiting.pop(shot).n_bytes
        self.first_rows.pop(shot, None)
        self.lost.discard(shot)
        if self.file is not None and self.file.holds(shot):
            self.file.retract(shot)

    def write(self) -> PhotonFile | None:
        """Write all that waits, and give the file; None where there is nothing to be written to.

        Raises `OSError` where that fails (`FileGoneError` where the file was deleted, and with it
        what it held); what waits goes on waiting then, and it may be tried again.
        """
        if self.file is not None and self.file.is_gone:
            raise self._gone(self.file)
        if self.file is None and self._waiting:
            file = self._begin(next(iter(self._waiting.values())))
            self.file, self._settings = file, file.info.settings
            for shot, frame in list(self._waiting.items()):
                self._append(file, frame)
                del self._waiting[shot]
            self._n_bytes = 0
        if self.file is not None:
            self.file.flush()
        return self.file

    def close(self) -> set[int]:
        """Close the file; the shots that are in none. What cannot be written has waited enough."""
        file, shots = self.file, {*self.lost, *self._waiting}
        self.file, self._waiting, self._n_bytes, self.lost = None, {}, 0, set()
        if file is not None:
            shots.update(row.shot for row, _, _ in file.take_back())
            try:
                file.close()
            except (OSError, RuntimeError) as error:
                log.error("%s is not closed as it should be: %s", file.path, error)
        return shots

    def _append(self, file: PhotonFile, frame: Waiting) -> None:
        if self._settings is not frame.settings:
            file.change_settings(frame.settings)
            self._settings = frame.settings
        self.first_rows[frame.row.shot] = file.append(frame.row, frame.photons)

    def _gone(self, file: PhotonFile) -> FileGoneError:
        """Let go of a file that is gone; what it has not written waits for another one."""
        lost = file.written_shots()
        self.lost.update(lost)
        waiting = [Waiting(*frame) for frame in file.take_back()]
        self._waiting = {frame.row.shot: frame for frame in waiting}
        self._n_bytes = sum(frame.n_bytes for frame in waiting)
        self.file, self.n_told, self.first_rows = None, 0, {}
        file.close()
        return FileGoneError(
            f"{file.path} was deleted while it was written, with the photons of {len(lost)} "
            "frames; look who does so"
        )
