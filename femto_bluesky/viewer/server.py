"""The server of results: one address for viewers of all kinds, in a thread of its own."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from femto_bluesky import __version__
from femto_bluesky.callbacks.live_analysis import LiveAnalysis
from femto_bluesky.viewer import hsds, parameters
from femto_bluesky.viewer.access import LOCAL_NAMES, Access, RefusedError, is_loopback
from femto_bluesky.viewer.connections import bounded
from femto_bluesky.viewer.door import Door
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.login import described
from femto_bluesky.viewer.page.application import application as page_of
from femto_bluesky.viewer.page.websockets import MOST_B
from femto_bluesky.viewer.selections import SelectionError
from femto_bluesky.viewer.snapshots import Snapshots
from femto_bluesky.viewer.tree import NotInTreeError

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

PATIENCE_S: Final = 20.0
"""So long a server may take to start or to stop."""


def serve(
    live: LiveAnalysis,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    access: Access | None = None,
    detector: str | None = None,
    page: bool | ASGIApp = True,
) -> ResultsServer:
    """Serve the results of an analysis; port 0 takes a free one. `close()` ends it.

    Without `access`, everybody on this machine may read and change; where `host` can be reached
    from other machines, two random tokens are made, which are in `access` of the server. `detector`
    is the one whose results stand at the top of the tree. `page` is what browsers get: the live
    page, nothing (False), or an ASGI application for `/` and everything that is no result.

    Raises `ValueError` where `access` has no tokens and others could reach the server, and
    `OSError` where the address cannot be had.
    """
    if access is None:
        access = Access() if is_loopback(host) else Access.with_tokens()
    access.check_host(host)
    if is_loopback(host) and access.hosts is not None:
        access = replace(access, hosts=LOCAL_NAMES | set(access.hosts) | {_in_address(host)})
    elif access.hosts == LOCAL_NAMES:
        access = replace(access, hosts=None)  # it has many names, and tokens
    snapshots = Snapshots(live, detector=detector)
    try:
        shown = page_of(Hub(live, snapshots)) if page is True else page or None
        return ResultsServer(snapshots, access, host, port, shown)
    except BaseException:
        snapshots.close()
        raise


class ResultsServer:
    """A running server; `address` is where it is."""

    def __init__(
        self,
        snapshots: Snapshots,
        access: Access,
        host: str,
        port: int,
        page: ASGIApp | None = None,
    ) -> None:
        import uvicorn

        self.snapshots, self.access = snapshots, access
        self._socket = _bound(host, port)
        self.address = f"http://{_in_address(host)}:{self._socket.getsockname()[1]}/"
        config = uvicorn.Config(
            Door(access, application(snapshots), page),
            # query strings may hold keys of clients: nothing is logged of a request
            # nor of one that is none
            access_log=False, log_config=None, log_level="error", server_header=False,
            proxy_headers=False, lifespan="on", http=bounded(), ws="websockets-sansio",
            ws_max_size=MOST_B,
            ws_per_message_deflate=False,  # pictures are deflated already, once for all browsers
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server: uvicorn.Server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="results server", daemon=True)
        self._thread.start()
        self._wait()
        log.info("results are served at %s", self.address)

    def close(self) -> None:
        """End the server; who is connected is given two seconds."""
        self.snapshots.close()
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        self._socket.close()

    def __repr__(self) -> str:
        """Where it is, and the links that let browsers in."""
        return described(self.address, self.access)

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except (Exception, SystemExit):
            # SystemExit: uvicorn could not start. The scan and the analysis go on without it
            log.exception("the results server has ended")

    def _wait(self) -> None:
        """Until the server answers: a socket that listens lets clients wait meanwhile."""
        pause = threading.Event()
        for _ in range(int(PATIENCE_S / 0.01)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self.close()
        raise OSError(f"the results server at {self.address} did not start; the log says why")


def application(snapshots: Snapshots) -> ASGIApp:
    """The results, the parameters and the health of an analysis as one ASGI application."""
    others = _Others(snapshots)
    return Starlette(
        routes=[
            Route("/health", others.health),
            Route("/api/v1/parameters", others.parameters),
            Route("/api/v1/parameter/{name}", others.parameter),
            Route("/api/v1/parameter/{name}", others.set_parameter, methods=["POST"]),
            *hsds.routes(snapshots.tree),
        ],
        exception_handlers=dict.fromkeys(
            [NotInTreeError, hsds.TooMuchError, SelectionError, RefusedError], hsds.refused
        ),
    )


class _Others:
    """What is not the tree. Health is told even where all threads wait for an analysis."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def health(self, request: Request) -> Response:
        failures = self._snapshots.live.failures
        problem = self._snapshots.problem or (str(failures[-1]) if failures else "")
        return JSONResponse(
            {"status": "problem" if problem else "ok", "problem": problem,
             "open_runs": self._snapshots.n_open_runs, "failed_runs": len(failures),
             "version": __version__}
        )  # fmt: skip

    def parameters(self, request: Request) -> Response:
        settings = self._settings()
        return JSONResponse(
            [
                {"name": known.name, "description": known.description, "dtype": known.dtype,
                 "value": parameters.value_of(name, settings)}
                for name, known in parameters.PARAMETERS.items()
            ]
        )  # fmt: skip

    def parameter(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in parameters.PARAMETERS:
            return _unknown(name)
        text = parameters.value_of(name, self._settings())
        return Response(text.encode(), media_type="application/x.bytes")

    async def set_parameter(self, request: Request) -> Response:
        return await run_in_threadpool(self._set, request.path_params["name"], await request.body())

    def _set(self, name: str, data: bytes) -> Response:
        if name not in parameters.PARAMETERS:
            return _unknown(name)
        try:
            self._snapshots.configure(parameters.changes_of(name, data, self._settings()))
        except ValueError as error:
            return JSONResponse({"detail": hsds.shortened(error)}, 422)
        return JSONResponse(sha256(data).hexdigest())

    def _settings(self) -> Mapping[str, Any]:
        with self._snapshots.live.shell.lock:
            return self._snapshots.live.settings_record()


def _unknown(name: str) -> Response:
    known = ", ".join(parameters.PARAMETERS)
    return JSONResponse({"detail": f"no parameter {name[:80]!r}; there are {known}"}, 404)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise OSError(
            error.errno, f"results cannot be served at {host}, port {port}: {error.strerror}; take "
            "another port, or 0 for a free one"
        ) from error  # fmt: skip
    return found


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
