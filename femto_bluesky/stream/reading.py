"""How an analysis has documents read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from femto_bluesky.model.detectors import DetectorSettings


@dataclass(frozen=True, slots=True)
class DocumentReading:
    """How documents are read.

    `stream` names the event stream that holds the frames; `detectors` are settings beside the
    package's own table, by what detectors' names begin with; `directory` is where images of the
    derived run are kept (None: it has numbers only), and its photon files (None: beside the raw
    files). Without `photon_files`, photons are counted and not kept.
    """

    stream: str = "primary"
    detectors: Mapping[str, DetectorSettings] = field(default_factory=dict)
    directory: Path | None = None
    photon_files: bool = True
