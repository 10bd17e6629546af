"""What the tests have analyses see, and how they ask a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from femto_bluesky import Roi
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.testing.shots import make_shots

ROIS = {"ROI 2": Roi(x0=1, y0=2, x1=5, y1=6), "edge/top": Roi(x0=0, y0=0, x1=16, y1=3)}


def seen(live: LiveAnalysis, detectors: tuple[str, ...] = ("pilatus",), **scan: Any) -> None:
    """Have an analysis see shots."""
    for shot in make_shots(detectors, **scan):
        live.update(shot)


@dataclass(frozen=True)
class Reply:
    """What a server has answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def words(self) -> str:
        return self.json["detail"]


def ask(
    address: str,
    path: str,
    method: str = "GET",
    body: bytes | Iterator[bytes] | None = None,
    **headers: str,
) -> Reply:
    """One request on a connection of its own; underscores in names of headers are dashes."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())
    finally:
        connection.close()
