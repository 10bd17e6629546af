"""What shots are put together by: runs, motors, labels, and keys of start documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Self

Value = float | str
Values = tuple[Value, ...]

ALL = "all"
"""The name of the one group where nothing is asked for."""


class GroupByError(ValueError):
    """What shots cannot be put together by; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a group; numbers are rounded to multiples of `width` where that is given."""

    name: str
    width: float | None = None

    def __str__(self) -> str:
        return self.name if self.width is None else f"{self.name}:{self.width:g}"

    @property
    def is_run(self) -> bool:
        """Whether it is the run itself."""
        return self.name == "run"

    @property
    def of_start(self) -> str | None:
        """The key of the start document, with dots where it lies deeper; None for other keys."""
        return self.name.removeprefix("start.") if self.name.startswith("start.") else None

    def rounded(self, value: Any) -> Value:
        """The value that a group is told by; NaN for what is missing."""
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            return str(value)
        if self.width is None or not math.isfinite(value):
            return float(value)
        # not 0.30000000000000004, for it is a name too
        return float(f"{round(value / self.width) * self.width:.12g}") + 0.0


@dataclass(frozen=True, slots=True)
class GroupBy:
    """How shots are put into groups.

    In text, keys are joined by commas: ``run``; ``start.KEY`` of the start document (with dots
    where it lies deeper); a motor, or a label of the shots, as ``NAME`` or ``NAME:WIDTH``, whose
    values are rounded to multiples of the width.

    >>> str(GroupBy.parse("delay:0.5, start.sample_name"))
    'delay:0.5,start.sample_name'
    """

    keys: tuple[Key, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """What a text asks for; None and "" ask for one group of all.

        Raises `GroupByError` for a text that says nothing, or a width that is none.
        """
        if text is None or not text.strip():
            return cls()
        keys = []
        for part in text.split(","):
            name, colon, told = (word.strip() for word in part.partition(":"))
            if not name or name == "start.":
                raise GroupByError(
                    f"cannot group by {text!r}: found an empty name, expected such as 'delay:0.1', "
                    "'run', 'start.sample_name', or several of them joined by commas"
                )
            keys.append(Key(name, _width(text, told) if colon else None))
        if len({key.name for key in keys}) < len(keys):
            raise GroupByError(f"cannot group by {text!r}: a name stands there twice")
        return cls(tuple(keys))

    def __str__(self) -> str:
        return ",".join(map(str, self.keys))

    @property
    def splits_runs(self) -> bool:
        """Whether shots of one run may be in different groups."""
        return any(not key.is_run and key.of_start is None for key in self.keys)

    def of_event(
        self,
        start: Mapping[str, Any],
        position: Mapping[str, Any],
        labels: Mapping[str, Sequence[float]],
        n_shots: int,
    ) -> list[tuple[Values, range]]:
        """The shots of an event, by their values: parts of it that follow each other.

        Raises `GroupByError` where the event does not have what is asked for.
        """
        columns = [self._column(key, start, position, labels, n_shots) for key in self.keys]
        found: list[tuple[Values, range]] = []
        if all(len(column) == 1 for column in columns):
            return [(tuple(column[0] for column in columns), range(n_shots))]
        full = [column * n_shots if len(column) == 1 else column for column in columns]
        each = list(zip(*full, strict=True))
        for _, numbers in groupby(range(n_shots), key=lambda n: sortable(each[n])):
            run = list(numbers)
            found.append((each[run[0]], range(run[0], run[-1] + 1)))
        return found

    def named(self, values: Values) -> dict[str, Value]:
        """The values by what was asked for."""
        return {key.name: value for key, value in zip(self.keys, values, strict=True)}

    def title(self, values: Values) -> str:
        """The name of a group.

        >>> GroupBy.parse("delay,start.sample").title((1.5, "LaB6"))
        'delay=1.5, sample=LaB6'
        """
        if not values:
            return ALL
        told = []
        for key, value in zip(self.keys, values, strict=True):
            text = f"{value:.12g}" if isinstance(value, float) else value
            told.append(f"{(key.of_start or key.name)}={text[:8] if key.is_run else text}")
        return ", ".join(told)

    def _column(
        self,
        key: Key,
        start: Mapping[str, Any],
        position: Mapping[str, Any],
        labels: Mapping[str, Sequence[float]],
        n_shots: int,
    ) -> list[Value]:
        """One value, or one for each shot."""
        if key.is_run:
            return [str(start["uid"])]
        if key.of_start is not None:
            return [key.rounded(_of_start(start, key.of_start))]
        if key.name in position:
            return [key.rounded(position[key.name])]
        if key.name in labels:
            found = [key.rounded(value) for value in labels[key.name]]
            return found if len(found) == n_shots else found[:1]
        there = sorted({*position, *labels})
        raise GroupByError(
            f"it has no {key.name!r} to group by: found {there or 'nothing'} at its shots; give "
            "one of these, 'run', or 'start.KEY' of the start document"
        )


def sortable(values: Values) -> tuple[tuple[int, float, str], ...]:
    """Values as they are ordered and compared: numbers, then what is missing, then text."""
    return tuple(
        (2, 0.0, value)
        if isinstance(value, str)
        else (1, 0.0, "")
        if math.isnan(value)
        else (0, value, "")
        for value in values
    )


def _width(text: str, told: str) -> float:
    try:
        width = float(told)
    except ValueError:
        width = math.nan
    if not (width > 0 and math.isfinite(width)):
        raise GroupByError(
            f"cannot group by {text!r}: found the width {told!r}, expected a number above 0 such "
            "as 0.1"
        )
    return width


def _of_start(start: Mapping[str, Any], key: str) -> Any:
    value: Any = start
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            there = sorted(name for name, held in start.items() if isinstance(held, str | int))
            raise GroupByError(
                f"its start document has no {key!r} to group by: found {there}; give another key, "
                "or leave the run out"
            )
        value = value[part]
    return value
