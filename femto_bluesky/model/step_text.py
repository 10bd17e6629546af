"""Step means as text, for whoever shows them in a table: a quantity is one column, mean ± std."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

MEAN_AND_STD = "mean ± std"

OF_QUANTITY = ("_mean", "_std", "_sem", "_n")
"""How the names of the columns end that belong to a quantity."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column of a table: its name, what stands below it in the head, and a text for each step."""

    name: str
    below: str
    cells: list[str]

    @property
    def width(self) -> int:
        """The longest text in it."""
        return max(map(len, (self.name, self.below, *self.cells)))


def with_photons(steps: Columns, photons: Columns) -> dict[str, NDArray[Any]]:
    """The columns that are worth showing: all of the steps, and the photons a shot of each.

    How many shots were too full to be counted is in it where there were any.
    """
    ends = tuple(f"_n_photons{end}" for end in OF_QUANTITY)
    crowded = {
        name: values
        for name, values in photons.items()
        if name.endswith("_n_crowded") and np.any(values)
    }
    counted = {name: values for name, values in photons.items() if name.endswith(ends)}
    return {**steps, **crowded, **counted}


def text_columns(columns: Columns) -> list[TextColumn]:
    """The columns as text: motors and counts as they are, then mean ± std of each quantity.

    A quantity is what has columns `_mean`, `_std` and `_n`. Of a single value the spread is not
    known and is "?"; what is NaN is "missing".
    """
    stems = [
        name.removesuffix("_mean")
        for name in columns
        if name.endswith("_mean")
        and all(f"{name.removesuffix('_mean')}{end}" in columns for end in ("_std", "_n"))
    ]
    of_stems = {f"{stem}{end}" for stem in stems for end in OF_QUANTITY}
    found = [
        TextColumn(name, "", [_text(value) for value in values])
        for name, values in columns.items()
        if name not in of_stems
    ]
    for stem in stems:
        parts = (columns[f"{stem}_{end}"] for end in ("mean", "std", "n"))
        cells = [
            f"{_text(mean)} ± {_text(std, 2) if n > 1 else '?':<7}"
            for mean, std, n in zip(*parts, strict=True)
        ]
        found.append(TextColumn(stem, MEAN_AND_STD, cells))
    return found


def text_table(columns: Sequence[TextColumn], width: int) -> list[str]:
    """The columns as lines of text of at most this width.

    Where not all find room, further tables follow, each with the motors and counts before it. A
    single column that is wider than that is not cut.
    """
    first = [column for column in columns if not column.below]
    rest = [column for column in columns if column.below]
    parts: list[list[TextColumn]] = [[*first]]
    for column in rest:
        if _width([*parts[-1], column]) > width and len(parts[-1]) > len(first):
            parts.append([*first])
        parts[-1].append(column)
    lines: list[str] = []
    for part in parts:
        rows = [[column.name for column in part], [column.below for column in part]]
        rows += [list(row) for row in zip(*(column.cells for column in part), strict=True)]
        lines += [""] * bool(lines)
        lines += [
            "  ".join(
                text.rjust(column.width) for text, column in zip(row, part, strict=True)
            ).rstrip()
            for row in rows
            if any(row)
        ]
    return lines


def _width(columns: Sequence[TextColumn]) -> int:
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _text(value: Any, digits: int = 6) -> str:
    if isinstance(value, str):
        return value
    return "missing" if np.isnan(value) else f"{value:.{digits}g}"
