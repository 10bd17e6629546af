"""Runs that former processes left in `waiting`: they were killed, or the catalog was out of order.

Whoever writes a file there, or takes it into a catalog, has it locked. The lock ends with the
process, so a file that nobody has locked is as it will stay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from femto_bluesky.sources.catalogs.locks import is_locked, try_lock
from femto_bluesky.sources.catalogs.runs import RunExistsError


def left_in(waiting: Path) -> list[Path]:
    """The files of runs that nobody writes or takes in, sorted."""
    return sorted(path for path in waiting.glob("*.jsonl") if not is_locked(path))


def take_in(path: Path, insert: Callable[[Path], None]) -> bool:
    """Store a run that was left, and remove its lines; whether they are gone.

    They stay where somebody else has the file, where there is not a line yet, and where the file
    system knows no locks: then nobody can tell whether it is still being written. Raises what
    `insert` raises, but for `RunExistsError`: the catalog has the run, and only the removal was
    missed.
    """
    try:
        with path.open("rb") as file:
            if not try_lock(file) or not is_locked(path):
                return False
            if not path.stat().st_size:
                return False  # a run may begin in it this very moment: it is made, then locked
            with contextlib.suppress(RunExistsError):
                insert(path)
            path.unlink()
    except FileNotFoundError:
        if path.exists():
            raise
    return True
