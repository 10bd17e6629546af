"""The requests that clients send one by one, and what is refused of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import ResultsServer, hsds, serve
from tests.viewer.shown import ROIS, ask, seen

BYTES = {"Accept": "application/octet-stream"}


class Asked:
    """A server, asked as h5pyd 0.2x asks: link by link."""

    def __init__(self, server: ResultsServer) -> None:
        self.address = server.address
        self.root = self.json("/?getdnids=1&getobjs=T&include_attrs=T")["root"]

    def json(self, path: str) -> Any:
        reply = ask(self.address, path)
        assert reply.status == 200, reply.body
        assert reply.headers["Cache-Control"] == "no-store"
        return reply.json

    def place(self, path: str) -> str:
        """Collection and identifier of the object at a path."""
        place = f"/groups/{self.root}"
        for name in path.split("/"):
            link = self.json(f"{place}/links/{name.replace(' ', '%20')}")["link"]
            assert (link["title"], link["class"]) == (name, "H5L_TYPE_HARD")
            place = f"/{link['collection']}/{link['id']}"
        return place


@pytest.fixture(scope="module")
def served() -> Iterator[ResultsServer]:
    """A server whose results stay as they are."""
    live = LiveAnalysis(ROIS)
    seen(live)
    with serve(live) as server:
        yield server


@pytest.fixture
def asked(served: ResultsServer) -> Asked:
    return Asked(served)


@pytest.fixture
def image(served: ResultsServer) -> np.ndarray:
    found = served.snapshots.live.accumulation().result()
    assert found is not None
    return found.image


def test_objects_are_described(asked: Asked) -> None:
    assert asked.json("/about")["state"] == "READY"
    assert asked.json("/acls/anybody")["acl"]["read"] is True
    assert asked.json("/acls")["acls"][0]["update"] is False
    root = asked.json(f"/groups/{asked.root}")
    links = asked.json(f"/groups/{asked.root}/links")["links"]
    assert root["linkCount"] == len(links)
    steps = asked.place("step_means/ROI 2")
    attributes = asked.json(f"{steps}/attributes")["attributes"]
    assert [entry["name"] for entry in attributes] == ["NX_class", "signal", "axes"]
    assert asked.json(f"{steps}/attributes/axes")["value"] == ["x"]
    y = asked.json(asked.place("step_means/ROI 2/y"))
    assert y["type"] == {"class": "H5T_FLOAT", "base": "H5T_IEEE_F64LE"}
    assert y["shape"] == {"class": "H5S_SIMPLE", "dims": [3]}
    whole = asked.json(f"/groups/{asked.root}?include_attrs=1&include_links=1")
    assert whole["links"].keys() == {link["title"] for link in links}
    assert whole["attributes"]["detector"]["value"] == "pilatus"


def test_parts_are_selected(asked: Asked, image: np.ndarray) -> None:
    place = asked.place("image") + "/value"
    for select, expected in {
        "[0:12:1,0:16:1]": image,
        "[2:9:3,5:6]": image[2:9:3, 5:6],
        "[3,:]": image[3:4],
        "[[1,4,7],2:5]": image[[1, 4, 7], 2:5],
        "[[1,4],[2,5]]": image[[1, 4], [2, 5]],
        "[0:0,:]": image[0:0],
    }.items():
        values = asked.json(f"{place}?select={select}")["value"]
        assert values == expected.tolist(), select
        reply = ask(asked.address, f"{place}?select={select}", **BYTES)
        if expected.size:  # of nothing there are no bytes that h5pyd could read
            assert reply.headers["Content-Type"] == "application/octet-stream"
            assert reply.body == expected.tobytes()
        body = json.dumps({"select": select}).encode()
        assert ask(asked.address, place, "POST", body).json["value"] == expected.tolist()


def test_points_are_selected(asked: Asked, image: np.ndarray) -> None:
    place = asked.place("image") + "/value"
    points = [[0, 0], [11, 15], [3, 4]]
    expected = [image[y, x] for y, x in points]
    binary = struct.pack("<6Q", *chain(*points))
    reply = ask(asked.address, place, "POST", binary, Content_Type="application/octet-stream")
    assert reply.json["value"] == expected
    body = json.dumps({"points": points}).encode()
    reply = ask(asked.address, place, "POST", body, **BYTES)
    assert np.frombuffer(reply.body).tolist() == expected


def test_what_cannot_be_selected(asked: Asked) -> None:
    place = asked.place("image") + "/value"
    many = ",".join(["1"] * 200)
    for select, words in {
        "nonsense": "is no selection",
        "[0:3]": "selects in 1 dimensions of an array of 2",
        "[0:13,0:16]": "reaches beyond 12",
        "[-1,0:16]": "-1 is not from 0 to 11",
        "[0:3:0,0:16]": "reaches beyond",
        "[0:3:-1,0:16]": "is not start:stop:step",
        "[[1,99],0:16]": "indices must be whole numbers from 0 to 11",
        "[[1.5],0:16]": "indices must be whole numbers",
        "[[1,2],[1,2,3]]": "its lists differ in length",
        f"[[{many}],0:16]": "asks for more than the whole array has",
        "[a,b]": "invalid literal",
        f"[{'[' * 5000}],0]": "does not fit the shape",
    }.items():
        reply = ask(asked.address, f"{place}?select={select}")
        assert (reply.status, words in reply.words) == (400, True), reply.words


def test_points_that_are_not_there(asked: Asked) -> None:
    place = asked.place("image") + "/value"
    for body, words in {
        b"{}": "neither points nor a selection",
        b"{": "is no JSON",
        b"[" * 100_000: "is no JSON",
        b'{"points": [[0, 16]]}': "a point lies outside",
        b'{"points": [[0, -1]]}': "could not be read",
        b'{"points": [0, 1, 2]}': "could not be read",
        b'{"points": ["a", "b"]}': "could not be read",
    }.items():
        reply = ask(asked.address, place, "POST", body)
        assert (reply.status, words in reply.words) == (400, True), reply.words
    odd = ask(asked.address, place, "POST", b"123", Content_Type="application/octet-stream")
    assert odd.status == 400
    number = asked.place("accumulated_number") + "/value"
    assert ask(asked.address, number, "POST", b'{"points": [[0]]}').status == 400


def test_too_much_text_is_refused(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hsds, "MAX_JSON_VALUES", 100)
    place = asked.place("image") + "/value"
    reply = ask(asked.address, place)
    assert reply.status == 413
    assert reply.words == (
        "192 values are too many for JSON; select fewer than 100, or accept "
        "application/octet-stream"
    )
    assert ask(asked.address, place, **BYTES).status == 200
    assert ask(asked.address, f"{place}?select=[0:6,0:16]").status == 200


def test_what_is_not_there(asked: Asked) -> None:
    image, group = asked.place("image"), asked.place("step_means")
    for path, words in {
        f"{image}/links": "'/image' is a dataset and has no links",
        f"{group}/value": "'/step_means' is a group and has no value",
        f"{group}/links/none": "there is no 'none' in '/step_means'",
        f"{group}/attributes/none": "'/step_means' has no attribute 'none'",
        group.replace("/groups/", "/datasets/"): "is not known here",
        "/datasets/image": "datasets/image is not known here",
    }.items():
        reply = ask(asked.address, path)
        assert (reply.status, words in reply.words) == (404, True), reply.words


def test_what_is_gone(live: LiveAnalysis, started: Callable[..., ResultsServer]) -> None:
    seen(live)
    server = started(live)
    asked = Asked(server)
    image, y = asked.place("image"), asked.place("step_means/ROI 2/y")
    live.clear()
    seen(live, n_steps=2)
    server.snapshots.forget()
    assert ask(asked.address, image).status == 200
    reply = ask(asked.address, f"{y}/value")
    assert reply.status == 410
    assert reply.words == (
        "/step_means/ROI 2/y is not there any more, or has shrunk since it was looked up; open the "
        "file again"
    )
    live.clear()
    server.snapshots.forget()
    assert ask(asked.address, image).status == 410
