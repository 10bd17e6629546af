"""One browser: what it has chosen for itself, and its way to the analysis that all share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeVar

from pydantic import ValidationError

from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.model.words import in_words
from femto_bluesky.viewer.hub import Hub, News
from femto_bluesky.viewer.page.shortcuts import Shortcuts
from femto_bluesky.viewer.page.websockets import is_behind

log = logging.getLogger(__name__)

T = TypeVar("T")

Tone = Literal["info", "good", "warning", "error"]

BEHIND_S: Final = 0.1
"""After so long a browser that was behind is looked at again."""


class Part(Protocol):
    """A part of the page."""

    def refresh(self, news: frozenset[News]) -> None:
        """Show what is new; called with the lock of the document."""


class Session:
    """The state of one browser.

    `doc` is its Bokeh document. `detector` is the one that is shown (None: none has come yet),
    `is_paused` whether the display stands still, `is_hidden` whether its tab cannot be seen,
    `is_dark` its colours. `parts` are told what is new. `on_choice` are called, without arguments,
    when one of these choices has changed. `n_drawn` are the pictures that the browser has shown;
    whoever sends them counts. `shortcuts` are its keys.
    """

    def __init__(self, hub: Hub, doc: Any, *, may_change: bool = True) -> None:
        self.hub, self.doc, self.may_change = hub, doc, may_change
        self.parts: list[Part] = []
        self.on_choice: list[Callable[[], None]] = []
        self.on_message: list[Callable[[str, Tone], None]] = []
        self.is_paused = self.is_hidden = self.is_dark = False
        self.n_drawn = 0
        self.shortcuts = Shortcuts()
        self._detector: str | None = None
        self._news: set[News] = set()
        self._is_told = False
        self._context = doc.session_context
        self._failures: dict[type[Part], str] = {}

    @property
    def live(self) -> LiveAnalysis:
        """The analysis."""
        return self.hub.live

    # choices of this browser

    @property
    def detectors(self) -> list[str]:
        """The detectors that have shown something, in the order in which they came."""
        return list(self.live.accumulations.of)

    @property
    def detector(self) -> str | None:
        """The detector that is shown: the chosen one, or the first that has come."""
        if self._detector in self.live.accumulations.of:
            return self._detector
        return next(iter(self.detectors), self._detector)

    def choose(self, **choices: Any) -> None:
        """Set `detector`, `is_paused`, `is_hidden` or `is_dark` for this browser."""
        for name, value in choices.items():
            setattr(self, "_detector" if name == "detector" else name, value)
        for function in self.on_choice:
            function()
        if not self.is_paused and not self.is_hidden:
            self.tell(frozenset({"image", "curves", "settings", "pulse"}))

    # what is new

    def tell(self, news: frozenset[News]) -> None:
        """Note what is new, and show it when the browser can take it; called in the loop.

        A browser that is slow gets the newest only: one refresh at a time waits for it.
        """
        self._news |= news
        if self._is_told or self.is_hidden:
            return
        self._is_told = True
        self._refresh_soon()

    @property
    def is_behind(self) -> bool:
        """Whether this browser has not taken what was sent to it."""
        return is_behind(self.doc)

    @property
    def has_gone(self) -> bool:
        """Whether this browser has gone for good: its document takes nothing any more."""
        return self._context is not None and self._context.destroyed

    def _soon(self, function: Callable[[], Any]) -> None:
        if not self.has_gone:
            self.doc.add_next_tick_callback(function)

    def _refresh_soon(self) -> None:
        if self.is_behind:
            asyncio.get_running_loop().call_later(BEHIND_S, self._refresh_soon)
        else:
            self._soon(self._refresh)

    def _refresh(self) -> None:
        self._is_told = False
        news, self._news = frozenset(self._news), set()
        if self.is_paused:
            # the display stands still; whether shots come, and what is set, can still be seen
            news &= {"pulse", "settings"}
        for part in self.parts:
            try:
                part.refresh(news)
            except Exception as error:
                # whatever it is: the other parts are shown. It is said once, not with each picture
                if self._failures.get(type(part)) != repr(error):
                    self._failures[type(part)] = repr(error)
                    log.exception("%s could not be shown", type(part).__name__)

    # the analysis

    def change(self, **changes: Any) -> None:
        """Change settings of the analysis, which all browsers and the console then see."""
        self.act(partial(self.hub.change, changes))

    def act(self, action: Callable[[], Any]) -> None:
        """Do what changes the analysis, in a thread; what goes wrong is said, and read back."""
        if not self.may_change:
            self.say("This browser may read only; open the link with the token to change", "error")
            self.read_back()
            return
        self.in_thread(action, lambda _: self.read_back(), self.hub.changing)

    def read_back(self) -> None:
        """Have all parts show the settings as they are."""
        self.tell(frozenset({"settings", "image", "curves"}))

    def in_thread(
        self,
        function: Callable[[], T],
        then: Callable[[T], None],
        pool: Executor | None = None,
    ) -> None:
        """Call what takes more than a few milliseconds, then `then` with what it gives.

        `then` is called with the lock of the document. `pool` is one of the hub's: what changes
        something, or draws the image, does not wait behind looks. To be called in the loop.
        """
        loop = asyncio.get_running_loop()

        async def call() -> None:
            try:
                found = await loop.run_in_executor(pool or self.hub.pool, function)
            except (ValueError, OSError, KeyError) as error:
                self._say_soon(_words(error), "error")
                self._soon(self.read_back)
                return
            except Exception as error:
                log.exception("the page failed at something")
                self._say_soon(f"{type(error).__name__}: {error}", "error")
                return
            self._soon(partial(then, found))

        task = loop.create_task(call())
        _running.add(task)
        task.add_done_callback(_running.discard)

    # words

    def say(self, text: str, tone: Tone = "info") -> None:
        """Say something to whoever sits at this browser."""
        for function in self.on_message:
            function(text, tone)

    def _say_soon(self, text: str, tone: Tone) -> None:
        self._soon(partial(self.say, text, tone))


_running: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return in_words(error)
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
