"""Errors that are told at the prompt in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from femto_bluesky.model.words import in_words


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
