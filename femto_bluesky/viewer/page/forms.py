"""A form for any settings model: what is set, what has been typed, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import partial
from html import escape
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from femto_bluesky.model.words import in_words
from femto_bluesky.viewer.page.fields import Field, fields_of
from femto_bluesky.viewer.page.form_state import Entry, FormState
from femto_bluesky.viewer.page.session import Session

Read = Callable[[], BaseModel]
Write = Callable[[Mapping[str, Any]], object]

NOT_SET: Final = "not set"


class SettingsForm:
    """Shows a settings model, and changes it as a whole when Apply or Enter is pressed.

    What is half typed never counts. `read` gives the settings as they are, `write` changes the
    named ones and may take its time: it is called in a thread, and raises `ValueError` or `OSError`
    where that cannot be. Settings that are named by `leave_out` are not there, those named by
    `read_only` are text. `hint` says what holds where nothing is set.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        read: Read,
        write: Write,
        *,
        leave_out: Set[str] = frozenset(),
        read_only: Set[str] = frozenset(),
        hint: Callable[[Field], str] = lambda field: NOT_SET,
    ) -> None:
        import panel as pn

        self._session, self._name = session, name
        self._read, self._write, self._hint = read, write, hint
        now = read()
        fields = fields_of(type(now), leave_out)
        self.state = FormState(
            [replace(f, codec=None) if f.place[0] in read_only else f for f in fields], now
        )
        self._is_showing = self._is_applying = False
        self.widgets: dict[tuple[str, ...], Any] = {}
        self._notes: dict[tuple[str, ...], Any] = {}
        rows: list[Any] = []
        for place, entry in self.state.entries.items():
            self.widgets[place] = self._widget(entry)
            note = pn.pane.HTML("", visible=False, margin=(0, 0, 2, 0), sizing_mode="stretch_width")
            self._notes[place] = note
            rows += [self.widgets[place], note]
        self.apply_button = pn.widgets.Button(
            label="Apply", color="primary", css_classes=[f"fb-apply-{name}"], margin=0
        )
        self.revert_button = pn.widgets.Button(
            label="Revert", css_classes=[f"fb-revert-{name}"], margin=(0, 0, 0, 6)
        )
        self.apply_button.on_click(lambda _: self.apply())
        self.revert_button.on_click(lambda _: self.revert())
        self._words = pn.pane.HTML("", visible=False, margin=(2, 0), sizing_mode="stretch_width")
        self._buttons = pn.Row(
            self.apply_button,
            self.revert_button,
            visible=False,
            margin=0,
            css_classes=["fb-form-buttons"],
            sizing_mode="stretch_width",
        )
        self.view: Any = pn.Column(
            *rows, self._words, self._buttons,
            css_classes=[f"fb-form-{name}"], sizing_mode="stretch_width",
            margin=(0, 0, 4, 0),
        )  # fmt: skip
        self._show()

    # what happens

    def read_back(self) -> None:
        """Show what the analysis has now; fields that are being typed into stay."""
        self.state.read(self._read())
        self._show()

    def type(self, place: tuple[str, ...], text: str) -> None:
        """Take what stands in a field."""
        if not self._is_showing:
            self.state.entries[place].type(text)
            self._say("")
            self._show()

    def revert(self) -> None:
        """Forget what was typed."""
        self.state.revert()
        self._say("")
        self._show()

    def apply(self) -> None:
        """Have the analysis take all that was typed, or say what is wrong with it."""
        if self._is_applying or not self.state.unsaved:
            return
        self._say("")
        try:
            changes = self.state.checked()
        except ValueError as error:
            self._say(str(error))
            self._show()
            return
        if not self._session.may_change:
            self._session.change()  # which says so
            return
        applied = {entry.field.place: entry.typed for entry in self.state.unsaved}
        self._is_applying = True
        self._show()
        self._session.in_thread(
            partial(self._written, changes),
            partial(self._done, applied),
            self._session.hub.changing,
        )

    def _written(self, changes: Mapping[str, Any]) -> Exception | None:
        """Write in a thread; what went wrong."""
        try:
            self._write(changes)
        except Exception as error:
            return error  # whatever it is: the form must know that it is over
        return None

    def _done(self, applied: Mapping[tuple[str, ...], str], error: Exception | None) -> None:
        self._is_applying = False
        if error is None:
            self.state.accept(applied, self._read())
            self._session.read_back()
        elif isinstance(error, ValidationError):
            # of a model around this one, or one that has changed meanwhile
            self._say(in_words(error))
        else:
            self._say(str(error) or type(error).__name__)
        self._show()

    # what is seen

    def _say(self, words: str) -> None:
        self._words.object = escape(words)
        self._words.css_classes = ["fb-setting-note", "is-wrong"]
        self._words.visible = bool(words)

    def _show(self) -> None:
        self._is_showing = True
        try:
            for place, entry in self.state.entries.items():
                self._show_entry(self.widgets[place], self._notes[place], entry)
        finally:
            self._is_showing = False
        self._buttons.visible = bool(self.state.unsaved)
        self.apply_button.loading = self._is_applying

    def _show_entry(self, widget: Any, note: Any, entry: Entry) -> None:
        field = entry.field
        if field.codec is None:
            widget.object = self._text(entry)
            return
        if field.codec.options:
            # a text that is none of them has been set at the console
            options = list(field.codec.options)
            widget.param.update(
                options=options if entry.typed in options else [*options, entry.typed],
                value=entry.typed,
            )
        else:
            hint = "name = value" if field.codec.is_list else ""
            hint = self._hint(field) if field.is_optional else hint
            if widget.placeholder != hint:
                widget.placeholder = hint
            # what was typed is never sent back: by then, quick fingers have typed more
            if widget.value_input != entry.typed:
                widget.param.update(value=entry.typed, value_input=entry.typed)
        marks = {
            "is-unsaved": entry.is_unsaved,
            "is-elsewhere": entry.is_elsewhere,
            "is-wrong": bool(entry.wrong),
        }
        classes = [*self._classes(field), *(mark for mark, is_so in marks.items() if is_so)]
        if widget.css_classes != classes:
            widget.css_classes = classes
        words, tone = entry.wrong, "is-wrong"
        if not words and entry.is_elsewhere:
            words, tone = f"changed elsewhere to {entry.shown or NOT_SET}", "is-elsewhere"
        note.param.update(
            object=escape(words), visible=bool(words), css_classes=["fb-setting-note", tone]
        )

    def _classes(self, field: Field) -> list[str]:
        wide = ["fb-wide"] if field.codec and field.codec.is_wide else []
        return ["fb-setting", f"fb-{self._name}-{field.css_name}", *wide]

    def _text(self, entry: Entry) -> str:
        tip = escape(entry.field.tip, quote=True)
        return (
            f"<span title='{tip}'>{escape(entry.field.label)}: <b>{escape(entry.shown)}</b></span>"
        )

    def _widget(self, entry: Entry) -> Any:
        import panel as pn

        field = entry.field
        place = field.place
        if field.codec is None:
            return pn.pane.HTML(
                self._text(entry), sizing_mode="stretch_width", margin=(1, 0),
                css_classes=["fb-setting-text", f"fb-{self._name}-{field.css_name}"],
            )  # fmt: skip
        shape = {
            "label": field.label, "description": field.tip, "margin": (1, 0), "min_width": 60,
            "sizing_mode": "stretch_width", "disabled": not self._session.may_change,
            "css_classes": self._classes(field),
        }  # fmt: skip
        widget: Any
        if field.codec.options:
            widget = pn.widgets.Select(options=list(field.codec.options), **shape)
            widget.param.watch(lambda event: self.type(place, event.new or ""), "value")
            return widget
        if field.codec.is_list:
            widget = pn.widgets.TextAreaInput(
                rows=1, auto_grow=True, max_rows=6, resizable=False, **shape,
            )  # fmt: skip
        else:
            widget = pn.widgets.TextInput(**shape)
            widget.param.watch(lambda _: self.apply(), "enter_pressed")
        for typed in ("value_input", "value"):
            widget.param.watch(lambda event: self.type(place, event.new or ""), typed)
        return widget
