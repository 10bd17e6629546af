"""Which runs of a catalog a command means, and the command that brings runs into one."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from femto_bluesky.cli.shared import progress_bar, quit_with, told

if TYPE_CHECKING:
    from femto_bluesky.sources.catalogs import Catalog, Run
    from femto_bluesky.sources.documents import Pair

OF_CATALOGS = r"(tiled|bluesky_tiled_plugins|starlette|fastapi|httpx|zarr|dask|databroker|intake)\b"
"""What warns of its own dependencies, which is of no use on the command line."""

KINDS = ("tiled", "broker", "catalog", "lines")

CatalogName = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="WHERE",
        help="sources are runs of this catalog: tiled:URL, tiled:PROFILE, broker:NAME, "
        "catalog:DIR, lines:DIR, or a directory",
    ),
]
PathMap = Annotated[
    list[str] | None,
    typer.Option("--path-map", metavar="OLD=NEW", help="a folder of files that was moved"),
]


def documents_from(
    sources: Sequence[str], catalog: str | None, path_map: Mapping[str, str]
) -> Iterator[Pair]:
    """The documents of all sources: files, or runs of catalogs, each with a stop document.

    With `catalog`, each source says which runs of it: see `chosen`. Without, ``KIND:WHERE#RUNS``
    does (``catalog:DIR#-1``), and what is no such thing is a file.
    """
    from femto_bluesky.sources import open_catalog
    from femto_bluesky.sources.replay import documents_of

    check_sources(sources)
    named = [(catalog, text) if catalog else parted(text) for text in sources]
    files = [text for where, text in named if where is None]
    if files and len(files) < len(named):
        raise ValueError(
            f"{files[0]} is a file and other sources are runs of a catalog; replay them one after "
            "the other"
        )
    if files:
        yield from documents_of(files, path_map)
        return
    quiet()
    for where, text in named:
        with open_catalog(where) as opened:
            for run in chosen(opened, text):
                yield from documents_of(run, path_map)


def check_sources(sources: Sequence[str]) -> None:
    """Raise `ValueError` for an option that there is not: a command with runs like -1 takes all."""
    for text in sources:
        if re.match(r"--[a-z]", text):
            raise ValueError(f"no such option: {text.partition('=')[0]}; see --help")


def parted(source: str) -> tuple[str | None, str]:
    """The catalog that a source names, and which runs of it; None and the source for a file.

    >>> parted("catalog:/data/runs#-1"), parted("scan.jsonl")
    (('catalog:/data/runs', '-1'), (None, 'scan.jsonl'))
    """
    if source.partition(":")[0] not in KINDS or Path(source).exists():
        if re.fullmatch(r"-\d+:?", source):
            raise ValueError(f"{source} counts runs; say of which catalog: --catalog WHERE")
        return None, source
    where, mark, runs = source.rpartition("#")
    if not mark or not runs:
        raise ValueError(f"{source}: say which run of the catalog, such as {source.rstrip('#')}#-1")
    return where, runs


def chosen(catalog: Catalog, text: str) -> list[Run]:
    """The runs that a text means, oldest first.

    ``-1`` is the newest raw run and ``-3:`` the newest three; ``12`` is a scan_id and ``12-17`` a
    range of them; ``sample=LaB6`` searches the start documents; all else is the beginning of a uid.
    Raises `RunNotFoundError` where there is none.
    """
    from femto_bluesky.sources.catalogs import RunNotFoundError

    try:
        found = _counted(catalog, text)
    except RunNotFoundError:
        if not re.fullmatch(r"[\d-]{5,}", text) or text.startswith("-"):
            raise
        found = None
    if found is None:
        return [catalog[text]]  # a uid may begin with as many digits
    if not found:
        raise RunNotFoundError(f"{catalog.where}: no raw run is {text!r}")
    return found


def _counted(catalog: Catalog, text: str) -> list[Run] | None:
    """The raw runs that a number, a range or a search means; None for a text that is a uid."""
    if newest := re.fullmatch(r"-(\d+):", text):
        return list(catalog)[-int(newest[1]) :]
    if re.fullmatch(r"-?\d+", text):
        return [catalog[int(text)]]
    if both := re.fullmatch(r"(\d+)-(\d+)", text):
        found = catalog.search(scan_id=(int(both[1]), int(both[2])))
    elif "=" in text:
        key, _, value = text.partition("=")
        found = catalog.search(**{key: _value(value)})
    else:
        return None
    return [run for run in found if not run.is_derived]


def mapped(pairs: Sequence[str] | None) -> dict[str, str]:
    """What the options --path-map say. Raises ValueError where one is no OLD=NEW."""
    found = {}
    for pair in pairs or ():
        old, mark, new = pair.partition("=")
        if not (old and mark and new):
            raise ValueError(f"--path-map {pair}: expected OLD=NEW, two folders")
        found[old] = new
    return found


def upload(
    source: Annotated[Path, typer.Argument(help="a .jsonl, or a directory of them")],
    to: Annotated[str, typer.Option("--to", metavar="WHERE", help="the catalog, as for replay")],
) -> None:
    """Bring runs that are kept as JSON lines into a catalog.

    The files stay, but for those in the `waiting` of this very catalog.
    """
    from femto_bluesky.sources import catalogs

    quiet()
    with told(), progress_bar() as bar, catalogs.open_catalog(to) as catalog:
        task = bar.add_task("runs", total=None)
        done = catalogs.upload(source, catalog, each=lambda path: bar.advance(task))
    console = Console(soft_wrap=True)
    if not (done.stored or done.existing or done.growing or done.failed):
        console.print(f"nothing is left in {source}", highlight=False)
    for path in done.stored:
        console.print(f"stored {path}", highlight=False)
    for path in done.existing:
        console.print(f"there already: {path}", highlight=False)
    for path in done.growing:
        console.print(f"left alone, it is still being written: {path}", highlight=False)
    if done.failed:
        quit_with(RuntimeError(f"{path}: {failure}") for path, failure in done.failed.items())


def quiet() -> None:
    """Keep what a catalog's packages say of themselves out of the bars and tables."""
    warnings.filterwarnings("ignore", module=OF_CATALOGS)
    # a level would not do: Tiled sets its own when it is imported
    logging.getLogger("tiled.server.app").addFilter(_is_a_warning)


def _is_a_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
