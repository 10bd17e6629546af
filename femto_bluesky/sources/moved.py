"""Documents whose files were moved: they are told where the files are now."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from femto_bluesky.files.stacks import file_uri
from femto_bluesky.sources.documents import Pair

log = logging.getLogger(__name__)


def moved(documents: Iterable[Pair], path_map: Mapping[str, str]) -> Iterator[Pair]:
    """The same documents with the paths of their files put through `path_map`.

    A path that lies in one of the folders named there lies in the other one instead; of several
    the longest counts. The log names each HDF5 file that is not there. No document is changed.
    """
    folders = {Path(old): Path(new) for old, new in path_map.items()}
    missing: set[Path] = set()
    for name, document in documents:
        if name == "stream_resource" and str(document.get("uri", "")).startswith("file:"):
            path = Path(unquote(urlsplit(document["uri"]).path))
            new = new_place(path, folders)
            _tell_if_missing(new, str(document.get("mimetype", "")), missing)
            yield name, document if new == path else {**document, "uri": file_uri(new.absolute())}
        elif name == "resource" and "resource_path" in document:
            path = Path(str(document.get("root") or "/"), document["resource_path"])
            new = new_place(path, folders)
            _tell_if_missing(new, str(document.get("spec", "")), missing)
            yield name, document if new == path else _resource_at(document, new)
        else:
            yield name, document


def new_place(path: Path, folders: Mapping[Path, Path]) -> Path:
    """Where a file is now.

    >>> new_place(Path("/old/raw/a.h5"), {Path("/old"): Path("/new")}).as_posix()
    '/new/raw/a.h5'
    """
    held = [old for old in folders if path.is_relative_to(old)]
    if not held:
        return path
    old = max(held, key=lambda folder: len(folder.parts))
    return folders[old] / path.relative_to(old)


def _resource_at(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    place = path.absolute()
    root = place.anchor
    return {**document, "root": root, "resource_path": place.relative_to(root).as_posix()}


def _tell_if_missing(path: Path, kind: str, missing: set[Path]) -> None:
    if "hdf5" in kind.lower() and path not in missing and not path.exists():
        missing.add(path)
        log.warning(
            "the documents say that frames are in %s, and there is no such file. If it was moved, "
            'say where it is: replay(..., path_map={"%s": NEW}), or --path-map %s=NEW',
            path, path.parent, path.parent,
        )  # fmt: skip
