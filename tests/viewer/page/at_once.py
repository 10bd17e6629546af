"""A session without a browser and without threads: all is done at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bokeh.document import Document

from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.session import Session

T = TypeVar("T")


class AtOnce(Session):
    """Does at once what is to be done in a thread; `said` is what it has said."""

    def __init__(self, hub: Hub, **rights: Any) -> None:
        super().__init__(hub, Document(), **rights)
        self.said: list[str] = []
        self.on_message.append(lambda text, tone: self.said.append(text))
        self.is_waiting = False
        self.waiting: list[Callable[[], None]] = []

    def in_thread(
        self, function: Callable[[], T], then: Callable[[T], None], pool: Any = None
    ) -> None:
        if self.is_waiting:
            self.waiting.append(lambda: then(function()))
        else:
            then(function())
