"""Values that are not allowed, in words."""

from __future__ import annotations

from pydantic import ValidationError


def in_words(error: ValidationError) -> str:
    """Each value that is not allowed: where it stands, what is wrong, what was found."""
    found = []
    for entry in error.errors():
        place = ".".join(map(str, entry["loc"]))
        words = entry["msg"].removeprefix("Value error, ")
        text = f"{place}: {words}" if place else words
        is_short = isinstance(entry["input"], str | int | float | bool)
        if is_short and entry["type"] not in {"missing", "value_error"}:
            text += f" (found {entry['input']!r})"
        found.append(text)
    return "; ".join(found)
