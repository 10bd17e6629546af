"""Identifiers of objects that say by themselves what their holder has seen.

HSDS names objects by a letter and a UUID. Here the UUID holds the first 60 bits of uuid5(path), the
number of dimensions, and the shape at the time. So nothing has to be remembered of what was given
out, identifiers outlive a restart, and an answer can be cut to what its asker expects.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Final, Self

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "femto_bluesky/published tree")
LARGEST: Final = 2**32 - 1
_PATTERN: Final = re.compile(
    r"([gd])-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)


@dataclass(frozen=True, slots=True)
class ObjectId:
    """Which object, and of which shape.

    `key` stands for path, kind and number of dimensions. The shape of a group is its length, or
    empty where it has none.
    """

    key: str
    shape: tuple[int, ...]
    is_group: bool

    @classmethod
    def of(cls, path: str, shape: tuple[int, ...], *, is_group: bool) -> Self:
        """The identifier of the object at a path.

        >>> str(ObjectId.of("/image", (831, 1475), is_group=False))[-17:]
        '0000-033f000005c3'
        """
        if len(shape) > 2 or any(n > LARGEST for n in shape):
            raise ValueError(f"{path!r} has the shape {shape}; 2 dimensions of 32 bits are allowed")
        kind = "g" if is_group else "d"
        return cls(
            uuid.uuid5(NAMESPACE, f"{kind}{path}").hex[:15] + str(len(shape)), shape, is_group
        )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The identifier that a text is; None where it is none."""
        found = _PATTERN.fullmatch(text)
        if found is None:
            return None
        digits = found[2].replace("-", "")
        n_dimensions, sizes = digits[15], (int(digits[16:24], 16), int(digits[24:], 16))
        if n_dimensions not in "012":
            return None
        return cls(digits[:16], sizes[2 - int(n_dimensions) :], found[1] == "g")

    def __str__(self) -> str:
        """The text of it, as HSDS has it: a letter, a dash and a UUID."""
        sizes = (0, 0, *self.shape)[-2:]
        digits = self.key + "".join(f"{n:08x}" for n in sizes)
        return f"{'g' if self.is_group else 'd'}-{uuid.UUID(hex=digits)}"
