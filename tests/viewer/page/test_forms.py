"""Forms over the settings of an analysis that goes on, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from femto_bluesky.callbacks.live_analysis import LiveAnalysisSettings
from femto_bluesky.stream.analysis import AnalysisSettings
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.forms import SettingsForm
from femto_bluesky.viewer.page.settings import SettingsPanel
from tests.viewer.page.test_session import Opened
from tests.viewer.shown import seen

SETTINGS = frozenset({"settings"})


class Filled:
    """The panel of a browser, whose fields are typed into as a browser does it."""

    def __init__(self, hub: Hub, **rights: bool) -> None:
        self.opened = Opened(hub, **rights)
        self.panel = SettingsPanel(self.opened.session)
        self.opened.session.parts.append(self.panel)

    def type(self, form: SettingsForm, name: str, text: str) -> None:
        form.widgets[(name,)].value_input = text

    def apply(self, form: SettingsForm) -> None:
        self.opened.until(lambda: not form._is_applying, lambda: form.apply())
        self.opened.tick()

    def classes(self, form: SettingsForm, name: str) -> list[str]:
        found: list[str] = form.widgets[(name,)].css_classes
        return found


def test_each_analysis_has_a_card_that_is_filled_when_it_is_opened(hub: Hub) -> None:
    panel = Filled(hub).panel
    assert list(panel.cards) == ["photons", "cmos", "azimuthal", "other"]
    assert panel.forms == {}
    panel.cards["cmos"].collapsed = False
    assert list(panel.forms) == ["cmos"]
    shown = {place[0] for place in panel.forms["cmos"].widgets}
    assert shown == set(type(hub.live.settings.cmos).model_fields)


def test_what_is_typed_counts_when_it_is_applied_and_not_before(hub: Hub) -> None:
    filled = Filled(hub)
    form = filled.panel.open("cmos")
    filled.type(form, "threshold_adu", "12")
    filled.type(form, "dark_adu", "1e2")
    assert hub.live.cleaning.settings.threshold_adu is None
    assert "is-unsaved" in filled.classes(form, "dark_adu")
    assert form._buttons.visible
    filled.apply(form)
    assert hub.live.cleaning.settings.threshold_adu == 12
    widget = form.widgets[("dark_adu",)]
    assert (widget.value, widget.value_input) == ("100", "100")
    assert "is-unsaved" not in filled.classes(form, "dark_adu")
    assert not form._buttons.visible
    # nothing to apply
    form.apply()
    assert not form._is_applying


def test_what_is_typed_is_not_sent_back(hub: Hub) -> None:
    filled = Filled(hub)
    form = filled.panel.open("cmos")
    sent: list[str] = []
    form.widgets[("dark_adu",)].param.watch(lambda event: sent.append(event.new), "value")
    for text in ("1", "12", "125"):
        filled.type(form, "dark_adu", text)
    assert sent == []
    form.revert()
    assert form.widgets[("dark_adu",)].value_input == ""


def test_what_the_console_changes_is_shown_but_not_under_the_fingers(hub: Hub) -> None:
    filled = Filled(hub)
    form = filled.panel.open("cmos")
    filled.type(form, "threshold_adu", "1")
    hub.live.configure({"cmos": {"threshold_adu": 20, "dark_adu": 90}})
    filled.panel.refresh(SETTINGS)
    assert form.widgets[("dark_adu",)].value == "90"
    assert form.widgets[("threshold_adu",)].value_input == "1"
    assert "is-elsewhere" in filled.classes(form, "threshold_adu")
    assert form._notes[("threshold_adu",)].object == "changed elsewhere to 20"
    form.revert()
    assert form.widgets[("threshold_adu",)].value_input == "20"
    assert not form._notes[("threshold_adu",)].visible


def test_what_the_model_refuses_is_told_at_the_field_and_changes_nothing(hub: Hub) -> None:
    filled = Filled(hub)
    form = filled.panel.open("azimuthal")
    filled.type(form, "n_bins", "1")
    filled.type(form, "polarisation", "0.9")
    form.apply()
    assert "is-wrong" in filled.classes(form, "n_bins")
    assert "greater than or equal to 2 (found 1)" in form._notes[("n_bins",)].object
    assert hub.live.diffraction.settings.polarisation is None
    filled.type(form, "n_bins", "500")
    assert not form._notes[("n_bins",)].visible
    filled.apply(form)
    assert hub.live.diffraction.settings.n_bins == 500


def test_what_the_analysis_refuses_is_told_below_the_form(hub: Hub, tmp_path: Path) -> None:
    filled = Filled(hub)
    form = filled.panel.open("cmos")
    filled.type(form, "dark_file", str(tmp_path / "none.npy"))
    filled.apply(form)
    assert "none.npy" in form._words.object
    assert form._words.visible
    assert "is-unsaved" in filled.classes(form, "dark_file")
    assert hub.live.cleaning.settings.dark_file is None
    form.revert()
    assert not form._words.visible


def test_lists_choices_and_models_within_are_edited(hub: Hub) -> None:
    filled = Filled(hub)
    form = filled.panel.open("photons")
    form.widgets[("counting",)].value = "no"
    for name, text in {"x0": "0", "y0": "1", "x1": "4", "y1": "5"}.items():
        form.widgets[("roi", name)].value_input = text
    filled.apply(form)
    settings = hub.live.photons.settings
    assert not settings.counting
    assert settings.roi is not None
    assert (settings.roi.x0, settings.roi.y1) == (0, 5)
    for name in ("x0", "y0", "x1", "y1"):
        form.widgets[("roi", name)].value_input = ""
    filled.apply(form)
    assert hub.live.photons.settings.roi is None


def test_the_table_of_detectors_says_what_holds_where_nothing_is_set(hub: Hub) -> None:
    seen(hub.live, ("andor3_zyla10",))
    form = Filled(hub).panel.open("cmos")
    assert form.widgets[("dark_adu",)].placeholder == "100"
    assert form.widgets[("threshold_adu",)].placeholder == "12"
    assert form.widgets[("dark_file",)].placeholder == "not set"


def test_what_is_fixed_is_shown_as_text(hub: Hub) -> None:
    form = Filled(hub).panel.open("other")
    assert {place[0] for place in form.widgets} == {"stream", "detectors"}
    assert "Stream: <b>primary</b>" in form.widgets[("stream",)].object


class Fluorescence(AnalysisSettings):
    line_kev: float = Field(default=6.4, gt=0, description="where the line is")


class More(LiveAnalysisSettings):
    """With analyses that do not exist yet."""

    fluorescence: Fluorescence = Field(default=Fluorescence(), description="spectra")
    drift: Fluorescence | None = Field(default=None, description="one that may be off")
    gain: float = Field(default=1.0, description="of all")


def test_analyses_to_come_have_their_forms_and_nothing_is_left_out(hub: Hub) -> None:
    hub.live.settings = More(**dict(hub.live.settings))
    panel = Filled(hub).panel
    assert list(panel.cards)[-2:] == ["fluorescence", "other"]
    assert panel.open("fluorescence").widgets[("line_kev",)].label == "Line [keV]"
    other = panel.open("other")
    assert set(other.widgets) == {("stream",), ("detectors",), ("drift", "line_kev"), ("gain",)}
    assert other.widgets[("gain",)].value == "1"


def test_who_may_only_read_sees_all_and_changes_nothing(hub: Hub) -> None:
    filled = Filled(hub, may_change=False)
    form = filled.panel.open("cmos")
    assert form.widgets[("dark_adu",)].disabled
    filled.type(form, "dark_adu", "3")
    form.apply()
    assert "may read only" in filled.opened.said[0][0]
    assert hub.live.cleaning.settings.dark_adu is None


def test_what_is_typed_while_it_is_applied_stays(hub: Hub, monkeypatch: Any) -> None:
    filled = Filled(hub)
    form = filled.panel.open("cmos")
    write = form._write

    def slow(changes: Any) -> None:
        filled.type(form, "dark_adu", "99")
        write(changes)

    monkeypatch.setattr(form, "_write", slow)
    filled.type(form, "dark_adu", "9")
    filled.apply(form)
    assert hub.live.cleaning.settings.dark_adu == 9
    assert form.widgets[("dark_adu",)].value_input == "99"
    assert "is-unsaved" in filled.classes(form, "dark_adu")
