"""What bokeh-fastapi 0.1.8 leaves undone for the websockets of the page.

It does not tell Bokeh when one has ended, so that sessions of browsers that have gone are kept, and
written to, for ever. And it does not send messages one after the other: each has several parts,
and where a browser is slow, those of two messages are mixed. Panel 1.9 goes on making messages
whether or not they are taken, so that those of a browser that hangs would fill the memory.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import WeakKeyDictionary

_MENDED: Final = "_is_mended_by_femto_bluesky"

_waiting: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # messages, by the document


def is_behind(document: Any) -> bool:
    """Whether a browser has not taken what was sent to it: whoever could send more should wait."""
    return _waiting.get(document, 0) > 0


def mend() -> None:
    """Have the websockets of this process do what is said above. A second call does nothing."""
    from bokeh_fastapi.handler import WSHandler

    if hasattr(WSHandler, _MENDED):
        return
    setattr(WSHandler, _MENDED, True)
    connect, send = WSHandler.ws_connect, WSHandler.send_message

    async def ws_connect(self: Any, websocket: Any) -> None:
        self.sends_one = asyncio.Lock()
        try:
            await connect(self, websocket)
        finally:
            if self.connection is not None:
                self.application.client_lost(self.connection)

    async def send_message(self: Any, message: Any) -> int:
        document = _document_of(self)
        if document is not None:
            _waiting[document] = _waiting.get(document, 0) + 1
        try:
            async with self.sends_one:
                sent: int = await send(self, message)
                return sent
        finally:
            if document is not None:
                _waiting[document] -= 1

    WSHandler.ws_connect, WSHandler.send_message = ws_connect, send_message


def _document_of(handler: Any) -> Any:
    """The document that a websocket shows; None where either has gone."""
    session = handler.connection._session
    return None if session is None or session.destroyed else session.document
