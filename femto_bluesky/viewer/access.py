"""Who may read the results, and who may change settings."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

MAY_CHANGE_HEADER: Final = "x-femto-may-change"
"""What tells the page that the asker may change settings: `1`, or it is not there.

The door sets it, and takes it from whatever a client sends.
"""

Right = Literal["none", "read", "change"]
"""What somebody may do; who may change may read."""

RIGHTS: Final[tuple[Right, ...]] = ("none", "read", "change")
"""From the smallest to the largest."""


class RefusedError(PermissionError):
    """A request that is not met: `status` is its code, the message says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Access:
    """Rights and how they are proven.

    `read` and `change` are tokens, sent as bearer or as the password of HTTP Basic; who may change
    may read. Without the one everybody may read, without the other everybody who may read may
    change. `origins` are addresses of web pages elsewhere ("https://h5web.example.org") that may
    ask too. `hosts` are the names under which the server may be asked (None: any): a page of
    another site can make its own name lead here, but cannot ask under ours. What stands here by
    default is for this machine; `serve` takes any name where others can reach it.
    """

    read: str | None = field(default=None, repr=False)
    change: str | None = field(default=None, repr=False)
    origins: Collection[str] = frozenset()
    hosts: Collection[str] | None = LOCAL_NAMES

    @classmethod
    def with_tokens(cls, origins: Collection[str] = ()) -> Self:
        """Access with two random tokens, under any name."""
        new = secrets.token_urlsafe
        return cls(new(24), new(24), frozenset(origins), None)

    def check_host(self, host: str) -> None:
        """Raise `ValueError` unless this is enough for serving at that address."""
        if not is_loopback(host) and not (self.read and self.change):
            raise ValueError(
                f"{host!r} can be reached from other machines: a token to read and one to change "
                "are needed; leave `access` away to have both made, or serve at 127.0.0.1"
            )

    @property
    def tokens(self) -> dict[Right, str]:
        """The tokens that there are, by what they give the right to."""
        found: dict[Right, str] = {}
        if self.change is not None:
            found["change"] = self.change
        if self.read is not None:
            found["read" if found else "change"] = self.read
        return found

    def knows(self, token: str) -> bool:
        """Whether this is one of the tokens."""
        return any(_same(token, ours) for ours in (self.read, self.change) if ours is not None)

    def right(self, token: str = "") -> Right:
        """What a token gives the right to; without one, what everybody may do."""
        is_changer = self.change is not None and _same(token, self.change)
        is_reader = is_changer or self.read is None or _same(token, self.read)
        if is_changer or (is_reader and self.change is None):
            return "change"
        return "read" if is_reader else "none"

    def check(
        self, method: str, headers: Mapping[str, str], proven: Right = "none", *, change: bool
    ) -> Right:
        """What the asker may do; raises `RefusedError` unless that is enough for a request.

        The request would `change` something or not. `proven` is what a cookie has shown, the names
        of the headers are in lower case.
        """
        self.check_origin(method, headers)
        given = self.right(token_of(headers.get("authorization", "")))
        right = max(given, proven, key=RIGHTS.index)
        if right == "none":
            raise RefusedError(401, "a token is needed, as the password or as a bearer")
        if change and right == "read":
            raise RefusedError(403, "this token reads only; use the one that may change")
        return right

    def check_origin(self, method: str, headers: Mapping[str, str]) -> None:
        """Raise `RefusedError` where a page of another site asks, or under a name not ours."""
        host = headers.get("host", "")
        if self.hosts is not None and _without_port(host) not in self.hosts:
            raise RefusedError(421, f"asked as {host[:80]!r}; use one of {sorted(self.hosts)}")
        origin = headers.get("origin")
        if origin is not None:
            ours = {f"http://{host}", f"https://{host}"}
            if origin not in ours and origin not in self.origins:
                raise RefusedError(403, f"pages of {origin[:80]!r} may not ask here")
            return
        # browsers name no origin when a page elsewhere has an image or a script from here
        site = headers.get("sec-fetch-site", "none")
        follows_link = headers.get("sec-fetch-mode") == "navigate" and method == "GET"
        if site not in ("none", "same-origin") and not follows_link:
            raise RefusedError(403, "another site has asked this browser to ask here")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def token_of(credentials: str) -> str:
    """The token in the value of a header `Authorization`; empty where there is none."""
    kind, _, value = credentials.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # no base64, or no text
            return ""
    return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
