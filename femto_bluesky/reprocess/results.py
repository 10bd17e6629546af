"""What reprocessing gives back: groups of shots, and the runs that count and those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.stream.analysis import Analysis


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run: who it is, and how many shots of it there are; `time` is of its start, since 1970.

    `exit_status` is what its stop document says, "fail" where there is none, and `reason` why.
    `source` is where its documents were read, as text.
    """

    uid: str
    scan_id: int | None
    start: Mapping[str, Any]
    exit_status: str
    n_shots: int
    time: float
    source: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """A run of which nothing is in any result, and why; `run` is None where not even that is known.

    `source` is where it was read, as text.
    """

    run: RunInfo | None
    source: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The shots that were analysed together.

    `values` are what they have in common, by the keys that were asked for; `runs` are those that
    shots are of, in the order in which they were given, and `shots` which shots these are, by the
    uid of the run, in ascending order. `parts` are what the writers of parts have given back, by
    the uid of the run, in the order of the shots.
    """

    name: str
    values: Mapping[str, float | str]
    analysis: Analysis
    runs: Mapping[str, RunInfo]
    n_shots: int
    shots: Mapping[str, NDArray[np.int64]]
    parts: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is; `n_done` counts shots that are analysed, `n_shots` all that count.

    Both may shrink: the shots of a run that turns out to be broken count no more.
    """

    n_done: int
    n_shots: int
    n_groups_done: int
    n_groups: int
    n_broken: int
    group: str


@dataclass(frozen=True, slots=True, eq=False)
class Reprocessed:
    """All of it; `runs` are those that are in the result, in the order in which they were given.

    `groups` are in the order of their values; empty where they were handed to `on_group`, and
    `told` is what that returned for each, by their names. Groups that were `finished_before`, in an
    earlier attempt that was broken off, are named.
    """

    groups: list[Group]
    runs: list[RunInfo]
    broken: list[Broken]
    n_shots: int
    seconds: float
    n_workers: int
    fingerprint: str
    told: dict[str, Any] = field(default_factory=dict)
    finished_before: list[str] = field(default_factory=list)
