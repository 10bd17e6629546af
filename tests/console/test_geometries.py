from __future__ import annotations

from types import SimpleNamespace

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.console.geometries import Geometries
from femto_bluesky.model.geometry import Geometry

WHERE = {"energy_kev": 13.5, "distance_m": 0.131, "x0_px": 210.0, "y0_px": 373.0}


@pytest.fixture
def live():
    return LiveAnalysis()


@pytest.fixture
def geometries(live):
    return Geometries(live, ["pilatus", "camera"])


def test_a_geometry_is_set_shown_and_forgotten(live, geometries):
    assert repr(geometries.list_geometries()).startswith("no geometry; set_geometry(")
    shown = geometries.set_geometry("pilatus", **WHERE, tilt_deg=1.5)
    assert live.diffraction.geometry("pilatus") == Geometry(
        **WHERE, tilt_deg=1.5, pixel_size_m=(172e-6, 172e-6)
    )
    assert repr(shown) == (
        "pilatus: 13.5 keV, 0.131 m, beam at x0 210 and y0 373 px, tilt 1.5 deg towards 0 deg, "
        "pixels of 172 x 172 um"
    )
    geometries.set_geometry("camera", **WHERE, pixel_size_m=1e-5)
    assert list(geometries.delete_geometry("pilatus").geometries) == ["camera"]
    assert live.diffraction.geometry("pilatus") is None


def test_a_detector_is_given_itself_or_by_its_name(geometries):
    pilatus = SimpleNamespace(name="pilatus")
    assert list(geometries.set_geometry(pilatus, **WHERE).geometries) == ["pilatus"]
    assert geometries.delete_geometry(pilatus).geometries == {}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("energy_kev", 13500, "energy_kev of 'pilatus' is 13500 keV: is that in eV?"),
        ("distance_m", 131, "distance_m of 'pilatus' is 131 m: is that in mm?"),
    ],
)
def test_a_value_that_looks_like_another_unit_is_asked_about(
    live, geometries, caplog, name, value, words
):
    geometries.set_geometry("pilatus", **WHERE | {name: value})
    assert [record.getMessage()[: len(words)] for record in caplog.records] == [words]
    caplog.clear()
    # those of the settings file too, when the prompt starts
    Geometries(live, ["pilatus"])
    assert words in caplog.text
    caplog.clear()
    geometries.set_geometry("pilatus", **WHERE)
    assert not caplog.records


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        (lambda g: g.set_geometry("pilates", **WHERE), "no detector 'pilates'; there are pilatus"),
        (lambda g: g.set_geometry("camera", **WHERE), "give pixel_size_m="),
        (
            lambda g: g.set_geometry("pilatus", **WHERE | {"distance_m": -1}),
            "distance_m: Input should be greater than 0 (found -1)",
        ),
        (lambda g: g.delete_geometry("camera"), "no geometry of 'camera'; there are: none"),
    ],
)
def test_a_slip_changes_nothing_and_says_what_to_do(geometries, slip, words):
    with pytest.raises(ConsoleError) as error:
        slip(geometries)
    assert words in str(error.value)
    assert geometries.list_geometries().geometries == {}
