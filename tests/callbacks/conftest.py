from __future__ import annotations

import sys

import pytest

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from tests.callbacks.step_plots import noisy


@pytest.fixture
def strict_plots(monkeypatch):
    """What goes wrong in a plot fails the test, and no other test has imported pyplot."""
    monkeypatch.setenv("BLUESKY_DEBUG_CALLBACKS", "1")
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)


@pytest.fixture
def motor():
    return SimulatedMotor(name="stage_x")


@pytest.fixture
def camera(tmp_path, motor):
    return SimulatedDetector(name="camera", source=noisy, directory=tmp_path, motor=motor)
