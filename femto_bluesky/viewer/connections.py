"""What a connection to the server may cost before anybody knows who it is.

uvicorn 0.54 waits for the rest of a request for ever, and takes as many connections as come. Each
is an open file of this process, which is that of the RunEngine and of its analysis: without a
bound, a thousand of them would leave none for raw frames. Requests are read by h11 and not by
httptools, which is installed in some places: that one takes headers without end.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from functools import cache
from typing import Any, Final

MOST: Final = 256
"""Connections at a time; a browser has seven at most."""

REQUEST_S: Final = 20.0
"""So long a request may take to come: a megabyte, at the pace of a bad connection."""


@cache
def bounded() -> Any:
    """The protocol of uvicorn with these bounds, for its `http`."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class BoundedProtocol(H11Protocol):
        """HTTP for one connection: it is ended where its request does not come, or too many are."""

        _giving_up: TimerHandle | None = None

        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            """Take in a connection, if there is room for it."""
            super().connection_made(transport)
            if len(self.connections) > MOST:
                transport.abort()
            else:
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            """Wait for nothing any more."""
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Take in a part of a request, and see whether it is whole."""
            super().data_received(data)
            if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._stop_waiting()
            elif self._giving_up is None:
                self._wait()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            """Leave the connection to the protocol of websockets, which has bounds of its own."""
            self._stop_waiting()
            super().handle_websocket_upgrade(event)

        def _wait(self) -> None:
            self._giving_up = self.loop.call_later(REQUEST_S, self.transport.abort)

        def _stop_waiting(self) -> None:
            if self._giving_up is not None:
                self._giving_up.cancel()
                self._giving_up = None

    return BoundedProtocol
