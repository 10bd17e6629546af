"""What there is to say to whoever sits at this browser, one message over the page at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.session import Session, Tone

FADES_AFTER_S: Final = 6.0
MOST: Final = 20


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said, and until when it is shown (None: until it is dismissed)."""

    text: str
    tone: Tone
    until: float | None


class Messages:
    """The newest message; errors and warnings stay until they are dismissed, others fade."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        import panel as pn

        self._clock = clock
        self.waiting: list[Message] = []
        self._text = pn.pane.HTML("", css_classes=["fb-message-text"], margin=0)
        dismiss = pn.widgets.Button(
            label="✕", css_classes=["fb-dismiss", "fb-bare"], margin=0, width=28
        )
        dismiss.on_click(lambda _: self.dismiss())
        self.view: Any = pn.Row(
            self._text, dismiss, visible=False, css_classes=["fb-message"], margin=0
        )
        session.on_message.append(self.say)

    def say(self, text: str, tone: Tone) -> None:
        """Show a message in front of those that have not been dismissed."""
        stays = tone in ("error", "warning")
        message = Message(text, tone, None if stays else self._clock() + FADES_AFTER_S)
        # the same again is one message, and the newest
        self.waiting = [m for m in self.waiting if (m.text, m.tone) != (text, tone)][-MOST:]
        self.waiting.append(message)
        self._show()

    def dismiss(self) -> None:
        """Show no more what is shown; the one before comes to light."""
        self.waiting = self.waiting[:-1]
        self._show()

    def refresh(self, news: frozenset[News]) -> None:
        """Let fade what has been there long enough."""
        now = self._clock()
        left = [m for m in self.waiting if m.until is None or m.until > now]
        if left != self.waiting:
            self.waiting = left
            self._show()

    def _show(self) -> None:
        newest = self.waiting[-1] if self.waiting else None
        if newest is not None:
            more = f" <i>({len(self.waiting) - 1} more)</i>" if len(self.waiting) > 1 else ""
            self._text.object = escape(newest.text) + more
            self.view.css_classes = ["fb-message", f"fb-tone-{newest.tone}"]
        self.view.visible = newest is not None
