"""What bokeh-fastapi 0.1.8 leaves undone for the websockets of the page.

It does not tell Bokeh when one has ended, so that sessions of browsers that have gone are kept, and
written to, for ever. And it does not send messages one after the other: each has several parts,
and where a browser is slow, those of two messages are mixed. Panel 1.9 goes on making messages
whether or not they are taken, so that those of a browser that hangs would fill the memory. Nor is
there a limit to how many parts a message from a browser has. It unpacks tokens before it looks at
their signatures, lets what is wrong with one stand in the log with all the calls that led there,
has the log tell of whatever came, to the last byte, and closes with numbers that websockets do not
have.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final
from weakref import WeakKeyDictionary

MOST_B: Final = 4 << 20
"""Bytes of a message from a browser, and of each part: a file of regions takes a third of it."""

MOST_WORDS: Final = 300
"""Characters of what the log says of a message, and bytes of the reason for an end: a third."""

_MENDED: Final = "_is_mended_by_femto_bluesky"

log = logging.getLogger(__name__)

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
    receive = WSHandler._receive
    for name in ("bokeh_fastapi.handler", "bokeh.server.protocol_handler"):
        logging.getLogger(name).addFilter(_short)

    async def ws_connect(self: Any, websocket: Any) -> None:
        self.sends_one, self.n_received = asyncio.Lock(), 0
        if not _is_ours(self.application, websocket.scope["subprotocols"]):
            await websocket.close(1008)
            return
        try:
            await connect(self, websocket)
        except RuntimeError as error:  # it has expired, or the browser has gone
            log.debug("a websocket was not opened: %s", error)
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

    async def receive_bounded(self: Any, fragment: str | bytes) -> Any:
        was_taken = self.n_received <= MOST_B
        self.n_received += len(fragment)
        if self.n_received > MOST_B:
            if was_taken:
                await self._socket.close(1009, f"a message of more than {MOST_B} bytes")
            return None
        message = await receive(self, fragment)
        if message is not None:
            self.n_received = 0
        # what was still on its way from one that has gone is nobody's
        return None if self.connection._session is None else message

    async def protocol_error(self: Any, message: str) -> None:
        await self._socket.close(1002, _reason(message))

    async def internal_error(self: Any, message: str) -> None:
        await self._socket.close(1011, _reason(message))
        self.on_close(1011, message)

    WSHandler.ws_connect, WSHandler.send_message = ws_connect, send_message
    WSHandler._receive = receive_bounded
    WSHandler._protocol_error, WSHandler._internal_error = protocol_error, internal_error


def _is_ours(application: Any, spoken: list[str]) -> bool:
    """Whether what a browser speaks is Bokeh's, and its token one that this server has signed."""
    from bokeh.util.token import check_token_signature

    if len(spoken) != 2 or spoken[0] != "bokeh":
        return False
    try:
        return check_token_signature(
            spoken[1], signed=application.sign_sessions, secret_key=application.secret_key
        )
    except Exception:  # whatever it is that is no token
        return False


def _short(record: logging.LogRecord) -> bool:
    """Let the log tell what went wrong, without all that came."""
    words = record.getMessage()
    record.msg, record.args, record.exc_info = words[:MOST_WORDS], (), None
    return True


def _reason(message: str) -> str:
    """As much of a reason as a websocket may give."""
    return message.encode("ascii", "replace")[: MOST_WORDS // 3].decode()


def _document_of(handler: Any) -> Any:
    """The document that a websocket shows; None where either has gone."""
    session = handler.connection._session
    return None if session is None or session.destroyed else session.document
