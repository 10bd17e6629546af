"""The raw runs that the sources of a command hold, each with its start and its stop document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from femto_bluesky.cli.catalogs import KINDS, check_sources, chosen, parted, quiet

if TYPE_CHECKING:
    from femto_bluesky.sources.catalogs import Run
    from femto_bluesky.sources.documents import Pair

NamedRun = tuple["Run", bool]
"""A raw run, and whether it was named: else its whole catalog was."""


def raw_runs(sources: Sequence[str], catalog: str | None, opened: ExitStack) -> list[NamedRun]:
    """The raw runs of all sources, files and catalogs; catalogs stay open until `opened` ends.

    A run that has not stopped has no stop document here, as far as its source tells. Raises what is
    wrong with a source, and `ValueError` where a run is given twice or a source holds none.
    """
    check_sources(sources)
    if not sources and catalog is None:
        raise ValueError("no source is given; name the raw runs, or their catalog (--catalog)")
    found: list[NamedRun] = []
    recordings: list[Path] = []
    for where, text in _parted(sources, catalog):
        if where is not None:
            found += _of_catalog(where, text, opened)
        elif text is not None and text.removesuffix(".gz").endswith(".jsonl"):
            found += [(run, True) for run in _of_lines(Path(text))]
        elif text is not None:
            recordings.append(Path(text))
    if recordings:
        found += [(run, True) for run in _of_recordings(recordings)]
    found = [(run, is_named) for run, is_named in found if not run.is_derived]
    if not found:
        raise ValueError(f"{', '.join(sources) or catalog}: there is no raw run; check the name")
    return list({run.uid: (run, is_named) for run, is_named in found}.values())


def _parted(sources: Sequence[str], catalog: str | None) -> Iterator[tuple[str | None, str | None]]:
    """The catalog (None for a file) and what is meant of it (None: all) of each source."""
    if catalog is not None:
        yield from ((catalog, text) for text in sources or [None])  # type: ignore[list-item]
        return
    for text in sources:
        is_catalog = text.partition(":")[0] in KINDS and not Path(text).exists()
        if is_catalog and "#" not in text:
            yield text, None
        else:
            yield parted(text)


def _of_catalog(where: str, text: str | None, opened: ExitStack) -> list[NamedRun]:
    from femto_bluesky.sources import open_catalog

    quiet()
    catalog = opened.enter_context(open_catalog(where))
    if text is None:
        return [(run, False) for run in catalog]
    return [(run, True) for run in chosen(catalog, text)]


def _of_lines(path: Path) -> list[Run]:
    from femto_bluesky.sources import jsonl
    from femto_bluesky.sources.catalogs.lines import list_runs
    from femto_bluesky.sources.catalogs.runs import Run

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; check the name")
    try:
        listed = list_runs(path)
    except jsonl.JsonLinesError as error:
        raise jsonl.JsonLinesError(f"{path}: {error}") from error
    return [
        Run(start, stop, str(path), partial(_documents, [path], start["uid"]))
        for start, stop in listed
    ]


def _of_recordings(paths: list[Path]) -> list[Run]:
    from femto_bluesky.sources.catalogs.runs import Run
    from femto_bluesky.sources.replay import documents_of

    listed = [(name, doc) for name, doc in documents_of(paths) if name in ("start", "stop")]
    stops = {doc["run_start"]: dict(doc) for name, doc in listed if name == "stop"}
    where = ", ".join(map(str, paths))
    return [
        Run(dict(doc), stops.get(doc["uid"]), where, partial(_documents, paths, doc["uid"]))
        for name, doc in listed
        if name == "start"
    ]


def _documents(paths: list[Path], run: str) -> Iterator[Pair]:
    """The documents of one run in files that may hold several."""
    from femto_bluesky.sources.catalogs.runs import Owners
    from femto_bluesky.sources.replay import documents_of

    owners = Owners()
    for name, document in documents_of(paths):
        if owners.run_of(name, document) == run:
            yield name, document
