"""The command `demo`: a simulated beamline that scans while somebody watches."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from femto_bluesky.cli.replaying import show
from femto_bluesky.cli.serving import Host, Port, link, serving, stop_asked
from femto_bluesky.cli.shared import finish, told


def demo(
    out: Annotated[Path, typer.Option(help="where results are left")] = Path("demo-output"),
    steps: Annotated[int, typer.Option(min=1, help="motor positions")] = 17,
    frames: Annotated[int, typer.Option(min=1, help="frames at each position")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="seed of the simulated frames")] = 0,
    once: Annotated[
        bool, typer.Option("--once", help="one scan, and no page: it ends by itself")
    ] = False,
    host: Host = None,
    port: Port = None,
) -> None:
    """Scan a simulated beamline with a live analysis: rings, few photons a frame, truth known.

    The first scan leaves its results as files. Then it scans on, to be watched in a browser, until
    Ctrl-C; nothing of that is kept.
    """
    from femto_bluesky.demo import DemoBeamline  # the RunEngine takes a second to import
    from femto_bluesky.simulation.rings import RingSettings

    with ExitStack() as stack:
        stop = stack.enter_context(stop_asked())
        with told():
            if once and (host is not None or port is not None):
                raise ValueError("--host and --port are of the page, and with --once there is none")
            beamline = DemoBeamline(out, RingSettings(seed=seed), stop)
        page = None if once else stack.enter_context(serving(beamline.live, host, port))
        if page is not None:
            _open_browser(link(page))
        with told():
            done = beamline.scan(steps, frames)
        show(done.live, done.truth)
        finish(done.paths, [], done.problems)
        if stop.is_set():
            raise typer.Exit(130 if once else 0)
        regions = " ".join(
            f'--roi "{name}={r.x0},{r.y0},{r.x1},{r.y1}"'
            for name, r in done.live.rois.settings.rois.items()
        )
        _say(
            "The raw run is kept too. Analyse it again with\n"
            f"  {_command()} replay {done.raw} {regions}"
        )
        if page is not None:
            _say(
                f"\nThe beamline scans on, and keeps nothing. Watch it at {link(page)}\n"
                "Ctrl-C ends it."
            )
            with told():
                beamline.keep_scanning(steps, frames)


def _say(text: str) -> None:
    console = Console(soft_wrap=True)
    console.print(text, highlight=False, markup=False)
    console.file.flush()


def _command() -> str:
    """The command as it was typed, for it may not be on the path."""
    path = Path(sys.argv[0])
    return str(path) if path.name == "femto-bluesky" else "femto-bluesky"


def _open_browser(address: str) -> None:
    """Show the page where there is a display; whatever comes of it, the address was printed."""
    has_display = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not has_display or os.environ.get("CI"):
        return
    try:
        found = webbrowser.get()
        # one of text would take the terminal
        if type(found) is not webbrowser.GenericBrowser:
            found.open(address)
    except (webbrowser.Error, OSError):
        pass
