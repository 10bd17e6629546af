"""Open a catalog by what it is called."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from femto_bluesky.sources.catalogs.catalog import Catalog
from femto_bluesky.sources.catalogs.embedded import DATABASE, Embedded
from femto_bluesky.sources.catalogs.embedded_store import EmbeddedStore
from femto_bluesky.sources.catalogs.lines import LinesStore
from femto_bluesky.sources.catalogs.runs import CatalogError
from femto_bluesky.sources.catalogs.tiled_store import BrokerStore, TiledStore

KNOCK_S = 10.0
"""How long a server may take to answer at all."""

Where = str | os.PathLike[str] | None


def open_catalog(
    where: Where | Any = None, directory: str | os.PathLike[str] | None = None
) -> Catalog:
    """Open the catalog that `where` names.

    * None: an embedded Tiled catalog in `directory`;
    * a URL, ``tiled:URL`` or ``tiled:PROFILE``, the name of a Tiled profile, or a Tiled client: a
      Tiled server. Its key is taken from the environment variable TILED_API_KEY;
    * ``broker:NAME``, or a databroker, v1 or v2 (``broker:temp`` is forgotten at the end);
    * a path: the embedded catalog that is there, or else a directory of JSON lines.
      ``catalog:PATH`` and ``lines:PATH`` say which, and make it where it is missing.

    `directory` is where runs wait for the catalog, and where images go that came in events; the
    default is `default_directory()`. Raises `CatalogError` with what to do.
    """
    if where is None:
        return _embedded(_path(directory))
    if isinstance(where, os.PathLike):
        return _directory(Path(where))
    if not isinstance(where, str):
        return _from_client(where, directory)
    kind, _, rest = where.partition(":")
    if kind == "catalog" and rest:
        path = Path(rest).expanduser()
        has_lines = not (path / DATABASE).exists() and any(path.glob("*.jsonl*"))
        return _directory(path) if has_lines else _embedded(path)
    if kind == "lines" and rest:
        return _lines(Path(rest).expanduser())
    if kind == "broker" and rest:
        return _broker(rest, directory)
    if kind == "tiled" and rest:
        return _server(rest, directory)
    if "://" in where:
        return _server(where, directory)
    if Path(where).expanduser().is_dir():
        return _directory(Path(where).expanduser())
    return _server(where, directory)


def default_directory() -> Path:
    """Where the embedded catalog is, unless another place is named."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "femto-bluesky" / "catalog"


def _path(directory: str | os.PathLike[str] | None) -> Path:
    return (default_directory() if directory is None else Path(directory)).expanduser().absolute()


def _embedded(path: Path) -> Catalog:
    place = path.absolute()
    embedded = Embedded(place)
    database = place / DATABASE
    store = EmbeddedStore(embedded.client, f"the catalog in {path}", database)
    prepare, close = embedded.client, embedded.close
    return Catalog(store, place, prepare=prepare, on_close=close, address=f"catalog:{place}")


def _directory(path: Path) -> Catalog:
    if not path.is_dir():
        raise CatalogError(
            f"there is no directory {path}; check the name, or make a catalog there with "
            f"open_catalog('lines:{path}') or open_catalog('catalog:{path}')"
        )
    return _embedded(path) if (path / DATABASE).exists() else _lines(path)


def _lines(path: Path) -> Catalog:
    path = path.absolute()
    return Catalog(LinesStore(path), path, frames=path, address=f"lines:{path}")


def _server(name: str, directory: str | os.PathLike[str] | None) -> Catalog:
    try:
        from tiled.client import from_profile, from_uri
        from tiled.profiles import list_profiles
    except ImportError as error:
        raise CatalogError(f"it needs Tiled ({error}); install femto-bluesky[catalog]") from error
    is_url = "://" in name
    if not is_url and name not in list_profiles():
        raise CatalogError(
            f"{name!r} is neither a directory nor a URL nor a Tiled profile; profiles are "
            f"{sorted(list_profiles()) or 'none'}"
        )
    try:
        if is_url:
            _knock(name)
        client = from_uri(name) if is_url else from_profile(name)
    except Exception as error:
        raise CatalogError(
            f"no Tiled catalog at {name}: {type(error).__name__}: {error}. Check that the server "
            "runs, and that TILED_API_KEY holds its key"
        ) from error
    address = name if is_url else f"tiled:{name}"
    return _from_client(client, directory, on_close=client.context.close, address=address)


def _knock(url: str) -> None:
    """Raise OSError where no server listens; the client would try again and again."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    with socket.create_connection((parts.hostname or "", port), timeout=KNOCK_S):
        pass


def _broker(name: str, directory: str | os.PathLike[str] | None) -> Catalog:
    try:
        from databroker import Broker

        broker = Broker.named(name)
    except ImportError as error:
        raise CatalogError(f"it needs databroker[all] ({error}); install it") from error
    except Exception as error:
        raise CatalogError(f"no databroker {name!r}: {type(error).__name__}: {error}") from error
    close = broker.v2.context.close
    return _from_client(broker, directory, on_close=close, address=f"broker:{name}")


def _from_client(
    client: Any,
    directory: str | os.PathLike[str] | None,
    on_close: Callable[[], object] = lambda: None,
    address: str = "CATALOG",
) -> Catalog:
    """A catalog on a Tiled client, or on a databroker of either version."""
    if type(client).__module__ == "databroker.v1":
        client = client.v2
    if not (hasattr(client, "search") and hasattr(client, "context")):
        raise CatalogError(
            f"a {type(client).__name__} is no catalog; give a path, a URL, the name of a Tiled "
            "profile, a Tiled client or a databroker"
        )
    is_mongo = getattr(client, "is_sql", True) is False and hasattr(client, "post_document")
    host = urlsplit(str(client.uri)).netloc
    where = f"the databroker at {host}" if is_mongo else f"the Tiled catalog at {client.uri}"
    path = _path(directory) if directory is not None else default_directory() / "servers" / host
    kind = BrokerStore if is_mongo else TiledStore
    store = kind(lambda: client, where)
    return Catalog(store, path, on_close=on_close, address=address)
