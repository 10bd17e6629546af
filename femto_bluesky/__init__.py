"""Analysis for a Bluesky beamline whose signal is so weak that one exposure shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from femto_bluesky.model.rois import Roi
    from femto_bluesky.sources.replay import replay

__version__ = "0.1.0"

__all__ = ["Roi", "__version__", "replay"]


def __getattr__(name: str) -> Any:
    """Hand out the promised names; they are imported when they are asked for."""
    if name == "Roi":
        from femto_bluesky.model.rois import Roi

        return Roi
    if name == "replay":
        from femto_bluesky.sources.replay import replay

        return replay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
