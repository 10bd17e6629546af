from __future__ import annotations

import h5py
import numpy as np
import pytest
from bluesky import plans as bp

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.devices.simulated import SimulatedMotor
from femto_bluesky.devices.twins import ZYLA, simulated_balor, simulated_pilatus, simulated_zyla
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.testing.runs import burst_scan, run_plan


@pytest.mark.parametrize(
    ("twin", "shape"),
    [
        (simulated_pilatus, (831, 1475)),
        (simulated_zyla, (2160, 2560)),
        (simulated_balor, (4104, 4128)),
    ],
)
def test_twins_have_the_frames_of_the_real_ones(twin, shape, tmp_path):
    detector = twin(directory=tmp_path)
    run_plan(bp.count([detector], 1))
    (burst,) = detector.ioc.bursts
    with h5py.File(burst.path) as file:
        stack = file["/entry/data/data"][:]
    assert stack.shape == (1, *shape)
    np.testing.assert_array_equal(stack, detector.ioc.truth(burst))


def test_photons_of_a_twin_are_counted(tmp_path):
    motor = SimulatedMotor(name="delay")
    frames = BalorFrames(
        BalorSettings(
            shape=(200, 240), n_photons=0, spot_photons=6, spot_y=100, spot_x=100,
            spot_sigma_px=40, n_hot_pixels=2,
        ),
        scale_at=lambda delay: delay,
    )  # fmt: skip
    detector = simulated_balor(directory=tmp_path / "raw", source=frames, motor=motor)
    detector.num_images.set(4).wait()
    live = LiveAnalysis(directory=tmp_path)
    run_plan(burst_scan([detector], motor, [0.0, 1.0, 3.0]), live)
    assert not live.failures
    found = live.result().photons["andor3_balor1_n_photons"]
    put_in = [
        sum(len(frames.truth(b.source_index + i, b.position)) for i in range(b.n_frames))
        for b in detector.ioc.bursts
    ]
    assert put_in[0] == 0
    assert put_in[2] > put_in[1]
    # a few overlap, or lie at the edge
    assert np.abs(np.asarray(found) - put_in).max() <= 0.1 * max(put_in)


def test_the_zyla_sees_few_photons():
    assert ZYLA.photon_adu < BalorSettings().photon_adu
