"""Documents whose files were moved: they are told where the files are now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from femto_bluesky.files.stacks import file_uri
from femto_bluesky.model.detectors import NOT_KEPT
from femto_bluesky.sources.documents import Pair

log = logging.getLogger(__name__)

SERVED = "application/x-tiled-array"
"""The mimetype of frames that a Tiled server is asked for; `stream.served` reads them."""

DELETED = "application/x-deleted"
"""The mimetype, or spec, of frames that are no more, for their run was not to keep them."""

SLOWER = 10
"""About how many times longer frames take through a server on the same machine."""

Served = Callable[[str, str], str | None]
"""The URL of the frames of a data key in a stream; None where there is none."""


class ServedUrl(str):
    """A URL that a catalog of this process has named: no document that comes in can hold one.

    Whoever reads frames there sends the key of the user along.
    """

    __slots__ = ()


def moved(
    documents: Iterable[Pair], path_map: Mapping[str, str], served: Served | None = None
) -> Iterator[Pair]:
    """The same documents with the paths of their files put through `path_map`.

    A path that lies in one of the folders named there lies in the other one instead; of several
    the longest counts. The log names each HDF5 file that is not there. Where `served` knows a URL
    of its frames, the stream_resource names that instead of the file, and comes just before the
    stream_datum that tells to which stream it belongs. Of frames that were deleted on purpose, once
    their photons had been found, the resource says that they are `DELETED`. No document is changed.
    """
    folders = {Path(old): Path(new) for old, new in path_map.items()}
    missing: set[Path] = set()
    streams: dict[str, str] = {}
    held: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    deleted: tuple[str, ...] = ()
    for name, document in documents:
        if name == "start":
            not_kept = document.get(NOT_KEPT)
            deleted = (
                tuple(f"{one}_" for one in not_kept) if isinstance(not_kept, list | tuple) else ()
            )
        path = _path_of(name, document)
        if path is not None and name == "stream_resource":
            new = new_place(path, folders)
            there = document if new == path else {**document, "uri": file_uri(new.absolute())}
            if str(document.get("data_key")).startswith(deleted) and not _exists(new):
                _tell_deleted(new, missing)
                there = {**document, "mimetype": DELETED}
            elif served and _is_hdf5(document.get("mimetype")) and not _exists(new):
                held[str(document.get("uid"))] = new, there
                continue
            else:
                _tell_if_missing(new, document.get("mimetype"), missing)
            yield name, there
        elif path is not None:
            new = new_place(path, folders)
            if path.name.startswith(deleted) and not _exists(new):
                _tell_deleted(new, missing)
                yield name, {**document, "spec": DELETED}
                continue
            _tell_if_missing(new, document.get("spec"), missing)
            yield name, document if new == path else _resource_at(document, new)
        else:
            if name == "descriptor":
                streams[str(document.get("uid"))] = str(document.get("name", "primary"))
            elif name == "stream_datum" and served and str(document.get("stream_resource")) in held:
                before, resource = held.pop(str(document["stream_resource"]))
                stream = streams.get(str(document.get("descriptor")), "primary")
                yield "stream_resource", _from_server(before, resource, stream, served, missing)
            elif name == "stop":
                for before, resource in held.values():  # which nothing refers to
                    _tell_if_missing(before, resource.get("mimetype"), missing)
                    yield "stream_resource", resource
                held.clear()
            yield name, document


def _path_of(name: str, document: Mapping[str, Any]) -> Path | None:
    """The file that a document names; None where it names none, or in a way that is not one."""
    try:
        if name == "stream_resource" and str(document.get("uri", "")).startswith("file:"):
            return Path(unquote(urlsplit(document["uri"]).path))
        if name == "resource" and "resource_path" in document:
            return Path(str(document.get("root") or "/"), document["resource_path"])
    except (TypeError, ValueError):  # who reads the frames says so
        pass
    return None


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


def _from_server(
    path: Path,
    resource: Mapping[str, Any],
    stream: str,
    served: Served,
    missing: set[Path],
) -> Mapping[str, Any]:
    url = served(stream, resource["data_key"])
    if url is None:
        _tell_if_missing(path, resource["mimetype"], missing)
        return resource
    log.warning(
        "there is no file %s here, so its frames are fetched from the server (%s). That is some %d "
        "times slower than reading the file. If it was copied or moved, say where it is: "
        'replay(..., path_map={"%s": NEW}), or --path-map %s=NEW',
        path, url, SLOWER, path.parent, path.parent,
    )  # fmt: skip
    return {**resource, "uri": ServedUrl(url), "mimetype": SERVED}


def _is_hdf5(kind: object) -> bool:
    return "hdf5" in str(kind).lower()


def _tell_deleted(path: Path, told: set[Path]) -> None:
    if path not in told:
        told.add(path)
        log.warning(
            "the frames in %s were deleted when their photons had been found, as the run says, so "
            "their detector is left out; its photons are in the photon file of the run", path,
        )  # fmt: skip


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # of a name that no file can have
        return False


def _tell_if_missing(path: Path, kind: object, missing: set[Path]) -> None:
    if _is_hdf5(kind) and path not in missing and not _exists(path):
        missing.add(path)
        log.warning(
            "the documents say that frames are in %s, and there is no such file. If it was moved, "
            'say where it is: replay(..., path_map={"%s": NEW}), or --path-map %s=NEW',
            path, path.parent, path.parent,
        )  # fmt: skip
