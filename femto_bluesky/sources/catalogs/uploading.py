"""Bring runs that are kept as JSON lines into a catalog."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from femto_bluesky.sources.catalogs.catalog import Catalog
from femto_bluesky.sources.catalogs.locks import is_locked, try_lock
from femto_bluesky.sources.catalogs.runs import CatalogError, RunExistsError
from femto_bluesky.sources.jsonl import JsonLinesError

log = logging.getLogger(__name__)


@dataclass
class Uploaded:
    """What became of each file: `stored`, there already (`existing`), or `failed` and why.

    Files in `growing` were left alone: a scan that goes on writes them, or another upload reads
    them.
    """

    stored: list[Path] = field(default_factory=list)
    existing: list[Path] = field(default_factory=list)
    growing: list[Path] = field(default_factory=list)
    failed: dict[Path, Exception] = field(default_factory=dict)


def upload(
    source: str | Path,
    catalog: Catalog,
    *,
    each: Callable[[Path], object] = lambda path: None,
) -> Uploaded:
    """Store every run below `source` (a .jsonl, or a directory of them) in the catalog.

    A run that never stopped gets a stop document that says 'fail'; one that is still being written
    is left alone. The files stay where they are; those that wait for this very catalog are removed
    when it has them (where the file system knows locks), and none need be left.
    `each` is told of a file when it is done with. Raises FileNotFoundError where there are none.
    """
    source = Path(source)
    paths = [source] if source.is_file() else sorted([*source.rglob("*.jsonl*")])
    paths = [path for path in paths if path.name.removesuffix(".gz").endswith(".jsonl")]
    waiting = catalog.writer.waiting.absolute()
    if not paths and source.absolute() != waiting:
        raise FileNotFoundError(f"{source}: there are no files .jsonl or .jsonl.gz; check the path")
    done = Uploaded()
    for path in paths:
        try:
            with path.open("rb") as file:
                if not try_lock(file):
                    done.growing.append(path)
                    continue
                try:
                    catalog.store.insert(path)
                    done.stored.append(path)
                except RunExistsError:
                    done.existing.append(path)
                if path.absolute().parent == waiting and is_locked(path):
                    path.unlink()
        except (CatalogError, JsonLinesError, OSError) as failure:
            done.failed[path] = failure
        finally:
            each(path)
    return done
