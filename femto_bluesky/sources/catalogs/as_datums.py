"""Turn stream documents into resources and datums, for a catalog that knows no others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from femto_bluesky.sources.catalogs.runs import CatalogError
from femto_bluesky.sources.documents import Document, Pair

HDF5 = "application/x-hdf5"


def as_datums(documents: Iterable[Pair]) -> Iterator[Document]:
    """The same run with a resource for each stream_resource, and a datum before each event.

    Raises `CatalogError` where an event has no frames when it comes, and for streams without
    events (photons, flyers): a datum is only found through its event.
    """
    resources: dict[str, Mapping[str, Any]] = {}
    told: set[str] = set()
    descriptors: dict[str, Mapping[str, Any]] = {}
    places: dict[tuple[str, str, int], tuple[str, int]] = {}
    for name, document in documents:
        if name == "descriptor":
            descriptors[document["uid"]] = document
            yield name, _descriptor(document)
        elif name == "stream_resource":
            if document["mimetype"] != HDF5:
                raise CatalogError(f"found {document['mimetype']} behind a stream, expected {HDF5}")
            resources[document["uid"]] = document
        elif name == "stream_datum":
            key = resources[document["stream_resource"]]["data_key"]
            if not _has_events(descriptors[document["descriptor"]]):
                raise CatalogError(
                    f"{key!r} is a stream without events, as photons are, and MongoDB cannot hold "
                    "it; the run is kept as JSON lines. Use a Tiled catalog for such runs"
                )
            first = document["seq_nums"]["start"]
            for offset in range(document["seq_nums"]["stop"] - first):
                place = document["stream_resource"], document["indices"]["start"] + offset
                places[document["descriptor"], key, first + offset] = place
        elif name == "event":
            uid = document["descriptor"]
            event = {**document, "data": dict(document["data"])}
            event["timestamps"] = dict(document["timestamps"])
            event["filled"] = dict(document.get("filled", {}))
            for key in _streamed(descriptors[uid]):
                if (uid, key, document["seq_num"]) not in places:
                    raise CatalogError(
                        f"event {document['seq_num']} came before the frames of {key!r}, and "
                        "MongoDB cannot hold such a run; keep it in a Tiled catalog"
                    )
                resource, index = places.pop((uid, key, document["seq_num"]))
                if resource not in told:
                    told.add(resource)
                    yield "resource", _resource(resources[resource], descriptors[uid])
                datum_id = f"{resource}/{index}"
                yield (
                    "datum",
                    {
                        "resource": resource,
                        "datum_id": datum_id,
                        "datum_kwargs": {"point_number": index},
                    },
                )
                event["data"][key] = datum_id
                event["timestamps"][key] = document["time"]
                event["filled"][key] = False
            yield name, event
        else:
            yield name, dict(document)


def _streamed(descriptor: Mapping[str, Any]) -> list[str]:
    keys = descriptor["data_keys"]
    return [key for key, entry in keys.items() if entry.get("external") == "STREAM:"]


def _has_events(descriptor: Mapping[str, Any]) -> bool:
    return len(_streamed(descriptor)) < len(descriptor["data_keys"])


def _descriptor(document: Mapping[str, Any]) -> dict[str, Any]:
    keys = {
        key: {**entry, "external": "FILESTORE:"} if entry.get("external") == "STREAM:" else entry
        for key, entry in document["data_keys"].items()
    }
    return {**document, "data_keys": keys}


def _resource(document: Mapping[str, Any], descriptor: Mapping[str, Any]) -> dict[str, Any]:
    shape = descriptor["data_keys"][document["data_key"]]["shape"]
    return {
        "uid": document["uid"],
        "run_start": descriptor["run_start"],
        "spec": "AD_HDF5_SWMR",
        "root": "/",
        "resource_path": unquote(urlsplit(document["uri"]).path).lstrip("/"),
        "resource_kwargs": {
            "frame_per_point": shape[0] if len(shape) == 3 else 1,
            "dataset": document["parameters"]["dataset"],
        },
        "path_semantics": "posix",
    }
