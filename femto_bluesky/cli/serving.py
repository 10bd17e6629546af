"""What commands that serve the page share: the address, said once, and the end by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from femto_bluesky.cli.shared import told

if TYPE_CHECKING:
    from femto_bluesky.callbacks import LiveAnalysis
    from femto_bluesky.viewer import ResultsServer

PORT: Final = 8650
"""Where the page is, if nobody says otherwise; a free port where this one is taken."""

Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", show_default=False,
        help="where the page is served: 127.0.0.1, for this machine only, if not given, or an "
        "address that others can reach, such as 0.0.0.0; they need a token then, which is printed",
    ),
]  # fmt: skip
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, show_default=False,
        help=f"its port; if not given {PORT}, or a free one where that is taken",
    ),
]  # fmt: skip


@contextmanager
def serving(live: LiveAnalysis, host: str | None, port: int | None) -> Iterator[ResultsServer]:
    """Serve the page and say where; where that cannot be, say why and leave with exit code 1."""
    with told():
        server = _served(live, host or "127.0.0.1", port)
    try:
        from femto_bluesky.viewer import login

        _say("The page, until Ctrl-C:", *login.told(server.address, server.access))
        yield server
    finally:
        server.close()


@contextmanager
def stop_asked() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, or the signal to end; a second one ends at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def kept_until_stopped() -> Iterator[None]:
    """Go on until Ctrl-C when what is in here is done, and leave with its exit code then."""
    try:
        yield
    except typer.Exit:
        _wait()
        raise
    _wait()


def _wait() -> None:
    with stop_asked() as asked:
        _say("It is done. The page stays until Ctrl-C.")
        asked.wait()


def link(server: ResultsServer) -> str:
    """What to open in a browser."""
    from femto_bluesky.viewer import login

    return login.links(server.address, server.access)["change"]


def _served(live: LiveAnalysis, host: str, port: int | None) -> ResultsServer:
    if port is not None:
        return live.serve(host, port)
    try:
        return live.serve(host, PORT)
    except OSError:
        return live.serve(host)


def _say(*lines: str) -> None:
    # at once, also into a pipe: who started it waits for the address
    console = Console(soft_wrap=True)
    for line in lines:
        console.print(line, highlight=False, markup=False)
    console.file.flush()
