"""A run is analysed again with the settings that its derived run has recorded, event by event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from femto_bluesky.callbacks.derived_files import DerivedFile, Page
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings
from femto_bluesky.stream.steps import FRAME_AXIS

FIXED: Final = frozenset({"stream", "detectors"})
"""Settings by which documents are read: a `LiveAnalysis` keeps them."""


class FollowedSettings:
    """Subscribe it to the analysis that takes the run: `live` is set as `like` says.

    `given` are settings that are as they are, whatever was recorded. Call `begin` before the run.
    What cannot be set is in `failure`, and stays as it was from there on.
    """

    def __init__(
        self,
        live: LiveAnalysis,
        like: DerivedFile | None,
        given: Mapping[str, Any],
        *,
        is_own: bool,
    ) -> None:
        """`is_own`: `like` is of this run; if not, the analysis goes on from where that ended."""
        self.failure: Exception | None = None
        self._live, self._given = live, dict(given)
        self._pages: list[Page] = []
        self._begun: Mapping[str, Any] = {}
        if like is not None and is_own:
            self._begun, self._pages = like.begun_with, like.pages
        elif like is not None:
            self._begun = like.ended_with
        self._next = 0
        self._shots = ""
        self._is_in_bursts = False
        self._waits: Mapping[str, Any] | None = None

    def begin(self) -> None:
        """Set what was set when the run began. Raises what is wrong with that."""
        self._use(self._begun)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take in a document of the new derived run; the next event may have other settings."""
        try:
            self._take(name, doc)
        except Exception as failure:
            self.failure = self.failure or failure

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start":
            self._is_in_bursts = doc.get("motors") == [FRAME_AXIS]
            if self._pages:
                self._use(self._pages[0].settings)
        elif name == "descriptor" and doc["name"] == "shots":
            self._shots = doc["uid"]
        elif name == "event_page" and doc["descriptor"] == self._shots:
            shots = doc["data"]["shot"]
            self._waits = self._after(int(shots[0]))
            # the row of a burst is still to come, and is of the settings until now
            if not self._is_in_bursts and len(shots) == 1:
                self._use_what_waits()
        elif name == "event":
            self._use_what_waits()

    def _after(self, first_shot: int) -> Mapping[str, Any] | None:
        """The settings of the event after the one that begins with this shot."""
        for index in range(self._next, len(self._pages)):
            if self._pages[index].first_shot == first_shot:
                self._next = index + 1
                break
        return self._pages[self._next].settings if self._next < len(self._pages) else None

    def _use_what_waits(self) -> None:
        waits, self._waits = self._waits, None
        if waits is not None:
            self._use(waits)

    def _use(self, settings: Mapping[str, Any]) -> None:
        now = self._live.settings_record()
        wanted = {**settings, **self._given}
        changes = {
            key: value for key, value in wanted.items() if key not in FIXED and value != now[key]
        }
        if changes:
            self._live.configure(changes)


class IntoSums(Analysis):
    """Has a `LiveAnalysis` see the shots of a run that leaves nothing else: for its sums alone."""

    settings: AnalysisSettings

    def __init__(self, live: LiveAnalysis) -> None:
        super().__init__(AnalysisSettings())
        self._live = live
        self.read_as(
            stream=live.settings.stream, detectors=live.settings.detectors, photon_files=False
        )

    def update(self, shot: Shot) -> Shot:
        """Hand the shot to the analysis."""
        with self._live.shell.lock:
            return self._live.update(shot)

    def retract(self, shot: Shot) -> Shot:
        """Take the shot back from the analysis."""
        with self._live.shell.lock:
            return self._live.retract(shot)

    def merge(self, other: Self) -> None:
        """There is nothing of its own."""

    def clear(self) -> None:
        """There is nothing of its own."""

    def result(self) -> None:
        """There is nothing of its own."""

    def settings_record(self) -> dict[str, Any]:
        """The settings of the analysis."""
        return self._live.settings_record()
