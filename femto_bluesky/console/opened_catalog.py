"""The catalog of a session; where it cannot be opened, JSON lines in its place."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from femto_bluesky.console.settings import BeamlineSettings
from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs import Catalog, CatalogError


@dataclass(frozen=True, slots=True)
class OpenedCatalog:
    """A catalog, and why it is not the one that was asked for: "" where it is."""

    catalog: Catalog
    problem: str = ""


def open_for(settings: BeamlineSettings) -> OpenedCatalog:
    """Open the catalog of the settings; never raises.

    Where it cannot be opened, the session gets JSON lines, and `problem` says why and how the runs
    get into the catalog later. So does a second prompt: an embedded catalog belongs to one process.
    """
    directory = settings.folder("catalog")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Tiled says of its own dependencies
            return OpenedCatalog(open_catalog(settings.catalog, directory))
    except Exception as error:  # of any kind: a scan can do without
        lines = settings.folder("lines")
        to = f"catalog:{directory}" if settings.catalog is None else settings.catalog
        what = str(error) if isinstance(error, CatalogError) else f"{type(error).__name__}: {error}"
        return OpenedCatalog(
            open_catalog(f"lines:{lines}"),
            f"{what}\nRuns are written as JSON lines into {lines}; bring them in later, when no "
            f"prompt has the catalog: femto-bluesky upload {lines} --to {to}",
        )
