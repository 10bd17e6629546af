"""Frames that stand in documents, kept on disk while they wait for an analysis that is behind.

Frames in files cost a waiting event nothing. Those in documents cost their size, and a scan that
goes on for hours beside an analysis that hangs would fill the memory.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.stream.events import JoinedEvent
from femto_bluesky.stream.frames import FrameError, InlineFrames, checked_image

log = logging.getLogger(__name__)

IN_MEMORY_BYTES: Final = 256 * 2**20
"""So much waits in memory before the disk is used."""


class SpooledFrames:
    """Frames of one event in the spool's file."""

    def __init__(self, file: IO[bytes], offset: int, like: NDArray[Any], where: str) -> None:
        self._file, self._offset, self._where = file, offset, where
        self._length = len(like)
        self._buffer = np.empty(like.shape[1:], like.dtype)

    def __len__(self) -> int:
        return self._length

    def read(self, index: int) -> NDArray[Any]:
        """Frame `index`."""
        size = self._buffer.nbytes
        view = self._buffer.data.cast("B")
        done, at = 0, self._offset + index * size
        while done < size:
            n = os.preadv(self._file.fileno(), [view[done:]], at + done)
            if n == 0:
                raise FrameError(
                    f"{self._where}: found {done} bytes of the frame where it waited on disk, "
                    f"expected {size}; replay the run"
                )
            done += n
        return checked_image(self._buffer, self._where)

    @property
    def file(self) -> None:
        """There is none that anybody else could open."""

    def close(self) -> None:
        """The room is used again when nothing waits any more."""


class Spool:
    """Moves frames out of waiting events into a temporary file, where too many are in memory.

    The file is in `directory` (None: the system's for temporary files), has no name, and ends with
    the process. Where it cannot be written, frames stay in memory, and the log says so once.
    """

    def __init__(self, directory: Path | None, in_memory_bytes: int | None = None) -> None:
        self.n_bytes = 0
        """Of frames that wait in memory."""
        self.n_on_disk = 0
        """Events whose frames wait on disk."""
        self._directory = directory
        self._limit = IN_MEMORY_BYTES if in_memory_bytes is None else in_memory_bytes
        self._file: IO[bytes] | None = None
        self._lock = threading.RLock()  # a source may be collected in the middle of anything
        self._has_failed = False

    def kept(self, event: JoinedEvent) -> JoinedEvent:
        """The event, with frames that fit in memory there and others on disk."""
        bursts = dict(event.bursts)
        for detector, burst in bursts.items():
            if isinstance(burst.source, InlineFrames):
                held = burst.source.held
                if held is not None:
                    source = self._kept(burst.source, held)
                    bursts[detector] = replace(burst, source=source)
        return replace(event, bursts=bursts)

    def _kept(self, source: InlineFrames, held: NDArray[Any]) -> InlineFrames | SpooledFrames:
        with self._lock:
            if self.n_bytes + held.nbytes > self._limit and not self._has_failed:
                try:
                    return self._written(held, source.where)
                except OSError as error:
                    self._has_failed = True
                    log.error("frames wait in memory: they cannot be kept on disk (%s)", error)
            self.n_bytes += held.nbytes
            weakref.finalize(source, self._left_memory, held.nbytes)
            return source

    def _written(self, held: NDArray[Any], where: str) -> SpooledFrames:
        if self._file is None:
            directory = self._directory
            is_there = directory is not None and directory.is_dir()
            self._file = tempfile.TemporaryFile(dir=directory if is_there else None)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(held).data)
        self._file.flush()
        self.n_on_disk += 1
        source = SpooledFrames(self._file, offset, held, where)
        weakref.finalize(source, self._left_disk)
        return source

    def _left_memory(self, n_bytes: int) -> None:
        with self._lock:
            self.n_bytes -= n_bytes

    def _left_disk(self) -> None:
        with self._lock:
            self.n_on_disk -= 1
            if self.n_on_disk == 0 and self._file is not None:
                self._file.truncate(0)
