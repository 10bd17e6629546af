"""Where results stand in the published tree."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.viewer.published import published
from femto_bluesky.viewer.tree import Dataset, Tree, TreeGroup, walk
from tests.viewer.shown import ROIS, seen


def of(live: LiveAnalysis, detector: str | None = None) -> Tree:
    return published(live.groups(), ROIS, detector)


def image(detector: str) -> DataGroup:
    return DataGroup(
        f"accumulated/{detector}", "an image", Quantity("image", np.zeros((2, 3))), (),
        attributes={"detector": detector, "n_frames": 1},
    )  # fmt: skip


def curve(path: str, **more: object) -> DataGroup:
    values = Quantity("mean", np.arange(3.0), "counts/pixel")
    axis = Quantity("stage_x", np.arange(3.0), "mm", "the stage")
    return DataGroup(path, "a curve", values, (axis,), **more)


def test_nothing_yet() -> None:
    tree = published([])
    assert [path for path, _ in walk(tree.root)] == ["/", "/roi_means", "/step_means", "/detectors"]


def test_the_promised_paths(live: LiveAnalysis) -> None:
    seen(live)
    tree = of(live)
    for path in (
        "/image /mask /accumulated_number /pixel_size /crop/top /crop/right /crop/bottom "
        "/crop/left /roi_means/edge_top /step_means/edge_top/x /step_means/edge_top/y "
        "/step_means/edge_top/y_errors"
    ).split():
        assert isinstance(tree[path], Dataset), path
        assert tree[f"/detectors/pilatus{path}"] is tree[path]
    assert tree.root.attributes["default"] == "step_means"
    assert tree["/step_means"].attributes["default"] in ("ROI 2", "edge_top")
    counts = tree["/step_means/ROI 2/n_shots"].values
    assert counts.tolist() == [2, 2, 2]


def test_photons_and_what_a_shot_had_at_most() -> None:
    live = LiveAnalysis(photon_files=False)
    seen(live, ("andor3_balor",), shape=(40, 40))
    tree = published(live.groups())
    largest = live.photons.table.rows("run-1")["andor3_balor_photon_energy_max"]
    np.testing.assert_array_equal(tree["/max_e"].values, largest)
    histogram = tree["/energy_histogram"]
    assert isinstance(histogram, TreeGroup)
    assert histogram.attributes["signal"] == "y"
    assert tree["/energy_histogram/x"].attributes == {"long_name": "energy [adu]", "units": "adu"}
    assert {"photons_of_steps", "photons_of_shots", "energies_of_steps"} <= tree.root.members.keys()
    two = tree["/energies_of_steps"]
    assert two.attributes["axes"] == ["y", "x"]
    assert two.length == 3


@pytest.mark.parametrize("name", ["azimuthal", "cake"])
def test_other_results_stand_by_their_names(name: str) -> None:
    tree = published([image("zyla"), curve(f"{name}/zyla"), curve(f"{name}/zyla_accumulated")])
    assert tree[f"/{name}/x"].attributes == {"long_name": "the stage [mm]", "units": "mm"}
    assert tree[f"/{name}_accumulated/y"].values.tolist() == [0, 1, 2]


def test_a_region_keeps_its_name_and_finds_its_detector() -> None:
    """One detector's name may begin with another's, and a region may be there no more."""
    groups = [
        *(image(name) for name in ("zyla", "zyla_2")),
        *(curve(f"step_means/{c}") for c in ("zyla_ROI_2", "zyla_2_ROI_2", "zyla_gone")),
    ]
    tree = published(groups, ["ROI 2"], "zyla_2")
    assert list(tree["/detectors/zyla/step_means"].members) == ["ROI 2", "gone"]
    assert list(tree["/detectors/zyla_2/step_means"].members) == ["ROI 2"]
    assert tree.root.attributes["detector"] == "zyla_2"
    assert published(groups, [], "none").root.attributes["detector"] == "zyla"


def test_errors_can_be_drawn() -> None:
    bad = curve("step_means/zyla_a", errors=np.array([np.nan, -1.0, 0.5]), errors_name="std")
    tree = published([image("zyla"), bad])
    assert tree["/step_means/a/y_errors"].values.tolist() == [0, 0, 0.5]


def test_columns_do_not_hide_what_is_plotted() -> None:
    columns = (
        Quantity("y", np.ones(3)),
        Quantity("title", np.ones(3)),
        Quantity("a/b", np.ones(3)),
    )
    tree = published([image("zyla"), curve("step_means/zyla_a", columns=columns)])
    assert list(tree["/step_means/a"].members) == ["y", "x", "y_", "title_", "a_b", "title"]
    assert tree["/step_means/a/y"].values.tolist() == [0, 1, 2]


def test_an_axis_of_text_is_numbered() -> None:
    axis = Quantity("sample", np.array(["LaB6", "Si", "air"]))
    group = DataGroup("photons_of_steps/zyla", "t", Quantity("n", np.arange(3)), (axis,))
    tree = published([image("zyla"), group])
    assert tree["/photons_of_steps/x"].values.tolist() == [0, 1, 2]
    assert tree["/photons_of_steps/x"].attributes["long_name"] == "sample (index)"


def test_a_readout_region_is_told() -> None:
    live = LiveAnalysis()
    seen(live, n_steps=1)
    (whole,) = [g for g in live.groups() if g.path.startswith("accumulated")]
    group = DataGroup(
        whole.path, whole.title, whole.signal, whole.axes, mask=whole.mask,
        attributes={**whole.attributes, "y_origin": 5, "x_origin": 7},
    )  # fmt: skip
    tree = published([group])
    found = {side: int(tree[f"/crop/{side}"].values) for side in ("top", "left")}
    assert found == {"top": 5, "left": 7}
