"""Analysis for a Bluesky beamline whose signal is so weak that one exposure shows nothing."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
