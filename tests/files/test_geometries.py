"""Geometries on the disk: pyFAI reads what is written, and what it writes is read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from pyFAI import load

from femto_bluesky.files.geometries import (
    GeometryFileError,
    keep_poni,
    read_geometry,
    write_poni,
)
from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.model.geometry import Geometry
from tests.model.test_geometry import LAB6, geometries

TILTED = LAB6.model_copy(update={"tilt_deg": 3.0, "rotation_deg": -20.0})
OLD = """# from the time before detectors had names
PixelSize1: 0.000172
PixelSize2: 0.000172
Distance: 0.131
Poni1: 0.064156
Poni2: 0.03612
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 9.184014698755576e-11
"""


def same(found: Geometry, expected: Geometry) -> bool:
    terms = [g.model_dump(exclude={"pixel_size_m", "rot3_deg"}) for g in (found, expected)]
    return terms[0] == pytest.approx(terms[1], abs=1e-9) and (
        found.pixel_size_m == expected.pixel_size_m
    )


def text(path, content):
    path.write_text(content)
    return path


def test_pyfai_opens_what_is_written(tmp_path):
    path = tmp_path / "a.poni"
    write_poni(path, TILTED, shape=(831, 1475), calibrant="LaB6")
    opened = load(str(path))
    for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength"):
        assert getattr(opened, name) == getattr(TILTED.poni(), name)
    assert tuple(opened.detector.max_shape) == (831, 1475)
    assert opened.getFit2D()["tilt"] == pytest.approx(3)
    assert path.read_text().endswith("\n# Calibrant: LaB6\n")
    assert same(read_geometry(path), TILTED)


@given(geometry=geometries)
def test_what_is_written_is_read_to_the_last_bit(tmp_path_factory, geometry):
    path = tmp_path_factory.mktemp("poni") / "a.poni"
    write_poni(path, geometry)
    assert read_geometry(path) == Geometry.from_poni(geometry.poni())


def test_nothing_is_overwritten(tmp_path):
    path = text(tmp_path / "a.poni", "mine")
    with pytest.raises(OutputExistsError, match="nothing is overwritten"):
        write_poni(path, LAB6)
    assert path.read_text() == "mine"
    with pytest.raises(OutputError, match="does not exist"):
        keep_poni(tmp_path / "nowhere", "pilatus", LAB6)


def test_a_new_file_is_written_when_the_geometry_changes(tmp_path, caplog):
    names = [
        keep_poni(tmp_path, "pilatus", geometry).name
        for geometry in (LAB6, LAB6, TILTED, TILTED, LAB6)
    ]
    assert names == [
        "pilatus.poni", "pilatus.poni", "pilatus_2.poni", "pilatus_2.poni", "pilatus_3.poni",
    ]  # fmt: skip
    assert same(read_geometry(tmp_path / "pilatus_2.poni"), TILTED)
    text(tmp_path / "pilatus_10.poni", "Poni1: spoilt")
    assert keep_poni(tmp_path, "pilatus", LAB6).name == "pilatus_4.poni"
    assert "is not a PONI file" in caplog.text
    assert keep_poni(tmp_path, "pilatus_x", LAB6).name == "pilatus_x.poni"


def test_poni_files_of_old_versions_are_read(tmp_path):
    assert same(read_geometry(text(tmp_path / "old.poni", OLD)), LAB6)
    named = OLD.replace("PixelSize1: 0.000172\nPixelSize2: 0.000172", "Detector: Pilatus1M")
    assert same(read_geometry(text(tmp_path / "named.poni", named)), LAB6)


def test_settings_in_our_terms_are_read(tmp_path):
    settings = LAB6.model_dump(exclude={"rot3_deg"})
    path = text(tmp_path / "a.json", json.dumps(settings))
    assert read_geometry(path) == LAB6
    path = text(
        tmp_path / "a.yaml",
        "energy_kev: 13.5\ndistance_m: 0.131\nx0_px: 210\ny0_px: 373\npixel_size_m: 172e-6\n",
    )
    assert read_geometry(path) == LAB6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds a NoneType, expected a mapping such as energy_kev: 13.5"),
        ("[1, 2]", "holds a list"),
        ("{1: 2", "neither a PONI file nor JSON nor YAML"),
        ("energy_kev: 0\ndistance_m: 1\n", "energy_kev: Input should be greater than 0"),
        ("distance_m: 1\nenergy: 3", "energy_kev: Field required.*energy: Extra inputs"),
        ("Poni1: many", "is not a PONI file that pyFAI can read .*many"),
        (OLD.replace("Wavelength", "Wave"), "nothing of wavelength; .*'Wavelength: 9.184e-11'"),
        (OLD.replace("PixelSize1", "Size"), "says nothing of pixel1"),
        (OLD.replace("Rot1: 0.0", "Rot1: 1.6"), "turns the detector by 90 degrees"),
        (OLD.replace("Distance: 0.131", "Distance: 0"), "dist = 0.0 m"),
        (
            OLD + 'poni_version: 2.1\nDetector: Detector\nDetector_config: {"pixel1": 0.000172, '
            '"pixel2": 0.000172, "orientation": 2}',
            "orientation 2, which counts rows or columns backwards",
        ),
        (OLD.replace("0.064156", "1e308"), "is not a geometry: .*y0_px.*finite number"),
        (OLD.replace("9.184014698755576e-11", "1e308"), "is not a geometry: energy_kev"),
        ("energy_kev: " + ":".join(["59"] * 3000), "found a number of thousands of digits"),
        (f"energy_kev: {'a' * 3000}", r"found 'a{199}\.\.\."),
        (OLD + "Detector: Nosuch", "RuntimeError"),
        ("Detector: Aarhus\n" + OLD[OLD.index("Distance") :], "'Aarhus' is not flat"),
    ],
)
def test_a_file_without_a_geometry_says_why(tmp_path, content, words):
    path = text(tmp_path / "a.poni", content)
    with pytest.raises(GeometryFileError, match=words) as error:
        read_geometry(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_no_text_or_none_at_all(tmp_path):
    (tmp_path / "image.npy").write_bytes(b"\x93NUMPY\xff\xfe")
    with pytest.raises(GeometryFileError, match="is no text"):
        read_geometry(tmp_path / "image.npy")
    with pytest.raises(GeometryFileError, match=r"No such file.*check the path"):
        read_geometry(tmp_path / "missing.poni")
    with pytest.raises(GeometryFileError, match="cannot be read"):
        read_geometry(tmp_path)
    text(tmp_path / "long", "#" * (1 << 21))
    with pytest.raises(GeometryFileError, match="larger than 1 MB"):
        read_geometry(tmp_path / "long")
