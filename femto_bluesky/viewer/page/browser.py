"""What passes between the page and the browser itself: its colours, and keys that are pressed.

The other half is browser.js.
"""

from __future__ import annotations

from typing import Any

from femto_bluesky.viewer.page.session import Session


class Browser:
    """Tells the browser what it is to look like, and hears what it likes, and which key is pressed.

    `view` is to stand somewhere on the page and is not seen. The choices themselves are in the
    session; nothing is told before the browser has said what it prefers.
    """

    def __init__(self, session: Session) -> None:
        from bokeh.models.sources import ColumnDataSource
        from bokeh.models.widgets import Div

        self._session = session
        self._is_met = False
        self.told = ColumnDataSource(data=self._choices())
        self.heard = ColumnDataSource(data={"is_dark": [False], "key": [""], "n": [0]})
        self.view: Any = Div(name="fb-browser", visible=False, tags=[self.told, self.heard])
        self.heard.on_change("data", self._hear)
        session.on_choice.append(self._tell)
        session.shortcuts.on_new = self._tell
        # the page says itself that the server has gone, and is loaded anew when it is back
        config = session.doc.config
        config.reconnect_session = config.notify_connection_status = False

    def _choices(self) -> dict[str, list[Any]]:
        session, rows = self._session, self._session.shortcuts.rows
        return {
            "is_dark": [session.is_dark if self._is_met else None] * len(rows),
            "is_paused": [session.is_paused] * len(rows),
            "keys": [key for key, _ in rows],
            "words": [words for _, words in rows],
        }

    def _tell(self) -> None:
        if self._choices() != self.told.data:
            self.told.data = self._choices()

    def _hear(self, attr: str, old: object, new: dict[str, list[Any]]) -> None:
        is_dark = bool(new["is_dark"][0])
        if not self._is_met:
            self._is_met = True
            if is_dark != self._session.is_dark:
                self._session.choose(is_dark=is_dark)
        self._session.shortcuts.press(str(new["key"][0]))
