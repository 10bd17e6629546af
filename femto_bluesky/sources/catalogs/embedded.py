"""A Tiled catalog in this process: a directory, no server, no socket."""

from __future__ import annotations

import contextlib
import copy
import logging
import secrets
import sqlite3
import threading
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from femto_bluesky.sources.catalogs.ending import when_ending
from femto_bluesky.sources.catalogs.locks import (
    LockedError,
    command_of,
    lock_directory,
    process_with_record_lock,
)
from femto_bluesky.sources.catalogs.runs import CatalogError
from femto_bluesky.sources.catalogs.unbroken import Unbroken

log = logging.getLogger(__name__)

DATABASE = "catalog.db"
TABLES = "table.duckdb"
LOCK = "catalog.lock"
OPENING_S = 60.0
"""How long closing waits for an opening that goes on."""

NEEDED = ("tiled", "bluesky_tiled_plugins", "fastapi", "sqlalchemy", "adbc_driver_manager")


class Embedded:
    """The catalog in a directory, which is made where there is none.

    Opening locks the directory for this process and looks whether the database is one. Tiled takes
    seconds to import, so that waits until `client` is asked for, unless the database has to be
    made. A thread does it, so that Ctrl-C cannot leave half of it. Frames and photon files are read
    wherever they lie. Raises `CatalogError` where Tiled's server is not installed, another
    process has the catalog, or it cannot be opened.
    """

    def __init__(self, directory: Path) -> None:
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            raise _not_installed(", ".join(missing))
        self.directory = directory
        self._making = threading.Lock()
        self._opening: Unbroken[tuple[Any, Any]] | None = None
        self._is_closed = False
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogError(f"no catalog can be made in {directory}: {error}") from error
        self._lock = self._locked()
        try:
            if (directory / DATABASE).exists():
                self._look()
            else:
                self.client()
        except BaseException:
            self.close()
            raise

    def client(self) -> Any:
        """The client of the catalog; the first time it is asked for, Tiled is imported."""
        with self._making:
            if self._is_closed:
                raise CatalogError(f"the catalog in {self.directory} is closed; open it again")
            if self._opening is None or self._opening.has_failed:
                self._opening = Unbroken(lambda: _connect(self.directory))
            opening = self._opening
        return opening.result()[1]

    def close(self) -> None:
        """Let go of the catalog."""
        with self._making:
            self._is_closed = True
            opening, self._opening = self._opening, None
        try:
            # a process that ends while Tiled is imported and its threads begin may hang
            if opening is not None and opening.has_begun and not opening.has_failed:
                opening.result(OPENING_S)[0].close()
        except (CatalogError, TimeoutError) as failure:
            log.debug("the catalog in %s was not open yet: %s", self.directory, failure)
        finally:
            if self._lock is not None:
                self._lock.close()

    def _locked(self) -> IO[str] | None:
        try:
            held = lock_directory(self.directory / LOCK)
        except LockedError as error:
            raise self._taken(error.owner) from error
        if held is not None and (pid := process_with_record_lock(self.directory / TABLES)):
            held.close()  # a server, say, which knows nothing of our lock
            raise self._taken(command_of(pid))
        return held

    def _taken(self, owner: str) -> CatalogError:
        return CatalogError(
            f"the catalog in {self.directory} is open in {owner}, and one process at a time can "
            "have it. Close it there (catalog.close()); or let a server share it between "
            "processes (`tiled serve`) and open its URL; or keep runs as JSON lines, which any "
            "number may open: open_catalog('lines:DIRECTORY')"
        )

    def _look(self) -> None:
        """Raise `CatalogError` where the file is no database of a catalog."""
        place = f"file:{quote(str(self.directory / DATABASE))}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(place, uri=True)) as database:
                database.execute("SELECT version_num FROM alembic_version").fetchall()
                former = _former_place(database)
        except sqlite3.Error as error:
            raise CatalogError(
                f"{self.directory / DATABASE} is no database of a Tiled catalog ({error}); choose "
                "another directory, or put the file aside and upload the runs to a new catalog"
            ) from error
        if former is not None and former != self.directory:
            # upstream keeps whole paths
            log.warning(
                "%s was at %s when its runs were stored, and their events are only found from "
                "there: move it back to %s, or make a link there, and open it by that path",
                self.directory, former, former,
            )  # fmt: skip


def _connect(directory: Path) -> tuple[Any, Any]:
    """The context and the client of an app that serves the catalog to nobody else.

    The database is only made where it is missing: that takes seconds.
    """
    try:
        import bluesky_tiled_plugins.clients.bluesky_run  # noqa: F401 - reading needs it as well
        from tiled.catalog import from_uri
        from tiled.client import Context, from_context
        from tiled.config import Authentication
        from tiled.media_type_registration import default_serialization_registry
        from tiled.server.app import build_app
        from tiled.server.settings import get_settings
        from tiled.utils import ensure_uri
    except ImportError as error:
        raise _not_installed(str(error)) from error
    if not when_ending(lambda: None):
        raise CatalogError("the process is ending and opens no catalog any more")
    database = directory / DATABASE
    registry = copy.deepcopy(default_serialization_registry)
    registry.register("BlueskyRun", "application/json-seq", _json_seq)
    key = secrets.token_hex(16)
    try:
        tree = from_uri(
            str(database),
            writable_storage=[str(directory), ensure_uri(f"duckdb:///{directory / TABLES}")],
            readable_storage=[directory.anchor],
            init_if_not_exists=not database.exists(),
        )
        app = build_app(
            tree, authentication=Authentication(), serialization_registry=registry
        )  # fmt: skip
        # The settings are one object for all apps of a process: with a key of its own there, each
        # catalog that is opened would lock out those before it.
        own = app.dependency_overrides[get_settings]().model_copy(
            update={"single_user_api_key": key}
        )
        app.dependency_overrides[get_settings] = lambda: own
        context = Context.from_app(app, api_key=key)
        return context, from_context(context)
    except Exception as error:
        raise CatalogError(
            f"the catalog in {directory} cannot be opened ({type(error).__name__}: {error}). If "
            "another process has it open, close it there, or let `tiled serve` share it"
        ) from error


def _former_place(database: sqlite3.Connection) -> Path | None:
    """Where the directory was when a run was first stored; None where no asset tells."""
    query = "SELECT data_uri FROM assets WHERE data_uri LIKE 'duckdb:%' ORDER BY id LIMIT 1"
    with contextlib.suppress(sqlite3.Error):
        for (uri,) in database.execute(query):
            return Path(unquote(urlsplit(str(uri)).path).replace("//", "/")).parent
    return None


def _not_installed(missing: str) -> CatalogError:
    return CatalogError(
        f"an embedded catalog needs Tiled's server ({missing}); install femto-bluesky[catalog], "
        "or keep runs as JSON lines: open_catalog('lines:DIRECTORY')"
    )


async def _json_seq(
    mimetype: Any, adapter: Any, metadata: Any, filter_for_access: Any
) -> AsyncIterator[Any]:
    """The exporter that documents come from; it takes a second to import, so not before it must."""
    from bluesky_tiled_plugins.exporters import json_seq_exporter

    async for part in json_seq_exporter(mimetype, adapter, metadata, filter_for_access):
        yield part
