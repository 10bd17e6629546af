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
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote

import event_model
import h5py
import hdf5plugin
import numpy as np

if TYPE_CHECKING:
    from event_model.documents import EventPage

Document = tuple[str, dict[str, Any]]


class ImageError(ValueError):
    """An image in an event that contradicts its descriptor."""


class PathExistsError(FileExistsError):
    """A path that is taken; nothing is ever overwritten."""


def refuse_existing(path: Path) -> None:
    """Raise `PathExistsError` where `path` is taken."""
    if path.exists():
        raise PathExistsError(
            f"{path} exists and is not overwritten; choose another name or move it away"
        )


def externalise(
    documents: Iterable[tuple[str, Mapping[str, Any]]], h5_path: str | os.PathLike[str]
) -> Iterator[Document]:
    """The same documents with their inline images behind references into `h5_path`.

    The image's data key leaves the event and becomes external; the event gets the scalars
    ``<detector>_first_frame`` and ``<detector>_n_frames``: the burst's first row in the dataset
    and its number of rows. Each descriptor has its own dataset (one chunk a frame, Bitshuffle
    with LZ4), so the index of a stream_datum counts bursts of one length. The file is made with
    the first image and never where there is none. Documents that come in are not changed.

    Raises `PathExistsError` where the file exists, `ImageError` where an image does not fit.
    """
    path = Path(h5_path).absolute()
    with _FrameFile(path) as file:
        runs: dict[str, _Descriptor] = {}
        for name, document in documents:
            if name == "descriptor":
                described = _Descriptor.of(document)
                runs[document["uid"]] = described
                yield name, described.rewritten()
            elif name == "event" and runs[document["descriptor"]].images:
                yield from _event(document, runs[document["descriptor"]], file)
            elif name == "event_page" and runs[document["descriptor"]].images:
                for event in event_model.unpack_event_page(cast("EventPage", document)):
                    yield from _event(event, runs[document["descriptor"]], file)
            else:
                yield name, dict(document)


@dataclass
class _Descriptor:
    """A descriptor and, for each of its image keys, the detector that the key belongs to."""

    document: Mapping[str, Any]
    images: dict[str, str]
    resources: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, h5py.Dataset] = field(default_factory=dict)
    n_events: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        images: dict[str, str] = {}
        for key, described in document["data_keys"].items():
            if (
                described.get("dtype") == "array"
                and len(described.get("shape") or ()) >= 2
                and not described.get("external")
                and "channel" not in (described.get("dims") or ())
                and np.dtype(described.get("dtype_numpy", "f8")).kind in "biufc"
            ):
                owners = [o for o, keys in document.get("object_keys", {}).items() if key in keys]
                owner = owners[0] if owners else key.removesuffix("_image")
                images[key] = owner if owner not in images.values() else key
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


def _event(
    event: Mapping[str, Any], described: _Descriptor, file: _FrameFile
) -> Iterator[Document]:
    data = dict(event["data"])
    timestamps = dict(event["timestamps"])
    for key, detector in described.images.items():
        if key not in data:
            continue
        new = key not in described.datasets
        first, n = file.append(described, key, data.pop(key), event["seq_num"])
        if new:
            yield "stream_resource", _stream_resource(described, key, file.path)
        yield "stream_datum", _stream_datum(described, key, event["seq_num"])
        moment = timestamps.pop(key)
        for scalar, value in (("first_frame", first), ("n_frames", n)):
            data[f"{detector}_{scalar}"] = value
            timestamps[f"{detector}_{scalar}"] = moment
    filled = {k: v for k, v in event.get("filled", {}).items() if k in data}
    yield "event", {**event, "data": data, "timestamps": timestamps, "filled": filled}


def _stream_resource(described: _Descriptor, key: str, path: Path) -> dict[str, Any]:
    dataset = described.datasets[key]
    uid = str(uuid.uuid5(uuid.UUID(described.document["uid"]), f"stream_resource {key}"))
    described.resources[key] = uid
    return {
        "uid": uid,
        "run_start": described.document["run_start"],
        "data_key": key,
        "mimetype": "application/x-hdf5",
        "uri": f"file://localhost{quote(path.as_posix())}",
        "parameters": {"dataset": dataset.name, "chunk_shape": list(dataset.chunks)},
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


class _FrameFile:
    """The HDF5 file with one dataset a descriptor and image, made with the first frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: h5py.File | None = None
        refuse_existing(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, described: _Descriptor, key: str, image: Any, seq_num: int) -> tuple[int, int]:
        """Append the frames of one event; returns the first row and the number of rows."""
        data_key = described.document["data_keys"][key]
        if not hasattr(image, "shape"):
            image = np.asarray(image, dtype=data_key.get("dtype_numpy"))
        shape = tuple(image.shape)
        if len(shape) not in (2, 3) or not all(shape):
            raise ImageError(
                f"descriptor {described.document['uid']}, event {seq_num}: {key!r} has the shape "
                f"{list(shape)}; expected [rows, columns] or [frames, rows, columns], none of 0"
            )
        if key not in described.datasets:
            described.datasets[key] = self._dataset(described, key, shape[-2:], image.dtype)
        dataset = described.datasets[key]
        if dataset.shape[1:] != shape[-2:]:
            raise ImageError(
                f"descriptor {described.document['uid']}, event {seq_num}: the frames of {key!r} "
                f"are {list(shape[-2:])}, those before were {list(dataset.shape[1:])}; a changed "
                "shape wants a new descriptor"
            )
        first = int(dataset.shape[0])
        n = shape[0] if len(shape) == 3 else 1
        dataset.resize(first + n, axis=0)
        if len(shape) == 2:
            dataset[first] = image
        else:
            for i in range(n):
                dataset[first + i] = image[i]
        dataset.file.flush()
        return first, n

    def _dataset(
        self, described: _Descriptor, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> h5py.Dataset:
        if self._file is None:
            try:
                self._file = h5py.File(self.path, "x", libver="latest")
            except FileExistsError as error:
                raise PathExistsError(f"{self.path} exists and is not overwritten") from error
        name = f"{described.document['run_start']}/{described.document['uid']}/{key}"
        return self._file.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype=dtype,
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
