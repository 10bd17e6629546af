"""The form of a geometry without a browser: what is typed, drawn, set, and seen by others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
from bokeh.plotting import figure

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.files.geometries import write_poni
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.viewer.hub import Hub
from femto_bluesky.viewer.page.geometry import GeometryPanel
from femto_bluesky.viewer.page.rings import MOST_RINGS, RingLayer, Wanted
from femto_bluesky.viewer.snapshots import Snapshots
from tests.viewer.page.at_once import AtOnce

T = TypeVar("T")

SHAPE = (120, 160)
GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.02, x0_px=80.5, y0_px=60.5, pixel_size_m=(172e-6, 172e-6)
)
TYPED = {"energy_kev": "13.5", "distance_m": "0.02", "x0_px": "80.5", "y0_px": "60.5"}
SETTINGS = frozenset({"settings", "image"})


class Browser(AtOnce):
    """A browser with the form in it, in which somebody types."""

    def __init__(self, hub: Hub, **rights: Any) -> None:
        super().__init__(hub, **rights)
        self.figure = figure(x_range=(0, 160), y_range=(120, 0))
        self.rings = RingLayer(self, self.figure)
        self.panel = GeometryPanel(self, self.rings, self.figure)
        self.parts += [self.rings, self.panel]
        self.look()

    def in_thread(
        self, function: Callable[[], T], then: Callable[[T], None], pool: Any = None
    ) -> None:
        try:
            super().in_thread(function, then)
        except ValueError as error:
            self.say(str(error), "error")

    def look(self) -> None:
        """All parts are told that something is new."""
        for part in self.parts:
            part.refresh(SETTINGS)

    def type(self, **texts: str) -> None:
        for name, text in texts.items():
            field = self.panel.form._fields[name]
            if name == "calibrant":
                field.value = text
            else:
                field.value_input = text

    def press_set(self) -> None:
        self.panel.set()
        self.look()

    @property
    def texts(self) -> dict[str, str]:
        return self.panel.form.texts

    @property
    def told(self) -> str:
        return str(self.panel._told.view.object)

    def drawn(self, name: str) -> list[str]:
        found = self.figure.select_one({"name": name})
        return list(found.data_source.data["name"])


def seen(live: LiveAnalysis, origin: tuple[int, int] = (0, 0), detector: str = "pilatus") -> None:
    frame = DenseFrame(np.ones(SHAPE, np.uint32), None)
    live.update(
        Shot(run="run", number=0, step=0, detector=detector, frame=frame, position={},
             origin=origin, time=1.0)
    )  # fmt: skip


@pytest.fixture
def live(tmp_path: Path) -> LiveAnalysis:
    found = LiveAnalysis(directory=tmp_path, photon_files=False)
    seen(found)
    return found


def test_what_is_typed_is_drawn_dashed_then_set_for_all(
    hub: Hub, live: LiveAnalysis, tmp_path: Path
) -> None:
    one, other = Browser(hub), Browser(hub)
    assert one.texts["pixel_size_m"] == "172"
    assert "no geometry of pilatus is set" in one.told
    one.type(q_lines="1.51, 2.14", energy_kev="13.5")
    assert "still to be given: Distance [m], x0 [px], y0 [px]" in one.told
    one.type(**TYPED)
    assert one.drawn("typed-rings") == ["1.51", "2.14"]
    assert one.drawn("rings") == other.drawn("typed-rings") == []
    assert live.diffraction.geometry("pilatus") is None
    one.press_set()
    assert live.diffraction.settings.geometries == {"pilatus": GEOMETRY}
    assert (one.drawn("typed-rings"), one.drawn("rings")) == ([], ["1.51", "2.14"])
    # it is kept at once, and the sum that is there is integrated
    assert (tmp_path / "pilatus.poni").exists()
    assert "set, kept in pilatus.poni" in one.told
    curves = {group.path: group for group in live.groups()}
    assert set(curves["azimuthal/pilatus_accumulated"].lines) == {"1.51", "2.14"}
    assert set(curves["accumulated/pilatus"].rings) == {"1.51", "2.14"}
    other.look()
    assert other.texts == one.texts
    assert other.drawn("rings") == ["1.51", "2.14"]


def test_what_somebody_types_stays_when_others_set_something(hub: Hub, live: LiveAnalysis) -> None:
    live.configure({"geometries": GEOMETRY})
    one, other = Browser(hub), Browser(hub)
    assert "set for every detector, kept in pilatus.poni" in one.told
    one.type(x0_px="81")
    other.type(x0_px="70", y0_px="50")
    other.press_set()
    one.look()
    assert (one.texts["x0_px"], one.texts["y0_px"]) == ("81", "50")
    assert "changed elsewhere" in one.told
    assert "is-elsewhere" in one.panel.form._fields["x0_px"].css_classes
    # set under the detector's own name, and the other change is not lost
    one.press_set()
    assert live.diffraction.geometry("pilatus") == GEOMETRY.model_copy(
        update={"x0_px": 81.0, "y0_px": 50.0}
    )
    assert "changed elsewhere" not in one.told
    assert "is-unsaved" not in one.panel.form._fields["x0_px"].css_classes
    # the prompt, and back to what is set
    one.type(x0_px="82")
    live.configure({"geometries": {"pilatus": GEOMETRY}})
    one.look()
    one.panel.revert()
    assert one.texts["x0_px"] == "80.5"


def test_what_is_typed_while_it_is_being_set_stays(hub: Hub, live: LiveAnalysis) -> None:
    browser = Browser(hub)
    browser.type(**TYPED)
    browser.is_waiting = True
    browser.panel.set()
    assert "being set" in browser.told
    browser.type(tilt_deg="3")
    browser.is_waiting = False
    browser.waiting.pop(0)()
    browser.look()
    assert live.diffraction.geometry("pilatus") == GEOMETRY
    assert browser.texts["tilt_deg"] == "3"
    assert browser.panel.is_typed
    assert "being set" not in browser.told


def test_lines_alone_can_be_set(hub: Hub, live: LiveAnalysis) -> None:
    browser = Browser(hub)
    browser.type(calibrant="LaB6")
    browser.press_set()
    assert live.diffraction.settings.calibrant == "LaB6"
    assert live.diffraction.settings.geometries == {}
    browser.type(calibrant="none", **TYPED)
    browser.press_set()
    assert live.diffraction.settings.calibrant is None
    assert browser.drawn("rings") == []
    live.configure({"azimuthal": {"calibrant": "CeO2"}})
    browser.look()
    assert browser.texts["calibrant"] == "CeO2"
    names = browser.drawn("rings")
    assert "1 1 1" in names
    assert set(browser.drawn("ring-names")) <= set(names)
    browser.panel.form.rings.value = False
    assert not browser.rings.is_shown


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"energy_kev": "-1"}, "Energy [keV]: Input should be greater than 0"),
        ({"distance_m": "far"}, "Distance [m]: &#x27;far&#x27; is not a number"),
        ({"x0_px": "1e6"}, "outside a frame of 120 rows and 160 columns"),
        ({"q_lines": "-2"}, "a line at q = -2 1/A: it must be above 0"),
    ],
)
def test_nonsense_is_refused_in_words(
    hub: Hub, live: LiveAnalysis, texts: dict[str, str], words: str
) -> None:
    browser = Browser(hub)
    browser.type(**TYPED | texts)
    assert words in browser.told
    assert browser.panel.form.set.disabled
    browser.press_set()
    assert browser.said
    assert live.diffraction.settings.geometries == {}


def test_a_value_in_another_unit_is_asked_about(hub: Hub) -> None:
    browser = Browser(hub)
    browser.type(**TYPED | {"energy_kev": "13500"})
    browser.press_set()
    assert browser.said == [
        "energy_kev of 'pilatus' is 13500 keV: is that in eV? It is taken as it is"
    ]


def test_who_may_read_only_sees_rings_and_sets_nothing(hub: Hub, live: LiveAnalysis) -> None:
    browser = Browser(hub, may_change=False)
    browser.type(**TYPED, q_lines="1.51")
    assert browser.drawn("typed-rings") == ["1.51"]
    assert browser.panel.form.set.disabled
    browser.press_set()
    browser.panel.delete()
    assert live.diffraction.settings.geometries == {}


def test_a_deleted_geometry_can_be_set_again(hub: Hub, live: LiveAnalysis) -> None:
    live.configure({"geometries": {"pil": GEOMETRY, "zyla": GEOMETRY}})
    browser, other = Browser(hub), Browser(hub)
    assert "set for detectors called pil..., " in browser.told
    browser.panel.delete()
    for each in (browser, other):
        each.look()
    assert list(live.diffraction.settings.geometries) == ["zyla"]
    assert other.texts["x0_px"] == ""
    assert browser.texts["x0_px"] == "80.5"
    browser.press_set()
    assert live.diffraction.settings.geometries["pilatus"] == GEOMETRY


def test_a_file_fills_the_form_to_the_last_digit(
    hub: Hub, live: LiveAnalysis, tmp_path: Path
) -> None:
    turned = GEOMETRY.model_copy(update={"tilt_deg": 3.3333333333333, "rot3_deg": 12.0})
    write_poni(tmp_path / "given.poni", turned)
    browser = Browser(hub)
    form = browser.panel.form
    form.load.filename = "given.poni"
    form.load.value = (tmp_path / "given.poni").read_bytes()
    assert browser.texts["x0_px"] == "80.5"
    assert browser.said == ["The form shows given.poni; Set sets it for all"]
    assert live.diffraction.settings.geometries == {}
    browser.press_set()
    found = live.diffraction.geometry("pilatus")
    assert found is not None
    assert found == Geometry.from_poni(turned.poni())
    assert "rot3 12 deg" in browser.told
    # and out again
    saved = form.save.callback().read()
    assert "Poni1:" in saved
    form.load.filename = "../evil/no.poni"
    form.load.value = b"nothing of the kind"
    assert "no.poni: holds a str, expected a mapping" in browser.said[-1]
    assert "evil" not in browser.said[-1]
    assert "upload" not in browser.said[-1]
    form.load.filename = "large.yaml"
    form.load.value = b"a" * 100_001
    assert browser.said[-1] == "large.yaml has 100001 bytes; a geometry takes no more than 100000"


def test_the_centre_is_picked_on_the_image(hub: Hub, live: LiveAnalysis) -> None:
    seen(live, origin=(10, 20))  # a region of the sensor
    browser = Browser(hub)
    browser.panel._picked(SimpleNamespace(x=30.04, y=40.0))
    assert browser.texts["x0_px"] == ""
    browser.panel.form.pick.value = True
    browser.panel._picked(SimpleNamespace(x=30.04, y=40.0))
    assert (browser.texts["x0_px"], browser.texts["y0_px"]) == ("50.0", "50.0")
    assert not browser.panel.form.pick.value
    # rings lie around it on the region
    browser.type(energy_kev="13.5", distance_m="0.02", q_lines="1.51")
    data = browser.figure.select_one({"name": "typed-rings"}).data_source.data
    assert (data["xs"][0].min() + data["xs"][0].max()) / 2 == pytest.approx(30.0, abs=0.01)


def test_before_the_first_frame_it_is_of_every_detector(tmp_path: Path) -> None:
    live = LiveAnalysis(directory=tmp_path, photon_files=False)
    snapshots = Snapshots(live)
    hub = Hub(live, snapshots)
    browser = Browser(hub)
    browser.type(**TYPED, pixel_size_m="172")
    browser.press_set()
    assert live.diffraction.settings.geometries == {"": GEOMETRY}
    browser.type(x0_px="81")
    seen(live)
    browser.look()
    # somebody was typing when it came
    assert browser.texts["x0_px"] == "81"
    browser.press_set()
    assert list(live.diffraction.settings.geometries) == ["", "pilatus"]
    # another detector: what was typed for the first is not for it
    seen(live, detector="zyla")
    browser.type(x0_px="90")
    browser.choose(detector="zyla")
    browser.look()
    assert browser.texts["x0_px"] == "80.5"
    hub.close()
    snapshots.close()


def test_no_more_rings_than_can_be_told_apart() -> None:
    lines = tuple(np.linspace(0.5, 3, 95).tolist())
    assert len(Wanted(GEOMETRY, SHAPE, q_lines=lines).rings()) == MOST_RINGS
    assert Wanted(GEOMETRY, SHAPE).rings() == {}


def test_without_a_geometry_nothing_is_saved_and_it_is_said_why(hub: Hub) -> None:
    browser = Browser(hub)
    save = browser.panel.form.save
    assert save.disabled
    # pressed before the browser has heard that it is disabled
    assert save.callback().read().startswith("# no geometry of ")
    assert "there is none to save" in browser.said.pop()
