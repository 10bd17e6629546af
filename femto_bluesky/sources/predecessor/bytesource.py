"""The bytes of a recorded file, plain or gzip, read forward in bounded pieces."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, Self

GZIP_MAGIC = b"\x1f\x8b"
PIECE = 1 << 24
LONGEST = 1 << 30
TRUSTED = 1 << 25
"""Bytes that a string in any compressed file may have; more where the file itself is large."""
LONGEST_LINE = 1 << 16


class SourceEndError(EOFError):
    """The file ends, or its compression breaks, in the middle of what was asked for."""


class ByteSource:
    """A file as a forward stream of bytes; gzip is recognised by its first two bytes.

    Offsets count bytes of the decompressed stream. A length that the file itself declares is
    never allocated before that many bytes are there: reading goes in pieces of 16 MiB, and one
    string of bytes may not be longer than 1 GiB.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("rb")
        try:
            self.is_gzip = self._raw.read(2) == GZIP_MAGIC
            self._raw.seek(0)
        except BaseException:
            self._raw.close()
            raise
        self._file: IO[bytes] | gzip.GzipFile = self._raw
        if self.is_gzip:
            self._file = gzip.GzipFile(fileobj=self._raw, mode="rb")
        self._offset = 0
        # one byte of gzip may become a thousand
        size = path.stat().st_size
        self.longest = min(LONGEST, TRUSTED + 32 * size) if self.is_gzip else LONGEST

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._offset

    def seek(self, offset: int) -> None:
        """Go to `offset`. In a gzip file what lies between is read, and going back starts again."""
        self._file.seek(offset)
        self._offset = offset

    def at_end(self) -> bool:
        """Whether no byte is left."""
        return not self._some(1, peek=True)

    def peek(self) -> bytes:
        """The next byte without taking it; empty at the end."""
        return self._some(1, peek=True)[:1]

    def read(self, n: int) -> bytes:
        """Exactly `n` bytes. Raises `SourceEndError` where fewer are left."""
        if n > self.longest:
            raise SourceEndError(
                f"a string of {n} bytes is declared, more than the {self.longest} that are "
                "accepted in a file of this size"
            )
        if n <= PIECE:
            data = self._some(n)
        else:
            pieces = []
            missing = n
            while missing and (piece := self._some(min(missing, PIECE))):
                pieces.append(piece)
                missing -= len(piece)
            data = b"".join(pieces)
            del pieces
        if len(data) != n:
            raise SourceEndError(f"{n} bytes are needed, {len(data)} are left")
        return data

    def readline(self) -> bytes:
        """The bytes up to and with the next newline, at most 64 KiB."""
        line = self._guarded_readline()
        self._offset += len(line)
        return line

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _some(self, n: int, *, peek: bool = False) -> bytes:
        try:
            if peek:
                return bytes(self._file.peek(n))  # type: ignore[union-attr]
            data = self._file.read(n)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceEndError(f"the gzip compression is damaged: {error}") from error
        self._offset += len(data)
        return data

    def _guarded_readline(self) -> bytes:
        try:
            return self._file.readline(LONGEST_LINE)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceEndError(f"the gzip compression is damaged: {error}") from error
