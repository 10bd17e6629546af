"""Decode one CBOR item of a recorded stream, and nothing that such a recording does not hold.

The outline of the item is checked while it is read: nesting, tags and declared lengths. Strings
of bytes are read from the file in one piece, which a general decoder does not do for a
compressed file. Source of the format: RFC 8949, https://www.rfc-editor.org/rfc/rfc8949
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from femto_bluesky.sources.bytesource import ByteSource, SourceEndError

MESSAGE_TAG: Final = 42877
STREAM_TAG: Final = 42878
SELF_DESCRIBED: Final = 55799
DEEPEST: Final = 16
MOST_MEMBERS: Final = 1_000_000
LONGEST_TEXT: Final = 1 << 24


class CborError(ValueError):
    """An item that is damaged, or holds something that no recording holds."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value behind one of the two tags of the predecessor's messages."""

    tag: int
    value: Any


def load(source: ByteSource, *, where: str) -> Any:
    """The value of the item that begins where `source` stands; `source` ends up behind it.

    Arrays come as lists, maps as dicts, tags 0 and 1 as datetimes, and 55799 ("this is CBOR") is
    dropped. Raises
    `CborError` with the byte offset where the item is cut off or holds anything else.
    """
    try:
        return _value(source, DEEPEST)
    except (SourceEndError, CborError) as error:
        at = source.tell()
        raise CborError(f"{where}: the CBOR item is damaged at byte {at}: {error}") from error


def _value(source: ByteSource, depth: int) -> Any:
    first = source.read(1)[0]
    major, info = first >> 5, first & 0x1F
    if major == 7:
        return _simple(source, info)
    number = _number(source, info)
    if major == 0:
        return number
    if major == 1:
        return -1 - number
    if major == 2:
        return source.read(number)
    if major == 3:
        return _text(source, number)
    if depth == 0:
        raise CborError(f"it is nested deeper than {DEEPEST} levels")
    if major == 6:
        return _tagged(number, _value(source, depth - 1))
    if number > MOST_MEMBERS:
        raise CborError(f"{number} members are declared, more than the {MOST_MEMBERS} accepted")
    if major == 4:
        return [_value(source, depth - 1) for _ in range(number)]
    return {_key(source): _value(source, depth - 1) for _ in range(number)}


def _number(source: ByteSource, info: int) -> int:
    if info < 24:
        return info
    if info > 27:
        raise CborError(f"the length code {info} is not used in recordings (indefinite length?)")
    return int.from_bytes(source.read(1 << (info - 24)), "big")


def _text(source: ByteSource, number: int) -> str:
    if number > LONGEST_TEXT:
        raise CborError(f"a text of {number} bytes is declared")
    try:
        return source.read(number).decode()
    except UnicodeDecodeError as error:
        raise CborError(f"a text is not UTF-8: {error}") from error


def _key(source: ByteSource) -> Any:
    key = _value(source, 0)
    if not isinstance(key, (str, int)):
        raise CborError(f"a {type(key).__name__} as the key of a map")
    return key


def _simple(source: ByteSource, info: int) -> Any:
    if info in (20, 21):
        return info == 21
    if info in (22, 23):
        return None
    if info in (25, 26, 27):
        code = {25: ">e", 26: ">f", 27: ">d"}[info]
        return struct.unpack(code, source.read(struct.calcsize(code)))[0]
    raise CborError(f"the simple value {info} is not used in recordings")


def _tagged(tag: int, value: Any) -> Any:
    if tag == SELF_DESCRIBED:
        return value
    if tag in (MESSAGE_TAG, STREAM_TAG):
        return Tagged(tag, value)
    try:
        if tag == 0:
            return datetime.fromisoformat(value)
        if tag == 1:
            return datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise CborError(f"{value!r:.60} is not a time: {error}") from error
    raise CborError(f"the tag {tag} is not one of a recording (42877, 42878 and times)")
