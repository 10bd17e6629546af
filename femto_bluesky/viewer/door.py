"""The one door of the server: what comes in is checked here, then goes to the results or the page.

Websockets go to the page, and what changes through them is for the page to allow: whether the
asker may is in `scope["state"]["may_change"]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from femto_bluesky.viewer.access import Access, RefusedError

MAX_BODY: Final = 1 << 20
"""Bytes of a request: 65536 points of an image, or a thousand regions."""

_RESULTS: Final = re.compile(
    r"/(about|health|acls(/.*)?|api/v1/.*|(groups|datasets|datatypes)/.*)?"
)
_READING: Final = re.compile(r"/datasets/[^/]+/value")


class Door:
    """Lets requests through to `results`, and what is no result's address to `page` if there is."""

    def __init__(self, access: Access, results: ASGIApp, page: ASGIApp | None = None) -> None:
        self._access, self._results, self._page = access, results, page

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
        only_reads = method in ("GET", "HEAD") or _READING.fullmatch(path) is not None
        self._access.check(method, headers, change=not only_reads)
        may_change = self._access.may(headers.get("authorization", ""), change=True)
        scope.setdefault("state", {})["may_change"] = may_change
        if scope["type"] == "websocket" or not self._is_result(path, headers):
            if self._page is None:
                raise RefusedError(404, f"there is nothing at {path[:80]!r}")
            await self._page(scope, receive, send)
            return
        await self._results(scope, _bounded(receive, headers), self._with_cors(send, headers))

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
        more = [(k.encode(), v.encode()) for k, v in self._cors(headers).items()]

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        return send_with_cors


def _bounded(receive: Receive, headers: Mapping[str, str]) -> Receive:
    """`receive`, which refuses a body that is too large, also one that does not say so."""
    told = headers.get("content-length", "0")
    if not told.isdigit() or int(told) > MAX_BODY:
        raise RefusedError(413, f"a request of {told[:20]} bytes; at most {MAX_BODY} are taken")
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise RefusedError(413, f"a request of more than {MAX_BODY} bytes")
        return message

    return receive_bounded


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: RefusedError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refused.reason})
        return
    headers: dict[str, Any] = {"Cache-Control": "no-store"}
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="femto_bluesky", charset="UTF-8"'
    reply = JSONResponse({"detail": refused.reason}, refused.status, headers=headers)
    await reply(scope, receive, send)
