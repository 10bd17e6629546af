"""Regions from and to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from femto_bluesky.model.rois import Roi
from femto_bluesky.sources.settings import read_settings
from femto_bluesky.viewer.page.region_files import read, written
from femto_bluesky.viewer.parameters import value_of

REGIONS = {
    "ROI 2": Roi(x0=1, y0=2, x1=5, y1=6),
    'a "b" / ü': Roi(x0=0, y0=0, x1=3, y1=3, detector="pilatus"),
}


def test_what_is_written_is_read_by_the_page_and_a_replay(tmp_path: Path) -> None:
    text = written(REGIONS)
    assert read(text.encode(), "regions.json") == REGIONS
    assert read(text.encode(), "regions.yaml") == REGIONS
    path = tmp_path / "regions.json"
    path.write_text(text)
    found = read_settings(path)["rois"]
    assert {name: Roi.model_validate(box) for name, box in found.items()} == REGIONS
    assert json.loads(written({})) == {"rois": {}}


def test_a_mapping_of_regions_alone_is_read() -> None:
    assert read(b"rois: {x0: 1, y0: 2, x1: 3, y1: 4}", "a.yaml") == {
        "rois": Roi(x0=1, y0=2, x1=3, y1=4)
    }


def test_what_the_predecessor_kept_is_read() -> None:
    plain = {name: roi.model_copy(update={"detector": None}) for name, roi in REGIONS.items()}
    boxes = {name: roi.model_dump() for name, roi in plain.items()}
    handles = value_of("rois", {"rois": boxes})
    assert read(handles.encode(), "rois.json") == plain
    parameters = json.dumps([{"name": "integrate", "data": "1"}, {"name": "rois", "data": handles}])
    assert read(parameters.encode(), "parameters.json") == plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "a.json is neither JSON nor YAML"),
        ("[1]", "a.json: 1 is not a parameter"),
        ("7", "a.json holds a int; expected a mapping"),
        ("{}", "a.json holds no regions"),
        ('{"accumulate": true}', "a.json holds no regions"),
        ('{"rois": {"a": 3}}', "a.json: 'a' is 3; expected x0, y0, x1 and y1"),
        ('{"a": {"x0": 3, "y0": 0, "x1": 3, "y1": 4}}', "a.json: 'a': .*an empty ROI"),
        ('{"a": {"x0": 3, "why": 0}}', "a.json: 'a': y0: Field required"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(text.encode(), "a.json")
