"""Real clients read the results over a real socket, while these grow, shrink and are replaced."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from femto_bluesky import replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.sources.settings import read_settings
from femto_bluesky.testing.shots import make_shots
from femto_bluesky.viewer import Access, ResultsServer
from femto_bluesky.viewer.tree import Dataset, Tree, TreeGroup
from tests.viewer.h5pyd_reader import H5pydReader
from tests.viewer.readers import h5web, old_h5pyd
from tests.viewer.shown import seen

LAB6 = Path(__file__).parents[2].parent / "shared" / "data" / "lab6"
KINDS = {"h5pyd 1": None, "h5pyd 0.24": old_h5pyd, "h5web": h5web}
# installed from the registries, which `make test` must not need
OTHERS = [pytest.param(kind, marks=pytest.mark.long) for kind in list(KINDS)[1:]]


@pytest.fixture(scope="module", params=["h5pyd 1", *OTHERS])
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    make = KINDS[request.param]
    found = H5pydReader() if make is None else make(tmp_path_factory.mktemp("client"))
    yield found
    found.close()


def values(found: dict[str, Any]) -> list[Any]:
    """Values as they are compared: JSON of h5web has text for what is not finite."""
    return [math.nan if value is None or value == "NaN" else value for value in found["value"]]


def read_steps(reader: Any, name: str = "ROI 2") -> dict[str, list[Any]]:
    return {key: values(reader.read(f"/step_means/{name}/{key}")) for key in ("x", "y", "y_errors")}


def test_what_is_there(reader: Any, live: LiveAnalysis, started: Callable[..., Any]) -> None:
    seen(live)
    reader.open(started(live).address)
    expected = live.accumulation().result()
    assert expected is not None
    found = reader.read("/image")
    assert found["shape"] == [12, 16]
    assert values(found) == expected.image.ravel().tolist()
    assert np.ravel(reader.read("/accumulated_number")["value"]).tolist() == [6]
    assert values(reader.read("/pixel_size")) == [172e-6, 172e-6]
    sides = {side: reader.read(f"/crop/{side}")["value"] for side in ("top", "right", "left")}
    assert all(np.ravel(value).tolist() == [0] for value in sides.values())
    # booleans
    found = reader.read("/mask")
    assert found["type"] in ("b", "Boolean")
    assert list(map(bool, found["value"])) == expected.mask.ravel().tolist()
    # text, and names that are no path
    assert set(reader.keys("/step_means")) == {"ROI 2", "edge_top"}
    title = np.ravel(reader.read("/step_means/ROI 2/title")["value"]).tolist()
    assert title == ["ROI 2 on pilatus, mean of each step"]
    assert reader.attrs("/step_means/ROI 2") == {
        "NX_class": "NXdata", "signal": "y", "axes": ["x"],
    }  # fmt: skip
    assert reader.attrs("/step_means/ROI 2/x")["long_name"] == "stage_x"
    steps = live.result().steps
    assert read_steps(reader) == {
        "x": [0, 0.5, 1],
        "y": steps["pilatus_ROI_2_mean"].tolist(),
        "y_errors": steps["pilatus_ROI_2_std"].tolist(),
    }


@pytest.mark.parametrize("n_steps", [0, 1])
def test_no_step_and_one(
    n_steps: int, reader: Any, live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    seen(live, n_steps=n_steps)
    reader.open(started(live).address)
    assert ("image" in reader.keys("/")) == bool(n_steps)
    assert set(reader.keys("/step_means")) == ({"ROI 2", "edge_top"} if n_steps else set())
    if n_steps:
        found = read_steps(reader)
        assert found["x"] == [0]
        assert len(found["y"]) == len(found["y_errors"]) == 1


def test_photons(reader: Any, started: Callable[..., Any]) -> None:
    live = LiveAnalysis(photon_files=False)
    seen(live, ("andor3_balor",), shape=(40, 40), n_steps=1)
    reader.open(started(live).address)
    keys = reader.keys("/")
    assert {"max_e", "energy_histogram", "image"} <= set(keys)
    assert reader.read("/max_e")["shape"] == [2]
    counts = values(reader.read("/energy_histogram/y"))
    energies = values(reader.read("/energy_histogram/x"))
    assert len(counts) == len(energies) > 10
    assert sum(counts) >= 2


def test_it_grows_while_it_is_read(
    reader: Any, live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    shots = make_shots(n_steps=4)
    for shot in shots[:4]:
        live.update(shot)
    server = started(live)
    reader.open(server.address)
    before = reader.read("/step_means/ROI 2/x")
    for shot in shots[4:]:
        live.update(shot)
    server.snapshots.forget()
    # a file that is open shows one length of all, whatever comes meanwhile
    found = read_steps(reader)
    assert before["value"] == [0, 0.5]
    assert {len(column) for column in found.values()} == {2}
    assert found["x"] == [0, 0.5]
    reader.open(server.address)
    assert read_steps(reader)["x"] == [0, 0.5, 1, 1.5]


def test_it_shrinks_and_is_replaced(
    reader: Any, live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    seen(live, n_steps=4)
    server = started(live)
    reader.open(server.address)
    reader.keys("/step_means/ROI 2")
    live.clear()
    seen(live, n_steps=1, shape=(9, 20))
    server.snapshots.forget()
    # told, not filled up with what was never measured
    with pytest.raises(Exception, match=r"410|Component not found"):
        reader.read("/step_means/ROI 2/y")
    reader.open(server.address)
    assert reader.read("/image")["shape"] == [9, 20]
    assert len(read_steps(reader)["y"]) == 1
    live.clear()
    server.snapshots.forget()
    reader.open(server.address)
    assert "image" not in reader.keys("/")


def test_missing_values_and_errors_that_are_none(
    reader: Any, live: LiveAnalysis, started: Callable[..., Any]
) -> None:
    for shot in make_shots(n_frames=1):
        shot.frame.mask[2:6, 1:5] = True  # no valid pixel in this region
        live.update(shot)
    reader.open(started(live).address)
    found = read_steps(reader)
    assert all(map(math.isnan, found["y"]))
    assert found["y_errors"] == [0, 0, 0]


@pytest.mark.skipif(not LAB6.is_dir(), reason=f"the recording is not there: put it into {LAB6}")
def test_the_recorded_scan(reader: Any, started: Callable[..., Any]) -> None:
    """What the predecessor's own tests and viewers ask, with the numbers known of the scan."""
    live = LiveAnalysis(**read_settings(LAB6 / "params.json"))
    replay([LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"], live)
    reader.open(started(live).address)
    assert np.ravel(reader.read("/accumulated_number")["value"]).tolist() == [30]
    image = reader.read("/image")
    assert image["shape"] == [831, 1475]
    assert image["value"][10 * 1475 + 10] == 0
    assert max(image["value"]) == pytest.approx(3841.6, rel=1e-6)
    assert values(reader.read("/pixel_size")) == [172e-6, 172e-6]
    assert set(reader.keys("/crop")) == {"top", "right", "bottom", "left"}
    assert reader.attrs("/step_means/ROI 2") == {
        "NX_class": "NXdata", "signal": "y", "axes": ["x"],
    }  # fmt: skip
    assert reader.attrs("/step_means/ROI 2/x")["long_name"] == "dummy_mot_01"
    found = read_steps(reader)
    assert found["x"] == [1.0, 1.25, 1.5, 1.75, 2.0]
    means = [0.0667569, 0.0645572, 0.0615973, 0.0588731, 0.0654475]
    assert found["y"] == pytest.approx(means, rel=1e-6)
    stds = [0.0053861, 0.0051566, 0.0056049, 0.0042370, 0.0089057]
    assert found["y_errors"] == pytest.approx(stds, abs=6e-8)
    assert reader.read("/roi_means/ROI 2")["shape"] == [30]


def test_several_detectors(reader: Any, live: LiveAnalysis, started: Callable[..., Any]) -> None:
    seen(live, ("pilatus", "andor3_zyla12"))
    reader.open(started(live, detector="pilatus").address)
    assert reader.attrs("/")["detector"] == "pilatus"
    assert sorted(reader.keys("/detectors")) == ["andor3_zyla12", "pilatus"]
    sums = live.result().accumulated
    for path, name in {
        "/image": "pilatus",
        "/detectors/pilatus/image": "pilatus",
        "/detectors/andor3_zyla12/image": "andor3_zyla12",
    }.items():
        assert values(reader.read(path)) == sums[name].image.ravel().tolist()
    other = values(reader.read("/detectors/andor3_zyla12/step_means/ROI 2/y"))
    assert other == live.result().steps["andor3_zyla12_ROI_2_mean"].tolist()


ARRAYS = {
    "int8": np.array([-128, 127], np.int8),
    "uint16": np.arange(6, dtype=np.uint16).reshape(2, 3),
    "int64": np.array(-(2**40)),
    "float32": np.array([0.5, -1.25], np.float32),
    "big endian": np.array([1.5, 1e300], ">f8"),
    "not finite": np.array([np.nan, 1.0]),
    "true": np.array(True),
    "flags": np.array([[True, False], [False, True]]),
    "text": np.array("µm of Å"),
    "texts": np.array(["LaB6", "", "ö"]),
    "one": np.array([3.0]),
    "none": np.zeros(0),
    "no rows": np.zeros((0, 3), np.uint32),
    "no texts": np.array([], np.str_),
}


class Kept:
    """A tree that stays as it is, where a server looks for the newest."""

    def __init__(self, tree: Tree) -> None:
        self.tree = lambda: tree

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def kept() -> Iterator[ResultsServer]:
    datasets = {name: Dataset(values, {"a text": "ö"}) for name, values in ARRAYS.items()}
    numbers = {"int": 3, "float": 0.5, "true": True, "floats": [0.5, 1.5], "texts": ["a", "b"]}
    tree = Tree(TreeGroup({"arrays": TreeGroup(datasets, numbers), "nothing": TreeGroup({})}))
    server = ResultsServer(Kept(tree), Access(), "127.0.0.1", 0)
    yield server
    server.close()


def test_every_type(reader: Any, kept: ResultsServer) -> None:
    reader.open(kept.address)
    assert sorted(reader.keys("/arrays")) == sorted(ARRAYS)
    assert reader.keys("/nothing") == []
    for name, expected in ARRAYS.items():
        found = reader.read(f"/arrays/{name}")
        assert found["shape"] == list(expected.shape), name
        flat = np.ravel(np.array(found["value"], object)).tolist()
        told = [value.decode() if isinstance(value, bytes) else value for value in flat]
        if name == "not finite":
            assert math.isnan(values({"value": told})[0])
        else:
            assert told == expected.ravel().tolist(), name
    attributes = {key: np.ravel(v).tolist() for key, v in reader.attrs("/arrays").items()}
    assert attributes == {
        "int": [3], "float": [0.5], "true": [1], "floats": [0.5, 1.5], "texts": ["a", "b"],
    }  # fmt: skip
    assert reader.attrs("/arrays/texts") == {"a text": "ö"}
