"""The messages of one recorded file: `.cbors` or `.pkls`, plain or gzip.

Each message of the predecessor carries an event number, the streams of that event, and the time
when it was made. What a file is, is told by its first bytes, not by its name.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from femto_bluesky.sources import cbor, unpickle
from femto_bluesky.sources.bytesource import ByteSource, SourceEndError

PICKLE_PROTO: Final = b"\x80"
CBOR_TAG_2_BYTES: Final = b"\xd9"


class RecordingError(ValueError):
    """A recording that cannot be read; the message says what to do."""


class DamagedRecordingError(RecordingError):
    """A recording that is cut off or corrupt at `offset`; what is before it was used."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"{path} is damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Stream:
    """What one stream brought at one event: its type ("STINS", "sardana" ...) and its frames."""

    typ: str
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One message. `offset` is where it begins in the decompressed file."""

    event_number: int
    streams: Mapping[str, Stream]
    created_at: datetime
    path: Path
    offset: int

    @property
    def time(self) -> float:
        """Seconds since 1970, as Bluesky documents hold it."""
        return self.created_at.timestamp()


def check(path: Path) -> None:
    """Raise unless `path` is a file that begins like a recording."""
    if not path.exists():
        raise FileNotFoundError(f"there is no recording {path}; check the name")
    if path.is_dir():
        raise RecordingError(f"{path} is a folder; name the recorded files in it")
    with ByteSource(path) as source:
        try:
            first = source.peek()
        except SourceEndError as error:
            raise DamagedRecordingError(path, 0, str(error)) from error
    if not first:
        raise RecordingError(f"{path} is empty; leave it out if nothing was recorded")
    if first not in (PICKLE_PROTO, CBOR_TAG_2_BYTES):
        raise RecordingError(
            f"{path} is not a recording: it begins with byte {first!r}; expected the messages of "
            "a .cbors or .pkls file, plain or gzip"
        )


def items(path: Path) -> Generator[Item, None, None]:
    """The messages of one file, one at a time.

    Raises `DamagedRecordingError` behind the last message that could be read, with the offset
    where the first unreadable one begins.
    """
    with ByteSource(path) as source:
        while True:
            offset = source.tell()
            try:
                if source.at_end():
                    return
            except SourceEndError as error:
                raise DamagedRecordingError(path, offset, str(error)) from error
            yield read_item(source)


def read_item(source: ByteSource) -> Item:
    """The message that begins where `source` stands. Raises `DamagedRecordingError`."""
    offset = source.tell()
    where = f"message at byte {offset}"
    try:
        if source.peek() == PICKLE_PROTO:
            return _from_pickle(unpickle.load(source, where=where), source.path, offset)
        return _from_cbor(cbor.load(source, where=where), source.path, offset)
    except (unpickle.UnpickleError, cbor.CborError, _NotAMessageError, SourceEndError) as error:
        raise DamagedRecordingError(source.path, offset, str(error)) from error


class _NotAMessageError(ValueError):
    pass


def _from_cbor(value: Any, path: Path, offset: int) -> Item:
    match value:
        case cbor.Tagged(cbor.MESSAGE_TAG, [number, dict(tagged), moment]):
            streams = {}
            for name, stream in tagged.items():
                match stream:
                    case cbor.Tagged(cbor.STREAM_TAG, [typ, list(frames)]):
                        streams[name] = (typ, frames)
                    case _:
                        raise _NotAMessageError(f"the stream {name!r} is not a type and frames")
            return _item(number, streams, moment, path, offset)
    raise _NotAMessageError("it is not a recorded message (tag 42877 with three parts)")


def _from_pickle(value: Any, path: Path, offset: int) -> Item:
    if not isinstance(value, unpickle.InternalWorkerMessage):
        raise _NotAMessageError(
            f"it is a {type(value).__name__}, not a dranspose.event.InternalWorkerMessage"
        )
    streams = {}
    for name, stream in _mapping(value.streams).items():
        if not isinstance(stream, unpickle.StreamData):
            raise _NotAMessageError(f"the stream {name!r} is not a type and frames")
        streams[name] = (stream.typ, stream.frames)
    return _item(value.event_number, streams, value.created_at, path, offset)


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _NotAMessageError("it holds no streams")
    return value


def _item(
    number: Any, streams: Mapping[Any, tuple[Any, Any]], moment: Any, path: Path, offset: int
) -> Item:
    if type(number) is not int or number < 0:
        raise _NotAMessageError(f"{number!r:.60} is not an event number")
    if not isinstance(moment, datetime):
        raise _NotAMessageError(f"event {number} has no time of creation")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    checked = {}
    for name, (typ, frames) in streams.items():
        if not isinstance(name, str) or not isinstance(typ, str):
            raise _NotAMessageError(f"event {number}: a stream is named {name!r:.60}")
        if not isinstance(frames, (list, tuple)):
            raise _NotAMessageError(f"event {number}: the stream {name!r} has no frames")
        if not all(isinstance(frame, (bytes, bytearray)) for frame in frames):
            raise _NotAMessageError(f"event {number}: a frame of {name!r} is not bytes")
        checked[name] = Stream(typ, tuple(bytes(frame) for frame in frames))
    return Item(number, checked, moment, path, offset)
