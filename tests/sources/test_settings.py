from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.rois import Roi
from femto_bluesky.sources.settings import SettingsError, read_settings

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "lab6"


def rectangle(x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    handles = {"_handleBottomLeft": [x0, y0], "_handleTopRight": [x1, y1]}
    return {"type": "RectangleROI", "handles": handles}


def parameters(path: Path, **values: Any) -> dict[str, Any]:
    path.write_text(json.dumps([{"name": n, "data": d} for n, d in values.items()]))
    return read_settings(path)


@pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not beside the project")
@pytest.mark.parametrize("name", ["params.json", "params.pkl"])
def test_the_predecessors_parameters_are_translated(name: str) -> None:
    assert read_settings(DATA / name) == {
        "rois": {"ROI 2": {"x0": 600, "y0": 220, "x1": 700, "y1": 400}},
        "accumulate": True,
        "cmos": {"dark_adu": 100, "threshold_adu": 12},
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", '{"rois": {"a": [1]}}'), ("a.yaml", "rois:\n  a: [1]"), ("a", "rois: {a: [1]}")],
)
def test_own_files_come_as_they_are(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_settings(tmp_path / name) == {"rois": {"a": [1]}}


@pytest.mark.parametrize(
    ("data", "truth"),
    [("True", True), ("1", True), (1, True), (True, True), ("False", False), (0, False)],
)
def test_truth_is_written_in_many_ways(tmp_path: Path, data: Any, truth: bool) -> None:
    assert parameters(tmp_path / "p", integrate=data) == {"accumulate": truth}


EDGE = st.floats(0, 1000, allow_nan=False)


@given(EDGE, EDGE, EDGE, EDGE)
def test_a_pixel_is_in_the_box_where_its_centre_is_in_the_rectangle(
    tmp_path_factory: pytest.TempPathFactory, x0: float, y0: float, x1: float, y1: float
) -> None:
    path = tmp_path_factory.mktemp("p") / "p.json"
    data = json.dumps({"a": rectangle(x0, y0, x1, y1)})
    inside_x = [i for i in range(1001) if min(x0, x1) <= i + 0.5 < max(x0, x1)]
    inside_y = [i for i in range(1001) if min(y0, y1) <= i + 0.5 < max(y0, y1)]
    if not inside_x or not inside_y:
        with pytest.raises(SettingsError, match="holds no pixel"):
            parameters(path, rois=data)
        return
    roi = Roi(**parameters(path, rois=data)["rois"]["a"])
    assert (roi.x0, roi.x1) == (inside_x[0], inside_x[-1] + 1)
    assert (roi.y0, roi.y1) == (inside_y[0], inside_y[-1] + 1)


def test_what_is_not_known_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rois = {"line": {"type": "LineROI"}, "odd": 3, "box": rectangle(-3, 0, 2, 2)}
    found = parameters(tmp_path / "p", rois=json.dumps(rois), colour="red", size="1")
    assert found == {"rois": {"box": {"x0": 0, "y0": 0, "x1": 2, "y1": 2}}}
    for words in ("'line' is a LineROI", "'odd'", "colour, size"):
        assert words in caplog.text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rois": "{"}, "'rois' is not JSON"),
        ({"rois": "[]"}, "'rois' is a list"),
        ({"rois": '{"a": {"type": "RectangleROI"}}'}, "'a' has no handles"),
        ({"rois": json.dumps({"a": rectangle(0, 0, float("nan"), 1)})}, "'a' has no handles"),
        ({"rois": json.dumps({"a": rectangle(0, 0, 10**400, 1)})}, "'a' has no handles"),
        ({"integrate": "perhaps"}, "expected True or False"),
        ({"cmos_background": "dark"}, "'cmos_background' is 'dark'; expected a number"),
        ({"cmos_threshold": None}, "is a NoneType; expected text"),
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parameters(tmp_path / "p", **values)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.json", b"{", "neither JSON nor YAML"),
        ("a.yaml", b"a: [", "neither JSON nor YAML"),
        ("a", b"\xff\xfe", "neither JSON nor YAML"),
        ("a.pkl", b"\x80\x04cos\nsystem\n.", "'os.system'"),
        ("a.json", b"5", "holds a int; expected a mapping"),
        ("a.json", b"[5]", "5 is not a parameter"),
        ("a.yaml", b"!!python/object/apply:os.system [a]", "neither JSON nor YAML"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SettingsError, match=words):
        read_settings(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no settings file"):
        read_settings(tmp_path / "none")
