"""Bytes in the place of chance: what makes hostile input of chance makes it of a fuzzer's bytes."""

from __future__ import annotations

from random import Random


class Bytes(Random):
    """Chance that is the next bytes; where they end, all is 0.

    A byte or two are a choice, so that a change of one byte changes one thing, as fuzzers want it.
    """

    def __new__(cls, data: bytes) -> Bytes:
        return super().__new__(cls)

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def _taken(self, n: int) -> int:
        piece = self._data[self._at : self._at + n]
        self._at += n
        return int.from_bytes(piece, "little")

    def random(self) -> float:
        """From 0 to 1."""
        return self._taken(1) / 256

    def getrandbits(self, k: int, /) -> int:
        """A number of so many bits."""
        return self._taken((k + 7) // 8) & ((1 << k) - 1)

    def _randbelow(self, n: int) -> int:
        return self._taken(1 if n <= 256 else (n.bit_length() + 7) // 8) % n

    def rest(self) -> bytes:
        """All that is left."""
        found, self._at = self._data[self._at :], len(self._data)
        return found
