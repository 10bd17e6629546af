"""The command that looks at photon files: `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from femto_bluesky.cli.shared import made, told


def inspect(
    file: Annotated[
        Path, typer.Argument(help="a photon file, ours or the predecessor's", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="where the picture is left; else beside the file")
    ] = None,
) -> None:
    """Draw and tell what is in a photon file, so that single photons can be judged at a glance."""
    from femto_bluesky.files import xye
    from femto_bluesky.files.names import new_path
    from femto_bluesky.files.photon_pictures import draw_photons
    from femto_bluesky.files.photon_summary import summary_of

    with told():
        try:
            contents = xye.contents(file)
        except xye.XyeError as error:
            if _is_raw(file):
                raise ValueError(
                    f"{file} holds raw frames, no photons; find them first: "
                    f"femto-bluesky photons {file}"
                ) from error
            raise
        summary = summary_of(contents)
        picture = new_path(made(out) or file.absolute().parent, f"{file.stem}_inspect", "png")
        of = f"{file.name} ({contents.detector})" if contents.detector else file.name
        draw_photons(contents, summary, picture, of)
    console = Console(soft_wrap=True)
    table = Table(title=of, title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    for name, value in summary.rows():
        table.add_row(name, value)
    console.print(table)
    console.print(summary.verdict(), highlight=False, markup=False)
    console.print(f"wrote {picture}", highlight=False)


def _is_raw(file: Path) -> bool:
    """Whether there are stacks of images in a file, rather than photons or anything else."""
    from femto_bluesky.offline import RawFileError, dataset_of
    from femto_bluesky.stream.frames import FrameError

    try:
        dataset_of(file)
    except FrameError:
        return False
    except RawFileError as error:
        return "stacks of images" in str(error)
    return True
