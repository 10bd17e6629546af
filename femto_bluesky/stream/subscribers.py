"""Functions that want documents; none of them can keep a document from the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)

Subscriber = Callable[[str, Any], Any]


class Subscribers:
    """Hands documents to every subscriber.

    Not `bluesky.run_engine.Dispatcher`: there an exception of one subscriber reaches the caller
    and keeps the document from those after it.
    """

    def __init__(self) -> None:
        self._functions: dict[int, tuple[Subscriber, str]] = {}
        self._failed: set[int] = set()
        self._next_token = 0

    def subscribe(self, function: Subscriber, name: str = "all") -> int:
        """Have documents of this name (or all) sent to a function; the token ends it again."""
        token, self._next_token = self._next_token, self._next_token + 1
        self._functions[token] = (function, name)
        return token

    def unsubscribe(self, token: int) -> None:
        """Send no more documents to the function that was given this token."""
        self._functions.pop(token, None)

    def send(self, name: str, doc: Mapping[str, Any]) -> None:
        """Send a document to all; a function that raises is logged once a run, and kept."""
        if name == "start":
            self._failed.clear()
        for token, (function, wanted) in list(self._functions.items()):
            if wanted not in ("all", name):
                continue
            try:
                function(name, doc)
            except Exception:
                if token not in self._failed:
                    log.exception("%r failed on a %s document of a derived run", function, name)
                self._failed.add(token)
