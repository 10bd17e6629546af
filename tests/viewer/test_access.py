"""Who may read and change, and that pages of others cannot make a browser ask."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer, serve
from femto_bluesky.viewer.access import is_loopback
from femto_bluesky.viewer.door import Door
from tests.viewer.shown import ask

READ, CHANGE = "may-read", "may-change"
PARAMETER = "/api/v1/parameter/integrate"


@pytest.fixture
def guarded(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> ResultsServer:
    return started(live, access=Access(READ, CHANGE))


def basic(password: str) -> str:
    return "Basic " + b64encode(f"anybody:{password}".encode()).decode()


def test_loopback_needs_no_token(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> None:
    server = started(live)
    assert server.address.startswith("http://127.0.0.1:")
    assert ask(server.address, "/").status == 200
    assert ask(server.address, PARAMETER, "POST", b"False").status == 200
    assert live.settings_record()["accumulate"] is False


def test_without_a_token_nothing_is_told(guarded: ResultsServer) -> None:
    for path in ("/", "/health", "/about", "/api/v1/parameters", "/groups/g-1"):
        for proof in ("", basic("guess"), "Bearer guess", "Basic !", "Basic \xe9", "Bearer"):
            reply = ask(guarded.address, path, Authorization=proof)
            assert reply.status == 401
            assert reply.words == "a token is needed, as the password or as a bearer"
            assert reply.headers["WWW-Authenticate"].startswith("Basic")


def test_a_body_that_nobody_wants_does_not_break_the_answer() -> None:
    parts = [{"type": "http.request", "body": bytes(800_000), "more_body": True}] * 3
    seen: list[Any] = []

    async def receive() -> Any:
        return parts.pop()

    async def send(message: Any) -> None:
        seen.append(message["type"])

    async def results(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen.extend([(await receive())["type"], (await receive())["type"]])

    scope = {"type": "http", "method": "GET", "path": "/about", "query_string": b"", "headers": []}
    asyncio.run(Door(Access(hosts=None), results)(scope, receive, send))
    assert seen == ["http.response.start", "http.request", "http.disconnect"]


def test_an_address_is_ascii() -> None:
    """The router would decode the query, and where that fails the reply was a 500."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/groups/", "query_string": b"a=\xbe",
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    asyncio.run(Door(Access(), Starlette())(scope, receive, send))
    assert sent[0]["status"] == 400
    assert b"an address is ASCII" in sent[1]["body"]


@pytest.mark.parametrize("make", [basic, "Bearer {}".format])
def test_reading_and_changing_are_separate(
    guarded: ResultsServer, live: LiveAnalysis, make: Callable[[str], str]
) -> None:
    assert ask(guarded.address, "/", Authorization=make(READ)).status == 200
    assert ask(guarded.address, "/", Authorization=make(CHANGE)).status == 200
    refused = ask(guarded.address, PARAMETER, "POST", b"False", Authorization=make(READ))
    assert (refused.status, refused.words) == (
        403,
        "this token reads only; use the one that may change",
    )
    assert live.settings_record()["accumulate"] is True
    given = ask(guarded.address, PARAMETER, "POST", b"False", Authorization=make(CHANGE))
    assert given.status == 200
    assert live.settings_record()["accumulate"] is False


def test_reading_by_post_needs_no_right_to_change(guarded: ResultsServer) -> None:
    path = "/datasets/d-00000000-0000-0000-0000-000000000000/value"
    reply = ask(guarded.address, path, "POST", b"{}", Authorization=basic(READ))
    assert reply.status == 410


def test_beyond_this_machine_there_are_always_tokens(live: LiveAnalysis) -> None:
    with pytest.raises(ValueError, match="a token to read and one to change are needed"):
        serve(live, "0.0.0.0", access=Access(READ))
    made = Access.with_tokens()
    assert made.read != made.change
    assert len(made.read or "") > 20
    # no log and no traceback tells them
    assert str(made.read) not in repr(made)
    assert str(made.change) not in repr(made)
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "femtomax", "10.0.0.1")] == [False] * 4


def test_another_origin_is_refused(
    live: LiveAnalysis, started: Callable[..., ResultsServer]
) -> None:
    server = started(live)
    for origin in ("http://elsewhere.example", "null", "http://127.0.0.1:1"):
        for method, path in {"GET": "/", "POST": PARAMETER, "OPTIONS": "/"}.items():
            reply = ask(server.address, path, method, Origin=origin)
            assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (403, None)
    ours = server.address.rstrip("/")
    assert ask(server.address, "/", Origin=ours).status == 200
    assert live.settings_record()["accumulate"] is True


def test_an_origin_can_be_let_in(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> None:
    h5web = "https://h5web.example"
    server = started(live, access=replace(Access(), origins={h5web}))
    reply = ask(server.address, "/", Origin=h5web)
    assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (200, h5web)
    before = ask(server.address, "/", "OPTIONS", Origin=h5web)
    assert before.status == 204
    assert "authorization" in before.headers["Access-Control-Allow-Headers"]


def test_what_another_site_embeds_is_refused(
    live: LiveAnalysis, started: Callable[..., ResultsServer]
) -> None:
    server = started(live)
    image = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert ask(server.address, "/about", **image).status == 403
    # who follows a link has asked for it
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(server.address, "/", **link).status == 200
    assert ask(server.address, PARAMETER, "POST", b"False", **link).status == 403


def test_a_name_that_is_made_to_lead_here_is_refused(
    live: LiveAnalysis, started: Callable[..., ResultsServer]
) -> None:
    server = started(live)
    port = server.address.split(":")[-1].rstrip("/")
    for host in (f"evil.example:{port}", "evil.example", ""):
        reply = ask(server.address, "/", Host=host)
        assert reply.status in (400, 421)  # a host that is empty is refused by the server itself
    assert ask(server.address, "/", Host=f"localhost:{port}").status == 200


def test_bodies_are_bounded(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> None:
    server = started(live)
    large = b"x" * (1 << 20) + b"x"
    assert ask(server.address, PARAMETER, "POST", large).status == 413
    chunked = ask(server.address, PARAMETER, "POST", iter([large]))
    assert chunked.status == 413
    assert "at most 1048576" in ask(server.address, PARAMETER, "POST", large).words


def test_what_is_not_there(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> None:
    server = started(live)
    assert ask(server.address, "/nothing").status == 404
    assert ask(server.address, "/", "DELETE").status == 405
    assert ask(server.address, "/groups/nothing").status == 404
