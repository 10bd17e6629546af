from __future__ import annotations

import ast
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from femto_bluesky.console.settings import (
    TAKEN,
    VARIABLE,
    Camera,
    SettingsFileError,
    read_beamline,
    settings_file,
)

GOOD = """
beamline: B
directory: data
epics:
  cameras: {pilatus: {kind: pilatus, prefix: "P:"}}
  motors: {delay: "D"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "beamline.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_and_its_directory_is_beside_it(tmp_path):
    settings = read_beamline(written(tmp_path, GOOD))
    assert settings.folder("raw") == tmp_path / "data" / "raw"
    assert settings.epics is not None
    assert settings.epics.cameras["pilatus"] == Camera(kind="pilatus", prefix="P:")
    assert settings.simulation is None


def test_a_geometry_has_the_pixel_size_of_its_detector(tmp_path):
    where = "{energy_kev: 13.5, distance_m: 0.131, x0_px: 210, y0_px: 373"
    good = GOOD + "geometries:\n" + f"  pilatus: {where}}}\n"
    settings = read_beamline(written(tmp_path, good))
    assert settings.geometries["pilatus"].pixel_size_m == (172e-6, 172e-6)
    settings = read_beamline(written(tmp_path, good.replace("373", "373, pixel_size_m: 1.0e-5")))
    assert settings.geometries["pilatus"].pixel_size_m == (1e-5, 1e-5)
    with pytest.raises(SettingsFileError, match=r"geometries\.cam\.pixel_size_m: Field required"):
        read_beamline(written(tmp_path, good + f"  cam: {where}}}\n"))


def test_the_home_directory_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    path = written(tmp_path, GOOD.replace("data", "~/data"))
    assert read_beamline(path).directory == Path("/home/somebody/data")


def test_the_environment_may_name_another_file(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert settings_file(tmp_path) == tmp_path / "beamline.yaml"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other.yaml"))
    assert settings_file(tmp_path) == tmp_path / "other.yaml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("kind: pilatus", "kind: pilates"), "epics.cameras.pilatus.kind: Input shou"),
        (GOOD.replace("kind: pilatus", "kind: pilates"), "(found 'pilates')"),
        (GOOD.replace(', prefix: "P:"', ""), "epics.cameras.pilatus.prefix: Field required"),
        (GOOD.replace("delay:", "de-lay:"), "'de-lay' cannot be typed as a name at the prompt"),
        (GOOD.replace("delay:", "show:"), "'show' is something else at the prompt"),
        (GOOD + "errrors: std", "errrors: Extra inputs are not permitted"),
        (GOOD + "rois: {a: {x0: 3, y0: 0, x1: 3, y1: 1}}", "rois.a: an empty ROI: x 3..3"),
        ("- a list", "Input should be a valid dictionary"),
        ("a: [", "no YAML"),
        ("a: &a [x]\nb: *a", "it has an alias (*name)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(SettingsFileError) as error:
        read_beamline(path)
    assert str(error.value).startswith(str(path))
    assert words in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(SettingsFileError, match=r"cannot be read \(No such file .* FEMTO_BLUESKY_"):
        read_beamline(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (None, None),
        (r"Z:\raw", PureWindowsPath(r"Z:\raw")),
        ("Z:/raw", PureWindowsPath("Z:/raw")),
        ("/data/raw", PurePosixPath("/data/raw")),
    ],
)
def test_the_directory_of_an_ioc_may_be_one_of_windows(given, path):
    assert Camera(kind="zyla", prefix="Z:", ioc_directory=given).ioc_path == path


def test_what_the_startup_files_name_is_taken():
    """A device of such a name would be lost, or would hide what is typed daily."""
    named = set()
    for path in (Path(__file__).parents[2] / "profiles").glob("*/startup/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                named.add(node.id)
    plans = {"burst_scan", "burst_grid", "continuous", "collect_dark", "bp", "bps"}
    assert named | plans | {"Roi", "replay", "LiveAnalysis"} == TAKEN
