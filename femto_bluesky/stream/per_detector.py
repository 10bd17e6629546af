"""One analysis for each detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.analysis import Analysis, Row, joined_streams

A = TypeVar("A", bound=Analysis)


class PerDetector(Analysis, Generic[A]):
    """Gives each detector an analysis of its own, made from a pattern when its first shot comes.

    For analyses that hold one image, such as an accumulation: detectors of one event would
    otherwise be mixed.
    """

    def __init__(self, pattern: A) -> None:
        super().__init__(pattern.settings)
        self.pattern = pattern.owned_by(self)
        self.of: dict[str, A] = {}

    def get(self, detector: str | None = None) -> A:
        """The analysis of a detector; without a name, that of the only one.

        Before the first shot it is the pattern of those to come, so that it can be set up. Raises
        `KeyError` where there is no such detector, or more than one to choose from.
        """
        self.wait()
        if detector is None and not self.of:
            return self.pattern
        if detector is None and len(self.of) == 1:
            return next(iter(self.of.values()))
        if detector not in self.of:
            raise KeyError(
                f"no detector {detector!r} among those seen: {sorted(self.of) or 'none yet'}; "
                "name one of them"
            )
        return self.of[detector]

    def update(self, shot: Shot) -> Shot:
        """Give the shot to the analysis of its detector."""
        return self._make(shot.detector).update(shot)

    def retract(self, shot: Shot) -> Shot:
        """Take the shot back from the analysis of its detector."""
        return self._make(shot.detector).retract(shot)

    def merge(self, other: Self) -> None:
        """Merge detector by detector."""
        for detector, theirs in other.of.items():
            self._make(detector).merge(theirs)

    def clear(self) -> None:
        """Clear the analyses of all detectors."""
        self.of.clear()

    def fresh(self) -> Self:
        """The same pattern, with no detector seen."""
        return type(self)(self.pattern.fresh())

    def result(self) -> dict[str, Any]:
        """The results, by detector."""
        self.wait()
        return {detector: self.of[detector].result() for detector in sorted(self.of)}

    def outputs(self, detectors: Mapping[str, DetectorSettings]) -> list[Output]:
        """The outputs for each detector."""
        return [
            output
            for name, known in detectors.items()
            for output in self.pattern.outputs({name: known})
        ]

    def shot_row(self, run: str, number: int) -> Row:
        """The values of all detectors."""
        return {k: v for part in self._parts() for k, v in part.shot_row(run, number).items()}

    def step_row(self, run: str, step: int) -> Row:
        """The values of all detectors."""
        return {k: v for part in self._parts() for k, v in part.step_row(run, step).items()}

    def step_rows(self, run: str, step: int) -> dict[str, Row]:
        """The values of all detectors, stream by stream."""
        return joined_streams(part.step_rows(run, step) for part in self._parts())

    def run_rows(self, run: str) -> dict[str, Row]:
        """The values of all detectors that the run has had, stream by stream."""
        return joined_streams(part.run_rows(run) for part in self._parts())

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """The curves and images of all detectors."""
        return [group for part in self._parts() for group in part.groups(run)]

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change the settings of the pattern and of every detector's analysis."""
        for analysis in (self.pattern, *self.of.values()):
            analysis.configure(changes)
        self.settings = self.pattern.settings

    def _parts(self) -> list[A]:
        """The analyses in the order of their detectors' names, not of their first shots."""
        return [self.of[detector] for detector in sorted(self.of)]

    def _make(self, detector: str) -> A:
        if detector not in self.of:
            self.of[detector] = self.pattern.fresh().owned_by(self)
        return self.of[detector]
