"""The option of the commands that keep the running sums, and who keeps them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from femto_bluesky.callbacks import LiveAnalysis

SUMS: Final = "sums"
"""The folder in --out in which the running sums are kept."""

Restore = Annotated[
    bool,
    typer.Option(
        "--restore",
        help="go on from the sums that were kept in --out before, by `live` or with --restore; "
        "frames that are in them are not added again",
    ),
]


def keeping(
    live: LiveAnalysis, out: Path | None, *, restore: bool
) -> AbstractContextManager[object]:
    """What keeps the running sums while it is entered; with `restore`, it has brought them back.

    Raises what is wrong with that.
    """
    from femto_bluesky.callbacks.checkpoints import Checkpoints
    from femto_bluesky.callbacks.unfinished import note_begun

    if out is None:
        if restore:
            raise ValueError("--restore brings back what was kept in --out before; give --out too")
        return nullcontext()
    keeper = Checkpoints(live, out / SUMS)
    console = Console(soft_wrap=True)
    found = keeper.restore() if restore else keeper.found()
    # from now on, so that nobody finishes here what is at work; that it cannot be is told later
    with suppress(OSError):
        if keeper.hold():
            note_begun(live, keeper.directory, is_restored=restore)
    for one in found:
        said = "restored" if restore else "not restored (give --restore)"
        console.print(f"{said}: {one}", highlight=False, markup=False)
    if restore and not found:
        console.print(f"nothing to restore in {keeper.directory}", highlight=False, markup=False)
    console.file.flush()
    return keeper.start()
