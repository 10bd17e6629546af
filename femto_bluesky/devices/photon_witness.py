"""A witness that the photons of raw frames are kept: it reads the photon files themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlparse

import numpy as np

from femto_bluesky.files import xye

MAX_FILES = 1000
"""So many photon files back are remembered."""

PATIENCE_S: Final = 30.0
"""So long a run waits for an analysis that is behind, at its begin and at its end."""


class CountsPhotons(Protocol):
    """What the witness asks of an analysis; `LiveAnalysis` and `PhotonDetection` have it."""

    @property
    def failures(self) -> list[Exception]:
        """Why runs could not be analysed."""

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take in one document of a run."""

    def subscribe(self, function: Callable[[str, Any], Any], name: str = "all") -> int:
        """Send the documents of the derived runs to a function."""

    def settings_record(self) -> dict[str, Any]:
        """The settings as plain data."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all documents that have come are analysed; False when it took too long."""


class Engine(Protocol):
    """What the witness asks of a RunEngine."""

    def subscribe(self, func: Callable[[str, Any], Any], name: str = "all") -> int:
        """Send documents to a function."""

    def unsubscribe(self, token: int) -> None:
        """Send no more."""


class PhotonWitness:
    """Says whether an analysis finds the photons of raw frames and has written them all.

    ::

        witness = PhotonWitness(live)
        witness.subscribe_to(RE)  # in place of RE.subscribe(live)
        balor.photon_keeper = witness

    An analysis is trusted while it is subscribed, counts photons, and did not fail in the last run
    in which there was something to count. What it has written is not taken on trust: the photon
    file is read.
    """

    def __init__(self, analysis: CountsPhotons) -> None:
        self._analysis = analysis
        self._engine: Engine | None = None
        self._token = 0
        self._n_failures: dict[str, int] = {}
        self._open: dict[str, list[Path]] = {}
        self._closed: deque[Path] = deque(maxlen=MAX_FILES)
        self._last_failure: Exception | None = None
        self._subscription = analysis.subscribe(self._witness)

    def subscribe_to(self, engine: Engine) -> None:
        """Subscribe the analysis to a RunEngine, and to no other one any more."""
        self.unsubscribe()
        self._token = engine.subscribe(self._analysis)
        self._engine = engine

    def unsubscribe(self) -> None:
        """Unsubscribe the analysis."""
        if self._engine is not None:
            self._engine.unsubscribe(self._token)
            self._engine = None

    @property
    def is_trusted(self) -> bool:
        """Whether photons are found and kept, as far as can be known before a run."""
        return self.why_not_trusted("") is None

    def forgive(self) -> None:
        """Trust the analysis again after a failure whose cause is mended."""
        self._last_failure = None

    def why_not_trusted(self, detector: str) -> str | None:
        """Why photons of the next run may not be kept; None where all is well."""
        if self._engine is None:
            return "photon detection is not subscribed; call subscribe_to(RE) of the witness"
        settings = self._analysis.settings_record()
        settings = settings.get("photons", settings)
        if not settings.get("counting", False):
            return "photon detection does not count; configure it with counting=True"
        only = settings.get("detector")
        if only and detector and detector != only:
            return f"photon detection counts on {only!r} only"
        if not self._analysis.wait(PATIENCE_S):
            return f"photon detection is more than {PATIENCE_S:g} s behind with the last run"
        if self._last_failure is not None:
            kind = type(self._last_failure).__name__
            return (
                f"photon detection failed in the last run ({kind}: {self._last_failure}); mend the "
                "cause, then call forgive() of the witness"
            )
        return None

    def why_not_safe(self, raw: Path, n_frames: int) -> str | None:
        """Why the photons of a raw file are not all on disk; None where they are."""
        if not self._analysis.wait(PATIENCE_S):
            return f"photon detection is more than {PATIENCE_S:g} s behind"
        wanted = raw.resolve()
        for path in reversed(self._closed):
            found = xye.contents(path)
            if found.raw is None or found.raw[0].resolve() != wanted:
                continue
            frames = np.unique(found.frames["frame"])
            n_found = int(np.count_nonzero((frames >= 0) & (frames < n_frames)))
            if n_found != n_frames:
                return (
                    f"{path} holds {n_found} of its {n_frames} frames; others were taken again, or "
                    "came to no event"
                )
            n_crowded = int(np.count_nonzero(found.frames["is_crowded"]))
            if n_crowded:
                return f"{n_crowded} frames were too crowded for their photons to be counted"
            return None
        return "no photon file that was written to its end names it"

    def _witness(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take in a document of a derived run."""
        if name == "start":
            self._n_failures[doc["uid"]] = len(self._analysis.failures)
            self._open[doc["uid"]] = []
        elif name == "stream_resource" and doc["data_key"].endswith("_photon_y"):
            path = Path(unquote(urlparse(doc["uri"]).path))
            self._open.setdefault(doc.get("run_start", ""), []).append(path)
        elif name == "stop":
            before = self._n_failures.pop(doc["run_start"], 0)
            files = self._open.pop(doc["run_start"], [])
            if len(self._analysis.failures) > before:
                self._last_failure = self._analysis.failures[-1]
            else:
                self._closed.extend(files)
                if files:  # it has counted again, and nothing was wrong
                    self._last_failure = None
