"""What a scan's title tells: its plan, the motors, and the grid of its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScanTitle:
    """A title like ``mesh sx -2 2 3 sy -2 2 4 0.1``, taken apart.

    `motors` stand in the order of the title, `shape` has one number of points a dimension
    (empty where the title does not tell), and `is_mesh` says that each motor is a dimension.
    """

    plan_name: str
    motors: tuple[str, ...]
    shape: tuple[int, ...]
    is_mesh: bool

    @property
    def num_points(self) -> int | None:
        """How many points the scan has; None where the title does not tell."""
        return math.prod(self.shape) if self.shape else None


def parse(title: str, motors: Container[str]) -> ScanTitle:
    """Take `title` apart; the words that are in `motors` are its motors.

    A mesh has ``motor start end intervals`` for each motor; other scans have ``motor start end``
    for each and the intervals behind the last. Intervals plus one are points.

    >>> parse("mesh sx -2 2 3 sy -2 2 4 0.1", {"sx", "sy"}).shape
    (4, 5)
    >>> parse("ascan sx -2 2 10 0.1", {"sx"}).num_points
    11
    """
    words = title.split()
    places = [i for i, word in enumerate(words) if i and word in motors]
    names = tuple(dict.fromkeys(words[i] for i in places))
    is_mesh = len(words) > 0 and "mesh" in words[0].lower()
    counted = places if is_mesh else places[-1:]
    points = [_points(words, i + 3) for i in counted]
    known = tuple(n for n in points if n is not None)
    shape = known if len(known) == len(points) else ()
    return ScanTitle(words[0] if words else "scan", names, shape, is_mesh)


def dimensions(
    scan: ScanTitle, key: Callable[[str], str], *, first_is_slow: bool
) -> list[list[object]]:
    """`hints.dimensions` of the scan, slow first; motors that move together share one."""
    names = [key(name) for name in scan.motors]
    if not scan.is_mesh:
        return [[names, "primary"]]
    return [[[name], "primary"] for name in (names if first_is_slow else names[::-1])]


def _points(words: list[str], place: int) -> int | None:
    try:
        intervals = int(words[place])
    except (IndexError, ValueError):
        return None
    return intervals + 1 if intervals >= 0 else None
