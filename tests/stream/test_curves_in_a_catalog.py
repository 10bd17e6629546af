"""Curves of a derived run, stored in a Tiled catalog and read there. Needs Tiled's server."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import AzimuthalIntegration
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import embedded_catalog, need_a_catalog, store

need_a_catalog()

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.long
def test_a_catalog_gives_i_of_q_of_each_step(tmp_path):
    rings = RingFrames(RingSettings(shape=(60, 80), x0=20, y0=30, distance_m=0.015))
    geometry = Geometry(
        energy_kev=13.5, distance_m=0.015, x0_px=20, y0_px=30, pixel_size_m=(172e-6, 172e-6)
    )
    detector = SimulatedDetector(
        name="pilatus", source=rings, directory=tmp_path / "raw", num_images=2
    )
    azimuthal, derived = AzimuthalIntegration(geometry, n_bins=300), Recorder()
    azimuthal.subscribe(derived)
    plan = burst_scan([detector], SimulatedMotor(name="stage"), [0.0, 1.0, 2.0])
    uid = run_plan(plan, azimuthal)[0][1]["uid"]
    expected = [azimuthal.step(uid, step, "pilatus") for step in range(3)]
    expected.append(azimuthal.result()["pilatus"])
    with embedded_catalog(tmp_path) as client:
        stored = store(client, derived.documents)["azimuthal"].read()
        np.testing.assert_array_equal(stored["step"], [0, 1, 2, -1])
        np.testing.assert_array_equal(stored["pilatus_n_frames"], [2, 2, 2, 6])
        for name in ("q", "intensity", "sigma", "norm"):
            curves = np.stack([np.asarray(row) for row in stored[f"pilatus_{name}"].values])
            assert curves.dtype == np.float64
            of_steps = np.array([getattr(profile, name) for profile in expected])
            np.testing.assert_array_equal(curves, np.nan_to_num(of_steps, nan=0.0))
