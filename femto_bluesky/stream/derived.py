"""The derived run: what an analysis finds, as Bluesky documents.

`bluesky.callbacks.stream.LiveDispatcher` has the same purpose; it is not used, for it changes the
raw documents, copies their hints and drops those of external data.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from event_model import ComposeDescriptorBundle, ComposeStreamResource, compose_run

from femto_bluesky import __version__
from femto_bluesky.files.names import new_path
from femto_bluesky.files.photon_file import PhotonFile
from femto_bluesky.files.stacks import MIMETYPE, FrameStack
from femto_bluesky.model.outputs import Output
from femto_bluesky.sources.jsonl import strict
from femto_bluesky.stream.steps import FRAME_AXIS, scanned

log = logging.getLogger(__name__)

Document = Mapping[str, Any]

KEPT = (
    "scan_id", "plan_name", "plan_type", "motors", "hints", "num_points", "num_intervals",
    "shape", "extents", "snaking", "title", "sample", "proposal",
)  # fmt: skip
"""Keys of the raw start document that the derived one has too; plots go by most of them."""


def plain(value: Any) -> Any:
    """A value as strict JSON holds it; what JSON does not know becomes its text.

    >>> import numpy as np
    >>> plain({"a": np.float32(1.5), "b": [np.nan, np.int64(2)]})
    {'a': 1.5, 'b': [None, 2]}
    """
    return strict(value, otherwise=str)


def start_keys(value: Any) -> Any:
    """Nested keys as a start document allows them: without "." and "/", and not empty."""
    if isinstance(value, Mapping):
        return {re.sub(r"[./]", "_", key) or "_": start_keys(item) for key, item in value.items()}
    return value


class DerivedRun:
    """Composes the documents of one derived run and sends each to `emit`.

    Its streams are those that the declared outputs name. A stream is described when its first row
    comes, and again when the settings have changed.
    """

    def __init__(
        self,
        raw_start: Document,
        analysis: str,
        settings: Mapping[str, Any],
        emit: Callable[[str, Document], None],
        directory: Path | None,
    ) -> None:
        self._emit = emit
        self._directory = directory
        self._analysis = analysis
        kept = {key: plain(raw_start[key]) for key in KEPT if key in raw_start}
        if not _has_motors(raw_start):
            kept["motors"] = [FRAME_AXIS]
            kept["hints"] = {**kept.get("hints", {}), "dimensions": [[[FRAME_AXIS], "primary"]]}
        self._bundle = compose_run(
            metadata=kept
            | {
                "purpose": "derived",
                "original_run_uid": raw_start["uid"],
                "original_time": raw_start["time"],
                "parent_uids": [raw_start["uid"]],
                "analysis": {
                    "name": analysis,
                    "version": __version__,
                    "settings": start_keys(plain(settings)),
                },
            }
        )
        self._streams: dict[str, ComposeDescriptorBundle] = {}
        self._n_events: dict[str, int] = {}
        self._stacks: dict[str, FrameStack] = {}
        self._resources: dict[str, Any] = {}
        self._outputs: list[Output] = []
        self._not_written: dict[str, str] = {}  # images, and why
        self._axes: dict[str, dict[str, Any]] = {}
        self._settings = plain(settings)
        emit("start", self.start)

    @property
    def start(self) -> Document:
        """The start document."""
        return self._bundle.start_doc

    def describe(
        self,
        outputs: Iterable[Output],
        settings: Mapping[str, Any],
        axes: Mapping[str, dict[str, Any]],
    ) -> None:
        """Say what the rows that come will hold.

        `axes` are the data keys of the motors, copied from the raw descriptor, with the name of
        their object as `object_name`.
        """
        self._outputs = [o for o in outputs if not o.is_image or self._directory is not None]
        self._settings = plain(settings)
        self._axes = dict(axes)
        self._streams.clear()
        # event-model allows one set of data keys in a stream; new regions need new ones
        self._bundle.compose_descriptor.streams.clear()

    def rows(
        self, stream: str, rows: Sequence[Mapping[str, Any]], first_seq_num: int, time: float
    ) -> None:
        """Emit one row a event; `first_seq_num` counts from 1. Several rows go as a page."""
        if not rows:
            return
        if stream not in self._streams:
            self._streams[stream] = self._describe_stream(stream, rows[0])
        bundle = self._streams[stream]
        keys = bundle.descriptor_doc["data_keys"]
        inside = [key for key, entry in keys.items() if "external" not in entry]
        for key in keys:
            if key not in inside and key in rows[0]:
                try:
                    self._write(bundle, key, [row[key] for row in rows], first_seq_num)
                except OSError as error:
                    # an event would promise an image that is nowhere; the other streams go on
                    self._not_written.setdefault(f"{stream} {key}", str(error))
                    log.error("%s: the image %r is not written: %s", stream, key, error)
                    return
        columns = {key: [plain(_value(row, key, keys[key])) for row in rows] for key in inside}
        times = {key: [time] * len(rows) for key in inside}
        if stream == "shots":
            seq_nums = list(range(first_seq_num, first_seq_num + len(rows)))
            self._emit(
                "event_page",
                bundle.compose_event_page(
                    columns, times, seq_num=seq_nums, time=[time] * len(rows)
                ),
            )
        else:
            for index in range(len(rows)):
                event = bundle.compose_event(
                    {key: column[index] for key, column in columns.items()},
                    dict.fromkeys(inside, time),
                    seq_num=first_seq_num + index,
                    time=time,
                )
                self._emit("event", event)
        end = first_seq_num + len(rows)
        self._n_events[stream] = max(self._n_events.get(stream, 1), end)

    def has_photons(self, detector: str) -> bool:
        """Whether it was declared that photons of a detector are kept."""
        return any(output.column and output.detector == detector for output in self._outputs)

    def photons(self, detector: str, file: PhotonFile, first: int, stop: int) -> int:
        """Say that rows `first` to `stop` of a photon file were written; the first one's number.

        Rows are numbered from 0 through the stream, which goes on from file to file.
        """
        columns = [o for o in self._outputs if o.column and o.detector == detector]
        stream = columns[0].stream
        if stream not in self._streams:
            like = {o.name: np.empty(0, file.dtypes[o.column]) for o in columns}
            self._streams[stream] = self._describe_stream(stream, like)
        seq_num = self._n_events.get(stream, 1)
        for output in columns:
            place = f"{output.name} {file.path}"
            if place not in self._resources:
                self._resources[place] = ComposeStreamResource(self._bundle.start_doc)(
                    mimetype=MIMETYPE,
                    uri=file.uri,
                    data_key=output.name,
                    parameters=file.columns[output.column],
                )
                self._emit("stream_resource", self._resources[place].stream_resource_doc)
            if stop > first:
                datum = self._resources[place].compose_stream_datum(
                    indices={"start": first, "stop": stop},
                    seq_nums={"start": seq_num, "stop": seq_num + stop - first},
                    descriptor=self._streams[stream].descriptor_doc,
                )
                self._emit("stream_datum", datum)
        self._n_events[stream] = seq_num + stop - first
        return seq_num - 1

    def stop(self, exit_status: Literal["success", "abort", "fail"], reason: str) -> None:
        """Emit the stop document and close the files.

        An image that could not be written makes a run that went well one that failed.
        """
        for stack in self._stacks.values():
            stack.close()
        if self._not_written and exit_status == "success":
            what, why = next(iter(self._not_written.items()))
            exit_status, reason = "fail", f"{what} was not written: {why}"
        # a step that was taken again has set its counter back
        self._bundle.compose_descriptor.event_counters.update(self._n_events)
        self._emit("stop", self._bundle.compose_stop(exit_status=exit_status, reason=reason))

    def _describe_stream(self, stream: str, row: Mapping[str, Any]) -> ComposeDescriptorBundle:
        """Compose and emit the descriptor of a stream; images are described as in this row."""
        # an image or array that there is not, as after a reset, has no shape to be described with
        outputs = [
            output
            for output in self._outputs
            if output.stream == stream
            and (output.name in row or not (output.is_image or output.is_array))
        ]
        data_keys: dict[str, Any] = {}
        objects: dict[str, list[str]] = {}
        hints: dict[str, dict[str, Any]] = {}
        if stream == "primary":
            for key, entry in self._axes.items():
                data_keys[key] = entry
                objects.setdefault(entry["object_name"], []).append(key)
        # every object needs a hint, or BestEffortCallback plots all that it has
        hints.update({name: {"fields": list(keys)} for name, keys in objects.items()})
        for output in outputs:
            name = output.detector or self._analysis
            data_keys[output.name] = self._data_key(output, name, row)
            objects.setdefault(name, []).append(output.name)
            fields = hints.setdefault(name, {"fields": []})["fields"]
            if output.hinted:
                fields.append(output.name)
        now = self.start["time"]
        record = json.dumps(self._settings)
        bundle = self._bundle.compose_descriptor(
            name=stream,
            data_keys=data_keys,
            object_keys=objects,
            hints=hints,
            configuration={
                self._analysis: {
                    "data": {"settings": record},
                    "timestamps": {"settings": now},
                    "data_keys": {
                        "settings": {
                            "dtype": "string",
                            "dtype_numpy": f"<U{len(record)}",
                            "shape": [],
                            "source": f"analysis:{self._analysis}",
                        }
                    },
                }
            },
        )
        self._emit("descriptor", bundle.descriptor_doc)
        return bundle

    def _data_key(self, output: Output, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        key: dict[str, Any] = {
            "source": f"analysis:{self._analysis}",
            "object_name": name,
            "dtype": output.dtype,
            "dtype_numpy": {"number": "<f8", "integer": "<i8"}[output.dtype],
            "shape": [],
            "description": output.description,
        }
        if output.units:
            key["units"] = output.units
        if output.roi:
            key["roi"] = output.roi
        if output.is_array:
            # numbers alone, whatever they are of: what stores them wants one type and one shape
            key |= {"dtype": "array", "dtype_numpy": "<f8", "shape": list(row[output.name].shape)}
        if output.column:
            key |= {
                "dtype_numpy": row[output.name].dtype.str, "shape": [1], "external": "STREAM:",
            }  # fmt: skip
        if output.is_image:
            image = row[output.name]
            key |= {
                "dtype": "array", "dtype_numpy": image.dtype.str, "shape": [1, *image.shape],
                "external": "STREAM:", "dims": ["frame", "y", "x"],
            }  # fmt: skip
        return key

    def _write(
        self, bundle: ComposeDescriptorBundle, key: str, frames: list[Any], first_seq_num: int
    ) -> None:
        """Put images into their file and say where they are."""
        if key not in self._stacks:
            directory = self._directory or Path()
            directory.mkdir(parents=True, exist_ok=True)
            path = new_path(directory, f"scan_{self.start.get('scan_id', '')}_{key}", "h5")
            shape, dtype = frames[0].shape, frames[0].dtype
            stack = self._stacks[key] = FrameStack(path, "/entry/data/data", shape, dtype)
            self._resources[key] = ComposeStreamResource(self._bundle.start_doc)(
                mimetype=MIMETYPE, uri=stack.uri, data_key=key, parameters=stack.parameters
            )
            self._emit("stream_resource", self._resources[key].stream_resource_doc)
        for offset, frame in enumerate(frames):
            index = self._stacks[key].append(frame)
            seq_num = first_seq_num + offset
            datum = self._resources[key].compose_stream_datum(
                indices={"start": index, "stop": index + 1},
                seq_nums={"start": seq_num, "stop": seq_num + 1},
                descriptor=bundle.descriptor_doc,
            )
            self._emit("stream_datum", datum)


def _value(row: Mapping[str, Any], key: str, described: Mapping[str, Any]) -> Any:
    """The value of a row; where an array is missing, zeros: it cannot be stored as null."""
    if described["dtype"] == "array" and key not in row:
        return [0.0] * int(described["shape"][0])
    return row.get(key)


def _has_motors(start: Document) -> bool:
    """Whether a run says that it scans something (that is not time)."""
    fields = [field for names, _ in scanned(start) for field in names if field != "time"]
    return bool(fields or start.get("motors"))
