"""The published tree over the REST API of HSDS, as far as its readers use it.

h5pyd 0.2x asks for objects, links and attributes one by one, h5pyd 1.x for all of an object at
once, h5web for values as JSON. Source: https://github.com/HDFGroup/hdf-rest-api, and what these
clients send. Every reply is made of one picture of the tree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from femto_bluesky import __version__
from femto_bluesky.viewer import h5json
from femto_bluesky.viewer.access import RefusedError
from femto_bluesky.viewer.identifiers import ObjectId
from femto_bluesky.viewer.selections import SelectionError, select, select_points
from femto_bluesky.viewer.tree import (
    Dataset,
    GoneError,
    Node,
    NotInTreeError,
    Tree,
    TreeGroup,
    identify,
)

MAX_JSON_VALUES: Final = 4_000_000
"""Numbers that are sent as text in one reply; more are to be had as bytes, or in parts."""

MOST_WORDS: Final = 2000
"""Characters of a refusal."""

CHUNK: Final = 1 << 20
ROOT: Final = str(ObjectId.of("/", (), is_group=True))
Json = dict[str, Any]
Found = tuple[str, Node]


class TooMuchError(ValueError):
    """A reply that would be too large; the message says how to ask instead."""


def routes(tree: Callable[[], Tree]) -> list[Route]:
    """The routes of the API; `tree` gives the newest picture."""
    results = _Results(tree)
    return [
        Route("/", results.domain),
        Route("/about", results.about),
        Route("/acls", results.acls),
        Route("/acls/{user}", results.acls),
        Route("/{collection}/{id}", results.object),
        Route("/{collection}/{id}/links", results.links),
        Route("/{collection}/{id}/links/{name:path}", results.link),
        Route("/{collection}/{id}/attributes", results.attributes),
        Route("/{collection}/{id}/attributes/{name:path}", results.attribute),
        Route("/{collection}/{id}/shape", results.shape),
        Route("/{collection}/{id}/value", results.value),
        Route("/{collection}/{id}/value", results.selected_value, methods=["POST"]),
    ]


class _Results:
    """The answers; those that are no coroutine run in threads, and may wait for the analysis."""

    def __init__(self, tree: Callable[[], Tree]) -> None:
        self._tree = tree

    async def domain(self, request: Request) -> Response:
        limits = {"min_chunk_size": 1 << 20, "max_chunk_size": 1 << 22, "max_request_size": 1 << 27}
        return _reply(
            {"root": ROOT, "class": "domain", "owner": "femto_bluesky", "created": 0.0,
             "lastModified": 0.0, "limits": limits, "version": "0.9.0", "compressors": []}
        )  # fmt: skip

    async def about(self, request: Request) -> Response:
        return _reply(
            {"name": "femto_bluesky", "about": f"femto_bluesky {__version__}: live results",
             "hsds_version": "0.9.0", "start_time": 0, "state": "READY", "greeting": "",
             "node_count": 1, "username": "anonymous", "isadmin": False}
        )  # fmt: skip

    async def acls(self, request: Request) -> Response:
        user = request.path_params.get("user", "default")
        acl = dict.fromkeys(["create", "update", "delete", "readACL", "updateACL"], False)
        acl |= {"userName": user, "read": True}
        return _reply({"acl": acl} if "user" in request.path_params else {"acls": [acl]})

    def object(self, request: Request) -> Response:
        path, node = self._find(request)
        wanted = request.query_params
        found = self._described(path, node)
        if wanted.get("include_attrs", "0") not in ("0", "F"):
            found["attributes"] = {
                name: h5json.attribute(name, value) for name, value in node.attributes.items()
            }
        if isinstance(node, TreeGroup) and wanted.get("include_links", "0") not in ("0", "F"):
            found["links"] = {link["title"]: link for link in _links(path, node)}
        return _reply(found)

    def links(self, request: Request) -> Response:
        path, node = self._find_group(request)
        return _reply({"links": list(_links(path, node))})

    def link(self, request: Request) -> Response:
        path, node = self._find_group(request)
        name = request.path_params["name"]
        for link in _links(path, node):
            if link["title"] == name:
                return _reply({"link": link, "created": 0.0, "lastModified": 0.0})
        raise NotInTreeError(f"there is no {name!r} in {path!r}")

    def attributes(self, request: Request) -> Response:
        _, node = self._find(request)
        found = [h5json.attribute(name, value) for name, value in node.attributes.items()]
        return _reply({"attributes": found})

    def attribute(self, request: Request) -> Response:
        path, node = self._find(request)
        name = request.path_params["name"]
        if name not in node.attributes:
            raise NotInTreeError(f"{path!r} has no attribute {name!r}")
        return _reply(h5json.attribute(name, node.attributes[name]))

    def shape(self, request: Request) -> Response:
        values = self._find_values(request)
        return _reply({"shape": h5json.shape_of(values)})

    def value(self, request: Request) -> Response:
        values = self._find_values(request)
        text = request.query_params.get("select")
        return _values(request, values if text is None else select(values, text))

    async def selected_value(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._selected, request, body)

    def _selected(self, request: Request, body: bytes) -> Response:
        values = self._find_values(request)
        if request.headers.get("content-type", "").startswith("application/octet-stream"):
            return _values(request, select_points(values, body))
        try:
            wanted = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SelectionError(f"the request is no JSON: {error}") from error
        match wanted:
            case {"points": list(points)}:
                return _values(request, select_points(values, points))
            case {"select": str(text)}:
                return _values(request, select(values, text))
        raise SelectionError("the request names neither points nor a selection")

    def _find(self, request: Request) -> Found:
        identifier = ObjectId.parse(request.path_params["id"])
        collection = request.path_params["collection"]
        kind = None if identifier is None else "groups" if identifier.is_group else "datasets"
        if identifier is None or collection != kind:
            raise NotInTreeError(f"{collection}/{request.path_params['id']} is not known here")
        return self._tree().find(identifier)

    def _find_group(self, request: Request) -> tuple[str, TreeGroup]:
        path, node = self._find(request)
        if not isinstance(node, TreeGroup):
            raise NotInTreeError(f"{path!r} is a dataset and has no links")
        return path, node

    def _find_values(self, request: Request) -> NDArray[Any]:
        path, node = self._find(request)
        if not isinstance(node, Dataset):
            raise NotInTreeError(f"{path!r} is a group and has no value")
        return node.values

    def _described(self, path: str, node: Node) -> Json:
        found: Json = {
            "id": str(identify(path, node)), "root": ROOT,
            "domain": "/", "attributeCount": len(node.attributes), "created": 0.0,
            "lastModified": 0.0,
        }  # fmt: skip
        if isinstance(node, TreeGroup):
            return found | {"linkCount": len(node.members)}
        return found | {
            "type": h5json.type_of(node.values.dtype), "shape": h5json.shape_of(node.values),
            "layout": {"class": "H5D_CONTIGUOUS"}, "creationProperties": {},
        }  # fmt: skip


def _links(path: str, group: TreeGroup) -> Iterator[Json]:
    for name, member in group.members.items():
        yield {
            "class": "H5L_TYPE_HARD", "title": name, "created": 0.0,
            "id": str(identify(f"{path.rstrip('/')}/{name}", member)),
            "collection": "groups" if isinstance(member, TreeGroup) else "datasets",
        }  # fmt: skip


def _reply(found: Json) -> Response:
    return Response(
        json.dumps({**found, "hrefs": []}), media_type="application/json", headers=_HEADERS
    )


_HEADERS: Final = {"Cache-Control": "no-store"}


def _values(request: Request, values: NDArray[Any]) -> Response:
    """An array as its client wants it: as bytes where it says so, otherwise as JSON.

    Text has no bytes of a fixed length, and of nothing h5pyd cannot read the bytes.
    """
    is_binary = "octet-stream" in request.headers.get("accept", "")
    if is_binary and values.dtype.kind != "U" and values.size:
        length = {"Content-Length": str(values.nbytes)}
        return StreamingResponse(
            _chunks(values), media_type="application/octet-stream", headers=_HEADERS | length
        )
    if values.size > MAX_JSON_VALUES:
        raise TooMuchError(
            f"{values.size} values are too many for JSON; select fewer than {MAX_JSON_VALUES}, or "
            "accept application/octet-stream"
        )
    return StreamingResponse(h5json.pieces(values), media_type="application/json", headers=_HEADERS)


def _chunks(values: NDArray[Any]) -> Iterator[bytes]:
    """The bytes of an array, a part at a time, so that a large one is not copied as a whole."""
    if values.ndim == 0:
        yield values.tobytes()
        return
    rows = max(1, CHUNK // max(1, values.itemsize * math.prod(values.shape[1:])))
    for start in range(0, len(values), rows):
        yield np.ascontiguousarray(values[start : start + rows]).tobytes()


async def refused(request: Request, error: Exception) -> Response:
    """The reply to a request that cannot be met: its status and the words of the error."""
    status = 500
    match error:
        case GoneError():
            status = 410
        case NotInTreeError():
            status = 404
        case TooMuchError():
            status = 413
        case SelectionError():
            status = 400
        case RefusedError():
            status = error.status
    return JSONResponse({"detail": shortened(error)}, status, headers=_HEADERS)


def shortened(error: Exception) -> str:
    """The words of a refusal, without most of what a request had in the place of a name."""
    words = str(error)
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}..."
