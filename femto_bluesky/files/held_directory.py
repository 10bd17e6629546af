"""A directory that one process writes into."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

LOCK = ".lock"


class HeldElsewhereError(OSError):
    """Another process holds the directory; the message says which."""


class HeldDirectory:
    """Holds a directory (made where it is missing) until `let_go` or the end of the process.

    The lock is the operating system's, so that it ends with the process however that ends.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: IO[str] | None = None

    @property
    def is_held(self) -> bool:
        """Whether it is held by this."""
        return self._lock is not None

    def hold(self) -> None:
        """Hold it, if it is not held already.

        Raises `HeldElsewhereError` where another process does (in this process, where another
        `HeldDirectory` does), and `OSError` where nothing can be written there.
        """
        if self._lock is not None:
            return
        import fcntl  # not everywhere, and whoever keeps no sums can do without

        self.directory.mkdir(parents=True, exist_ok=True)
        # never deleted: who deletes a lock file can leave two who hold two files of one name
        lock = (self.directory / LOCK).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read(80).strip() or "another process"
            lock.close()
            raise HeldElsewhereError(f"{who} keeps its sums in {self.directory}") from None
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        # where the disk is full it is held all the same, only not by name
        with suppress(OSError):
            lock.truncate(0)
            lock.write(f"process {os.getpid()}\n")
            lock.flush()

    def let_go(self) -> None:
        """Let go of it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            # what was not written in `hold` may fail once more; the lock is gone with the file
            with suppress(OSError):
                lock.close()
