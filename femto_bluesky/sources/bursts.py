"""The frames of one step as an array that loads a frame when it is asked for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from femto_bluesky.sources.bytesource import ByteSource
from femto_bluesky.sources.envelopes import RecordingError, read_item
from femto_bluesky.sources.images import FrameError, FrameFormat, decode

HELD_BYTES: Final = 256 * 2**20


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
