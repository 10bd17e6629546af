"""The running sums that lie in a directory: which there are, of what, and under which names."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.files.checkpoints import (
    SUFFIX,
    CheckpointError,
    Head,
    SumHead,
    previous,
    read_head,
)
from femto_bluesky.model.detectors import DETECTORS, settings_of
from femto_bluesky.model.rois import RoiError, slug

log = logging.getLogger(__name__)

_NOT_OF_SUMS = {"histogram_bin_adu", "histogram_n_bins"}

ASIDE = "aside"
N_ASIDE = 3
"""So many sums of a detector that were not restored are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sum that is on the disk; as text, what it is of and from when.

    `differences` are the settings that were others when it was kept.
    """

    path: Path
    head: Head
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = self.head
        if head.total is not None:
            what = _frames(head.total)
            what += f", from {_when(head.total.since)} to {_when(head.written_at)}"
        else:
            what = f"no frames, kept {_when(head.written_at)}"
        if head.before is not None:
            what += f"; before the last reset {_frames(head.before)}"
        return f"{head.detector}: {what}"


def path_of_sum(directory: Path, detector: str) -> Path:
    """The file of a detector's sum."""
    try:
        name = slug(detector)
    except RoiError:
        name = ""
    if name != detector or len(name.encode()) > 100:
        # names that differ in signs only have files of their own
        name = f"{name[:40]}_{hashlib.sha256(detector.encode()).hexdigest()[:8]}"
    return directory / f"sum_{name}{SUFFIX}"


def found_in(directory: Path, live: LiveAnalysis) -> list[Found]:
    """The newest whole sum of each detector; the log names files that cannot be read."""
    names = {one.name.removesuffix(SUFFIX) for one in directory.glob(f"sum_*{SUFFIX}")}
    names = {name.removesuffix(".previous") for name in names}
    found = (_newest_whole(directory / f"{name}{SUFFIX}", live) for name in sorted(names))
    return [one for one in found if one is not None]


def _newest_whole(path: Path, live: LiveAnalysis) -> Found | None:
    for one in (path, previous(path)):
        if not one.exists():
            continue
        try:
            head = read_head(one)
        except (CheckpointError, OSError) as error:
            log.error("%s", error)
            continue
        if path_of_sum(path.parent, head.detector) != path:
            log.error("%s says that it is of %r, and is left as it is", one, head.detector)
            continue
        now = settings_of_sum(live, head.detector)
        return Found(one, head, tuple(_differences(head.settings, now)))
    return None


def set_aside(*paths: Path) -> None:
    """Move files of a sum to where they are found and not overwritten; the oldest there go."""
    for path in filter(Path.exists, paths):
        aside = path.parent / ASIDE
        aside.mkdir(exist_ok=True)
        name = path.name.removesuffix(SUFFIX).removesuffix(".previous")
        # what sorts by its name sorts by its age
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        path.replace(aside / f"{name}_{when:%Y-%m-%dT%H-%M-%S.%f}{SUFFIX}")
        log.warning("%s was not restored and is set aside in %s", path, aside)
        for old in sorted(aside.glob(f"{name}_????-??-??T*{SUFFIX}"))[:-N_ASIDE]:
            old.unlink(missing_ok=True)


def settings_of_sum(live: LiveAnalysis, detector: str) -> dict[str, Any]:
    """The settings on which the clean frames of a detector depend, as plain data in one level."""
    known = settings_of(detector, {**DETECTORS, **live.settings.detectors})
    found: dict[str, Any] = {"detectors": known.model_dump(mode="json")}
    if known.kind != "counting":
        found["cmos"] = live.cleaning.settings.of(detector).model_dump(mode="json")
        found["photons"] = live.photons.settings.model_dump(mode="json", exclude=_NOT_OF_SUMS)
    return dict(_flat(found))


def _flat(found: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat = []
    for key, value in found.items():
        is_group = isinstance(value, Mapping)
        flat += _flat(value, f"{prefix}{key}.") if is_group else [(prefix + key, value)]
    return flat


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is another now, in words; settings that either package does not know do not count."""
    return [
        f"{key} was {then[key]}, and is {now[key]}"
        for key in sorted(then.keys() & now.keys())
        if then[key] != now[key]
    ]


def _frames(head: SumHead) -> str:
    frames = f"{head.n_frames} frame{'s' * (head.n_frames != 1)}"
    return f"{frames} of {head.n_runs} run{'s' * (head.n_runs != 1)}"


def _when(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return "a time that is none"
