"""What is missing of the runs that were analysed into a directory, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from femto_bluesky.callbacks.derived_files import DerivedFile
from femto_bluesky.callbacks.found_sums import Found
from femto_bluesky.callbacks.interrupted import torn_of
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.kept_sums import Key, is_whole
from femto_bluesky.sources.catalogs.runs import Run

ANALYSIS: Final = "LiveAnalysis"

_BEGUN: Final = "begun.json"


class Missing(Enum):
    """What of a raw run is to be done."""

    ALL = "analysed"
    SUM = "added to the sum"
    NOTHING = "done"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Task:
    """A raw run, and what is to be done with it.

    `why` says what was found. `broken` are the derived runs that were broken off, `like` is the one
    whose settings are used again; None where none says any.
    """

    run: Run
    missing: Missing
    why: str
    broken: tuple[DerivedFile, ...] = ()
    like: DerivedFile | None = None

    @property
    def is_done_again(self) -> bool:
        """Whether the run is replayed."""
        return self.missing in (Missing.ALL, Missing.SUM)


@dataclass(frozen=True, slots=True)
class Sums:
    """What has gone into the running sums that were restored.

    `taken` is as in `KeptSum`, of all detectors; `begun` says when each of them began, in seconds
    since 1970. Where none were kept at all, `are_kept` is false.
    """

    are_kept: bool = False
    taken: Mapping[Key, bytes] = field(default_factory=dict)
    begun: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Iterable[Found], taken: Mapping[Key, bytes]) -> Sums:
        """Those that were found in a directory, and brought back."""
        heads = [one.head for one in found]
        begun = {h.detector: h.total.since if h.total else h.written_at for h in heads}
        return cls(True, taken, begun)

    def lacks(self, one: DerivedFile, all_finished: Sequence[DerivedFile]) -> bool:
        """Whether frames of a run that was analysed to its end are not in the sums."""
        if not self.are_kept:
            return False
        known = {detector for run, detector in self.taken if run == one.raw}
        for detector in sorted({*one.n_accumulated, *known}):
            counts = self.taken.get((one.raw, detector))
            if counts is None:
                if not self._was_added(one, detector, all_finished):
                    continue
                counts = b""
            if not is_whole(counts, one.n_times):
                return True
        return False

    def _was_added(
        self, one: DerivedFile, detector: str, all_finished: Sequence[DerivedFile]
    ) -> bool:
        """Whether a run went into the sum that was lost in part, and not into one before it."""
        if detector in self.begun:
            return one.taken_at >= self.begun[detector]
        # nothing was kept yet: back to the run with which the newest sum began
        for other in sorted(all_finished, key=lambda d: float(d.start["time"]), reverse=True):
            n_frames = other.n_accumulated.get(detector)
            if n_frames is None:
                continue
            if other is one:
                return True
            if n_frames <= len(other.n_times):
                break
        return False


@dataclass(frozen=True, slots=True)
class Begun:
    """With what the newest analysis was begun: its settings as those of a run that never began.

    With `is_restored` it went on from the sums that were there; else those are of another.
    """

    like: DerivedFile
    is_restored: bool

    @property
    def at(self) -> float:
        """When that was, in seconds since 1970."""
        return float(self.like.start["time"])


def note_begun(live: LiveAnalysis, sums: Path, *, is_restored: bool) -> None:
    """Note with what an analysis begins, beside its sums: it may be killed before the first run.

    Raises `OSError` where that cannot be.
    """
    said = {"time": time.time(), "is_restored": is_restored, "settings": live.settings_record()}
    part = sums / f".{_BEGUN}.part"
    part.write_text(json.dumps(said), encoding="utf-8")
    part.replace(sums / _BEGUN)


def noted(sums: Path) -> Begun | None:
    """What was noted; None where there is nothing whole."""
    path = sums / _BEGUN
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        analysis = {"name": ANALYSIS, "settings": dict(said["settings"])}
        start = {"time": float(said["time"]), "analysis": analysis}
        return Begun(DerivedFile(path, start), bool(said["is_restored"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def tasks(
    runs: Iterable[tuple[Run, bool]],
    derived: Sequence[DerivedFile],
    apart: Sequence[DerivedFile],
    sums: Sums,
    begun: DerivedFile | None = None,
) -> list[Task]:
    """What is to be done with each raw run, in the order in which they were taken.

    Of each run it is said whether it was named; of others, those are meant that were taken since
    the first one that was analysed. `derived` lie in the directory, `apart` were set apart before;
    `begun` has the settings with which the newest analysis began.
    """
    ours = [one for one in derived if one.analysis == ANALYSIS]
    before = [one for one in apart if one.analysis == ANALYSIS]
    first = min((one.taken_at for one in [*ours, *before]), default=None)
    found = []
    for run, is_named in sorted(runs, key=lambda pair: float(pair[0].start["time"])):
        mine = [one for one in ours if one.raw == run.uid]
        past = [one for one in before if one.raw == run.uid]
        torn = torn_of(run.start, derived) if not mine else []
        is_meant = is_named or mine or past or torn
        if is_meant or (first is not None and float(run.start["time"]) >= first):
            found.append(_task(run, mine, past, torn, [*ours, *before], sums, begun))
    return found


def _task(
    run: Run,
    mine: Sequence[DerivedFile],
    past: Sequence[DerivedFile],
    torn: Sequence[DerivedFile],
    known: Sequence[DerivedFile],
    sums: Sums,
    begun: DerivedFile | None,
) -> Task:
    finished = [one for one in mine if one.is_finished]
    broken = [one for one in mine if not one.is_finished]
    if run.stop is None and (broken or not finished):
        return Task(run, Missing.LEFT, f"{run.where}: it has not stopped", tuple(broken))
    if broken or (past and not finished):
        # one that was broken off later may tell of less
        like = max([*broken, *past], key=lambda one: len(one.n_times))
        n = len(max(broken or past, key=lambda one: len(one.n_times)).n_times)
        why = f"broken off after {n} shot{'s' * (n != 1)}"
        return Task(run, Missing.ALL, why, (*broken, *torn), like)
    if not finished:
        why = "broken off before its first line" if torn else "not analysed"
        return Task(run, Missing.ALL, why, tuple(torn), _before(run.start, known, begun))
    newest = max(finished, key=lambda one: float(one.start["time"]))
    if sums.lacks(newest, [one for one in known if one.is_finished]):
        return Task(run, Missing.SUM, "not all of it was in the sum", like=newest)
    return Task(run, Missing.NOTHING, "analysed", like=newest)


def _before(
    start: Mapping[str, Any], known: Iterable[DerivedFile], begun: DerivedFile | None
) -> DerivedFile | None:
    """The derived run of the newest run before this one: an analysis goes on with its settings."""
    moment = float(start["time"])
    before = [one for one in known if one.taken_at <= moment]
    found = max(before, key=lambda one: one.taken_at, default=None)
    is_older = found is not None and begun is not None and found.start["time"] < begun.start["time"]
    return begun if found is None or is_older else found


def others_in(derived: Iterable[DerivedFile]) -> list[DerivedFile]:
    """Those that other analyses have left unfinished."""
    return [one for one in derived if one.start and one.analysis != ANALYSIS
            and not one.is_finished]  # fmt: skip


def without_run(
    derived: Iterable[DerivedFile], apart: Iterable[DerivedFile], runs: Iterable[Run]
) -> list[DerivedFile]:
    """The derived runs that were broken off and whose raw runs are not at hand."""
    there = {run.uid for run in runs}
    derived = [one for one in derived if one.analysis == ANALYSIS]
    finished = {one.raw for one in derived if one.is_finished}
    broken = [one for one in derived if not one.is_finished]
    known = {one.raw for one in broken}
    limbo = [one for one in apart if one.analysis == ANALYSIS and one.raw not in finished | known]
    return [one for one in [*broken, *limbo] if one.raw not in there]
