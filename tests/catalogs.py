"""Tiled catalogs for tests, in this process and in one of their own; they need Tiled's server."""

from __future__ import annotations

import copy
import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def need_a_catalog():
    """Skip the tests of a module where Tiled's server is missing."""
    for needed in ("fastapi", "sqlalchemy", "zarr", "adbc_driver_manager", "bluesky_tiled_plugins"):
        pytest.importorskip(needed, reason="a catalog needs tiled[server]")


@contextmanager
def embedded_catalog(folder):
    """The client of a new catalog that keeps its data in a folder, and may read all of it."""
    from bluesky_tiled_plugins.clients.bluesky_run import BlueskyRun
    from bluesky_tiled_plugins.exporters import json_seq_exporter
    from tiled.catalog import from_uri
    from tiled.client import Context, from_context
    from tiled.config import Authentication
    from tiled.media_type_registration import default_serialization_registry
    from tiled.server.app import build_app
    from tiled.utils import ensure_uri

    registry = copy.deepcopy(default_serialization_registry)
    registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)
    tree = from_uri(
        str(folder / "catalog.db"),
        writable_storage=[str(folder), ensure_uri(f"duckdb:///{folder / 'table.duckdb'}")],
        readable_storage=[str(folder)],
        init_if_not_exists=True,
    )
    app = build_app(
        tree,
        authentication=Authentication(single_user_api_key="secret"),
        serialization_registry=registry,
    )
    with Context.from_app(app, api_key="secret") as context:
        client = from_context(context)
        # a databroker that was opened in this process has changed for all clients what a run is:
        # its copy of their common table is shallow
        client.structure_clients.set("BlueskyRun", lambda: BlueskyRun)
        yield client


def store(client, docs):
    """Write documents as a subscribed TiledWriter does; the run as the catalog has it."""
    from bluesky_tiled_plugins import TiledWriter

    writer = TiledWriter(client)
    for name, doc in docs:
        writer(name, copy.deepcopy(doc))
    return client[docs[0][1]["uid"]]


@contextmanager
def tiled_server(folder):
    """A `tiled serve` of its own process on loopback; gives its URL. The key is "secret"."""
    port = free_port()
    server = start_tiled(folder, port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_tiled(folder, port):
    """The process of a `tiled serve` on loopback, which answers; its data is in the folder."""
    tree = {
        "path": "/",
        "tree": "catalog",
        "args": {
            "uri": f"sqlite:///{folder / 'catalog.db'}",
            "writable_storage": [str(folder), f"duckdb:///{folder / 'table.duckdb'}"],
            "readable_storage": [str(folder.parent)],
            "init_if_not_exists": True,
        },
    }
    exporter = "bluesky_tiled_plugins.exporters:json_seq_exporter"
    config = folder / "config.yml"
    config.write_text(
        json.dumps(
            {
                "trees": [tree],
                "media_types": {"BlueskyRun": {"application/json-seq": exporter}},
                "authentication": {"single_user_api_key": "secret"},
            }
        )
    )
    command = [str(Path(sys.executable).with_name("tiled")), "serve", "config", str(config)]
    with (folder / "server.log").open("a") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log
        )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return server
            assert server.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.1)
        raise AssertionError((folder / "server.log").read_text())
    except BaseException:
        server.kill()
        server.wait(30)
        raise
