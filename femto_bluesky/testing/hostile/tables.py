"""Many inputs at a door, counted: what the table of the documentation is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from femto_bluesky.testing.hostile.doors import DOORS
from femto_bluesky.testing.hostile.law import passed


@dataclass(frozen=True, slots=True)
class Row:
    """What a door has done with its inputs; the slowest in seconds, the largest in MB."""

    door: str
    inputs: int
    refused: int
    taken: int
    slowest_s: float
    largest_mb: float


def tried(door: str, numbers: Iterable[int], folder: Path) -> Row:
    """Give a door the inputs of these numbers; `folder` is emptied before each.

    Raises `LawBrokenError` at the first that breaks the law.

    >>> from tempfile import mkdtemp
    >>> tried("settings", [0], Path(mkdtemp()) / "a").refused
    1
    """
    passages = [passed(DOORS[door], number, folder) for number in numbers]
    refused = sum(passage.refused is not None for passage in passages)
    slowest = max((passage.seconds for passage in passages), default=0.0)
    largest = max((passage.megabytes for passage in passages), default=0.0)
    return Row(door, len(passages), refused, len(passages) - refused, slowest, largest)


def table(rows: Iterable[Row]) -> str:
    """Rows as a table in Markdown.

    >>> print(table([Row("settings", 300, 250, 50, 0.0123, 3.04)]))
    | door | inputs | refused in words | taken | slowest (s) | largest (MB) |
    |---|---|---|---|---|---|
    | settings | 300 | 250 | 50 | 0.012 | 3.0 |
    """
    lines = [
        "| door | inputs | refused in words | taken | slowest (s) | largest (MB) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.door} | {row.inputs} | {row.refused} | {row.taken} | {row.slowest_s:.3f} "
        f"| {row.largest_mb:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)
