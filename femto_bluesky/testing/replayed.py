"""Recorded documents as a Tiled catalog gives them back: another order, other contents.

What is done here was read in bluesky-tiled-plugins 2.0.12 and compared with what its embedded
catalog returned: `writing/tiled_writer.py` (`RunNormalizer`, `_RunWriter`), `writing/consolidators`
and `exporters.py` (`build_descriptor_docs`, `json_seq_exporter`). Its faults are kept: a test must
meet them.
"""

from __future__ import annotations

import copy
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from femto_bluesky.sources.documents import Document
from femto_bluesky.testing.documents import split_runs

# `JSON_TO_NUMPY_DTYPE` of the writer: what a data key without `dtype_numpy` is given.
NUMPY_DTYPES = {
    "number": "<f8",
    "array": "<f8",
    "boolean": "|b1",
    "string": "<U0",
    "integer": "<i8",
}
# `MAX_ARRAY_SIZE` of the writer: larger arrays in events are kept apart from the table of scalars.
LARGEST_ARRAY_IN_TABLE = 16


class NotStorableError(ValueError):
    """A run that a Tiled catalog cannot hold; the message says why."""


def merged_order(docs: Iterable[Document], *, batched: bool = True) -> Iterator[Document]:
    """The documents of each run as `client[uid].documents()` yields them, one run after another.

    The order is start, descriptors and events by time, the stream_resources, one stream_datum
    for each, stop. Of the contents:

    * resource and datum became stream documents, and the event has lost their key;
    * arrays are nested lists; events have new uids and no `filled`; stream_resources have lost
      `chunk_shape` and `frame_per_point`;
    * of two events with one seq_num (a rewind) the later is left, while the one stream_datum
      covers the rows of both. Large arrays in events are then dealt out in order of arrival: they
      stand at the wrong events;
    * a second descriptor of a stream has the data keys of the first, only its configuration is
      its own; `object_keys` may be in another order;
    * a folder of TIFF files keeps its template only if the first digits in the files' names are
      their number; else only the first file is named;
    * without a stop document the last is ("stop", {}), and, if the writer was `batched` (its
      default), events and frames are missing.

    Raises `NotStorableError` where the writer would fail.
    """
    for run in split_runs(docs):
        yield from _replayed(run, batched)


def _replayed(run: list[Document], batched: bool) -> Iterator[Document]:
    names = {name for name, _ in run}
    if pages := names & {"event_page", "datum_page"}:
        raise NotStorableError(f"give single events and datums, not {', '.join(sorted(pages))}")
    streams: dict[str, _Stream] = {}
    by_uid: dict[str, _Stream] = {}
    files: dict[str, dict[str, Any]] = {}  # resources and stream_resources
    datums: dict[str, dict[str, Any]] = {}
    for name, doc in copy.deepcopy(run):
        match name:
            case "descriptor":
                stream = streams.setdefault(doc["name"], _Stream(doc))
                stream.add_descriptor(doc)
                by_uid[doc["uid"]] = stream
            case "resource" | "stream_resource":
                files[doc["uid"]] = doc
            case "datum":
                datums[doc["datum_id"]] = doc
            case "stream_datum":
                resource = files[doc["stream_resource"]]
                stream = by_uid[doc["descriptor"]]
                rows = range(doc["indices"]["start"], doc["indices"]["stop"])
                stream.external(resource["data_key"]).add(resource, rows)
            case "event":
                stream = by_uid[doc["descriptor"]]
                stream.add_event(doc)
                for key in stream.external_keys & set(doc["data"]):
                    datum = datums[doc["data"][key]]
                    point = datum["datum_kwargs"].get("point_number", doc["seq_num"] - 1)
                    resource = files[datum["resource"]]
                    if resource["spec"] == "AD_TIFF" and doc["descriptor"] != stream.first["uid"]:
                        raise NotStorableError(
                            f"{key!r} is kept in TIFF files, and its stream has a second "
                            "descriptor; a catalog then names the same files twice and fails"
                        )
                    stream.external(key).add(resource, range(point, point + 1))
    yield "start", _plain(run[0][1])
    stops = [doc for name, doc in run if name == "stop"]
    written = bool(stops) or not batched
    timed = [doc for stream in streams.values() for doc in stream.descriptors_and_events(written)]
    yield from sorted(timed, key=lambda named: float(named[1]["time"]))
    if written:
        kept = [(s, key) for s in streams.values() for key in sorted(s.frames)]
        yield from (("stream_resource", s.frames[key].resource()) for s, key in kept)
        yield from (("stream_datum", s.frames[key].datum()) for s, key in kept)
    yield "stop", _plain(stops[0]) if stops else {}


class _Stream:
    """What a catalog keeps of one stream of a run."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.first = first
        self.descriptors: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.frames: dict[str, _Frames] = {}
        keys: dict[str, dict[str, Any]] = first["data_keys"]
        self.external_keys = {name for name, key in keys.items() if "external" in key}
        self.large_keys = {
            name
            for name, key in keys.items()
            if name not in self.external_keys
            and key["dtype"] == "array"
            and math.prod(key["shape"]) > LARGEST_ARRAY_IN_TABLE
        }

    def add_descriptor(self, doc: dict[str, Any]) -> None:
        """`RunNormalizer.descriptor`, `_RunWriter.descriptor` and `build_descriptor_docs`."""
        if not self.descriptors:
            owners: dict[str, list[str]] = defaultdict(list)
            configured = [item["data_keys"] for item in doc.get("configuration", {}).values()]
            for data_keys in (doc["data_keys"], *configured):
                for data_key in data_keys.values():
                    data_key.setdefault("dtype_numpy", NUMPY_DTYPES[data_key["dtype"]])
            objects = {key: name for name, keys in doc["object_keys"].items() for key in keys}
            for key, data_key in doc["data_keys"].items():
                if key in objects:
                    data_key["object_name"] = objects[key]
                    owners[objects[key]].append(key)
            self.descriptors.append(_plain(doc) | {"object_keys": dict(owners)})
            return
        # A later descriptor is stored as an update: its uid, its time, its configured values.
        update = copy.deepcopy(self.descriptors[-1]) | {"uid": doc["uid"], "time": doc["time"]}
        for name, item in doc.get("configuration", {}).items():
            for part in ("data", "timestamps"):
                update["configuration"][name][part].update(_plain(item[part]))
        self.descriptors.append(update)

    def add_event(self, doc: dict[str, Any]) -> None:
        """`_RunWriter.event`: one more row of the table."""
        shapes = {key: np.shape(doc["data"][key]) for key in self.large_keys}
        for key, shape in shapes.items():
            kept = np.shape(self.rows[0]["data"][key]) if self.rows else shape
            if kept != shape:
                raise NotStorableError(
                    f"{key!r} has the shape {list(shape)} in event {doc['seq_num']} and "
                    f"{list(kept)} before; a catalog stacks such arrays and fails on this"
                )
        self.rows.append(doc)

    def external(self, key: str) -> _Frames:
        """What is kept of the frames behind a data key."""
        return self.frames.setdefault(key, _Frames(key, self.first))

    def descriptors_and_events(self, written: bool) -> Iterator[Document]:
        """`json_seq_exporter`, its parts 1 and 2."""
        for doc in self.descriptors:
            yield "descriptor", doc
        latest = {row["seq_num"]: row for row in self.rows} if written else {}
        arrays = {key: [row["data"][key] for row in self.rows] for key in self.large_keys}
        for number, seq_num in enumerate(sorted(latest)):
            row = latest[seq_num]
            data = {
                key: value
                for key, value in row["data"].items()
                if key not in self.external_keys | self.large_keys
            }
            # Arrays know no seq_num: they are handed out in the order in which they were stored.
            data |= {key: values[number] for key, values in arrays.items()}
            before = [doc["uid"] for doc in self.descriptors[1:] if doc["time"] <= row["time"]]
            uid = before[-1] if before else self.descriptors[0]["uid"]
            event = {
                "seq_num": seq_num,
                "time": row["time"],
                "uid": f"event-{uid}-{seq_num}",
                "descriptor": uid,
                "data": _plain(data),
                "timestamps": {key: row["timestamps"][key] for key in data},
            }
            yield "event", event


class _Frames:
    """What a catalog keeps of the frames behind one data key: files, and a number of rows."""

    def __init__(self, key: str, descriptor: dict[str, Any]) -> None:
        self.key = key
        self.descriptor = descriptor
        self.n_rows = 0
        self.files: list[dict[str, Any]] = []
        self.uris: list[str] = []

    def add(self, resource: dict[str, Any], rows: range) -> None:
        """`ConsolidatorBase.consume_stream_datum`: rows are counted, not looked at."""
        self.n_rows += len(rows)
        if resource not in self.files:
            self.files.append(resource)
        if resource.get("spec") == "AD_TIFF":
            kwargs = resource["resource_kwargs"]
            per_row = kwargs.get("frame_per_point", 1)
            for number in range(rows.start * per_row, rows.stop * per_row):
                # The writer joins folder and file name as they stand, without a slash.
                name = kwargs["template"] % ("", kwargs["filename"], number)
                self.uris.append(_uri(resource) + name)
        elif not self.uris or resource is self.files[-1]:
            uri = resource["uri"] if "uri" in resource else _uri(resource)
            if uri not in self.uris:
                self.uris.append(uri)

    def resource(self) -> dict[str, Any]:
        """The stream_resource of the whole run: `json_seq_exporter`, its last part."""
        given = self.files[0]
        parameters: dict[str, Any]
        if given.get("spec") == "AD_TIFF":
            mimetype = "multipart/related;type=image/tiff"
            uri, template, _ = template_of(self.uris)
            parameters = {"join_method": "stack"}
            if template is None:
                uri = self.uris[0]
            elif template:
                parameters |= {"template": template, "chunk_shape": [1]}
        else:
            mimetype, uri = "application/x-hdf5", self.uris[0]
            kwargs = given.get("parameters", given.get("resource_kwargs", {}))
            parameters = {
                "dataset": kwargs.get("dataset", "/entry/data/data"),
                "swmr": kwargs.get("swmr", True),
                "locking": None,
                "join_method": "stack",
            }
        return {
            "data_key": self.key,
            "uid": f"sr-{self.descriptor['uid']}-{self.key}",
            "run_start": self.descriptor["run_start"],
            "mimetype": mimetype,
            "parameters": parameters,
            "uri": uri,
        }

    def datum(self) -> dict[str, Any]:
        """The one stream_datum: as many rows as were ever written."""
        return {
            "uid": f"sd-{self.descriptor['uid']}-{self.key}-0",
            "stream_resource": f"sr-{self.descriptor['uid']}-{self.key}",
            "descriptor": self.descriptor["uid"],
            "indices": {"start": 0, "stop": self.n_rows},
            "seq_nums": {"start": 1, "stop": self.n_rows + 1},
        }


def template_of(uris: list[str]) -> tuple[str, str | None, int]:
    """The folder, the template and the first number of files, or no template if none fits.

    `_synthesize_multipart_template` of the exporter: the first digits in the name must count.
    """
    if len(uris) == 1:
        return uris[0], "", 0
    common = os.path.commonprefix(uris)  # noqa: RUF071 - by character, as the exporter does it
    folder = common[: common.rfind("/") + 1]
    first = uris[0].removeprefix(folder)
    digits = re.search(r"\d+", first)
    if digits is None:
        return uris[0], None, 0
    low, high = digits.span()
    template = f"{first[:low]}%0{high - low}d{first[high:]}"
    start = int(digits.group())
    fits = all(uri == folder + template % (start + i) for i, uri in enumerate(uris))
    return (folder, template, start) if fits else (uris[0], None, 0)


def _uri(resource: dict[str, Any]) -> str:
    path = Path(resource["root"]) / resource["resource_path"]
    return f"file://localhost{path.as_posix()}"


def _plain(value: Any) -> Any:
    """`value` as it comes back from JSON: arrays and tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
