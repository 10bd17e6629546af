"""Where a simulated detector puts its frames, and the documents that point to them.

One class for each way a real detector hands frames to Bluesky: in the event, behind resource and
datum (HDF5, TIFF), behind stream_resource and stream_datum. The names and keywords are those of
ophyd's areaDetector file plugins (`ophyd.areadetector.filestore_mixins`) and of event-model 1.20
and later, so whatever reads the real ones reads these.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import tifffile
from event_model import compose_stream_resource
from event_model.documents import StreamRange
from numpy.typing import NDArray

from femto_bluesky.files.stacks import MIMETYPE, FrameStack

AssetDocument = tuple[str, dict[str, Any]]
Style = Literal["inline", "datum", "stream", "tiff"]

DATASET = "/entry/data/data"  # where areaDetector's HDF5 plugin puts its frames
TIFF_TEMPLATE = "%s%s_%6.6d.tiff"  # areaDetector's: path, file name, number of the file


def is_lost(resource: dict[str, Any], waiting: Iterable[AssetDocument]) -> bool:
    """Whether a resource was handed out and did not come to any run.

    So it is after a pause between the reading and the saving of a file's first event: bluesky drops
    what it has collected by then, and refuses what refers to it afterwards. It notes the run in a
    resource when it sends it on. An empty document is none, and is not lost.
    """
    if not resource or "run_start" in resource:
        return False
    return not any(document is resource for _, document in waiting)


class FrameFiles(Protocol):
    """The frames of one staging: bursts go in, documents come out."""

    @property
    def path(self) -> Path | None:
        """The file (TIFF: the folder) that holds the frames; None where there is none."""

    def append(self, frames: NDArray[Any]) -> Any:
        """Keep one burst (n, rows, columns); return what the event says of it.

        None means that the event says nothing, as with stream documents.
        """

    def take_documents(self) -> list[AssetDocument]:
        """The documents since the last call, each handed out once."""

    def close(self) -> None:
        """Close the file. A second call does nothing."""


class InlineFrames:
    """Frames that travel in the event itself."""

    path: Path | None = None

    def append(self, frames: NDArray[Any]) -> Any:
        """Return the burst: it is the event's value."""
        return frames

    def take_documents(self) -> list[AssetDocument]:
        """Nothing points anywhere."""
        return []

    def close(self) -> None:
        """There is no file."""


class StreamedFrames:
    """HDF5 behind stream_resource and stream_datum, whose indices count bursts, not frames."""

    def __init__(
        self, path: Path, data_key: str, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self.path: Path | None = path
        self._stack = FrameStack(path, DATASET, shape, dtype)
        self._data_key = data_key
        self._documents: list[AssetDocument] = []
        self._begin()
        self.n_bursts = 0

    def append(self, frames: NDArray[Any]) -> Any:
        """Write the burst; its stream_datum waits to be collected."""
        for frame in frames:
            self._stack.append(frame)
        if is_lost(self._resource, self._documents):
            self._begin()
        indices = StreamRange(start=self.n_bursts, stop=self.n_bursts + 1)
        self._documents.append(("stream_datum", dict(self._compose(indices=indices))))
        self.n_bursts += 1
        return None

    def _begin(self) -> None:
        """Hand out the resource."""
        bundle = compose_stream_resource(
            mimetype=MIMETYPE,
            uri=self._stack.uri,
            data_key=self._data_key,
            parameters=self._stack.parameters,
        )
        self._compose = bundle.compose_stream_datum
        self._resource = dict(bundle.stream_resource_doc)
        self._documents.append(("stream_resource", self._resource))

    def take_documents(self) -> list[AssetDocument]:
        """The documents since the last call, each handed out once."""
        documents, self._documents = self._documents, []
        return documents

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._stack.close()


class _Datums:
    """A resource and its datums, numbered as `FileStoreIterativeWrite` of ophyd does it."""

    def __init__(
        self, spec: str, root: Path, resource_path: Path, resource_kwargs: dict[str, Any]
    ) -> None:
        self._points = itertools.count()
        self._resource = {
            "spec": spec,
            "root": str(root),
            "resource_path": str(resource_path.relative_to(root)),
            "resource_kwargs": resource_kwargs,
            "path_semantics": "posix",
            "uid": str(uuid.uuid4()),
        }
        self._documents: list[AssetDocument] = [("resource", self._resource)]

    def next_datum(self) -> str:
        """Make the next burst's datum; return its id."""
        point = next(self._points)
        if is_lost(self._resource, self._documents):
            self._resource = {**self._resource, "uid": str(uuid.uuid4())}
            self._documents.append(("resource", self._resource))
        datum = {
            "resource": self._resource["uid"],
            "datum_id": f"{self._resource['uid']}/{point}",
            "datum_kwargs": {"point_number": point},
        }
        self._documents.append(("datum", datum))
        return str(datum["datum_id"])

    def take(self) -> list[AssetDocument]:
        documents, self._documents = self._documents, []
        return documents


class DatumFrames:
    """HDF5 behind a resource (AD_HDF5_SWMR) and one datum a burst.

    `frame_per_point` is fixed when the detector is staged, as areaDetector's plugin does it: it
    is wrong for bursts whose length is changed afterwards.
    """

    def __init__(
        self, path: Path, frame_per_point: int, shape: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self.path: Path | None = path
        self._stack = FrameStack(path, DATASET, shape, dtype)
        self._datums = _Datums(
            "AD_HDF5_SWMR", path.parent, path, {"frame_per_point": frame_per_point}
        )

    def append(self, frames: NDArray[Any]) -> Any:
        """Write the burst; return its datum's id."""
        for frame in frames:
            self._stack.append(frame)
        return self._datums.next_datum()

    def take_documents(self) -> list[AssetDocument]:
        """The documents since the last call, each handed out once."""
        return self._datums.take()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._stack.close()


class TiffFrames:
    """One TIFF file a frame behind a resource (AD_TIFF) and one datum a burst.

    The resource names the folder, without a slash at its end, and the template, as ophyd does.
    Files are numbered from 0 within a staging.
    """

    def __init__(self, folder: Path, filename: str, frame_per_point: int) -> None:
        self.path: Path | None = folder
        self._filename = filename
        self._numbers = itertools.count()
        self._datums = _Datums(
            "AD_TIFF",
            Path(folder.anchor),
            folder,
            {
                "template": TIFF_TEMPLATE,
                "filename": filename,
                "frame_per_point": frame_per_point,
            },
        )
        self._folder = folder

    def append(self, frames: NDArray[Any]) -> Any:
        """Write a file for each frame; return the burst's datum's id."""
        for frame in frames:
            name = TIFF_TEMPLATE % (f"{self._folder}/", self._filename, next(self._numbers))
            with Path(name).open("xb") as file:  # never over an existing one
                tifffile.imwrite(file, frame)
        return self._datums.next_datum()

    def take_documents(self) -> list[AssetDocument]:
        """The documents since the last call, each handed out once."""
        return self._datums.take()

    def close(self) -> None:
        """Every file is closed as soon as it is written."""
