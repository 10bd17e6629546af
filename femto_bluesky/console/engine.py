"""The RunEngine of a session."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from bluesky import RunEngine

from femto_bluesky import __version__
from femto_bluesky.console.scan_numbers import ScanNumbers
from femto_bluesky.console.settings import BeamlineSettings, SettingsFileError
from femto_bluesky.devices.raw_frames import note_what_is_not_kept
from femto_bluesky.sources.catalogs import Catalog
from femto_bluesky.stream.subscribers import Subscribers

if TYPE_CHECKING:
    from bluesky.callbacks.zmq import Publisher


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
    if settings.publish is not None:
        publish(engine, settings.publish)
    engine.preprocessors.append(note_what_is_not_kept)
    return engine


def publish(engine: RunEngine, address: str) -> Publisher:
    """Send all documents to the entrance of a 0MQ proxy; where nobody is there, they are dropped.

    Raises `SettingsFileError` where 0MQ is not installed. Later failures are logged only.
    """
    try:
        from bluesky.callbacks.zmq import Publisher
    except ModuleNotFoundError as error:
        raise SettingsFileError(
            f"the settings say to publish at {address}, which needs 0MQ: pip install "
            "'femto-bluesky[viewer]'"
        ) from error
    to_others = Subscribers()  # so that no failure there stops a scan
    publisher = Publisher(address)
    to_others.subscribe(publisher)
    # not the method itself, of which the RunEngine would keep a weak reference only
    engine.subscribe(lambda name, doc: to_others.send(name, doc))
    return publisher


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return "unknown"
