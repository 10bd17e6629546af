from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.console.showing import Showing, table
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.rois import Roi
from femto_bluesky.plans import burst_scan
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.runs import run_plan


@pytest.fixture
def delay():
    return SimulatedMotor(name="delay", labels={"motors"})


@pytest.fixture
def pilatus(delay):
    frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
    return SimulatedDetector(name="pilatus", source=frames, style="inline", motor=delay)


def test_nothing_is_shown_before_there_is_something(tmp_path):
    with pytest.raises(ConsoleError, match="there is no result yet; take a scan first"):
        Showing(LiveAnalysis(), tmp_path).show()


def test_the_last_run_is_shown(tmp_path, delay, pilatus):
    live = LiveAnalysis({"a": Roi(x0=5, y0=5, x1=20, y1=30)})
    showing = Showing(live, tmp_path / "pictures")
    run_plan(burst_scan([pilatus], delay, 0, 1, num=2, frames=3), live)
    shown = showing.show()
    lines = repr(shown).splitlines()
    assert lines[0] == "scan 1, burst_scan"
    assert lines[1].split() == [
        "delay", "n_shots", "pilatus_a_mean", "pilatus_a_std", "pilatus_a_sem",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[2:4]] == [["0", "3"], ["1", "3"]]
    assert [path.name for path in shown.pictures] == [
        "scan_1_pilatus.png", "scan_1_step_means.png",
    ]  # fmt: skip
    # what was shown before stays
    again = showing.show()
    assert [path.name for path in again.pictures] == [
        "scan_1_pilatus_2.png", "scan_1_step_means_2.png",
    ]  # fmt: skip


def test_why_there_is_nothing_is_shown(tmp_path, delay, pilatus):
    live = LiveAnalysis({"far": Roi(x0=500, y0=5, x1=520, y1=30)})
    showing = Showing(live, tmp_path)
    run_plan(burst_scan([pilatus], delay, 0, 1, num=2, frames=3), live)
    lines = repr(showing.show()).splitlines()
    assert lines[1].startswith("it has failed: LiveAnalysis: RoiError: ROI 'far'")
    assert lines[2] == "no steps"


def test_a_missing_value_is_a_dash():
    columns = {"n_shots": np.array([1]), "a_mean": np.array([np.nan]), "a_n": np.array([0])}
    assert table(columns) == ["n_shots  a_mean", "      1       -"]
