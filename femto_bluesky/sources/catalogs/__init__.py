"""Catalogs of runs: an embedded one, a Tiled server, a databroker, a directory of JSON lines."""

from __future__ import annotations

from femto_bluesky.sources.catalogs.catalog import Catalog
from femto_bluesky.sources.catalogs.opening import open_catalog
from femto_bluesky.sources.catalogs.runs import CatalogError, Run, RunExistsError, RunNotFoundError
from femto_bluesky.sources.catalogs.uploading import upload
from femto_bluesky.sources.catalogs.writer import CatalogWriter

__all__ = [
    "Catalog",
    "CatalogError",
    "CatalogWriter",
    "Run",
    "RunExistsError",
    "RunNotFoundError",
    "open_catalog",
    "upload",
]
