"""The RunEngine of a session."""

from __future__ import annotations

import getpass

from bluesky import RunEngine

from femto_bluesky import __version__
from femto_bluesky.console.scan_numbers import ScanNumbers
from femto_bluesky.console.settings import BeamlineSettings
from femto_bluesky.devices.raw_frames import note_what_is_not_kept
from femto_bluesky.sources.catalogs import Catalog


def start_engine(settings: BeamlineSettings, catalog: Catalog, numbers: ScanNumbers) -> RunEngine:
    """A RunEngine whose raw runs go into the catalog, with these scan numbers.

    Make it after matplotlib has its backend: with Qt, it then draws while a plan runs
    (`bluesky.utils.DefaultDuringTask`), and no kicker is needed any more.
    """
    said = {
        "beamline_id": settings.beamline,
        "login_id": _user(),
        "femto_bluesky_version": __version__,
        **settings.md,
    }
    engine = RunEngine(said, scan_id_source=numbers)
    # the first of all: what follows finds the documents on the disk, whatever happens to it
    engine.subscribe(catalog.writer)
    engine.preprocessors.append(note_what_is_not_kept)
    return engine


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "unknown"
