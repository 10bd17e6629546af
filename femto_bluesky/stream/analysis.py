"""The contract of an analysis: a mergeable fold over shots, which is also a Bluesky callback.

What is declared here is all that live running, replay, the command line, the live page and a
cluster ask of an analysis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict

from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup
from femto_bluesky.model.shots import Shot
from femto_bluesky.stream.reading import DocumentReading
from femto_bluesky.stream.shell import AnalysisError, Shell
from femto_bluesky.stream.status import Status

__all__ = ["Analysis", "AnalysisError", "AnalysisSettings", "Pipeline", "Row"]

Row = dict[str, Any]

CONFIGURE_S: Final = 10.0
"""So long a change of settings waits for an analysis that is behind."""


class AnalysisSettings(BaseModel):
    """Base of the settings of analyses: frozen, and no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Analysis(ABC):
    """Sees each shot once and hands it on; the rest is bookkeeping.

    A subclass names its settings model, whose fields are the keywords of its constructor, and
    keeps two laws, which `femto_bluesky.testing.laws` checks: shots seen by several copies that
    are then merged, in any order, give the same result as all shots seen by one, to the last bit;
    and after `clear()` an analysis is as new. It copies what it keeps of a shot and changes nothing
    in it.
    """

    settings: AnalysisSettings

    def __init__(self, settings: AnalysisSettings) -> None:
        self.settings = settings
        self._reading = DocumentReading()
        self._shell: Shell | None = None
        self._owner: Analysis | None = None  # what it is a part of, and is given shots by

    # the fold

    @abstractmethod
    def update(self, shot: Shot) -> Shot:
        """See a shot and hand it on: as it is, or cleaned."""

    def retract(self, shot: Shot) -> Shot:
        """Take back a shot that `update` has seen, for it was taken again; hand it on as then."""
        return shot

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what another analysis with the same settings has seen."""

    @abstractmethod
    def clear(self) -> None:
        """Forget every shot."""

    @abstractmethod
    def result(self) -> Any:
        """What was found so far. Those below `wait` first for documents that have come."""

    def fresh(self) -> Self:
        """A new analysis with the same settings, read in the same way, that has seen nothing."""
        new = type(self)(**dict(self.settings))
        new._reading = self._reading
        return new

    # what it gives out

    def outputs(self, detectors: Mapping[str, DetectorSettings]) -> list[Output]:
        """The declaration of all rows below, for a run with these detectors.

        `detectors` says what is known of each, by its name; going through it gives the names.
        """
        return []

    def shot_row(self, run: str, number: int) -> Row:
        """Values of one shot, for the stream `shots`."""
        return {}

    def step_row(self, run: str, step: int) -> Row:
        """Values of one step, for the stream `primary`."""
        return {}

    def step_rows(self, run: str, step: int) -> dict[str, Row]:
        """Values of one step for streams other than `primary`, by these streams."""
        return {}

    def run_rows(self, run: str) -> dict[str, Row]:
        """Values of the whole run so far, by the stream that they are for."""
        return {}

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """Curves and images to be written, drawn and shown live: of a run, or of the newest."""
        return []

    # settings

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings; from the next shot on they count, and the derived run says so.

        It waits for the shots that have come, but not for ever: 10 s.

        Raises `pydantic.ValidationError`, and changes nothing, where a value is not allowed.
        """
        self.wait(CONFIGURE_S)
        self.settings = type(self.settings).model_validate({**dict(self.settings), **changes})

    def settings_record(self) -> dict[str, Any]:
        """The settings as plain data, for provenance."""
        return self.settings.model_dump(mode="json")

    # the callback

    @property
    def shell(self) -> Shell:
        """What makes it a callback: joins documents to shots and emits the derived run."""
        if self._shell is None:
            self._shell = Shell(self, self._reading)
        return self._shell

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take in one document of a run; never raises.

        In an event loop, such as the RunEngine's, it returns at once, and the document is analysed
        in a thread; `wait` until it is. Elsewhere it returns when the document has been analysed.
        """
        self.shell(name, doc)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all documents that have come so far are analysed; False when it took too long.

        After a scan: ``RE(...)`` returns when the scan has ended, the analysis may be behind.
        `result`, `groups` and changes wait by themselves. Who holds the lock of the shell does not
        wait, for the analysis needs it; nor does the analysis itself.
        """
        is_done = self._shell is None or self._shell.wait(timeout_s)
        return is_done and (self._owner is None or self._owner.wait(timeout_s))

    def owned_by(self, owner: Analysis) -> Self:
        """Say that another analysis gives this one its shots, and return it itself.

        What is asked of a part is asked of all the shots that have come to the whole.
        """
        self._owner = owner
        return self

    def status(self) -> Status:
        """What has been analysed, what waits, and what has failed; to be printed."""
        return self.shell.status()

    def subscribe(self, function: Callable[[str, Any], Any], name: str = "all") -> int:
        """Send the documents of the derived runs to a function; the token ends it again."""
        return self.shell.subscribers.subscribe(function, name)

    def unsubscribe(self, token: int) -> None:
        """Send no more documents to the function that was given this token."""
        self.shell.subscribers.unsubscribe(token)

    @property
    def failures(self) -> list[Exception]:
        """Why runs could not be analysed, one exception for each such run."""
        return self.shell.failures

    def read_as(
        self,
        *,
        stream: str = "primary",
        detectors: Mapping[str, DetectorSettings] | None = None,
        directory: str | Path | None = None,
        photon_files: bool = True,
    ) -> Self:
        """Say how documents are read, and return the analysis itself.

        `stream` is the event stream that holds the frames, `detectors` are settings beside the
        package's own table, and `directory` is where images of the derived run are kept (with
        None, it has numbers only), and photon files (with None, they go where the raw files are;
        without `photon_files`, nowhere).
        """
        directory = None if directory is None else Path(directory)
        self._reading = DocumentReading(stream, dict(detectors or {}), directory, photon_files)
        if self._shell is not None:
            self._shell = Shell(self, self._reading, self._shell.subscribers)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: the fold, without open files and subscribers."""
        return self.__dict__ | {"_shell": None, "_owner": None}


class Pipeline(Analysis):
    """Analyses in a row, which are an analysis: each gets the shot that the one before hands on."""

    def __init__(self, *parts: Analysis) -> None:
        super().__init__(AnalysisSettings())
        self.parts: tuple[Analysis, ...] = tuple(part.owned_by(self) for part in parts)

    def update(self, shot: Shot) -> Shot:
        """Hand the shot through all parts."""
        for part in self.parts:
            shot = part.update(shot)
        return shot

    def retract(self, shot: Shot) -> Shot:
        """Take the shot back from all parts."""
        for part in self.parts:
            shot = part.retract(shot)
        return shot

    def merge(self, other: Self) -> None:
        """Merge part by part."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            mine.merge(theirs)

    def clear(self) -> None:
        """Clear all parts."""
        for part in self.parts:
            part.clear()

    def fresh(self) -> Self:
        """A new pipeline of fresh parts."""
        return type(self)(*(part.fresh() for part in self.parts))

    def result(self) -> Any:
        """The results of the parts, in their order."""
        self.wait()
        return [part.result() for part in self.parts]

    def outputs(self, detectors: Mapping[str, DetectorSettings]) -> list[Output]:
        """The outputs of all parts."""
        return [output for part in self.parts for output in part.outputs(detectors)]

    def shot_row(self, run: str, number: int) -> Row:
        """The values of all parts."""
        return _joined(part.shot_row(run, number) for part in self.parts)

    def step_row(self, run: str, step: int) -> Row:
        """The values of all parts."""
        return _joined(part.step_row(run, step) for part in self.parts)

    def step_rows(self, run: str, step: int) -> dict[str, Row]:
        """The values of all parts, stream by stream."""
        return joined_streams(part.step_rows(run, step) for part in self.parts)

    def run_rows(self, run: str) -> dict[str, Row]:
        """The values of all parts, stream by stream."""
        return joined_streams(part.run_rows(run) for part in self.parts)

    def groups(self, run: str | None = None) -> list[DataGroup]:
        """The curves and images of all parts."""
        self.wait()
        return [group for part in self.parts for group in part.groups(run)]

    def settings_record(self) -> dict[str, Any]:
        """The settings of the parts, by their names."""
        return {type(part).__name__: part.settings_record() for part in self.parts}


def _joined(rows: Iterable[Row]) -> Row:
    return {key: value for row in rows for key, value in row.items()}


def joined_streams(found: Iterable[Mapping[str, Row]]) -> dict[str, Row]:
    """One row for each stream, from the rows of several analyses."""
    rows: dict[str, Row] = {}
    for streams in found:
        for stream, row in streams.items():
            rows[stream] = rows.get(stream, {}) | row
    return rows
