"""A browser proves once who it is; from then on a cookie does, and the page never sees it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, ResultsServer
from femto_bluesky.viewer.login import described, links
from tests.viewer.shown import Reply, ask

READ, CHANGE = "may-read", "may-change"
BOTH = Access(READ, CHANGE)
HTML = {"Accept": "text/html"}
PARAMETER = "/api/v1/parameter/integrate"
HANDSHAKE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip


class Page:
    """A page that notes what it is told of each who asks."""

    def __init__(self) -> None:
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
            return
        self.headers.append(dict(scope["headers"]))
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the page"})

    @property
    def may_change(self) -> list[bool]:
        return [headers.get(b"x-femto-may-change") == b"1" for headers in self.headers]


@pytest.fixture
def told() -> Page:
    return Page()


@pytest.fixture
def server(live: LiveAnalysis, started: Callable[..., ResultsServer], told: Page) -> ResultsServer:
    return started(live, access=BOTH, page=told)


def cookie(reply: Reply) -> str:
    """What a browser sends after a reply."""
    return reply.headers["Set-Cookie"].partition(";")[0]


def test_a_link_with_the_token_lets_a_browser_in(server: ResultsServer, told: Page) -> None:
    opened = ask(server.address, f"/?token={CHANGE}", **HTML)
    assert opened.status == 200
    assert b'http-equiv="refresh" content="0; url=/"' in opened.body
    assert opened.headers["Cache-Control"] == "no-store"
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    given = opened.headers["Set-Cookie"]
    assert given.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert CHANGE not in given
    assert told.headers == []  # it is for the door alone
    shown = ask(server.address, "/", Cookie=cookie(opened), **HTML)
    assert (shown.status, shown.body) == (200, b"the page")
    assert ask(server.address, "/static/js/any.js", Cookie=cookie(opened)).status == 200
    assert told.may_change == [True, True]


def test_reading_and_changing_are_separate_for_browsers(
    server: ResultsServer, told: Page, live: LiveAnalysis
) -> None:
    reader = cookie(ask(server.address, f"/?token={READ}", **HTML))
    changer = cookie(ask(server.address, f"/?token={CHANGE}", **HTML))
    for who in (reader, changer):
        ask(server.address, "/", Cookie=who, **HTML)
        ask(server.address, "/ws", Cookie=who, Origin=server.address[:-1], **HANDSHAKE)
    assert told.may_change == [False, False, True, True]
    assert ask(server.address, PARAMETER, "POST", b"False", Cookie=reader).status == 403
    assert live.settings_record()["accumulate"] is True
    assert ask(server.address, PARAMETER, "POST", b"False", Cookie=changer).status == 200
    # who has both may do more
    both = {"Cookie": reader, "Authorization": f"Bearer {CHANGE}"}
    assert ask(server.address, PARAMETER, "POST", b"True", **both).status == 200


def test_a_password_is_exchanged_for_a_cookie(server: ResultsServer, told: Page) -> None:
    basic = "Basic " + b64encode(f"anybody:{READ}".encode()).decode()
    first = ask(server.address, "/", Authorization=basic, **HTML)
    assert first.body == b"the page"
    again = ask(server.address, "/", Authorization=basic, Cookie=cookie(first), **HTML)
    assert again.headers["Set-Cookie"] is None
    assert ask(server.address, "/static/a.js", Cookie=cookie(first)).status == 200
    # clients of the results have no use for it
    assert ask(server.address, "/", Authorization=basic).headers["Set-Cookie"] is None


def test_without_proof_a_browser_sees_nothing(server: ResultsServer, told: Page) -> None:
    assert ask(server.address, "/", **HTML).status == 401
    assert ask(server.address, "/static/js/any.js").status == 401
    forged = [
        "change", f"femto_bluesky_{port(server)}=", f"femto_bluesky_{port(server)}={CHANGE}",
        f"femto_bluesky_{port(server)}={'0' * 64}", "a=b; ; =; \xff",
    ]  # fmt: skip
    for text in forged:
        assert ask(server.address, "/", Cookie=text, **HTML).status == 401
        assert ask(server.address, "/ws", Cookie=text, **HANDSHAKE).status == 403
    for token in ("guess", "", "may-read%00"):
        refused = ask(server.address, f"/?token={token}", **HTML)
        assert (refused.status, refused.headers["Set-Cookie"]) == (401, None)
    assert (
        "a server makes new ones when it is started"
        in ask(server.address, "/?token=guess", **HTML).words
    )
    assert told.headers == []


def port(server: ResultsServer) -> str:
    return server.address.split(":")[-1].rstrip("/")


def test_a_cookie_counts_for_one_server_only(
    live: LiveAnalysis, started: Callable[..., ResultsServer], server: ResultsServer
) -> None:
    old = cookie(ask(server.address, f"/?token={CHANGE}", **HTML))
    other = started(live, access=BOTH, page=Page())
    renamed = old.replace(port(server), port(other))
    assert ask(other.address, "/", Cookie=renamed, **HTML).status == 401


def test_pages_of_others_get_in_with_nothing(server: ResultsServer, told: Page) -> None:
    who = {"Cookie": cookie(ask(server.address, f"/?token={CHANGE}", **HTML))}
    foreign = {"Origin": "http://elsewhere.example"}
    assert ask(server.address, "/ws", **who, **foreign, **HANDSHAKE).status == 403
    assert ask(server.address, PARAMETER, "POST", b"False", **who, **foreign).status == 403
    assert ask(server.address, f"/?token={CHANGE}", **HTML, **foreign).status == 403
    image = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert ask(server.address, "/static/a.js", **who, **image).status == 403
    assert ask(server.address, f"/?token={CHANGE}", **HTML, **image).status == 403
    assert told.headers == []
    # nor is it shown in a frame of theirs
    shown = ask(server.address, "/", **who, **HTML)
    assert shown.headers["Content-Security-Policy"] == "frame-ancestors 'self'"


def test_the_page_is_told_by_the_door_alone(server: ResultsServer, told: Page) -> None:
    who = cookie(ask(server.address, f"/?token={READ}", **HTML))
    for name in ("X_Femto_May_Change", "x_femto_may_change"):
        ask(server.address, "/", Cookie=f"{who}; other=1", **{name: "1"}, **HTML)
    ask(server.address, "/", Authorization=f"Bearer {READ}", **HTML)
    assert told.may_change == [False] * 3
    for seen in told.headers:
        assert not {b"cookie", b"authorization"} & seen.keys()


def test_without_tokens_everybody_here_may_change(
    live: LiveAnalysis, started: Callable[..., ResultsServer], told: Page
) -> None:
    server = started(live, page=told)
    shown = ask(server.address, "/?token=from-somewhere", **HTML)
    assert (shown.body, shown.headers["Set-Cookie"]) == (b"the page", None)
    assert told.may_change == [True]


@pytest.mark.parametrize(
    ("access", "rights"),
    [
        (Access(), {"": "change", READ: "change"}),
        (Access(READ), {"": "none", READ: "change"}),
        (Access(change=CHANGE), {"": "read", CHANGE: "change"}),
        (BOTH, {"": "none", READ: "read", CHANGE: "change", "guess": "none"}),
    ],
)
def test_what_a_token_gives_the_right_to(access: Access, rights: dict[str, Any]) -> None:
    assert {token: access.right(token) for token in rights} == rights
    assert access.knows("") is False


def test_links_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "femtomax-control")
    assert described("http://127.0.0.1:8650/", Access()) == "<page at http://127.0.0.1:8650/>"
    assert links("http://0.0.0.0:80/", Access("a b", "c&d")) == {
        "change": "http://femtomax-control:80/?token=c%26d",
        "read": "http://femtomax-control:80/?token=a%20b",
    }
    assert described("http://10.0.0.1:80/", BOTH).splitlines() == [
        f"<page at http://10.0.0.1:80/?token={CHANGE}  to watch and change",
        f"         http://10.0.0.1:80/?token={READ}  to watch only>",
    ]
