"""The live page of a session: it is there when the prompt is, and nobody waits for it."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.settings import PageSettings

if TYPE_CHECKING:
    from femto_bluesky.viewer import Access, ResultsServer

log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""So long a page that is being started is waited for when the prompt is left."""


class Page:
    """Where the results of a session are watched; shown at the prompt, it says the address.

    The address is known at once. What serves it is imported and started in a thread when `start` is
    called, for that takes a second or two: `server` is None until then. Where nothing comes of it,
    `problem` says why, and scans and analyses go on; `page.start()` tries again.
    """

    def __init__(self, live: LiveAnalysis, wanted: PageSettings | None) -> None:
        self.server: ResultsServer | None = None
        self.problem = ""
        self._live, self._wanted, self._is_wanted = live, wanted or PageSettings(), bool(wanted)
        self._access: Access | None = None
        self._port = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._prepare()

    def __repr__(self) -> str:
        if self.problem:
            return f"<no page: {self.problem}>"
        lines = "\n         ".join(self.lines)
        return f"<page at {lines}>"

    @property
    def lines(self) -> list[str]:
        """Where it is: a link, or one to change settings and one to watch; or why it is not."""
        if self.problem:
            return [f"none: {self.problem}"]
        host = self._wanted.host
        found = [f"http://{f'[{host}]' if ':' in host else host}:{self._port}/"]
        if self._access is not None:
            from femto_bluesky.viewer.login import told

            found = told(found[0], self._access)
        if self._wanted.port not in (0, self._port):
            found.append(f"(port {self._wanted.port} is taken, by another prompt perhaps)")
        return found

    def start(self) -> Page:
        """Begin to serve it, if it is wanted and is not being served already."""
        is_starting = self._thread is not None and self._thread.is_alive()
        if self.server is None and not is_starting:
            if self.problem:
                self._prepare()
            if not self.problem:
                self._is_closed = False
                self._thread = threading.Thread(target=self._serve, name="page start", daemon=True)
                self._thread.start()
        return self

    def wait(self, timeout_s: float = PATIENCE_S) -> bool:
        """Whether it is being served, within the time."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self.server is not None

    def close(self) -> None:
        """End it; browsers are given two seconds."""
        self._is_closed = True
        self.wait()
        server, self.server = self.server, None
        if server is not None:
            server.close()
            self.problem = "it was closed; page.start() begins it again"

    def _prepare(self) -> None:
        if not self._is_wanted:
            self.problem = "the settings want none; live.serve() begins one"
            return
        host = self._wanted.host
        try:
            self._port = free_port(host, self._wanted.port)
            if host not in ("127.0.0.1", "::1", "localhost"):
                from femto_bluesky.viewer import Access  # takes half a second

                self._access = self._access or Access.with_tokens()
        except Exception as failure:
            self._fail(failure)
        else:
            self.problem = ""

    def _serve(self) -> None:
        try:
            server = self._live.serve(self._wanted.host, self._port, access=self._access)
        except Exception as failure:
            # whatever it is: the prompt works without
            self._fail(failure)
            return
        if self._is_closed:
            server.close()
        else:
            self.server = server

    def _fail(self, failure: Exception) -> None:
        self.problem = str(failure)
        log.warning("there is no page: %s. Scans go on; page.start() tries again", failure)


def free_port(host: str, port: int) -> int:
    """The port, or a free one where it is taken. Raises `OSError` for a host that is not here."""
    try:
        return _probed(host, port)
    except OSError:
        pass
    try:
        return _probed(host, 0)
    except OSError as error:
        raise OSError(error.errno, f"nothing can be served at {host}: {error.strerror}") from error


def _probed(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # as the server itself does: what a former one left in the kernel is not in the way
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
        return int(probe.getsockname()[1])
