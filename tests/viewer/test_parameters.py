"""The predecessor's parameters, as its viewers set and read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.viewer import ResultsServer
from femto_bluesky.viewer.parameters import changes_of, value_of
from tests.viewer.shown import ask, seen

RECTANGLE = {
    "visible": True,
    "type": "RectangleROI",
    "handles": {"_handleBottomLeft": [2.4, 1.0], "_handleTopRight": [8.6, 5.0]},
}


@pytest.fixture
def server(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> ResultsServer:
    return started(live)


def post(server: ResultsServer, name: str, value: str) -> tuple[int, str]:
    reply = ask(server.address, f"/api/v1/parameter/{name}", "POST", value.encode())
    return reply.status, "" if reply.status == 200 else reply.words


def test_they_are_listed(server: ResultsServer) -> None:
    found = {entry["name"]: entry for entry in ask(server.address, "/api/v1/parameters").json}
    assert list(found) == ["integrate", "rois", "cmos_background", "cmos_threshold"]
    assert found["integrate"]["dtype"] == "bool"
    assert found["integrate"]["value"] == "True"


def test_what_is_set_is_read_and_used(server: ResultsServer, live: LiveAnalysis) -> None:
    for name, value in {
        "integrate": "False",
        "cmos_background": "90",
        "cmos_threshold": "7.5",
    }.items():
        assert post(server, name, value) == (200, "")
        reply = ask(server.address, f"/api/v1/parameter/{name}")
        assert reply.headers["Content-Type"].startswith("application/x.bytes")
        assert float(reply.body) == float(value) if name != "integrate" else reply.body == b"False"
    settings = live.settings_record()
    assert settings["accumulate"] is False
    assert (settings["cmos"]["dark_adu"], settings["cmos"]["threshold_adu"]) == (90, 7.5)
    assert live.accumulation().settings.accumulating is False


def test_a_refusal_does_not_repeat_a_long_name(server: ResultsServer, live: LiveAnalysis) -> None:
    seen(live)
    far = {**RECTANGLE, "handles": {"_handleBottomLeft": [1, 1], "_handleTopRight": [1e9, 5]}}
    status, words = post(server, "rois", json.dumps({"r" * 70_000: far}))
    assert status == 422
    assert "ROI 'rrr" in words
    assert len(words) < 3000
    reply = ask(server.address, f"/datasets/{'y' * 20_000}")
    assert (reply.status, len(reply.words) < 3000) == (404, True)


def test_regions_are_drawn_anew(server: ResultsServer, live: LiveAnalysis) -> None:
    seen(live)
    assert post(server, "rois", json.dumps({"new one": RECTANGLE})) == (200, "")
    assert live.rois.settings.rois == {"new one": Roi(x0=2, y0=1, x1=9, y1=5)}
    found = json.loads(ask(server.address, "/api/v1/parameter/rois").body)
    handles = found["new one"]["handles"]
    assert handles["_handleBottomLeft"] == [2, 1]
    assert handles["_handleTopRight"] == [9, 5]
    assert handles["_handleCenter"] == [5.5, 3]


def test_what_cannot_be_is_told_and_changes_nothing(
    server: ResultsServer, live: LiveAnalysis
) -> None:
    seen(live)
    before = live.settings_record()
    outside = {**RECTANGLE, "handles": {"_handleBottomLeft": [0, 0], "_handleTopRight": [99, 9]}}
    for name, value, words in [
        ("integrate", "perhaps", "expected True or False"),
        ("cmos_background", "dark", "expected a number"),
        ("cmos_background", "-1", "greater than or equal to 0"),
        ("rois", "{", "is not JSON"),
        ("rois", json.dumps({"out": outside}), "reaches outside the frames of 'pilatus'"),
    ]:
        status, told = post(server, name, value)
        assert (status, words in told) == (422, True), told
    assert post(server, "pileup", "1")[0] == 404
    assert "there are integrate, rois" in post(server, "pileup", "1")[1]
    assert ask(server.address, "/api/v1/parameter/pileup").status == 404
    assert live.settings_record() == before


def test_a_region_stays_on_its_detector() -> None:
    settings = {"rois": {"a": {**Roi(x0=0, y0=0, x1=1, y1=1, detector="zyla").model_dump()}}}
    changes = changes_of("rois", json.dumps({"a": RECTANGLE, "b": RECTANGLE}).encode(), settings)
    assert changes["rois"]["a"]["detector"] == "zyla"
    assert "detector" not in changes["rois"]["b"]


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.tuples(*[st.integers(0, 4000), st.integers(1, 4000)] * 2),
        max_size=5,
    )
)
def test_regions_come_back_as_they_were(boxes: dict[str, tuple[int, int, int, int]]) -> None:
    rois = {
        name: {"x0": x, "y0": y, "x1": x + width, "y1": y + height}
        for name, (x, width, y, height) in boxes.items()
    }
    text = value_of("rois", {"rois": rois})
    assert changes_of("rois", text.encode(), {}) == {"rois": rois}


def test_a_recorded_parameter_is_understood() -> None:
    path = Path(__file__).parents[2].parent / "shared" / "data" / "lab6" / "params.json"
    if not path.is_file():
        pytest.skip(f"the recording is not there: put it into {path.parent}")
    changes = {}
    for entry in json.loads(path.read_text()):
        changes |= changes_of(entry["name"], str(entry["data"]).encode(), {})
    assert changes["rois"] == {"ROI 2": {"x0": 600, "y0": 220, "x1": 700, "y1": 400}}
    assert changes["accumulate"] is True
