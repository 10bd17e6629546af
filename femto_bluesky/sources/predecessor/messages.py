"""The messages of recorded files, `.cbors` or `.pkls`: of one file, or merged by event number.

What a file is, is told by its first bytes, not by its name.
"""

from __future__ import annotations

import heapq
import io
import reprlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, cast

import cbor2

from femto_bluesky.sources.predecessor import unpickle
from femto_bluesky.sources.predecessor.bytesource import LONGEST, ByteSource, SourceEndError

PICKLE_PROTO: Final = b"\x80"
CBOR_TAG_2_BYTES: Final = b"\xd9"
MESSAGE_TAG: Final = 42877
STREAM_TAG: Final = 42878
# Besides its own two: times as text and as a number, and "this is CBOR".
RECORDED_TAGS: Final = (0, 1, MESSAGE_TAG, STREAM_TAG, 55799)
DEEPEST: Final = 16
MOST_READS: Final = 200_000


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
    try:
        if source.peek() == PICKLE_PROTO:
            value = unpickle.load(source, where=f"message at byte {offset}")
            return _from_pickle(value, source.path, offset)
        return _from_cbor(_load_cbor(source), source.path, offset)
    except (unpickle.UnpickleError, _MessageError, SourceEndError) as error:
        raise DamagedRecordingError(source.path, offset, str(error)) from error


class _MessageError(ValueError):
    """An item that is damaged, or not a message."""


class _ForwardReader(io.RawIOBase):
    """What cbor2 reads one item from. It cannot seek: so cbor2 takes what it needs and no more.

    In a file that can seek it reads ahead and goes back, which inflates a gzip file once more for
    every item. An item that goes on and on is refused while it is read.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._end = source.tell() + min(LONGEST, source.longest)
        self._n_reads = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self._n_reads += 1
        if self._n_reads > MOST_READS or self._source.tell() + size > self._end:
            raise _MessageError(f"it holds more than {MOST_READS} values or {LONGEST} bytes")
        return self._source.read(size)


class _RecordedTagsOnly(dict[int, Callable[[Any, bool], Any]]):
    """Has cbor2 refuse each tag that no recording holds, those that it would decode itself too."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        if tag in RECORDED_TAGS:
            raise KeyError(tag)  # cbor2 then decodes it in its own way

        def refuse(_value: Any, _immutable: bool) -> Any:
            known = ", ".join(map(str, RECORDED_TAGS))
            raise _MessageError(f"{tag} is not one of a recording's tags ({known})")

        return refuse


def _load_cbor(source: ByteSource) -> Any:
    """The value of the CBOR item that begins where `source` stands; it ends up behind it.

    Raises `_MessageError` with the byte offset where the item is cut off or cannot be decoded.
    """
    decoder = cbor2.CBORDecoder(
        cast("IO[bytes]", _ForwardReader(source)),
        max_depth=DEEPEST,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        semantic_decoders=_RecordedTagsOnly(),
    )
    try:
        return decoder.decode()
    except (cbor2.CBORDecodeError, SourceEndError, _MessageError) as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None  # cbor2 wraps whatever comes out of `read`
        why = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        raise _MessageError(f"the CBOR item is damaged at byte {source.tell()}: {why}") from error


def _from_cbor(value: Any, path: Path, offset: int) -> Item:
    # Sequences are matched, not lists: behind 55799 cbor2 makes tuples.
    match value:
        case cbor2.CBORTag(tag=tag, value=[number, Mapping() as named, time]) if tag == MESSAGE_TAG:
            streams = {}
            for name, stream in named.items():
                match stream:
                    case cbor2.CBORTag(tag=tag, value=[typ, frames]) if tag == STREAM_TAG:
                        streams[name] = (typ, frames)
                    case _:
                        raise _MessageError(
                            f"the stream {reprlib.repr(name)} is not a type and frames"
                        )
            return _item(number, streams, time, path, offset)
    raise _MessageError("it is not a recorded message (tag 42877 with three parts)")


def _from_pickle(value: Any, path: Path, offset: int) -> Item:
    if not isinstance(value, unpickle.InternalWorkerMessage):
        raise _MessageError(
            f"it is a {type(value).__name__}, not a dranspose.event.InternalWorkerMessage"
        )
    streams = {}
    for name, stream in _mapping(value.streams).items():
        if not isinstance(stream, unpickle.StreamData):
            raise _MessageError(f"the stream {name!r} is not a type and frames")
        streams[name] = (stream.typ, stream.frames)
    return _item(value.event_number, streams, value.created_at, path, offset)


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise _MessageError("it holds no streams")
    return value


def _item(
    number: Any, streams: Mapping[Any, tuple[Any, Any]], moment: Any, path: Path, offset: int
) -> Item:
    if type(number) is not int or number < 0:
        raise _MessageError(f"{reprlib.repr(number)} is not an event number")
    if not isinstance(moment, datetime):
        raise _MessageError(f"event {number} has no time of creation")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    checked = {}
    for name, (typ, frames) in streams.items():
        if not isinstance(name, str) or not isinstance(typ, str):
            raise _MessageError(f"event {number}: a stream is named {reprlib.repr(name)}")
        if not isinstance(frames, (list, tuple)):
            raise _MessageError(f"event {number}: the stream {name!r} has no frames")
        if not all(isinstance(frame, (bytes, bytearray)) for frame in frames):
            raise _MessageError(f"event {number}: a frame of {name!r} is not bytes")
        checked[name] = Stream(typ, tuple(bytes(frame) for frame in frames))
    return Item(number, checked, moment, path, offset)


@dataclass(frozen=True, slots=True)
class Event:
    """All messages of one event number, in the order of the files."""

    number: int
    messages: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Damage:
    """Where one of the files ends unreadable. It stands behind the last event of that file."""

    error: DamagedRecordingError


def merge(paths: Sequence[Path]) -> Iterator[Event | Damage]:
    """The events of all files in rising order; an event number that falls begins a new part.

    Recordings that were written one behind the other stay one behind the other: their event
    numbers begin again. One message of each file is held at a time. Raises `RecordingError`
    where two files hold the same stream.
    """
    numbered = [_numbered(path, place) for place, path in enumerate(paths)]
    key: tuple[int, int] | None = None
    group: list[Item] = []
    for entry in heapq.merge(*numbered, key=lambda entry: entry.order):
        if group and (entry.damage is not None or entry.order[:2] != key):
            yield Event(group[0].event_number, tuple(group))
            group = []
        if entry.damage is not None:
            yield Damage(entry.damage)
        elif entry.item is not None:
            key = entry.order[:2]
            _check_streams(group, entry.item)
            group.append(entry.item)
        del entry
    if group:
        yield Event(group[0].event_number, tuple(group))


@dataclass(frozen=True, slots=True)
class _Entry:
    order: tuple[int, int, int, int]
    item: Item | None = None
    damage: DamagedRecordingError | None = None


def _numbered(path: Path, place: int) -> Iterator[_Entry]:
    part, number = 0, -1
    streams: set[str] = set()
    try:
        for item in items(path):
            again = item.event_number == number and not streams.isdisjoint(item.streams)
            if item.event_number < number or again:
                part += 1
            streams = set(item.streams) | (streams if item.event_number == number else set())
            number = item.event_number
            yield _Entry((part, number, 0, place), item)
    except DamagedRecordingError as error:
        yield _Entry((part, number, 1, place), damage=error)


def _check_streams(group: list[Item], item: Item) -> None:
    for other in group:
        both = sorted(set(other.streams) & set(item.streams))
        if both:
            raise RecordingError(
                f"{other.path} and {item.path} both hold the stream {both[0]!r} at event "
                f"{item.event_number}; give one recording of each stream"
            )
