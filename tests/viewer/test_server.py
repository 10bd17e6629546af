"""The server as a whole: it starts, stops, tells its health, and never stops a scan."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import Receive, Scope, Send
from websockets.sync.client import connect

import femto_bluesky
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer, serve, snapshots
from tests.viewer.shown import ask, seen


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_it_starts_and_stops(live: LiveAnalysis) -> None:
    with serve(live) as server:
        assert "results server" in threads()
        assert ask(server.address, "/health").json == {
            "status": "ok", "problem": "", "open_runs": 0, "failed_runs": 0,
            "version": femto_bluesky.__version__,
        }  # fmt: skip
    assert "results server" not in threads()
    with pytest.raises(ConnectionRefusedError):
        ask(server.address, "/health")
    # and again, at the same place
    port = int(server.address.split(":")[-1].rstrip("/"))
    with serve(live, port=port) as again:
        assert again.address == server.address
        assert ask(again.address, "/health").status == 200


def test_a_place_that_is_taken(live: LiveAnalysis) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"at 127.0.0.1, port {port}: Address already in use"):
            serve(live, port=port)


def test_a_page_that_does_not_start(live: LiveAnalysis, caplog: pytest.LogCaptureFixture) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise RuntimeError("no page today")

    with pytest.raises(OSError, match="did not start; the log says why"):
        serve(live, page=page)
    assert "no page today" in caplog.text
    assert "results server" not in threads()


def test_a_page_that_fails_leaves_the_results(
    live: LiveAnalysis, started: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raise RuntimeError("no page today")
        for _ in range(2):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    server = started(live, page=page)
    assert ask(server.address, "/", Accept="text/html").status == 500
    assert ask(server.address, "/", Accept="application/json").status == 200
    server.close()
    assert "no page today" in caplog.text


def test_tokens_are_made_where_others_reach_it(live: LiveAnalysis) -> None:
    with serve(live, "0.0.0.0") as server:
        local = server.address.replace("0.0.0.0", "127.0.0.1")
        assert ask(local, "/").status == 401
        assert server.access.read != server.access.change
        token = f"Bearer {server.access.read}"
        assert ask(local, "/", Authorization=token).status == 200
        assert ask(local, "/", Authorization=token, Host="femtomax-control").status == 200
    # also those that somebody brings
    with serve(live, "0.0.0.0", access=Access("may-read", "may-change")) as server:
        local = server.address.replace("0.0.0.0", "127.0.0.1")
        named = {"Authorization": "Bearer may-read", "Host": "femtomax-control"}
        assert ask(local, "/", **named).status == 200


def test_health_tells_what_failed(live: LiveAnalysis, started: Callable[..., Any]) -> None:
    server = started(live)
    live("start", {"uid": "a", "time": 0.0})
    assert ask(server.address, "/health").json["open_runs"] == 1
    live.shell._fail("a", ValueError("no frames"))
    live("stop", {"uid": "b", "run_start": "a", "time": 1.0, "exit_status": "success"})
    found = ask(server.address, "/health").json
    assert (found["status"], found["problem"]) == ("problem", "no frames")
    assert (found["open_runs"], found["failed_runs"]) == (0, 1)


def test_no_query_is_logged(
    live: LiveAnalysis, started: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        server = started(live)
        ask(server.address, "/?api_key=secret")
        ask(server.address, "/nothing?api_key=secret")
        server.close()
    assert "secret" not in caplog.text
    assert f"results are served at {server.address}" in caplog.text


def test_an_analysis_that_hangs_holds_nobody(
    live: LiveAnalysis, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "PATIENCE_S", 0.05)
    seen(live)
    server = started(live)
    before = ask(server.address, f"/groups/{root(server)}").json
    server.snapshots.forget()
    with live.shell.lock:  # as if a shot took for ever
        assert ask(server.address, "/about").status == 200
        assert ask(server.address, f"/groups/{root(server)}").json == before
        health = ask(server.address, "/health").json
    assert health["problem"].startswith("one shot has been analysed for more than 0.05 s")
    server.snapshots.forget()
    assert ask(server.address, f"/groups/{root(server)}").json == before
    assert ask(server.address, "/health").json["status"] == "ok"


def root(server: ResultsServer) -> str:
    return ask(server.address, "/").json["root"]


def test_a_client_that_does_not_read_holds_nobody(
    live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    seen(live, shape=(2000, 2000), n_steps=1, n_frames=1)
    server = started(live)
    links = ask(server.address, f"/groups/{root(server)}/links").json["links"]
    image = next(link["id"] for link in links if link["title"] == "image")
    host, port = server.address[len("http://") : -1].split(":")
    with socket.create_connection((host, int(port))) as lazy:
        request = f"GET /datasets/{image}/value HTTP/1.1\r\nHost: {host}:{port}\r\n"
        lazy.sendall(f"{request}Accept: application/octet-stream\r\n\r\n".encode())
        seen(live, shape=(2000, 2000), n_steps=1, n_frames=1, runs=["run-2"])
        reply = ask(server.address, f"/datasets/{image}/value", Accept="application/octet-stream")
    expected = live.accumulation().result()
    assert expected is not None
    server.snapshots.forget()
    reply = ask(server.address, f"/datasets/{image}/value", Accept="application/octet-stream")
    np.testing.assert_array_equal(np.frombuffer(reply.body).reshape(2000, 2000), expected.image)


def hello() -> Any:
    """A page of Panel as an application that can stand under `/`."""
    import panel as pn
    from fastapi import FastAPI
    from panel.io.fastapi import add_applications

    app = FastAPI()
    add_applications({"/": lambda: pn.pane.Markdown("# hello")}, app=app, title="hello page")
    return app


# panel 1.9 on tornado 6.6
@pytest.mark.filterwarnings("ignore:.*HTTPServerRequest:DeprecationWarning")
def test_one_address_for_the_page_and_the_results(
    live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    seen(live)
    server = started(live, page=hello())
    page = ask(server.address, "/", Accept="text/html,*/*")
    assert (page.status, b"hello page" in page.body) == (200, True)
    assert page.headers["Content-Type"].startswith("text/html")
    assert ask(server.address, "/static/js/bokeh.min.js").status == 200
    assert ask(server.address, "/", Accept="application/json").json["class"] == "domain"
    # its websocket, as the browser opens it
    token = re.search(rb'"token":"([^"]+)"', page.body)
    assert token is not None
    place = server.address.replace("http:", "ws:") + "ws"
    with connect(place, subprotocols=["bokeh", token[1].decode()]) as page_socket:
        assert json.loads(page_socket.recv(timeout=30))["msgtype"] == "ACK"


def test_a_websocket_of_another_origin_is_refused(
    live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    rights = []

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
        else:
            rights.append((b"x-femto-may-change", b"1") in scope["headers"])
            await send({"type": "websocket.close"})

    server = started(live, page=page, access=Access("may-read", "may-change"))
    handshake = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Authorization": "Bearer may-read",
    }  # fmt: skip
    assert ask(server.address, "/ws", Origin="http://elsewhere.example", **handshake).status == 403
    refused = {**handshake, "Authorization": "Bearer guess"}
    assert ask(server.address, "/ws", Origin=server.address[:-1], **refused).status == 403
    assert rights == []
    # what may come in reaches the page, which is told what it may do
    ask(server.address, "/ws", Origin=server.address[:-1], **handshake)
    ask(server.address, "/ws", **{**handshake, "Authorization": "Bearer may-change"})
    assert rights == [False, True]
