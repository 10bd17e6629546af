"""The command `femto-bluesky`. What a command needs is imported when it runs."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from femto_bluesky import __version__
from femto_bluesky.cli.calibrating import calibrate
from femto_bluesky.cli.catalogs import upload
from femto_bluesky.cli.demonstrating import demo
from femto_bluesky.cli.inspecting import inspect
from femto_bluesky.cli.live import live
from femto_bluesky.cli.photons import hot_pixels, photons
from femto_bluesky.cli.replaying import convert, replay
from femto_bluesky.cli.reprocessing import reprocess
from femto_bluesky.cli.resuming import resume
from femto_bluesky.stream.memory import keep_memory

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Analysis for a Bluesky beamline whose signal is so weak that one exposure shows nothing.",
)


def main() -> None:
    """Run the command; what goes wrong is said in one line, and the exit code is 1."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_time=False, show_path=False)],
    )
    # at its import silx, which pyFAI needs, says that it found no graphics card
    logging.getLogger("silx").setLevel(logging.ERROR)
    keep_memory()
    app()


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    """Options of the command itself."""
    if version:
        Console().print(__version__, highlight=False)
        raise typer.Exit


# a run is counted from the newest: -1 is a source, and no option
app.command(context_settings={"ignore_unknown_options": True})(replay)
app.command(context_settings={"ignore_unknown_options": True})(resume)
app.command(context_settings={"ignore_unknown_options": True})(reprocess)
app.command(context_settings={"ignore_unknown_options": True})(calibrate)
for command in (convert, demo, live, photons, hot_pixels, inspect, upload):
    app.command()(command)
