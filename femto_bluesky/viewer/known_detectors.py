"""What is known of a detector, in the table or in an analysis's own entries beside it."""

from __future__ import annotations

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.detectors import DETECTORS, DetectorSettings, settings_of


def known_detector(live: LiveAnalysis, name: str) -> DetectorSettings:
    """What an analysis knows of a detector; of one that nobody knows, that it is as it is."""
    return settings_of(name, {**DETECTORS, **live.settings.detectors})
