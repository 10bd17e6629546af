"""The settings of all analyses, each in a form that opens below its name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from pydantic import BaseModel

from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.known_detectors import known_detector
from femto_bluesky.viewer.page.fields import Field, codec_of
from femto_bluesky.viewer.page.forms import NOT_SET, SettingsForm
from femto_bluesky.viewer.page.session import Session

ELSEWHERE: Final = frozenset({"rois", "geometries", "accumulate"})
"""What has a place of its own on the page."""

FIXED: Final = frozenset({"stream", "detectors"})
"""What is known from the start and cannot be changed while documents come."""

TITLES: Final = {"photons": "Photon counting", "cmos": "Camera frames", "azimuthal": "I(q)"}


class SettingsPanel:
    """A card for each model of settings within those of the analysis, one for the rest.

    A card is filled when it is opened for the first time: most are never opened.
    """

    def __init__(self, session: Session) -> None:
        import panel as pn

        self._session = session
        self._model = type(session.live.settings)
        self.forms: dict[str, SettingsForm] = {}
        self.cards: dict[str, Any] = {}
        for name, info in self._model.model_fields.items():
            annotation = info.annotation
            if name in ELSEWHERE | FIXED or not isinstance(annotation, type):
                continue
            if issubclass(annotation, BaseModel):
                self._add(name, TITLES.get(name, name.replace("_", " ").capitalize()))
        if self._others:
            self._add("other", "Other settings")
        self.view: Any = pn.Column(
            *self.cards.values(),
            sizing_mode="stretch_width",
            margin=0,
        )

    def open(self, name: str) -> SettingsForm:
        """The form of a part of the settings, which is opened."""
        self.cards[name].collapsed = False
        self._fill(name)
        return self.forms[name]

    def refresh(self, news: frozenset[News]) -> None:
        """Show what is set now, and for another detector other hints."""
        if "settings" in news:
            for form in self.forms.values():
                form.read_back()

    @property
    def _others(self) -> list[str]:
        """The settings that have no card of their own, and no place elsewhere."""
        taken = ELSEWHERE | self.cards.keys()
        return [name for name in self._model.model_fields if name not in taken]

    def _add(self, name: str, title: str) -> None:
        import panel as pn

        card = pn.Card(
            title=title, collapsed=True, hide_header=False, collapsible=True, margin=0,
            css_classes=["card", f"fb-card-{name}"], sizing_mode="stretch_width",
        )  # fmt: skip
        card.param.watch(lambda event: None if event.new else self._fill(name), "collapsed")
        self.cards[name] = card

    def _fill(self, name: str) -> None:
        if name in self.forms:
            self.forms[name].read_back()
            return
        if name == "other":
            left_out = frozenset(self._model.model_fields) - set(self._others)
            form = SettingsForm(
                self._session,
                name,
                self._all,
                self._session.hub.change,
                leave_out=left_out,
                read_only=FIXED,
            )
        else:
            form = SettingsForm(
                self._session,
                name,
                partial(self._part, name),
                partial(self._change, name),
                hint=self._hint,
            )
        self.forms[name] = form
        self.cards[name].objects = [form.view]

    def _all(self) -> BaseModel:
        return self._model.model_validate(self._session.live.settings_record())

    def _part(self, name: str) -> BaseModel:
        found: BaseModel = getattr(self._all(), name)
        return found

    def _change(self, name: str, changes: Mapping[str, Any]) -> None:
        self._session.hub.change({name: changes})

    def _hint(self, field: Field) -> str:
        """What the table of detectors says of the one that is shown, where nothing is set."""
        detector = self._session.detector
        if detector is None or len(field.place) > 1 or field.codec is None:
            return NOT_SET
        name = field.place[0]
        known = known_detector(self._session.live, detector)
        for table in (known, known.photons):
            value = getattr(table, name, None)
            codec = codec_of(type(value))
            if value is not None and codec is not None:
                return codec.text(value)
        return NOT_SET
