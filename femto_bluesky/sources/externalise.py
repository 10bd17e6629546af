"""Move the images of a run out of its events into an HDF5 file, frame by frame.

What comes out is what a detector that writes its own file emits: `stream_resource`, then one
`stream_datum` before each event. Spectra (dims with "channel") stay where they are.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import event_model
import numpy as np

from femto_bluesky.files.stacks import MIMETYPE, FrameFile, FrameStack
from femto_bluesky.sources.documents import Document, Pair, detector_names

if TYPE_CHECKING:
    from event_model.documents import EventPage


class ImageError(ValueError):
    """An image in an event that contradicts its descriptor."""


def externalise(documents: Iterable[Pair], h5_path: str | os.PathLike[str]) -> Iterator[Document]:
    """The same documents with their inline images behind references into `h5_path`.

    The image's data key leaves the event and becomes external; the event gets the scalars
    ``<detector>_first_frame`` and ``<detector>_n_frames``: the burst's first row in the dataset
    and its number of rows. Each descriptor has its own dataset (one chunk a frame, Bitshuffle
    with LZ4), so the index of a stream_datum counts bursts of one length. The file is made with
    the first image and never where there is none. Documents that come in are not changed.

    Raises `OutputExistsError` where the file exists, `ImageError` where an image does not fit.
    """
    with FrameFile(Path(h5_path)) as file:
        descriptors: dict[str, _Descriptor] = {}
        for name, document in documents:
            if name == "descriptor":
                described = _Descriptor.of(document)
                descriptors[document["uid"]] = described
                yield name, described.rewritten()
            elif name == "event" and descriptors[document["descriptor"]].images:
                yield from _event(document, descriptors[document["descriptor"]], file)
            elif name == "event_page" and descriptors[document["descriptor"]].images:
                for event in event_model.unpack_event_page(cast("EventPage", document)):
                    yield from _event(event, descriptors[document["descriptor"]], file)
            else:
                yield name, dict(document)


@dataclass
class _Descriptor:
    """A descriptor and, for each of its image keys, the detector that the key belongs to."""

    document: Mapping[str, Any]
    images: dict[str, str]
    resources: dict[str, str] = field(default_factory=dict)
    stacks: dict[str, FrameStack] = field(default_factory=dict)
    n_events: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        images: dict[str, str] = {}
        names = detector_names(document)
        for key, described in document["data_keys"].items():
            if (
                described.get("dtype") == "array"
                and len(described.get("shape") or ()) >= 2
                and not described.get("external")
                and "channel" not in (described.get("dims") or ())
                and np.dtype(described.get("dtype_numpy", "f8")).kind in "biufc"
            ):
                images[key] = names.get(key, key)
        return cls(document, images)

    def rewritten(self) -> dict[str, Any]:
        """The descriptor with external images and the two scalars of each."""
        document = dict(self.document)
        keys = {k: dict(v) for k, v in document["data_keys"].items()}
        objects = {o: list(names) for o, names in document.get("object_keys", {}).items()}
        for key, detector in self.images.items():
            keys[key]["external"] = "STREAM:"
            for scalar in (f"{detector}_first_frame", f"{detector}_n_frames"):
                keys[scalar] = {
                    "source": keys[key]["source"],
                    "dtype": "integer",
                    "dtype_numpy": "<i8",
                    "shape": [],
                }
                for names in objects.values():
                    if key in names and scalar not in names:
                        names.append(scalar)
        return {**document, "data_keys": keys, "object_keys": objects}


def _event(event: Mapping[str, Any], described: _Descriptor, file: FrameFile) -> Iterator[Document]:
    data = dict(event["data"])
    timestamps = dict(event["timestamps"])
    for key, detector in described.images.items():
        if key not in data:
            continue
        image = _checked(described, key, data.pop(key), event["seq_num"])
        new = key not in described.stacks
        if new:
            described.stacks[key] = file.stack(
                f"/{described.document['run_start']}/{described.document['uid']}/{key}",
                image.shape[-2:],
                image.dtype,
            )
        stack = described.stacks[key]
        first = len(stack)
        for frame in image if len(image.shape) == 3 else [image]:
            stack.append(frame)
        n = len(stack) - first
        if new:
            yield "stream_resource", _stream_resource(described, key)
        yield "stream_datum", _stream_datum(described, key, event["seq_num"])
        moment = timestamps.pop(key)
        for scalar, value in (("first_frame", first), ("n_frames", n)):
            data[f"{detector}_{scalar}"] = value
            timestamps[f"{detector}_{scalar}"] = moment
    filled = {k: v for k, v in event.get("filled", {}).items() if k in data}
    yield "event", {**event, "data": data, "timestamps": timestamps, "filled": filled}


def _checked(described: _Descriptor, key: str, image: Any, seq_num: int) -> Any:
    """The image as something with shape and dtype. Raises `ImageError` where it does not fit."""
    if not hasattr(image, "shape"):
        dtype = described.document["data_keys"][key].get("dtype_numpy")
        image = np.asarray(image, dtype=dtype)
    shape = tuple(image.shape)
    where = f"descriptor {described.document['uid']}, event {seq_num}"
    if len(shape) not in (2, 3) or not all(shape):
        raise ImageError(
            f"{where}: {key!r} has the shape {list(shape)}; expected [rows, columns] or [frames, "
            "rows, columns], none of 0"
        )
    before = described.stacks.get(key)
    if before is not None and before.shape != shape[-2:]:
        raise ImageError(
            f"{where}: the frames of {key!r} are {list(shape[-2:])}, those before were "
            f"{list(before.shape)}; a changed shape wants a new descriptor"
        )
    return image


def _stream_resource(described: _Descriptor, key: str) -> dict[str, Any]:
    stack = described.stacks[key]
    uid = str(uuid.uuid5(uuid.UUID(described.document["uid"]), f"stream_resource {key}"))
    described.resources[key] = uid
    return {
        "uid": uid,
        "run_start": described.document["run_start"],
        "data_key": key,
        "mimetype": MIMETYPE,
        "uri": stack.uri,
        "parameters": stack.parameters,
    }


def _stream_datum(described: _Descriptor, key: str, seq_num: int) -> dict[str, Any]:
    index = described.n_events.get(key, 0)
    described.n_events[key] = index + 1
    resource = described.resources[key]
    return {
        "uid": f"{resource}/{index}",
        "stream_resource": resource,
        "descriptor": described.document["uid"],
        "indices": {"start": index, "stop": index + 1},
        "seq_nums": {"start": seq_num, "stop": seq_num + 1},
    }
