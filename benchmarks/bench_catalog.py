"""What a catalog costs: to open it again, and to replay frames from it and through a server.

A catalog gives documents; frames are read from their file. So a replay should cost what reading
the file and finding the photons costs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (the compression of the frames)
import numpy as np
import pytest
from bluesky.plans import count

from femto_bluesky import replay
from femto_bluesky.callbacks import PhotonDetection
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.kernels.photons import PhotonSearch
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import open_catalog
from femto_bluesky.stream.frames import FrameSource, Hdf5Frames
from femto_bluesky.stream.served import ServedFrames
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import tiled_server

N_BURSTS, N_FRAMES = 10, 5

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The directory of a catalog that holds a run."""
    detector = SimulatedDetector(
        name="pilatus", source=lambda number, _: np.zeros((8, 12), "f4"), directory=tmp_path,
        num_images=2,
    )  # fmt: skip
    with open_catalog(None, tmp_path / "catalog") as catalog:
        run_plan(count([detector], 2), catalog.writer)
    return tmp_path / "catalog"


def start(code: str) -> None:
    """Run code in a new process, to its end."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


OPEN = "from femto_bluesky.sources import open_catalog; catalog = open_catalog(None, {!r})"


def bench_open_again(ratio: Any, kept: Path) -> None:
    """Open a catalog that exists and list its runs, in a new process: all without Tiled."""
    code = OPEN.format(str(kept)) + "; assert len(catalog) == 1 and catalog[-1].stop"
    ratio(lambda: start(code), lambda: time.sleep(2), goal=1.0, than="2 seconds", rounds=5)


def bench_first_documents(ratio: Any, kept: Path) -> None:
    """Open a catalog that exists and read a run, in a new process: here Tiled is imported."""
    code = OPEN.format(str(kept)) + "; assert len(list(catalog[-1].documents())) > 4"
    ratio(
        lambda: start(code),
        lambda: start("import tiled.catalog, tiled.client, tiled.server.app"),
        goal=1.7,
        than="importing Tiled's server and client",
        rounds=5,
    )


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
            search, n_photons = PhotonSearch(), 0
            with h5py.File(path) as file:
                data = file["entry/data/data"]
                frame = np.empty(data.shape[1:], data.dtype)  # fresh memory takes longer to fill
                for index in range(N_BURSTS * N_FRAMES):
                    data.read_direct(frame, np.s_[index])
                    n_photons += len(search.find(frame))
            assert n_photons > N_BURSTS * N_FRAMES * 500

        ratio(
            from_catalog, directly, goal=1.5, than="reading the file and finding the photons",
            rounds=3,
        )  # fmt: skip


def bench_frames_through_a_server(
    ratio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 frames of 34 MB that are fetched through `tiled serve` on this machine, or read here."""
    monkeypatch.setenv("TILED_API_KEY", "secret")
    frame = np.random.default_rng(0).normal(100, 4, (4104, 4128)).astype(np.uint16)
    detector = SimulatedDetector(
        name="zyla", source=lambda number, _: frame, directory=tmp_path, num_images=N_FRAMES
    )
    (tmp_path / "server").mkdir()
    with tiled_server(tmp_path / "server") as url, open_catalog(url, tmp_path / "b") as catalog:
        run_plan(count([detector], 2), catalog.writer)
        run = catalog[-1]
        url_of_frames = run.served and run.served("primary", "zyla_image")

        def read(source: FrameSource) -> None:
            for index in range(len(source)):
                source.read(index)
            source.close()

        ratio(
            lambda: read(ServedFrames(str(url_of_frames))),
            lambda: read(Hdf5Frames(detector.bursts[0].path, "entry/data/data")),
            goal=None,
            than="reading the file",
            rounds=3,
        )
