from __future__ import annotations

import pytest
from bluesky import plans as bp

from femto_bluesky.devices.areadetector import Balor, Pilatus, Zyla
from femto_bluesky.devices.twins import simulated_balor, simulated_pilatus, simulated_zyla
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.runs import run_plan

SMALL = BalorFrames(BalorSettings(shape=(20, 30), n_photons=2, n_hot_pixels=0))
RINGS = RingFrames(RingSettings(shape=(40, 50), x0=10, y0=10))
CONFIGURED = {
    "pilatus": (Pilatus, simulated_pilatus, RINGS, "<f4", "Multiple", 172e-6, None),
    "andor3_zyla10": (Zyla, simulated_zyla, SMALL, "<u2", "Fixed", 6.5e-6, (100, 12)),
    "andor3_zyla12": (Zyla, simulated_zyla, SMALL, "<u2", "Fixed", 6.5e-6, (100, 12)),
    "andor3_balor1": (Balor, simulated_balor, SMALL, "<u2", "Fixed", 12e-6, (100, 10)),
}


@pytest.mark.parametrize("name", CONFIGURED)
def test_each_camera_says_how_it_is_configured(name, tmp_path):
    camera, twin, source, dtype, mode, pixel_size, levels = CONFIGURED[name]
    detector = twin(name, directory=tmp_path, source=source)
    assert isinstance(detector, camera)
    docs = run_plan(bp.count([detector], 1))
    (descriptor,) = [doc for kind, doc in docs if kind == "descriptor"]
    key = descriptor["data_keys"][f"{name}_image"]
    assert key["shape"] == [1, *source(0, 0.0).shape]
    assert key["dtype_numpy"] == dtype
    data = descriptor["configuration"][name]["data"]
    assert data[f"{name}_pixel_size_m"] == [pixel_size, pixel_size]
    assert data[f"{name}_exposure_s"] == 0.05
    assert data[f"{name}_cam_image_mode"] == 0
    assert detector.cam.image_mode.get(as_string=True) == mode
    found = data.get(f"{name}_dark_adu"), data.get(f"{name}_threshold_adu")
    assert found == (levels or (None, None))
    if levels is None:
        assert f"{name}_cam_threshold_energy" in data


def test_a_camera_of_another_name_has_no_levels_of_its_own(tmp_path):
    detector = simulated_zyla("neo", directory=tmp_path, source=SMALL)
    assert (detector.dark_adu.get(), detector.threshold_adu.get()) == (0, 0)
    assert detector.pixel_size_m.get() == [0, 0]
