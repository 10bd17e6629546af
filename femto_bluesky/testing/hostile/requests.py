"""Requests to the results server, and messages of browsers, that no viewer would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote_to_bytes

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.testing.hostile import values
from femto_bluesky.testing.shots import make_shots

Request = dict[str, Any]
"""A request as ASGI has it, and its body."""


class ServerErrorReplyError(RuntimeError):
    """The server has answered that it is broken."""


@cache
def _server() -> tuple[Any, asyncio.AbstractEventLoop, list[str]]:
    """The door of a server, without the page; a loop that it works in; identifiers that it has."""
    from femto_bluesky.viewer.access import Access
    from femto_bluesky.viewer.door import Door
    from femto_bluesky.viewer.server import application
    from femto_bluesky.viewer.snapshots import Snapshots
    from femto_bluesky.viewer.tree import TreeGroup, identify

    live = LiveAnalysis({"ROI 2": Roi(x0=1, y0=2, x1=5, y1=6)})
    for shot in make_shots(("pilatus", "other")):
        live.update(shot)
    snapshots = Snapshots(live)
    door = Door(Access(read="read", change="change"), application(snapshots))
    found: list[str] = []
    left: list[tuple[str, Any]] = [("/", snapshots.tree().root)]
    while left:
        path, node = left.pop()
        found.append(str(identify(path, node)))
        if isinstance(node, TreeGroup):
            left += [(f"{path.rstrip('/')}/{name}", m) for name, m in node.members.items()]
    return door, asyncio.new_event_loop(), found


_NAMES = ["rois", "integrate", "cmos_background", "cmos_threshold"]
_SELECTIONS = [
    "[0:4,0:4]", "[0]", "[]", "[0:4:0,0]", "[::,::]", "[0:1000000000,0:1000000000]", "[-1,-1]",
    "[[0,0,0],[1,1,1]]", "[[0],[0,1]]", "[[" + "0," * 40_000 + "0],0:12]", "[0:4,0:4,0:4]", "[",
    "[" * 9999, "[1e9,1]", "[0:" + "9" * 5000 + ",0]", "[true,null]", "[[true],[0]]", "[0x1,0]",
    "[[[0]],[0]]", "[0:16:99999999999999999999,0]", "[\u0661,0]", "[[\"0\"],0]", "[0:1,[]]",
    "[:,:]",
]  # fmt: skip


def made(rng: Random, number: int, folder: Path) -> Request:
    """One request."""
    _, _, found = _server()
    known = rng.choice(found)
    kind = {"g": "groups", "d": "datasets"}[known[0]]
    name = rng.choice([*values.names(folder), *_NAMES])[:70_000]
    identifier = rng.choice([known, known, known, known[:-1] + "f", "d-" + "f" * 32, name])
    below = rng.choice(["", "/links", "/attributes", "/shape", "/value", "/value", "/type"])
    path = rng.choice(
        [
            f"/{kind}/{identifier}{below}", f"/{kind}/{identifier}{below}",
            f"/{kind}/{identifier}{below}/{name}", f"/{kind}/{identifier}{below}",
            f"/api/v1/parameter/{rng.choice(_NAMES)}", f"/api/v1/parameter/{name}", f"/{name}",
            "/" + "../" * rng.randrange(9) + name, f"//{name}", "/acls/" + name, "/about", "/",
            "/health", "/api/v1/parameters", name, "/groups" * 9000,
        ]
    )  # fmt: skip
    selection = rng.choice(_SELECTIONS)
    query = rng.choice(
        ["", "", f"select={selection}", f"select={selection}", "include_attrs=1&include_links=1",
         f"domain={name}", "select=" * 9999, "&" * 9999, f"nonalpha={selection}", "%ff=%00&select"]
    )  # fmt: skip
    body = rng.choice(
        [b"", b"{", b"null", b"[" * 100_000, b"\0" * 999, b"9" * 9999, b"x" * 1_100_000,
         json.dumps({"select": selection}).encode(), json.dumps({"points": [[0, 0]] * 9}).encode(),
         json.dumps({"points": [rng.choice([0, -1, 2**64, "x", None, [1], 1e300])] * 8}).encode(),
         json.dumps({"points": values.nested(200)}).encode(), rng.randbytes(160),
         b"True", b"nan", b"1e400", b'{"a": {"type": "RectangleROI"}}', str(name).encode(
             "utf-8", "replace"),
         json.dumps({"r" * rng.choice([1, 70_000]): {"type": "RectangleROI", "handles": {
             "_handleBottomLeft": [1, rng.choice([2.0, -1e300, 1e9, 1e300])],
             "_handleTopRight": [rng.choice([5, 1e9, 1e308]), 6]}}}).encode()]
    )  # fmt: skip
    if rng.random() < 0.3:
        body = values.damaged_bytes(body[:2000], rng)
    headers = [
        (b"host", rng.choice([b"localhost", b"localhost:80", b"127.0.0.1"] * 9 + [
            b"evil", b"\xff", b""])),
        (b"authorization", rng.choice([b"Bearer change"] * 40 + [
            b"Bearer read", b"Bearer \xff", b"Basic !!!", b"Basic " + b"A" * 9999, b"", b"Bearer",
            b"Basic Omo="])),
        (b"accept", rng.choice([b"application/octet-stream", b"*/*", b"text/html", b"\xff" * 999])),
        (b"content-type", rng.choice([b"application/json", b"application/octet-stream", b""])),
    ]  # fmt: skip
    if rng.random() < 0.3:
        headers.append(
            (rng.choice([b"content-length", b"origin", b"cookie", b"range", b"x-femto-may-change",
                         b"sec-fetch-site", b"transfer-encoding"]),
             rng.choice([b"-1", b"9" * 999, b"\xb2", b"null", b"bytes=0-", b"a=b;=;;", b"1e3"]))
        )  # fmt: skip
    raw = path.encode("utf-8", "surrogatepass")
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": rng.choice(["GET", "POST"] * 5 + ["PUT", "DELETE", "OPTIONS", "HEAD", "X"]),
        "path": unquote_to_bytes(raw).decode("utf-8", "replace"), "raw_path": raw, "root_path": "",
        "query_string": query.encode("utf-8", "replace"), "headers": headers,
        "client": ("127.0.0.1", 9), "server": ("127.0.0.1", 80), "body": body,
    }  # fmt: skip


def posted(rng: Random, number: int, folder: Path) -> Request:
    """A body for a door that takes one: a parameter, points or a selection of an array."""
    request = made(rng, number, folder)
    _, _, found = _server()
    arrays = [f"/datasets/{known}/value" for known in found if known[0] == "d"]
    path = rng.choice([*arrays, *(f"/api/v1/parameter/{name}" for name in _NAMES * 3)])
    tree: Any = rng.choice(
        [{"a": {"type": "RectangleROI", "handles": {"_handleBottomLeft": [1, 2],
                                                    "_handleTopRight": [5, 6.5]}}},
         {"points": [[0, 0], [3, 4]]}, {"points": [0, 1]}, {"select": "[0:4,0:4:2]"}, 12.5, "True"]
    )  # fmt: skip
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        if isinstance(tree, dict | list):
            tree = values.damaged(tree, rng, lambda: values.plain_value(rng, folder))
    body = json.dumps(tree).encode()
    if rng.random() < 0.3:
        body = values.damaged_bytes(body, rng)
    binary = rng.random() < 0.2
    kind = (b"content-type", b"application/octet-stream" if binary else b"application/json")
    known = (b"host", b"localhost"), (b"authorization", b"Bearer change"), kind
    return {
        **request, "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": list(known), "body": rng.randbytes(rng.choice([0, 16, 17])) if binary else body,
    }  # fmt: skip


def with_text(request: Request, text: bytes) -> Request:
    """The request with its path, its query and its body from three parts of a text.

    Behind the path of an object of the tree, so that more than the first check is reached: zero
    bytes are between the parts.
    """
    path, query, body = (*text.split(b"\0", 2), b"", b"")[:3]
    raw = b"/".join([*request["raw_path"].split(b"/")[:3], path])
    return {
        **request, "raw_path": raw, "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
        "query_string": query, "body": body,
    }  # fmt: skip


def asked(request: Request, folder: Path) -> str | None:
    """Send a request; the words of a refusal. Raises where the reply says that all is broken."""
    door, loop, _ = _server()
    scope = {key: value for key, value in request.items() if key != "body"}
    body, sent = request["body"], []
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]

    async def receive() -> Request:
        if parts:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}
        await asyncio.sleep(30)  # it stays connected
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    loop.run_until_complete(door(scope, receive, send))
    status = sent[0]["status"]
    words = b"".join(part.get("body", b"") for part in sent[1:])
    if status >= 500:
        raise ServerErrorReplyError(f"it answers {status}: {words[:200]!r}")
    return f"{status} {words.decode('utf-8', 'replace')}" if status >= 400 else None


# --- websockets -------------------------------------------------------------------------------


class _GoneError(Exception):
    """The browser has gone."""


class _Socket:
    """A browser's end: brings fragments, and takes what is sent."""

    class application_state:  # noqa: N801 - as starlette has it
        name = "CONNECTED"

    def __init__(self, fragments: list[str | bytes]) -> None:
        self.fragments = list(fragments)
        self.closed: list[str] = []

    async def receive(self) -> dict[str, Any]:
        if not self.fragments or self.closed:
            raise _GoneError
        fragment = self.fragments.pop(0)
        return {"text" if isinstance(fragment, str) else "bytes": fragment}

    async def send_text(self, text: str) -> None:
        pass

    async def send_bytes(self, data: bytes) -> None:
        pass

    async def close(self, code: int, reason: str) -> None:
        self.closed.append(f"{code} {reason}"[:5000])


def _patches(rng: Random, folder: Path) -> Any:
    """The content of a message that changes the page."""
    event: Any = rng.choice(
        [
            {"kind": "ModelChanged", "model": {"id": "text"}, "attr": "value", "new": "a"},
            {"kind": "ModelChanged", "model": {"id": "data"}, "attr": "data", "new": {"x": [1]}},
            {"kind": "ColumnsStreamed", "model": {"id": "data"}, "data": {"x": [2]}},
            {"kind": "ColumnsPatched", "model": {"id": "data"}, "patches": {"x": [[0, 3]]}},
            {"kind": "RootAdded", "model": {"type": "object", "name": "TextInput", "id": "t2"}},
            {"kind": "RootRemoved", "model": {"id": "text"}},
            {"kind": "TitleChanged", "title": "x"},
            {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": {
                "type": "event", "name": "button_click", "values": {"type": "map", "entries": []}}},
            {"kind": "ModelChanged", "model": {"id": "data"}, "attr": "data", "new": {
                "type": "ndarray", "array": {"type": "bytes", "data": "AAAA"},
                "dtype": rng.choice(["float64", "object", "x"]), "order": "little",
                "shape": rng.choice([[1], [10**9, 10**9], [-1], "x"])}},
            {"kind": "ModelChanged", "model": {"id": "text"}, "attr": "value", "new": {
                "type": rng.choice(["object", "typed_array", "slice", "value", "symbol", "map",
                                    "set", "date", "number", "x"]), "name": "os.system"}},
        ]
    )  # fmt: skip
    content: Any = {"events": [event]}
    for _ in range(rng.choice([0, 1, 1, 2])):
        content = values.damaged(content, rng, lambda: values.plain_value(rng, folder))
    return content


def messages(rng: Random, number: int, folder: Path) -> list[str | bytes]:
    """Fragments of messages: header, metadata, content, buffers, each of them of any kind."""
    fragments: list[str | bytes] = []
    for i in range(rng.choice([1, 1, 2, 5])):
        kind = rng.choice(["PATCH-DOC"] * 5 + ["PULL-DOC-REQ", "PUSH-DOC", "SERVER-INFO-REQ", "ACK",
                                               "ERROR", "OK", "x"])  # fmt: skip
        header: Any = {"msgid": str(i), "msgtype": kind}
        if rng.random() < 0.2:
            header["num_buffers"] = rng.choice([1, 0, -1, 10**9, "1", None, [], 1e400])
        if rng.random() < 0.2:
            header = values.damaged(header, rng, lambda: values.plain_value(rng, folder))
        content = _patches(rng, folder) if kind == "PATCH-DOC" else rng.choice([{}, [], {"a": 1}])
        for part in (header, {}, content):
            text = json.dumps(part)
            if rng.random() < 0.1:
                text = values.damaged_bytes(text.encode(), rng).decode("utf-8", "replace")
            fragments.append(text if rng.random() > 0.03 else text.encode())
        if rng.random() < 0.2:
            fragments += [json.dumps({"id": "1"}), rng.randbytes(rng.choice([0, 8, 3000]))]
    if rng.random() < 0.1:
        odd: list[str | bytes] = [
            "[" * 100_000, "", "x" * 5_000_000, b"\0" * 5_000_000, "null", "\ud800", "9" * 9999,
        ]  # fmt: skip
        fragments.insert(rng.randrange(len(fragments)), rng.choice(odd))
    return fragments


def received(fragments: list[str | bytes], folder: Path) -> str | None:
    """Have the server's end of a websocket take in what a browser has sent."""
    from bokeh.document import Document
    from bokeh.models import ColumnDataSource
    from bokeh.models.widgets import TextInput
    from bokeh.protocol import Protocol
    from bokeh.protocol.receiver import Receiver
    from bokeh.server.connection import ServerConnection
    from bokeh.server.protocol_handler import ProtocolHandler
    from bokeh.server.session import ServerSession
    from bokeh_fastapi.handler import WSHandler

    from femto_bluesky.viewer.page.websockets import mend

    mend()
    document = Document()
    models = {"text": TextInput(value=""), "data": ColumnDataSource(data={"x": [0]})}
    for model in models.values():
        document.add_root(model)
    for name, model in models.items():  # Bokeh makes up the names of models itself
        fragments = [
            f.replace(f'{{"id": "{name}"}}', f'{{"id": "{model.id}"}}') if isinstance(f, str) else f
            for f in fragments
        ]
    socket, protocol = _Socket(fragments), Protocol()
    end: Any = WSHandler.__new__(WSHandler)

    class _Application:
        def client_lost(self, connection: Any) -> None:
            pass

    async def take() -> None:
        session = ServerSession("a", document, io_loop=None)  # type: ignore[arg-type]
        end._socket, end.sends_one, end.n_received = socket, asyncio.Lock(), 0
        end.application, end.receiver, end.handler = _Application(), Receiver(protocol), None
        end.handler = ProtocolHandler()
        end.connection = ServerConnection(protocol, end, None, session)  # type: ignore[arg-type]
        await end._receive_loop()

    _, loop, _ = _server()
    with contextlib.suppress(_GoneError):
        loop.run_until_complete(take())
    return "; ".join(socket.closed) or None
