from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.showing import Showing
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.maps import as_map, with_units
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import Roi
from femto_bluesky.plans import burst_grid
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.runs import run_plan

START = {
    "hints": {
        "gridding": "rectilinear",
        "dimensions": [[["slow"], "primary"], [["fast"], "primary"]],
    },
    "shape": [2, 3],
    "extents": [[1.0, 0.0], [0.0, 4.0]],
}


def curve(slow, fast, means):
    return DataGroup(
        "step_means/a",
        "a",
        Quantity("mean", np.array(means), "counts/pixel", "a on cam"),
        axes=(Quantity("step", np.arange(len(means))),),
        columns=(
            Quantity("slow", np.array(slow), "mm"),
            Quantity("fast", np.array(fast), "ps"),
        ),
    )


def test_each_step_is_where_its_motors_were():
    # back and forth, read with some noise, and stopped before the last point
    found = as_map(curve([1, 1, 1.01, 0, 0], [0, 2.01, 4, 4, 1.98], [1.0, 2, 3, 4, 5]), START)
    found.check()
    np.testing.assert_array_equal(found.signal.values, [[np.nan, 5, 4], [1, 2, 3]])
    assert [axis.label for axis in found.axes] == ["slow [mm]", "fast [ps]"]
    assert [list(axis.values) for axis in found.axes] == [[0, 1], [0, 2, 4]]
    assert found.signal.label == "a on cam [counts/pixel]"


@pytest.mark.parametrize(
    "changes",
    [
        {"hints": {"dimensions": [[["slow"], "primary"]]}},
        {"hints": {"gridding": "rectilinear", "dimensions": [[["slow"], "primary"]]}},
        {"shape": [2, 3, 4]},
        {"extents": None},
    ],
)
def test_what_is_no_grid_of_two_motors_is_no_map(changes):
    assert as_map(curve([0.0], [0.0], [1.0]), START | changes) is None


def test_motors_that_are_not_beside_the_curve_make_no_map():
    hints = START["hints"] | {"dimensions": [[["slow"], "primary"], [["text"], "primary"]]}
    assert as_map(curve([0.0], [0.0], [1.0]), START | {"hints": hints}) is None


def test_units_are_given_where_there_are_none():
    group = curve([0.0], [0.0], [1.0])
    assert with_units(group, {"step": "1", "slow": "km"}).axes[0].units == "1"
    assert with_units(group, {"step": "1", "slow": "km"}).columns[0].units == "mm"


def test_a_grid_is_shown_as_maps(tmp_path):
    delay, other = (SimulatedMotor(name=name) for name in ("delay", "other"))
    frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
    pilatus = SimulatedDetector(name="pilatus", source=frames, style="inline", motor=delay)
    live = LiveAnalysis({"a": Roi(x0=5, y0=5, x1=20, y1=30)})
    showing = Showing(live, tmp_path)
    run_plan(burst_grid([pilatus], delay, 0, 1, 2, other, 0, 1, 3, frames=2, snake=True), live)
    assert [path.name for path in showing.show().pictures] == [
        "scan_1_pilatus.png", "scan_1_map_of_pilatus_a.png",
    ]  # fmt: skip
