"""A file that grows line by line, whole lines only; they wait in memory where the disk is full."""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final

from femto_bluesky.files.names import OutputError

WAITING_BYTES: Final = 64 * 2**20
"""So much waits in memory; beyond it what comes is not kept, and no line after it."""

log = logging.getLogger(__name__)


class PatientLines:
    """Lines of text on their way into a file, which `begin` opens, without a buffer, at its end.

    Where that fails, or a line cannot be written, as on a full disk, the log says so once, and it
    is tried again with each line that comes, and when it is closed.
    """

    def __init__(self, begin: Callable[[], BinaryIO]) -> None:
        self.problem = ""
        """Why lines are not written now; empty where all is well."""
        self._begin = begin
        self._file: BinaryIO | None = None
        self._end = 0  # of the last whole line
        self._waiting: deque[bytes] = deque()
        self._n_bytes = self._n_left_out = 0

    def write(self, line: str) -> None:
        """Write a line, which ends with one; now or later. Never raises `OSError`."""
        encoded = line.encode()
        if self._n_left_out or self._n_bytes + len(encoded) > WAITING_BYTES:
            self._n_left_out += 1
        else:
            self._waiting.append(encoded)
            self._n_bytes += len(encoded)
        self._go_on()

    def settle(self) -> None:
        """Write what waits. Raises `OutputError` where that is not possible, and says how much."""
        self._go_on()
        n_lines = len(self._waiting) + self._n_left_out
        if n_lines:
            raise OutputError(f"{n_lines} lines were not written: {self.problem}")

    def close(self) -> None:
        """Close the file. Raises `OutputError` where lines are in none, and says how many."""
        try:
            if self._file is not None or self._waiting:
                self.settle()
        finally:
            file, self._file = self._file, None
            self._waiting.clear()
            self._n_bytes = 0
            if file is not None:
                file.close()

    def _go_on(self) -> None:
        try:
            if self._file is None:
                self._file = self._begin()
                self._end = os.fstat(self._file.fileno()).st_size
            while self._waiting:
                self._append(self._file, self._waiting[0])
                self._n_bytes -= len(self._waiting.popleft())
        except OSError as error:
            if not self.problem:
                log.error("documents wait in memory until they can be written: %s", error)
            self.problem = str(error)
            return
        if self.problem and not self._n_left_out:
            log.warning("documents are written again, and those that waited are")
            self.problem = ""

    def _append(self, file: BinaryIO, line: bytes) -> None:
        try:
            if file.write(line) != len(line):
                # the disk took a part; what is missing would come with the next line, or never
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        except OSError:
            with suppress(OSError):
                file.truncate(file.seek(self._end))
            raise
        self._end += len(line)
