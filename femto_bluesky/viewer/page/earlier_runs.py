"""The runs that can be looked at: the newest, which is followed, and those before it."""

from __future__ import annotations

from collections.abc import Iterable

from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.curve_plans import Found

NEWEST = ""
"""Stands for whatever run is the newest."""


class EarlierRuns:
    """What there is to choose from, and the results of each run; those that ended are kept.

    `found` waits for the end of a shot where a run was not asked for before: not in the loop.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._kept: dict[str, tuple[object, Found]] = {}

    @property
    def newest(self) -> str:
        """The uid of the newest run that has shown anything; empty where none has."""
        runs = self._hub.runs.of
        return next((uid for uid in reversed(runs) if runs[uid].has_results), "")

    def choices(self) -> dict[str, str]:
        """The runs by what they are called, the newest first."""
        runs = reversed(self._hub.runs.of.items())
        return _named((known.label, uid) for uid, known in runs if known.has_results)

    def numbers(self, uids: Iterable[str]) -> dict[str, str]:
        """Runs by their numbers alone; of those that have gone meanwhile, none."""
        runs = self._hub.runs.of
        return _named((runs[uid].number, uid) for uid in uids if uid in runs)

    def found(self, uid: str) -> Found:
        """The results of a run; of the newest, those that the hub has looked at."""
        runs = self._hub.runs.of
        if uid == NEWEST:
            known = runs.get(self.newest)
            groups = self._hub.groups
        else:
            known = runs.get(uid)
            kept = self._kept.get(uid)
            # a run that was analysed again has another start document
            if kept is not None and known is not None and kept[0] is known:
                return kept[1]
            groups = self._hub.snapshots.curves_of(uid)
        if known is None:
            return Found(groups)
        found = Found(groups, known.start, known.units, f"scan {known.number}")
        if uid != NEWEST and known.stop is not None:
            self._kept = {run: kept for run, kept in self._kept.items() if run in runs}
            self._kept[uid] = known, found
        return found


def _named(runs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Uids by names; where a name has been given, with how the uid begins."""
    found: dict[str, str] = {}
    for name, uid in runs:
        found[name if name not in found else f"{name} ({uid[:6]})"] = uid
    return found
