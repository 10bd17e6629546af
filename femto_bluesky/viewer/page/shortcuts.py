"""Keys that do something on the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HELP: Final = "?"
"""The key that shows all others; the browser keeps it for itself."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A key as browsers name it, and what it does."""

    key: str
    words: str
    press: Callable[[], object]


class Shortcuts:
    """Keys that do something, wherever the cursor is but in a field that is typed into."""

    def __init__(self) -> None:
        self._of: dict[str, Shortcut] = {}
        self.on_new: Callable[[], None] | None = None

    def add(self, key: str, words: str, press: Callable[[], object]) -> None:
        """Have a key do something; raises `ValueError` where it does something else already."""
        if key in self._of or key == HELP:
            taken = "shows this list" if key == HELP else self._of[key].words
            raise ValueError(f"the key {key!r} is taken: {taken}; take another one")
        self._of[key] = Shortcut(key, words, press)
        if self.on_new is not None:
            self.on_new()

    def press(self, key: str) -> None:
        """Do what a key does; others are passed over."""
        found = self._of.get(key)
        if found is not None:
            found.press()

    @property
    def rows(self) -> list[tuple[str, str]]:
        """All keys and what they do."""
        return [(HELP, "show this list"), *((k, found.words) for k, found in self._of.items())]
