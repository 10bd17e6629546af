"""The frames in messages: what their headers say, their pixels, and the burst of one step.

A message carries a JSON header with shape, type and compression, then the bytes. A burst is an
array that loads a frame when it is asked for.
"""

from __future__ import annotations

import json
import math
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from femto_bluesky.files import bslz4
from femto_bluesky.sources.predecessor.bytesource import ByteSource
from femto_bluesky.sources.predecessor.messages import RecordingError, read_item

HELD_BYTES: Final = 256 * 2**20
COMPRESSIONS: Final = ("none", "bslz4")
# LZ4 cannot do better than this, see "worst case" in its block format.
BEST_RATIO: Final = 256


class FrameError(ValueError):
    """A header or the bytes of a frame that cannot be an image."""


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """What the header of a frame says: shape, dtype and compression."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    compression: str

    @property
    def nbytes(self) -> int:
        """The bytes of the decompressed frame."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_json(data: bytes) -> dict[str, Any]:
    """The JSON object in a frame. Raises `FrameError` where it is anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{data[:40]!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FrameError(f"{data[:40]!r} is not a JSON object")
    return value


def parse_format(header: Mapping[str, Any]) -> FrameFormat:
    """The format of a frame from its header (`shape`, `type`, `compression`).

    Raises `FrameError` where the shape is not two or more positive integers, the type is not a
    numpy dtype of numbers, or the compression is not known.
    """
    shape = header.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not all(type(n) is int and n > 0 for n in shape)
    ):
        raise FrameError(f"the shape is {shape!r:.60}; expected [rows, columns]")
    try:
        dtype = np.dtype(str(header.get("type")))
    except (TypeError, ValueError, SyntaxError) as error:
        raise FrameError(f"the type {header.get('type')!r:.60} is not a numpy dtype") from error
    if dtype.kind not in "biufc":
        raise FrameError(f"the type {header.get('type')!r:.60} is not a dtype of numbers")
    compression = header.get("compression", "none")
    if compression not in COMPRESSIONS:
        raise FrameError(
            f"the compression {compression!r:.60} is not known; known are {', '.join(COMPRESSIONS)}"
        )
    return FrameFormat(tuple(shape), dtype, compression)


def check_bytes(payload: bytes, fmt: FrameFormat) -> None:
    """Raise `FrameError` unless `payload` can be a frame of this format, before it is decoded."""
    found = len(payload)
    if fmt.compression == "bslz4":
        if found < bslz4.HEAD.size:
            raise FrameError(f"a bslz4 frame of {found} bytes is shorter than its own header")
        found = int.from_bytes(payload[:8], "big")
        if found > BEST_RATIO * len(payload):
            raise FrameError(f"a bslz4 frame of {len(payload)} bytes cannot hold {found} bytes")
    if found != fmt.nbytes:
        raise FrameError(
            f"the header says {list(fmt.shape)} of {fmt.dtype}, which is {fmt.nbytes} bytes, but "
            f"the frame holds {found} bytes"
        )


def decode(payload: bytes, fmt: FrameFormat) -> NDArray[Any]:
    """The pixels as an array of the format's shape and dtype (read-only where not compressed).

    `bslz4` is a chunk as the HDF5 filter writes it, see `files.bslz4`.
    """
    check_bytes(payload, fmt)
    if fmt.compression == "none":
        return np.frombuffer(payload, dtype=fmt.dtype).reshape(fmt.shape)
    image = np.empty(fmt.shape, fmt.dtype)
    try:
        bslz4.decompress(payload, image)
    except bslz4.Bslz4Error as error:
        raise FrameError(f"the bslz4 frame cannot be decompressed: {error}") from error
    return image


@dataclass(frozen=True, slots=True)
class FramePlace:
    """Where a frame stands: the message in its file, the stream and the frame within it."""

    path: Path
    offset: int
    stream: str
    event_number: int


class RereadFiles:
    """Reads frames of recorded files again, by the offset of their message.

    A plain file is opened for each frame. A gzip file stays open and is read forward, so frames
    asked for in order cost one more decompression of the file, whatever their number.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gzips: dict[Path, ByteSource] = {}
        weakref.finalize(self, _close_all, self._gzips)

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process: no open files."""
        return type(self), ()

    def payload(self, place: FramePlace) -> bytes:
        """The bytes of the frame at `place`."""
        with self._lock:
            source = self._gzips.get(place.path) or ByteSource(place.path)
            if source.is_gzip:
                self._gzips[place.path] = source
                return self._read(source, place)
        with source:
            return self._read(source, place)

    @staticmethod
    def _read(source: ByteSource, place: FramePlace) -> bytes:
        source.seek(place.offset)
        stream = read_item(source).streams.get(place.stream)
        if stream is None or len(stream.frames) < 2:
            raise RecordingError(
                f"{place.path} has changed since it was read: at byte {place.offset} there is no "
                f"frame of {place.stream!r} any more; read the recording again"
            )
        return stream.frames[1]


def _close_all(sources: dict[Path, ByteSource]) -> None:
    for source in sources.values():
        source.close()


class Burst:
    """Frames of one shape and dtype, stacked: shape (frames, rows, columns).

    Frames come one at a time, by index or in a loop; `numpy.asarray(burst)` loads all of them.
    Frames may be read-only views of what was recorded: copy one before changing it. Two bursts
    are equal where every byte of their frames is.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        fmt: Sequence[FrameFormat],
        places: Sequence[FramePlace],
        payloads: Sequence[bytes] | None,
        files: RereadFiles,
    ) -> None:
        self._formats = tuple(fmt)
        self._places = tuple(places)
        self._payloads = None if payloads is None else tuple(payloads)
        self._files = files

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process: where the frames stand.

        What is held of a compressed recording goes along, for there each reader would have to read
        all that stands before them.
        """
        is_packed = any(place.path.suffix == ".gz" for place in self._places)
        payloads = self._payloads if is_packed else None
        places = [replace(place, path=place.path.absolute()) for place in self._places]
        return type(self), (self._formats, places, payloads, self._files)

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, rows and columns."""
        return (len(self._formats), *self._formats[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of every frame."""
        return self._formats[0].dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._formats)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Burst: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Burst:
        """One frame; a slice gives the burst of those frames, nothing loaded."""
        if isinstance(index, slice):
            if not self._formats[index]:
                raise IndexError(f"{index} of a burst of {len(self)} frames holds no frame")
            payloads = None if self._payloads is None else self._payloads[index]
            return Burst(self._formats[index], self._places[index], payloads, self._files)
        place = self._places[index]
        payload = self._files.payload(place) if self._payloads is None else self._payloads[index]
        try:
            return decode(payload, self._formats[index])
        except FrameError as error:
            raise RecordingError(
                f"{place.path}: the frame of {place.stream!r} at event {place.event_number}, "
                f"byte {place.offset}: {error}"
            ) from error

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the frames of a burst lie apart; an array of them is a copy")
        stack = np.empty(self.shape, dtype=self.dtype if dtype is None else dtype)
        for i, frame in enumerate(self):
            stack[i] = frame
        return stack

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Burst):
            return NotImplemented
        if self.shape != other.shape or self.dtype != other.dtype:
            return False
        return all(a.tobytes() == b.tobytes() for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"Burst(shape={self.shape}, dtype={self.dtype})"


class BurstBuilder:
    """Collects the frames of a step; past `held_bytes` it keeps their places instead."""

    def __init__(self, files: RereadFiles, held_bytes: int = HELD_BYTES) -> None:
        self._files = files
        self._held_bytes = held_bytes
        self._formats: list[FrameFormat] = []
        self._places: list[FramePlace] = []
        self._payloads: list[bytes] | None = []
        self._held = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(self, fmt: FrameFormat, place: FramePlace, payload: bytes) -> None:
        """Add a frame. Raises `FrameError` where its shape or dtype is not that of the others."""
        if self._formats and (fmt.shape, fmt.dtype) != (
            self._formats[0].shape,
            self._formats[0].dtype,
        ):
            raise FrameError(
                f"the frame is {list(fmt.shape)} of {fmt.dtype}, the frames before it in this "
                f"step are {list(self._formats[0].shape)} of {self._formats[0].dtype}"
            )
        self._formats.append(fmt)
        self._places.append(place)
        self._held += len(payload)
        if self._held > self._held_bytes:
            self._payloads = None
        if self._payloads is not None:
            self._payloads.append(payload)

    def take(self) -> Burst:
        """The burst of the frames so far; the builder begins a new one."""
        burst = Burst(self._formats, self._places, self._payloads, self._files)
        self._formats, self._places, self._payloads, self._held = [], [], [], 0
        return burst
