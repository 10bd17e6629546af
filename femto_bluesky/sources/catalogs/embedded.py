"""A Tiled catalog in this process: a directory, no server, no socket."""

from __future__ import annotations

import copy
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from femto_bluesky.sources.catalogs.runs import CatalogError

DATABASE = "catalog.db"


def open_embedded(directory: Path) -> tuple[Any, Callable[[], object]]:
    """The client of the catalog in a directory, which is made where there is none; and its end.

    The database is only made where it is missing: that takes seconds. Frames and photon files are
    read wherever they lie. Raises `CatalogError` where Tiled's server is not installed or the
    catalog cannot be opened.
    """
    try:
        from tiled.catalog import from_uri
        from tiled.client import Context, from_context
        from tiled.config import Authentication
        from tiled.media_type_registration import default_serialization_registry
        from tiled.server.app import build_app
        from tiled.utils import ensure_uri
    except ImportError as error:
        raise CatalogError(
            f"an embedded catalog needs Tiled's server ({error}); install femto-bluesky[catalog], "
            "or keep runs as JSON lines: open_catalog('lines:DIRECTORY')"
        ) from error
    directory.mkdir(parents=True, exist_ok=True)
    database, table = directory / DATABASE, directory / "table.duckdb"
    registry = copy.deepcopy(default_serialization_registry)
    registry.register("BlueskyRun", "application/json-seq", _json_seq)
    key = secrets.token_hex(16)
    try:
        tree = from_uri(
            str(database),
            writable_storage=[str(directory), ensure_uri(f"duckdb:///{table}")],
            readable_storage=[directory.anchor],
            init_if_not_exists=not database.exists(),
        )
        app = build_app(
            tree,
            authentication=Authentication(single_user_api_key=key),
            serialization_registry=registry,
        )
        context = Context.from_app(app, api_key=key)
        return from_context(context), context.close
    except Exception as error:
        raise CatalogError(
            f"the catalog in {directory} cannot be opened ({type(error).__name__}: {error}). If "
            "another process has it open, close it there, or let `tiled serve` share it"
        ) from error


async def _json_seq(
    mimetype: Any, adapter: Any, metadata: Any, filter_for_access: Any
) -> AsyncIterator[Any]:
    """The exporter that documents come from; it takes a second to import, so not before it must."""
    from bluesky_tiled_plugins.exporters import json_seq_exporter

    async for part in json_seq_exporter(mimetype, adapter, metadata, filter_for_access):
        yield part
