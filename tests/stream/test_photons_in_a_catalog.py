"""Photons of a derived run, stored in a Tiled catalog and sliced there. Needs Tiled's server."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import xye
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.stream.frames import path_of_uri
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import embedded_catalog, need_a_catalog, store

need_a_catalog()

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_catalog_gives_the_photons_of_a_step(tmp_path):
    motor = SimulatedMotor(name="delay")
    detector = SimulatedDetector(
        name="andor3_balor1", source=BalorFrames(BalorSettings(shape=(64, 80), n_photons=8)),
        directory=tmp_path / "raw", num_images=3, motor=motor,
    )  # fmt: skip
    live, derived = LiveAnalysis(), Recorder()
    live.subscribe(derived)
    run_plan(burst_scan([detector], motor, [0.0, 1.0, 2.0]), live)
    path = path_of_uri(derived.of("stream_resource")[0]["uri"])
    expected = xye.read(path)
    with embedded_catalog(tmp_path) as client:
        run = store(client, derived.documents)
        photons = run["photons"]
        for name in ("y", "x", "energy", "frame"):
            column = np.asarray(photons[f"andor3_balor1_photon_{name}"].read()).ravel()
            np.testing.assert_array_equal(column, expected[name])
        steps = run["primary"].read()
        first = int(steps["andor3_balor1_first_photon"][1])
        n = int(steps["andor3_balor1_n_photons"][1])
        energies = photons["andor3_balor1_photon_energy"][first : first + n]
        second = (expected["frame"] >= 3) & (expected["frame"] < 6)
        np.testing.assert_array_equal(np.ravel(energies), expected["energy"][second])
