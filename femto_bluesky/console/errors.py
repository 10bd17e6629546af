"""Errors that are told at the prompt in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError


class ConsoleError(ValueError):
    """Something typed at the prompt, or set in a file, that cannot be done; it says what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the slip is in what was typed, not in here."""
        return [f"{type(self).__name__}: {self}"]


@contextmanager
def told() -> Iterator[None]:
    """Errors in here are of what was typed: raise them as `ConsoleError`, in the same words."""
    try:
        yield
    except ConsoleError:
        raise
    except ValidationError as error:
        raise ConsoleError(in_words(error)) from error
    except (ValueError, OSError) as error:
        raise ConsoleError(str(error)) from error


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
