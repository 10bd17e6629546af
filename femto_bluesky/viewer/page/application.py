"""The page as an ASGI application, to stand behind the door of the server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from femto_bluesky.viewer.access import MAY_CHANGE_HEADER
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.export_files import ExportFiles
from femto_bluesky.viewer.page.layout import laid_out
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.page.websockets import mend

TITLE: Final = "femto_bluesky"

KEEP_SESSION_MS: Final = 15_000
"""So long a browser that has gone may come back and finds all as it was."""

CHECK_SESSIONS_MS: Final = 5_000
"""So often sessions are looked at for that."""


def application(hub: Hub) -> ASGIApp:
    """The page of a hub. It looks at the analysis while the application's lifespan lasts."""
    from fastapi import FastAPI
    from panel.io.fastapi import add_applications
    from panel.io.resources import COMPONENT_PATH

    mend()
    shown = [hub]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(shown[0].run())
        yield
        looking.cancel()
        # fastapi remembers what answers requests when the server has long ended; the images of the
        # hub, and what browsers were shown, must not be kept with it
        shown.pop().close()
        app.router.routes.clear()
        for context in served._applications.values():
            await context._cleanup_sessions(-1)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes += ExportFiles(hub).routes()
    served = add_applications(
        {"/": lambda: opened(shown[0])},
        app=app,
        title=TITLE,
        location=False,
        # what a session may do is in its token, which only this server can sign
        sign_sessions=True,
        secret_key=secrets.token_bytes(32),
        # else the token in the page would hold the password that came with the request
        include_headers=[MAY_CHANGE_HEADER.title()],
        include_cookies=[""],
        unused_session_lifetime_milliseconds=KEEP_SESSION_MS,
        check_unused_sessions_milliseconds=CHECK_SESSIONS_MS,
    )
    # it imports whatever module an address names, and nothing of ours is loaded from there
    app.router.routes[:] = [
        route for route in app.router.routes if not _path(route).startswith(f"/{COMPONENT_PATH}")
    ]
    return _in_sessions_of_their_own(app)


def _in_sessions_of_their_own(app: ASGIApp) -> ASGIApp:
    """Nobody gets the session of another browser, and its rights, by naming it in the address."""

    async def shown(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("path", "").startswith("/export/"):
            scope = {**scope, "query_string": b""}
        await app(scope, receive, send)

    return shown


def _path(route: Any) -> str:
    return str(getattr(route, "path", ""))


def opened(hub: Hub) -> Any:
    """The page for one browser that has come."""
    import panel as pn

    doc: Any = pn.state.curdoc
    request = doc.session_context.request
    # panel compares the names with those that tornado makes of them
    headers = {} if request is None else {k.lower(): v for k, v in request.headers.items()}
    may_change = headers.get(MAY_CHANGE_HEADER) == "1"
    session = Session(hub, doc, may_change=may_change)
    page = laid_out(session)
    pn.state.onload(partial(hub.join, session))
    pn.state.onload(session.read_back)
    doc.on_session_destroyed(lambda context: hub.leave(session))
    return page
