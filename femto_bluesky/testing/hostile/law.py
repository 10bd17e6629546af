"""What holds for each hostile input at each door, and how it is watched."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

LONGEST_S: Final = 1.0
"""So long one input may take."""

LARGEST_MB: Final = 100.0
"""So much more memory one input may take than was taken before it."""

LONGEST_WORDS: Final = 20_000
"""Characters of a refusal: it goes to a log and a page, and input must not flood them."""

GIVE_UP_S: Final = 20
"""After so long an input is interrupted: it would go on for ever."""


class LawBrokenError(AssertionError):
    """An input has done what none may do; the message says which, and what."""


class _HangError(BaseException):
    """Nothing that isolates errors may catch this one."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where input of others comes in.

    `make` makes an input out of chance and its number (the first ones are made by hand), and may
    lay files into the folder that it is given. `enter` gives it to the door, and gives back the
    words of a refusal where the door refuses without an exception; it may write into the folder
    `out` of the one that it is given. `refusals` are the exceptions that the door says it raises.
    """

    name: str
    make: Callable[[Random, int, Path], Any]
    enter: Callable[[Any, Path], str | None]
    refusals: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """What came of one input: the words with which it was refused (None: taken), and its cost."""

    refused: str | None
    seconds: float
    megabytes: float


def passed(
    door: Door, number: int, folder: Path, chance: Callable[[], Random] | None = None
) -> Passage:
    """Give a door the input of a number, which is always the same; `folder` is emptied.

    What would be chance is taken from the door's name and the number, or else from `chance`.

    Raises `LawBrokenError` where the door lets out anything but its documented errors, takes more
    than a second or 100 MB, runs code that the input brings, or touches a file outside of `out`.
    """
    found = _tried(door, number, folder, chance)
    if found.seconds > LONGEST_S:
        # tracing memory takes time, and what is needed once is loaded now
        again = _tried(door, number, folder, chance, is_traced=False)
        found = replace(found, seconds=min(found.seconds, again.seconds))
    if found.megabytes > LARGEST_MB:
        again = _tried(door, number, folder, chance)
        found = replace(found, megabytes=min(found.megabytes, again.megabytes))
    _hold(found.seconds <= LONGEST_S, door, number, f"took {found.seconds:.1f} s")
    _hold(found.megabytes <= LARGEST_MB, door, number, f"took {found.megabytes:.0f} MB")
    words = found.refused
    if words is not None:
        _hold(words.strip() != "", door, number, "was refused without a word")
        _hold(len(words) <= LONGEST_WORDS, door, number, f"was refused in {len(words)} characters")
    return found


def _hold(is_kept: bool, door: Door, number: int, what: str) -> None:
    if not is_kept:
        raise LawBrokenError(f"door {door.name!r}, input {number}: it {what}")


def let_in(door: Door, number: int, folder: Path, chance: Random) -> None:
    """As `passed`, many times faster: for fuzzers, which watch time and memory themselves."""
    _tried(door, number, folder, lambda: chance, is_measured=False)


def _tried(
    door: Door,
    number: int,
    folder: Path,
    chance: Callable[[], Random] | None,
    *,
    is_traced: bool = True,
    is_measured: bool = True,
) -> Passage:
    shutil.rmtree(folder, ignore_errors=True)
    inner = folder / "a" / "b" / "c"
    (inner / "out").mkdir(parents=True)
    rng = Random(f"{door.name} {number}") if chance is None else chance()
    given = door.make(rng, number, inner)
    before = _listed(folder, inner / "out")
    watching = _watched(inner / "out", is_traced) if is_measured else _heard(inner / "out")
    with watching as watch, warnings.catch_warnings():
        # in the field a warning is a line on the screen; here, it would be an exception
        warnings.simplefilter("ignore")
        try:
            refused = door.enter(given, inner)
        except door.refusals as error:
            refused = str(error)
        except _HangError:
            refused = None
            watch.seconds = float(GIVE_UP_S)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise LawBrokenError(
                f"door {door.name!r}, input {number}: it raised {type(error).__name__}: "
                f"{str(error)[:300]}"
            ) from error
    _hold(not watch.misdeeds, door, number, f"did {watch.misdeeds[:3]}")
    after = _listed(folder, inner / "out")
    _hold(before == after, door, number, f"touched {sorted(before ^ after)[:3]}")
    return Passage(refused, watch.seconds, watch.megabytes)


def _listed(folder: Path, without: Path) -> set[tuple[str, int, int]]:
    """All below a folder but what is below another: names, sizes, times of the last change."""
    found: set[tuple[str, int, int]] = set()
    for root, folders, files in os.walk(folder):
        if Path(root) == without:
            folders.clear()
            continue
        for name in [*folders, *files]:
            state = os.lstat(os.path.join(root, name))  # noqa: PTH118 - a name may be any bytes
            is_folder = os.path.join(root, name) == str(without)  # noqa: PTH118
            found.add((name, 0, 0) if is_folder else (name, state.st_size, state.st_mtime_ns))
    return found


# --- watching ---------------------------------------------------------------------------------

_NEVER: Final = frozenset(
    "os.system os.exec os.posix_spawn os.spawn os.fork os.forkpty subprocess.Popen "
    "socket.connect socket.getaddrinfo urllib.Request".split()
)
_CHANGING: Final = frozenset(
    "os.mkdir os.remove os.rename os.rmdir os.link os.symlink os.truncate os.chmod os.chown "
    "os.utime os.mkfifo".split()
)
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Watch:
    """What Python tells of itself while it is on: see the table of audit events of Python."""

    def __init__(self) -> None:
        self.out: str | None = None
        self.misdeeds: list[str] = []
        self.seconds = self.megabytes = 0.0
        self._is_installed = False

    def begin(self, out: Path) -> None:
        if not self._is_installed:
            sys.addaudithook(self._hear)
            self._is_installed = True
        self.misdeeds, self.out = [], str(out.resolve())

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.out is None:
            return
        if event in _NEVER:
            self.misdeeds.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, mode, flags = arguments
            is_written = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)
            if is_written:
                self._check(event, path)
        elif event in _CHANGING:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self._check(event, path)

    def _check(self, event: str, path: Any) -> None:
        if isinstance(path, int):  # open already
            return
        text = os.path.realpath(os.fsdecode(path))
        is_own = text == self.out or text.startswith(f"{self.out}/")
        # what Python, numba and matplotlib keep for themselves
        is_kept = "__pycache__" in text or "/matplotlib" in text
        if not is_own and not is_kept and text != os.devnull:
            self.misdeeds.append(f"{event} {text[:200]}")


_WATCH: Final = _Watch()  # audit hooks cannot be taken back, so there is one for the process


@contextmanager
def _heard(out: Path) -> Iterator[_Watch]:
    _WATCH.begin(out)
    try:
        yield _WATCH
    finally:
        _WATCH.out = None
        _WATCH.seconds = _WATCH.megabytes = 0.0


@contextmanager
def _watched(out: Path, is_traced: bool) -> Iterator[_Watch]:
    if is_traced:
        tracemalloc.start(1)
    before_kb = _reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    _WATCH.begin(out)
    begun, busy = time.perf_counter(), time.process_time()
    try:
        with _interrupted_after(GIVE_UP_S):
            yield _WATCH
    finally:
        _WATCH.out = None
        # busy, or waiting: on a machine that is busy with others nothing else tells of a hang
        busy, waited = time.process_time() - busy, time.perf_counter() - begun
        _WATCH.seconds = waited if waited > 4 * LONGEST_S else min(busy, waited)
        # what Python and numpy took, used or not; and what anything else took and used
        traced = (tracemalloc.get_traced_memory()[1] - before) / 1e6
        resident = (_peak_kb() - before_kb) * 1024 / 1e6
        _WATCH.megabytes = max(traced, resident, 0.0)
        if is_traced:
            tracemalloc.stop()


@contextmanager
def _interrupted_after(seconds: int) -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _HangError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _reset_peak() -> int:
    """Have the system forget the peak of the resident memory; give what is resident (kB)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_kb("VmRSS:")


def _peak_kb() -> int:
    return _status_kb("VmHWM:")


def _status_kb(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0
