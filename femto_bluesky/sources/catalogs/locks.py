"""Who has a file or a directory: locks that end with the process that holds them.

They are advisory, by flock(2): they hold between processes that ask, on one machine and, on most
network file systems, between machines. Where a file system knows no locks, nothing is held and
nothing is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import IO, Any

# struct flock of fcntl(2), as Linux has it on 64 bits: type, whence, start, length, process
_FLOCK = "hhqqi4x"


class LockedError(RuntimeError):
    """A lock that another process holds; `owner` says which, in words."""

    def __init__(self, owner: str, pid: int | None) -> None:
        super().__init__(f"held by {owner}")
        self.owner, self.pid = owner, pid


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; False where somebody else has it.

    Another open file of this very process is somebody else, too. One who only asks whether it is
    locked is in the way for an instant, so it is tried a few times.
    """
    for _ in range(10):
        if _locks(file, fcntl.LOCK_EX):
            return True
        time.sleep(0.002)
    return False


def is_locked(path: Path) -> bool:
    """Whether somebody has locked a file; False where it cannot be opened."""
    try:
        with path.open("rb") as file:
            # shared, so that several who ask at once do not take each other for its owner
            return not _locks(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _locks(file: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks here
    return True


def lock_directory(path: Path) -> IO[str] | None:
    """Lock the directory for this process, by a file at `path`; closing what is returned ends it.

    The file says who has it. None where no file can be written there, or this process has locked
    it already. Raises `LockedError` where another process has it.
    """
    try:
        file = path.open("a+")
    except OSError:
        return None
    if not try_lock(file):
        with file:
            owner, pid = _owner(file)
        if pid == os.getpid():
            return None
        raise LockedError(owner, pid)
    file.truncate(0)
    command = Path(sys.argv[0]).name if sys.argv and sys.argv[0] not in ("", "-c") else "python"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    said = {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": since}
    file.write(json.dumps(said))
    file.flush()
    return file


def process_with_record_lock(path: Path) -> int | None:
    """The process of this machine that holds a POSIX lock on a file, as databases do.

    Asks without locking. To be called only while this process has not opened the file otherwise:
    closing any descriptor of a file ends all POSIX locks that the process has on it.
    """
    if not sys.platform.startswith("linux") or struct.calcsize("P") != 8:
        return None
    try:
        with path.open("rb") as file:
            asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return None
    return pid if kind != fcntl.F_UNLCK and pid > 0 else None


def command_of(pid: int) -> str:
    """A process in words: its number and, where the system tells, its command."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    command = " ".join(word for word in words if word)
    return f"process {pid} ({command[:80]})" if command else f"process {pid}"


def _owner(file: IO[str]) -> tuple[str, int | None]:
    file.seek(0)
    try:
        said = json.loads(file.read())
        who = f"process {said['pid']} on {said['host']} ({said['command']}, since {said['since']})"
        is_here = said["host"] == socket.gethostname()
        return who, int(said["pid"]) if is_here else None
    except (ValueError, KeyError, TypeError):
        return "another process", None
