"""How a browser proves who it is: a link with a token, once, and a cookie from then on.

Browsers send no tokens with what a page loads, nor with its websocket; a cookie they do. It does
not hold the token, only this server knows it, and no other site can have it sent.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from femto_bluesky.viewer.access import RIGHTS, Access, RefusedError, Right, token_of

QUERY: Final = "token"

_GO_ON: Final = """<!doctype html>
<meta charset="utf-8"><link rel="icon" href="data:,"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=/">
<title>femto_bluesky</title><a href="/">to the page</a>
"""
"""What a link with a token is answered with.

Not with a redirection: a browser that came from a link on another site, such as in a chat, would
follow that without the cookie. From a page of ours it is sent along, and the address with the token
is replaced in the browser's history.
"""


class Login:
    """Exchanges the tokens of `access` for cookies, which count as long as this object lives."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._secret = secrets.token_bytes(32)

    def answer(self, scope: Scope) -> Response | None:
        """The answer to a link with a token; None where a request is none.

        Raises `RefusedError` where the token is not one of ours.
        """
        asked = (scope["type"], scope.get("method"), scope["path"])
        if asked != ("http", "GET", "/") or not self._access.tokens:
            return None
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get(QUERY)
        if not given:
            return None
        if not self._access.knows(given[-1]):
            raise RefusedError(401, "this token is not known here; a server makes new ones when it "
                               "is started")  # fmt: skip
        headers = {
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "set-cookie": self.cookie(scope, self._access.right(given[-1])),
        }
        return HTMLResponse(_GO_ON, headers=headers)

    def cookie(self, scope: Scope, right: Right) -> str:
        """The header that gives a browser the cookie for a right."""
        return f"{_name(scope)}={self._value(right)}; Path=/; HttpOnly; SameSite=Strict"

    def earned(self, scope: Scope, headers: Mapping[str, str]) -> Right | None:
        """The right for which a browser should be given a cookie: it has shown the password only.

        Browsers keep it for the page, and do not send it with a websocket.
        """
        token = token_of(headers.get("authorization", ""))
        if not token or not self._access.knows(token):
            return None
        right = self._access.right(token)
        is_more = RIGHTS.index(right) > RIGHTS.index(self.proven(scope, headers))
        return right if is_more else None

    def proven(self, scope: Scope, headers: Mapping[str, str]) -> Right:
        """What the cookie of a request gives the right to."""
        given = _cookies(headers).get(_name(scope), "")
        for known in RIGHTS[1:]:
            if hmac.compare_digest(given.encode(), self._value(known).encode()):
                return known
        return "none"

    def _value(self, right: Right) -> str:
        return hmac.digest(self._secret, right.encode(), "sha256").hex()


def links(address: str, access: Access) -> dict[Right, str]:
    """What to open in a browser, by what it gives the right to: the address, or with tokens.

    Where a server listens at all addresses of this machine, its name stands for them.
    """
    parts = urlsplit(address)
    if parts.hostname in ("0.0.0.0", "::"):
        address = f"{parts.scheme}://{socket.gethostname()}:{parts.port}/"
    if not access.tokens:
        return {"change": address}
    return {right: f"{address}?{QUERY}={quote(token)}" for right, token in access.tokens.items()}


def told(address: str, access: Access) -> list[str]:
    """The links, each with what it is for; the address alone where there are no tokens."""
    words = {"change": "to watch and change", "read": "to watch only"}
    found = links(address, access)
    if not access.tokens:
        return list(found.values())
    return [f"{link}  {words[right]}" for right, link in found.items()]


def described(address: str, access: Access) -> str:
    """Where the page is, for whoever sits at the prompt."""
    lines = "\n         ".join(told(address, access))
    return f"<page at {lines}>"


def _name(scope: Scope) -> str:
    """The name of the cookie; those of all ports of a machine are sent to each of them."""
    server = scope.get("server") or ("", 0)
    return f"femto_bluesky_{server[1]}"


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    """The cookies of a request; those of others on this machine may look like anything."""
    pairs = (pair.partition("=") for pair in headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}
