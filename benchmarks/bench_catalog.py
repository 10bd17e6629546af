"""What an embedded catalog costs: to open it again, and to replay full frames of the Balor from it.

A catalog gives documents; frames are read from their file. So a replay should cost what reading
the file and finding the photons costs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (the compression of the frames)
import pytest

from femto_bluesky import replay
from femto_bluesky.callbacks import PhotonDetection
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.kernels.photons import PhotonSearch
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import open_catalog
from femto_bluesky.testing.runs import burst_scan, run_plan

N_BURSTS, N_FRAMES = 10, 5

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


def bench_open_again(ratio: Any, tmp_path: Path) -> None:
    """Open a catalog that exists, in a new process; most of it is the import of Tiled's server."""
    with open_catalog(None, tmp_path):
        pass

    def start(code: str) -> None:
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)

    ours = f"from femto_bluesky.sources import open_catalog; open_catalog(None, {str(tmp_path)!r})"
    ratio(
        lambda: start(ours),
        lambda: start("import tiled.catalog, tiled.client, tiled.server.app"),
        goal=1.5,
        than="importing Tiled's server and client",
        rounds=5,
    )


def bench_open_again_in_this_process(ratio: Any, tmp_path: Path) -> None:
    """Open a catalog that exists, once Tiled is imported: against 2 seconds, the goal."""
    import time

    with open_catalog(None, tmp_path):
        pass

    def again() -> None:
        open_catalog(None, tmp_path).close()

    ratio(again, lambda: time.sleep(2), goal=1.0, than="2 seconds", rounds=3)


def bench_replay_of_balor(ratio: Any, tmp_path: Path) -> None:
    """50 frames of 4104x4128 from the catalog to photons."""
    frames = [BalorFrames(BalorSettings(n_photons=1000))(number) for number in range(3)]
    motor = SimulatedMotor(name="delay")
    detector = SimulatedDetector(
        name="andor3_balor1", source=lambda number, _: frames[number % 3], directory=tmp_path,
        num_images=N_FRAMES, motor=motor,
    )  # fmt: skip
    with open_catalog(None, tmp_path / "catalog") as catalog:
        positions = [float(number) for number in range(N_BURSTS)]
        run_plan(burst_scan([detector], motor, positions), catalog.writer)
        run = catalog[-1]
        path = detector.bursts[0].path

        def from_catalog() -> None:
            photons = PhotonDetection().read_as(photon_files=False)
            replay(run, photons)
            assert len(photons.result()["n_shots"]) == N_BURSTS

        def directly() -> None:
            search = PhotonSearch()
            with h5py.File(path) as file:
                for index in range(N_BURSTS * N_FRAMES):
                    search.find(file["entry/data/data"][index])

        ratio(
            from_catalog, directly, goal=1.5, than="reading the file and finding the photons",
            rounds=3,
        )  # fmt: skip
