from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.console.settings import BeamlineSettings, SettingsFileError
from femto_bluesky.console.simulated_beamline import FULL_SIZE, brightness, simulated_devices
from femto_bluesky.plans import burst_scan
from femto_bluesky.testing.runs import run_plan
from tests.profiles.prompt import SMALL


@pytest.fixture
def settings(tmp_path):
    return BeamlineSettings.model_validate({**SMALL, "directory": tmp_path})


def test_the_simulated_beamline_takes_bursts_and_its_shutter_shuts(settings):
    names = {}
    simulated_devices(settings, names).connect()
    cameras = [names[name] for name in SMALL["simulation"]["cameras"]]
    plan = burst_scan(cameras, names["delay"], 0, 1, num=2, frames=2, also=[names["beam"]])
    docs = run_plan(plan)
    events = [doc["data"] for name, doc in docs if name == "event"]
    (described,) = (doc["data_keys"] for name, doc in docs if name == "descriptor")
    assert described["delay"]["units"] == "ps"
    assert names["sample_y"].describe()["sample_y"]["units"] == "mm"
    assert [data["beam_shot_count"] for data in events] == [2, 4]
    balor = names["andor3_balor1"]
    lit, unlit = [], []
    for number in range(20):
        lit.append(int(balor.ioc.source(number, 0.0).sum()))
    names["shutter"].put(0)
    for number in range(20):
        unlit.append(int(balor.ioc.source(number, 0.0).sum()))
    assert sum(lit) > sum(unlit)


def test_the_rings_stay_on_a_small_sensor(settings):
    names = {}
    simulated_devices(settings, names).connect()
    powder = names["pilatus"].ioc.source
    rows, columns = powder.settings.shape
    radius = powder.ring_radius_px(powder.settings.ring_q[2])
    assert powder.settings.x0 + radius < columns
    box = slice(30, 60), slice(28, 40)
    bright, dim = (np.nansum(powder.expected(brightness(delay))[box]) for delay in (-1.0, 1.0))
    assert bright > 1.2 * dim
    assert (rows, columns) < FULL_SIZE["pilatus"]


def test_settings_without_a_simulation_are_named(settings):
    with pytest.raises(SettingsFileError, match="no section 'simulation'"):
        simulated_devices(settings.model_copy(update={"simulation": None}), {})
