"""The fields and buttons in which a geometry is typed."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from femto_bluesky.viewer.page.geometry_terms import TERMS

NO_CALIBRANT: Final = "none"

Q_LINES: Final = "q_lines"
CALIBRANT: Final = "calibrant"
"""The names of the two fields beside those of a `Geometry`."""

WIDE: Final = {"sizing_mode": "stretch_width", "margin": 0}
GAP: Final = {"gap": "6px"}


class GeometryForm:
    """Fields by their names, which say what is typed at once, and buttons.

    `on_type` is called after somebody has typed or chosen something, `on_enter` when Enter was
    pressed in a field. What the program fills in calls nothing. `fields`, with the buttons `set`,
    `revert` and `delete`, and `files`, with `pick` (a toggle), `save`, `load` and the tick `rings`,
    are to be laid out.
    """

    def __init__(
        self,
        on_type: Callable[[], None],
        on_enter: Callable[[], None],
        poni: Callable[[], str],
    ) -> None:
        self._on_type, self._on_enter = on_type, on_enter
        self._is_filling = False
        self._texts: dict[str, str] = {}
        self._fields = {term.name: self._field(term.label, term.name, term.hint, term.example)
                        for term in TERMS}  # fmt: skip
        self._fields[Q_LINES] = self._field(
            "Rings at q [1/\N{LATIN CAPITAL LETTER A WITH RING ABOVE}]", Q_LINES,
            "Rings on the image and lines on I(q), for all detectors and browsers", "1.51, 2.14",
        )  # fmt: skip
        self._make_rest(poni)
        self._lay_out()

    # what stands in it

    @property
    def texts(self) -> dict[str, str]:
        """What stands in the fields now, also where somebody is still typing."""
        return dict(self._texts)

    def fill(self, texts: Mapping[str, str]) -> None:
        """Write into fields; into no others."""
        self._is_filling = True
        try:
            for name, text in texts.items():
                field = self._fields[name]
                self._texts[name] = text
                if name == CALIBRANT:
                    if text not in field.options:
                        field.options = [*field.options, text]
                    field.value = text
                else:
                    # what was typed and not yet left is in the one, what was left in the other
                    field.value_input = field.value = text
        finally:
            self._is_filling = False

    def offer(self, calibrants: Sequence[str]) -> None:
        """Offer these calibrants."""
        field = self._fields[CALIBRANT]
        self._is_filling = True
        field.options = list(dict.fromkeys([NO_CALIBRANT, *calibrants, field.value]))
        self._is_filling = False

    def mark(self, typed: Collection[str], elsewhere: Collection[str]) -> None:
        """Mark the fields that were typed in, and those that were changed elsewhere meanwhile."""
        for name, field in self._fields.items():
            more = ["is-elsewhere"] if name in elsewhere else ["is-unsaved"]
            classes = _classes(name) + (more if name in typed else [])
            if classes != field.css_classes:
                field.css_classes = classes

    def allow(self, *, may: bool, can_set: bool, is_typed: bool, is_set: bool) -> None:
        """Allow what can be done: of whoever may change, something typed, a geometry that is set.

        Who may only read may type all the same, and sees the rings.
        """
        self.set.disabled = not (may and can_set)
        self.set.button_type = "primary" if may and can_set else "default"
        self.revert.disabled = not is_typed
        self.delete.disabled = not (may and is_set)
        self.save.disabled = not is_set

    # how it is made

    def _field(self, label: str, name: str, hint: str, example: str) -> Any:
        import panel as pn

        field = pn.widgets.TextInput(
            label=label, description=hint, placeholder=example, min_width=60, **WIDE,
            css_classes=_classes(name),
        )  # fmt: skip
        # both change at once when Enter is pressed, and are the same then
        field.param.watch(
            lambda *events: self._heard(name, events[-1].new), ["value", "value_input"]
        )
        field.param.watch(lambda event: self._on_enter(), "enter_pressed")
        self._texts[name] = ""
        return field

    def _heard(self, name: str, text: str) -> None:
        if not self._is_filling and self._texts[name] != text:
            self._texts[name] = text
            self._on_type()

    def _make_rest(self, poni: Callable[[], str]) -> None:
        import panel as pn

        field = pn.widgets.Select(
            label="Calibrant", options=[NO_CALIBRANT], css_classes=_classes(CALIBRANT), **WIDE,
            description="Whose rings are drawn on the image, and lines on I(q), for all detectors "
            "and browsers",
        )  # fmt: skip
        field.param.watch(lambda event: self._heard(CALIBRANT, event.new), "value")
        self._fields[CALIBRANT] = field
        self._texts[CALIBRANT] = NO_CALIBRANT
        self.set = self._button(
            "Set", "set-geometry",
            "Set the geometry for all browsers and the analysis (Enter): I(q) begins, and it is "
            "kept as a PONI file beside the results",
        )  # fmt: skip
        self.revert = self._button(
            "Revert", "revert-geometry", "Forget what was typed: show what is set"
        )
        self.delete = self._button(
            "Delete", "delete-geometry", "Forget where the detector stands: no I(q) from now on"
        )
        self.pick = pn.widgets.Toggle(
            label="Pick centre", css_classes=["fb-pick-centre"], height=24, min_width=60, **WIDE
        )
        self.load = pn.widgets.FileInput(
            accept=".poni,.json,.yaml,.yml", css_classes=["fb-load-geometry"], height=26, **WIDE
        )  # fmt: skip
        self.save = pn.widgets.FileDownload(
            callback=lambda: io.StringIO(poni()), filename="geometry.poni", label="Save .poni",
            css_classes=["fb-save-geometry"], height=24, min_width=60, icon=None, **WIDE,
        )  # fmt: skip
        self.rings = pn.widgets.Checkbox(
            label="Rings on the image", value=True, css_classes=["fb-show-rings"], **WIDE
        )

    def _button(self, label: str, name: str, hint: str) -> Any:
        import panel as pn

        return pn.widgets.Button(
            label=label, description=hint, css_classes=[f"fb-{name}"], height=24, min_width=50,
            **WIDE,
        )  # fmt: skip

    def _lay_out(self) -> None:
        import panel as pn

        of = self._fields

        def row(*parts: Any) -> Any:
            return pn.Row(
                *parts, sizing_mode="stretch_width", margin=(0, 0, 4, 0), styles=GAP
            )  # fmt: skip

        self.fields: Any = pn.Column(
            row(of["energy_kev"], of["distance_m"]),
            row(of["x0_px"], of["y0_px"]),
            row(of["tilt_deg"], of["rotation_deg"]),
            row(of["pixel_size_m"], of[CALIBRANT]),
            row(of[Q_LINES]),
            row(self.set, self.revert, self.delete),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.files: Any = pn.Column(
            row(self.pick, self.save), row(self.load), self.rings,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip


def _classes(name: str) -> list[str]:
    return ["fb-field", f"fb-{name.replace('_', '-')}"]
