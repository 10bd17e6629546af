"""Disks that are small, full, read-only or forbidden, as the kernel makes them."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def size_limit(n_bytes: int) -> Iterator[None]:
    """No file of this process may become larger, which the kernel sees to, as with a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SmallDisk:
    """A file system of some MB in memory, mounted for a test; `fill` and `free` change its room."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes, by a file that somebody else has written."""
        self.free()
        state = os.statvfs(self.path)
        n_bytes = state.f_bavail * state.f_frsize - leave
        with self._filler.open("wb") as file:
            if n_bytes > 0:
                os.posix_fallocate(file.fileno(), 0, n_bytes)

    def free(self) -> None:
        """Delete what fills it."""
        self._filler.unlink(missing_ok=True)

    def remount(self, how: str) -> bool:
        """Make it read-only (`ro`) or not (`rw`); False where the kernel refuses."""
        command = ["mount", "-o", f"remount,{how}", str(self.path)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """A disk in a folder that is made for it; skips where nothing may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"a small disk is mounted by root only: {done.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def plain_user() -> Iterator[Path]:
    """A folder of a user whom permissions hold for; root becomes nobody while it lasts."""
    with tempfile.TemporaryDirectory(prefix="femto_", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        if os.geteuid():
            yield folder
            return
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)
            with suppress(OSError):
                folder.chmod(0o700)
