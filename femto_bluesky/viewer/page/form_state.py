"""What has been typed into a form, beside what the analysis really has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from femto_bluesky.model.words import words_by_place
from femto_bluesky.viewer.page.fields import Field


@dataclass(slots=True)
class Entry:
    """One field: `shown` is what the analysis has, `typed` what stands there.

    `wrong` are the words why it cannot be; `is_elsewhere` is whether somebody else has changed it
    while it was being typed into.
    """

    field: Field
    shown: str
    typed: str
    wrong: str = ""
    is_elsewhere: bool = False

    @property
    def is_unsaved(self) -> bool:
        """Whether what stands there is not what the analysis has."""
        return self.typed != self.shown

    def read(self, text: str) -> None:
        """Show what the analysis has now; what is being typed stays."""
        if not self.is_unsaved or self.typed == text:
            self.typed, self.wrong, self.is_elsewhere = text, "", False
        elif text != self.shown:
            self.is_elsewhere = True
        self.shown = text

    def type(self, text: str) -> None:
        """Take what was typed."""
        if text != self.typed:
            self.typed, self.wrong = text, ""
        if not self.is_unsaved:
            self.is_elsewhere = False


class FormState:
    """The fields of a form over a settings model; needs no browser."""

    def __init__(self, fields: Sequence[Field], now: BaseModel) -> None:
        self.now = now
        self.entries = {field.place: Entry(field, "", "") for field in fields}
        self.read(now)

    @property
    def unsaved(self) -> list[Entry]:
        """The fields that say something else than the analysis."""
        return [entry for entry in self.entries.values() if entry.is_unsaved]

    def read(self, now: BaseModel) -> None:
        """Show what the analysis has now."""
        self.now = now
        for entry in self.entries.values():
            entry.read(entry.field.text(now))

    def revert(self) -> None:
        """Forget what was typed."""
        for entry in self.unsaved:
            entry.type(entry.shown)

    def changes(self) -> dict[str, Any]:
        """What is to be changed, by the names of the model's own fields; empty if nothing is.

        A model within the model is given as a whole.
        """
        names = dict.fromkeys(entry.field.place[0] for entry in self.unsaved)
        return {name: self._value((name,)) for name in names}

    def checked(self) -> dict[str, Any]:
        """The changes; raises `ValueError` with its words where the model does not allow them.

        The fields then say what is wrong.
        """
        for entry in self.entries.values():
            entry.wrong = ""
        changes = self.changes()
        try:
            type(self.now).model_validate({**dict(self.now), **changes})
        except ValidationError as error:
            left = self.blame(error)
            raise ValueError(left) from error
        return changes

    def blame(self, error: ValidationError) -> str:
        """Have the fields say what is wrong with them; the words that belong to none of them."""
        left = []
        for place, words in words_by_place(error):
            found = self._at(place)
            if found is None:
                left.append(": ".join(filter(None, [".".join(map(str, place)), words])))
            else:
                found.wrong = "; ".join(filter(None, [found.wrong, words]))
        return "; ".join(left)

    def accept(self, applied: Mapping[tuple[str, ...], str], now: BaseModel) -> None:
        """Show what the analysis has made of texts that were applied.

        What was typed since stays.
        """
        for place, text in applied.items():
            entry = self.entries[place]
            entry.wrong, entry.is_elsewhere = "", False
            if entry.typed == text:
                entry.shown = entry.typed = entry.field.text(now)
        self.read(now)

    def _at(self, place: tuple[str | int, ...]) -> Entry | None:
        """The field whose value stands at a place, or in which it stands."""
        for n in range(len(place), 0, -1):
            found = self.entries.get(tuple(map(str, place[:n])))
            if found is not None:
                return found
        # a model as a whole: its first field says it
        named = tuple(map(str, place))
        inside = [e for p, e in self.entries.items() if named and p[: len(named)] == named]
        return inside[0] if inside else None

    def _value(self, place: tuple[str, ...]) -> Any:
        """What has been typed for a field, or for all of a model."""
        if place in self.entries:
            entry = self.entries[place]
            if entry.field.codec is None:
                return self._now(place)
            return entry.field.value(entry.typed)
        inside = {p: e for p, e in self.entries.items() if p[: len(place)] == place}
        may_be_none = any(place in entry.field.groups for entry in inside.values())
        # what has no empty text, such as yes or no, does not speak for the model
        speaking = [e for e in inside.values() if e.field.codec and not e.field.codec.options]
        if may_be_none and not any(entry.typed.strip() for entry in speaking):
            return None
        names = dict.fromkeys(p[len(place)] for p in inside)
        values = {name: self._value((*place, name)) for name in names}
        # no text for what needs one: the model says that it is missing
        return {
            name: value
            for name, value in values.items()
            if not (value == "" and (*place, name) in self.entries)
        }

    def _now(self, place: tuple[str, ...]) -> Any:
        found: Any = self.now
        for name in place:
            found = None if found is None else getattr(found, name)
        return found
