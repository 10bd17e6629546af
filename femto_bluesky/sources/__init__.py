"""Where runs come from: recorded streams, JSON lines, settings files, catalogs."""

from __future__ import annotations

from femto_bluesky.sources.catalogs import open_catalog

__all__ = ["open_catalog"]
