"""The one door of the server: what comes in is checked here, then goes to the results or the page.

Websockets go to the page, and what changes through them is for the page to allow: whether the
asker may is in the header `x-femto-may-change`, which the door takes from whatever comes in. The
page is given no password, token or login cookie.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from femto_bluesky.viewer.access import MAY_CHANGE_HEADER, Access, RefusedError
from femto_bluesky.viewer.login import Login

MAX_BODY: Final = 1 << 20
"""Bytes of a request: 65536 points of an image, or a thousand regions."""

_MAY_CHANGE: Final = MAY_CHANGE_HEADER.encode()

_RESULTS: Final = re.compile(
    r"/(about|health|acls(/.*)?|api/v1/.*|(groups|datasets|datatypes)/.*)?"
)
_READING: Final = re.compile(r"/datasets/[^/]+/value")


class Door:
    """Lets requests through to `results`, and what is no result's address to `page` if there is."""

    def __init__(self, access: Access, results: ASGIApp, page: ASGIApp | None = None) -> None:
        self._access, self._results, self._page = access, results, page
        self._login = Login(access)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in a request, a websocket or the notice that the server starts and stops."""
        if scope["type"] == "lifespan":
            await (self._page or self._results)(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            await self._let_in(scope, headers, receive, send)
        except RefusedError as refused:
            await _refuse(scope, receive, send, refused)

    async def _let_in(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        method = scope.get("method", "GET")
        if method == "OPTIONS":
            self._access.check_origin(method, headers)
            await Response(status_code=204, headers=self._cors(headers))(scope, receive, send)
            return
        path = scope["path"]
        if not scope.get("query_string", b"").isascii():
            raise RefusedError(
                400, "an address is ASCII; write other letters as %C3%A9 and its like"
            )
        only_reads = method in ("GET", "HEAD") or _READING.fullmatch(path) is not None
        if self._page is not None:
            # before the rights are looked at, but not where a page of another site asks
            self._access.check_origin(method, headers)
            if (answer := self._login.answer(scope)) is not None:
                await answer(scope, receive, send)
                return
        proven = self._login.proven(scope, headers)
        right = self._access.check(method, headers, proven, change=not only_reads)
        if scope["type"] == "http" and self._is_result(path, headers):
            bounded = _Bounded(receive, self._with_cors(send, headers), headers)
            try:
                await self._results(scope, bounded.receive, bounded.send)
            except Exception:
                if bounded.refusal is None:
                    raise
            if bounded.refusal is not None:
                raise bounded.refusal
            return
        if self._page is None:
            raise RefusedError(404, f"there is nothing at {path[:80]!r}")
        more = [(b"content-security-policy", self._framed())]
        if (earned := self._login.earned(scope, headers)) is not None:
            more.append((b"set-cookie", self._login.cookie(scope, earned).encode()))
        shown = {**scope, "headers": _for_the_page(scope, may_change=right == "change")}
        await self._page(shown, receive, _adding(send, more))

    def _framed(self) -> bytes:
        """No page of another site may show ours in a frame of its own, to have it clicked on."""
        return " ".join(["frame-ancestors 'self'", *sorted(self._access.origins)]).encode()

    def _is_result(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a path is one of the results; of `/`, browsers want the page."""
        if path == "/" and self._page is not None:
            return "text/html" not in headers.get("accept", "")
        return _RESULTS.fullmatch(path) is not None

    def _cors(self, headers: Mapping[str, str]) -> dict[str, str]:
        origin = headers.get("origin", "")
        if origin not in self._access.origins:
            return {}
        return {
            "access-control-allow-origin": origin,
            "access-control-allow-headers": "authorization, content-type",
            "access-control-allow-methods": "GET, POST",
            "vary": "origin",
        }

    def _with_cors(self, send: Send, headers: Mapping[str, str]) -> Send:
        return _adding(send, [(k.encode(), v.encode()) for k, v in self._cors(headers).items()])


def _adding(send: Send, more: list[tuple[bytes, bytes]]) -> Send:
    """`send`, which gives a reply these headers too."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *more]
        await send(message)

    return send_more


def _for_the_page(scope: Scope, *, may_change: bool) -> list[tuple[bytes, bytes]]:
    """The headers of a request as the page gets them: nothing that proves who asks."""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name.lower() not in (b"authorization", b"cookie", _MAY_CHANGE)
    ]
    return [*kept, (_MAY_CHANGE, b"1")] if may_change else kept


class _Bounded:
    """`receive` ends where a body is too large; `refusal` is what to answer then, if anything.

    An answer that is on its way already, for nobody wanted the body, is not finished; none is begun
    any more. Raises `RefusedError` for a body that says that it is too large.
    """

    def __init__(self, receive: Receive, send: Send, headers: Mapping[str, str]) -> None:
        told = headers.get("content-length", "0")
        # isdigit also takes what int does not, such as a superscript
        if not (told.isascii() and told.isdigit() and len(told) < 20) or int(told) > MAX_BODY:
            raise RefusedError(413, f"a request of {told[:20]} bytes; at most {MAX_BODY} are taken")
        self._receive, self._send = receive, send
        self._received = 0
        self._is_answered = False
        self.refusal: RefusedError | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > MAX_BODY:
            if not self._is_answered:
                self.refusal = RefusedError(413, f"a request of more than {MAX_BODY} bytes")
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.refusal is None:
            self._is_answered = True
            await self._send(message)


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: RefusedError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refused.reason})
        return
    headers: dict[str, Any] = {"Cache-Control": "no-store"}
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="femto_bluesky", charset="UTF-8"'
    reply = JSONResponse({"detail": refused.reason}, refused.status, headers=headers)
    await reply(scope, receive, send)
