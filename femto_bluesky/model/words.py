"""Values that are not allowed, in words."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

LONGEST: Final = 200
"""Characters of a value that is shown."""


def in_words(error: ValidationError) -> str:
    """Each value that is not allowed: where it stands, what is wrong, what was found."""
    return "; ".join(
        ": ".join(filter(None, [".".join(map(str, place)), words]))
        for place, words in words_by_place(error)
    )


def words_by_place(error: ValidationError) -> list[tuple[tuple[int | str, ...], str]]:
    """The same in pairs: where a value stands, and what is wrong with it."""
    found = []
    for entry in error.errors():
        words = entry["msg"].removeprefix("Value error, ")
        is_short = isinstance(entry["input"], str | int | float | bool)
        if is_short and entry["type"] not in {"missing", "value_error"}:
            words += f" (found {_shown(entry['input'])})"
        found.append((entry["loc"], words))
    return found


def _shown(value: object) -> str:
    """A value as Python writes it, or as much of it as there is room for."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write it, for that would take too long
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
