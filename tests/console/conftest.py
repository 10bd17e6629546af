"""A motor and a detector for tests of what is typed at the prompt."""

from __future__ import annotations

import pytest

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings


@pytest.fixture
def delay():
    return SimulatedMotor(name="delay", labels={"motors"})


@pytest.fixture
def pilatus(delay):
    frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
    return SimulatedDetector(name="pilatus", source=frames, style="inline", motor=delay)
