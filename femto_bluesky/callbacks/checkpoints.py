"""Keeps the running sums of an analysis on disk, and brings them back after a restart."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.callbacks.found_sums import (
    Found,
    found_in,
    path_of_sum,
    set_aside,
    settings_of_sum,
)
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.files.checkpoints import (
    ChangedError,
    CheckpointError,
    Head,
    previous,
    read_checkpoint,
    write_checkpoint,
)
from femto_bluesky.files.held_directory import HeldDirectory, HeldElsewhereError
from femto_bluesky.model.kept_sums import KeptSum
from femto_bluesky.model.sums import FrameSum

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""So often the keeper looks whether sums have changed."""

PATIENCE_S = 60.0
"""So long a disk that does not answer is waited for at the end."""


class RestoreError(ValueError):
    """A sum that cannot be restored; the message says why and what to do."""


@dataclass(slots=True)
class _Kept:
    """What was written of a detector, and the memory for the next copy of its sum."""

    accumulation: Accumulation
    n_changes: int = -1
    room: FrameSum | None = None


@dataclass(slots=True)
class _Cost:
    """When the next checkpoint may be written."""

    every_s: float
    share: float
    due: float = field(default=0.0)

    def has_taken(self, seconds: float) -> None:
        self.due = time.monotonic() + max(self.every_s, seconds / self.share - seconds)


class Checkpoints:
    """Keeps the sums of a `LiveAnalysis` in a directory, a file for each detector.

    `start()` begins: a thread looks whether sums have changed and writes those that have, at most
    every `every_s` seconds and for at most a `share` of the time. The analysis waits only while a
    sum is copied in memory. Where nothing can be written (a full disk, a directory that is
    read-only or that another process keeps its sums in), the log says so once, `problem` as long as
    it is so, and it goes on when it can. `close()` writes what is new and ends it.

    `restore()` brings back what the process before has kept, and frames to come are added to it.
    What is not restored is set aside when the first frames come, and is not overwritten.
    """

    def __init__(
        self,
        live: LiveAnalysis,
        directory: str | Path,
        *,
        every_s: float = 10.0,
        share: float = 0.05,
    ) -> None:
        self.directory = Path(directory)
        self.problem = ""
        """Why nothing can be kept now; empty where all is well."""
        self.n_written = 0
        """How often a sum was written."""
        self._live = live
        self._held = HeldDirectory(self.directory)
        self._cost = _Cost(every_s, share)
        self._kept: dict[str, _Kept] = {}
        self._own: set[Path] = set()  # files that hold sums of this process
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def path(self, detector: str) -> Path:
        """The file of a detector's sum."""
        return path_of_sum(self.directory, detector)

    def hold(self) -> bool:
        """Whether the directory is this process's, as from now until `close`.

        False where another process keeps its sums there. Raises `OSError` where it cannot be used.
        """
        try:
            self._held.hold()
        except HeldElsewhereError:
            return False
        return True

    # after a restart

    def found(self) -> list[Found]:
        """The sums that the process before has kept; the log names files that cannot be read."""
        return found_in(self.directory, self._live)

    def restore(self, *, other_settings: bool = False, since: float | None = None) -> list[Found]:
        """Bring back all sums that are there, and say which; with `since`, those kept since then.

        Raises `RestoreError` where another process keeps its sums there, frames have been added
        already, or a sum was made with other settings (`other_settings`: is restored all the same),
        and restores nothing then; `OSError` where the directory cannot be used.
        """
        was_held = self._held.is_held
        try:
            self._held.hold()
            return self._restore(other_settings=other_settings, since=since)
        except BaseException as error:
            if not was_held:
                self._held.let_go()
            if isinstance(error, HeldElsewhereError):
                raise RestoreError(f"{error}; end it, or give another directory") from None
            raise

    def _restore(self, *, other_settings: bool, since: float | None) -> list[Found]:
        restored = []
        for one in self.found():
            if since is not None and one.head.written_at < since:
                continue
            if one.differences and not other_settings:
                raise RestoreError(
                    f"the sum of {one} was made with other settings: {'; '.join(one.differences)}. "
                    "Set them as they were and restore again, or leave it"
                )
            if (whole := self._read(one)) is not None:
                restored.append(whole)
        live = self._live
        with live.shell.lock:
            of = live.accumulations.of
            for _, head, _ in restored:
                taken = of.get(head.detector)
                if taken is not None and (taken.extent.n_frames or taken.can_undo):
                    raise RestoreError(
                        f"frames of {head.detector!r} have been added since the start, so that "
                        "what was kept of it is not restored; restore before the first run"
                    )
            for one, head, kept in restored:
                path = self.path(head.detector)
                if one.path != path:
                    set_aside(path)  # it is torn, and must not become the one before
                if head.detector not in of:
                    of[head.detector] = live.accumulations.pattern.fresh()
                of[head.detector].restore(kept)
                self._own.add(path)
            live.n_changes += 1
        return [one for one, _, _ in restored]

    def _read(self, one: Found) -> tuple[Found, Head, KeptSum] | None:
        """A sum whose every byte is right: the newest, or the one before it; None: neither is."""
        for path in dict.fromkeys((one.path, previous(self.path(one.head.detector)))):
            try:
                head, kept = read_checkpoint(path)
            except (CheckpointError, FileNotFoundError) as error:
                log.error("%s", error)
            else:
                return replace(one, path=path, head=head), head, kept
        return None

    # while frames come

    def start(self) -> Self:
        """Begin to keep the sums."""
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._go_on, name="checkpoints", daemon=True)
            self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is new, and let go of the directory."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ended.set()
            thread.join(PATIENCE_S)
            if thread.is_alive():
                log.error("the disk of %s does not answer; the newest frames of the running sums "
                          "are not kept", self.directory)  # fmt: skip
                return
        self._held.let_go()

    def _go_on(self) -> None:
        while not self._ended.wait(LOOK_S):
            if time.monotonic() >= self._cost.due:
                self.look()
        self.look()

    def look(self) -> None:
        """Write the sums that have changed since they were written; never raises."""
        started = time.monotonic()
        try:
            changed = self._changed()
            if not changed:
                return
            self._held.hold()
            self._write_all(changed)
        except HeldElsewhereError as error:
            self._fail(f"{error}; this process keeps none")
        except OSError as error:
            remedy = {
                errno.ENOSPC: "make room", errno.EDQUOT: "make room",
                errno.EROFS: "give another directory", errno.EACCES: "change its rights",
            }.get(error.errno or 0, "look at the disk")  # fmt: skip
            self._fail(f"{self.directory}: {error.strerror or error}; {remedy}")
        except Exception as error:
            # whatever it is: the sum is in memory, and frames go on coming
            self._fail(f"{type(error).__name__}: {error}", error)
        else:
            if self.problem:
                log.warning("the running sums are kept in %s again", self.directory)
                self.problem = ""
        self._cost.has_taken(time.monotonic() - started)

    def _changed(self) -> dict[str, _Kept]:
        now = dict(self._live.accumulations.of)
        for detector, kept in list(self._kept.items()):
            if now.get(detector) is not kept.accumulation:
                # all was cleared, and what was kept before is another sum
                del self._kept[detector]
                self._own.discard(self.path(detector))
        for detector, accumulation in now.items():
            if detector not in self._kept:
                self._kept[detector] = _Kept(accumulation)
        return {
            detector: kept
            for detector, kept in self._kept.items()
            if kept.n_changes != kept.accumulation.n_changes
        }

    def _write_all(self, changed: Mapping[str, _Kept]) -> None:
        """Write each; where one cannot be written, another may, and the first failure is raised."""
        failures = []
        for detector, kept in changed.items():
            try:
                self._write(detector, kept)
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _write(self, detector: str, kept: _Kept) -> None:
        accumulation, path = kept.accumulation, self.path(detector)
        extent = accumulation.extent
        if path not in self._own and not extent.n_frames and not accumulation.can_undo:
            return  # nothing has come yet that would be worth setting aside another for
        kept.room = accumulation.room(kept.room)  # new memory is slow: not while frames wait
        lock = self._live.shell.lock
        with lock:
            n_changes, before = accumulation.n_changes, accumulation.version_before
            sums = accumulation.to_keep(kept.room)
            settings = settings_of_sum(self._live, detector)
        kept.room = sums.total

        def is_still() -> bool:
            with lock:
                return accumulation.before_is(sums, before)

        if path not in self._own:
            set_aside(previous(path), path)
        try:
            write_checkpoint(
                path, sums, detector=detector, written_at=time.time(), settings=settings,
                is_still=is_still,
            )  # fmt: skip
        except ChangedError:
            return  # a reset, or one undone: at the next look
        self._own.add(path)
        self.n_written += 1
        kept.n_changes = n_changes

    def _fail(self, problem: str, error: Exception | None = None) -> None:
        if problem != self.problem:
            log.error("the running sums are in memory only: %s", problem, exc_info=error)
        self.problem = problem
