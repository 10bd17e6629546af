"""silx reads the results with the code that `silx view` reads files with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import h5pyd
import numpy as np
import pytest
import silx.io
from silx.io import nxdata
from silx.io.utils import get_h5_class, h5py_read_dataset

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import Access, serve
from tests.viewer.shown import ROIS, seen


@pytest.fixture(scope="module")
def analysed() -> LiveAnalysis:
    live = LiveAnalysis(ROIS)
    seen(live)
    return live


@pytest.fixture(scope="module")
def opened(analysed: LiveAnalysis) -> Any:
    with serve(analysed) as server, silx.io.open(server.address) as file:
        yield file


def test_the_tree_is_browsed(opened: Any) -> None:
    assert get_h5_class(opened) is silx.io.utils.H5Type.FILE
    kinds = {name: get_h5_class(opened[name]).name for name in opened}
    assert kinds["image"] == kinds["mask"] == "DATASET"
    assert kinds["step_means"] == kinds["detectors"] == "GROUP"


def test_images_are_read(opened: Any, analysed: LiveAnalysis) -> None:
    found = analysed.accumulation().result()
    assert found is not None
    np.testing.assert_array_equal(h5py_read_dataset(opened["image"]), found.image)
    np.testing.assert_array_equal(opened["image"][2:7, 3], found.image[2:7, 3])
    assert h5py_read_dataset(opened["detectors/pilatus/step_means/ROI 2/title"]).startswith("ROI 2")


def test_the_first_plot_is_of_the_steps(opened: Any, analysed: LiveAnalysis) -> None:
    plot = nxdata.get_default(opened)
    assert plot is not None
    assert plot.is_valid
    assert plot.is_curve
    steps = analysed.result().steps
    assert plot.signal[()].tolist() == steps["pilatus_ROI_2_mean"].tolist()
    assert plot.axes[0][()].tolist() == [0, 0.5, 1]
    assert plot.axes_names == ["stage_x"]
    assert plot.title == "ROI 2 on pilatus, mean of each step"


def test_one_step_is_a_plot(started: Callable[..., Any], live: LiveAnalysis) -> None:
    seen(live, n_steps=1)
    with silx.io.open(started(live).address) as file:
        plot = nxdata.get_default(file)
        assert plot is not None
        assert plot.is_valid
        assert plot.signal.shape == (1,)


def test_a_token_is_given_in_the_environment(
    started: Callable[..., Any], live: LiveAnalysis
) -> None:
    """As the how-to says; `silx view` has no other way. It is read once in a process."""
    seen(live)
    server = started(live, access=Access("may-read", "may-change"))
    with pytest.raises(OSError, match="401"):
        silx.io.open(server.address)
    code = "import silx.io, sys; print(silx.io.open(sys.argv[1])['image'].shape)"
    found = subprocess.run(
        [sys.executable, "-c", code, server.address],
        env=os.environ | {"HS_USERNAME": "anybody", "HS_PASSWORD": "may-read"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == "(12, 16)\n", found.stderr
    with h5pyd.File(server.address, "r", username="anybody", password="may-change") as file:
        assert file["accumulated_number"][()] == 6
