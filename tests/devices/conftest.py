from __future__ import annotations

import pytest

from femto_bluesky.devices.simulated import SimulatedMotor
from femto_bluesky.devices.twins import simulated_zyla
from tests.devices.bursts import source


@pytest.fixture
def motor():
    return SimulatedMotor(name="stage_x")


@pytest.fixture
def make_twin(tmp_path, motor):
    """Makes twins of cameras with small frames, which tell where the motor was."""

    def make(style="stream", n_frames=3, of=simulated_zyla, name="cam"):
        detector = of(name, directory=tmp_path / "raw", source=source, motor=motor, style=style)
        detector.num_images.set(n_frames).wait()
        return detector

    return make
