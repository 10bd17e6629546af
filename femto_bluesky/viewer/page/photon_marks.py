"""What is marked on a histogram of energies: the thresholds that photons are told apart by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.results import DataGroup
from femto_bluesky.viewer.known_detectors import known_detector


def thresholds(live: LiveAnalysis, detector: str) -> PhotonFinding:
    """How photons are found on a detector: what the settings say, before the table."""
    known = known_detector(live, detector)
    settings = live.photons.settings
    given = {name: getattr(settings, name) for name in PhotonFinding.model_fields}
    said = {name: value for name, value in given.items() if value is not None}
    return PhotonFinding.model_validate({**(known.photons or PhotonFinding()).model_dump(), **said})


def marks(live: LiveAnalysis, group: DataGroup) -> Mapping[str, float]:
    """The places to mark on a result: thresholds on a histogram of energies, else none."""
    kind, _, detector = group.path.partition("/")
    if kind != "energy_histogram":
        return {}
    found = thresholds(live, detector)
    view, overlap = found.view_min_adu, found.overlap_adu
    return {f"shown above {view:g}": view, f"overlaps above {overlap:g}": overlap}


def overlap_share(columns: Mapping[str, Any]) -> float | None:
    """The share of photons that are flagged as overlaps, from the columns of the steps."""
    n, share = (
        np.asarray(columns.get("n_photons", [])),
        np.asarray(columns.get("overlap_share", [])),
    )
    there = np.isfinite(n) & np.isfinite(share) if len(n) == len(share) else np.zeros(0, bool)
    total = float(n[there].sum()) if len(there) else 0.0
    return float((n[there] * share[there]).sum()) / total if total else None
