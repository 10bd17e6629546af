"""A process is killed while it keeps a sum, and the operating system refuses to write."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.callbacks import Checkpoints, LiveAnalysis
from femto_bluesky.model.shots import Shot
from femto_bluesky.testing.shots import make_shots

FRAMES = """
import os, shutil, signal, sys, time
import numpy as np
from femto_bluesky.callbacks import LiveAnalysis, checkpoints
from femto_bluesky.callbacks.checkpoints import Checkpoints
from femto_bluesky.model.shots import DenseFrame, Shot

def take_frames(ready):
    checkpoints.LOOK_S = 0.0005
    live = LiveAnalysis(photon_files=False)
    keeper = Checkpoints(live, "sums", every_s=0, share=1)
    keeper.restore()
    keeper.start()
    held = live.accumulation("cam").extent.n_frames if live.accumulations.of else 0
    y, x = np.indices((64, 80))
    os.write(ready, b"1")
    for n in range(held, 10**6):
        # each pixel is lit in frames that are a multiple of its number, and so the sum tells which
        # are in it
        lit = n % (y * 80 + x + 2) == 0
        frame = DenseFrame(lit.astype(np.uint16), n % (x + 3) == 0)
        with live.shell.lock:
            live.update(Shot("run", 0, n, "cam", frame, time=float(n)))

LiveAnalysis(photon_files=False)  # what all need is compiled once
os.chdir(sys.argv[1])
for kill, seconds in enumerate(map(float, sys.argv[2:])):
    ready, written = os.pipe()
    process = os.fork()
    if process == 0:
        take_frames(written)
    os.read(ready, 1)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    shutil.copytree("sums", f"killed_{kill}")
"""


def sum_of_the_first(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel of the sum of the first frames above, and in how many it was valid."""
    y, x = np.indices((64, 80))
    lit, masked = y * 80 + x + 2, x + 3

    def n_multiples(of: np.ndarray) -> np.ndarray:
        return -(-n // of)

    return n_multiples(lit) - n_multiples(np.lcm(lit, masked)), n - n_multiples(masked)


def is_killed_n_times(n: int, directory: Path) -> None:
    moments = random.Random(7)
    times = [f"{moments.uniform(0.0, 0.25):.4f}" for _ in range(n)]
    subprocess.run([sys.executable, "-c", FRAMES, str(directory), *times], check=True)
    before = 0
    for kill in range(n):
        live = LiveAnalysis(photon_files=False)
        keeper = Checkpoints(live, directory / f"killed_{kill}")
        if keeper.restore():
            found = live.accumulation("cam").result()
            total, valid = sum_of_the_first(found.n_frames)
            np.testing.assert_array_equal(found.image, total)
            np.testing.assert_array_equal(found.n_valid, valid)
            assert found.n_frames >= before
            assert found.n_frames_of_run == {"run": found.n_frames}
            before = found.n_frames
        keeper.close()
    assert before > 0


def test_killed_at_any_moment_the_sum_is_of_exactly_the_frames_it_says(tmp_path: Path) -> None:
    is_killed_n_times(3, tmp_path)


@pytest.mark.long
def test_killed_at_fifty_moments_the_sum_is_of_exactly_the_frames_it_says(tmp_path: Path) -> None:
    is_killed_n_times(50, tmp_path)


@pytest.fixture
def limited() -> Iterator[None]:
    """No file may become larger than a megabyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def feed(live: LiveAnalysis, *shots: Shot) -> None:
    for shot in shots:
        live.update(shot)


@pytest.mark.usefixtures("limited")
def test_the_operating_system_refuses_to_write_more(tmp_path: Path) -> None:
    """As a quota does, and unlike a disk that is known to be full before."""
    large = make_shots(("pilatus",), shape=(400, 600), n_steps=1)
    small = make_shots(("pilatus",))[0]
    live = LiveAnalysis(photon_files=False)
    feed(live, small)
    keeper = Checkpoints(live, tmp_path)
    keeper.look()
    feed(live, *large)
    keeper.look()
    assert keeper.problem == f"{tmp_path}: File too large; look at the disk"
    live.accumulations.clear()
    feed(live, *make_shots(("pilatus",)))
    keeper.look()
    keeper.close()
    assert (keeper.problem, keeper.n_written) == ("", 2)
    keeper = Checkpoints(LiveAnalysis(photon_files=False), tmp_path)
    (found,) = keeper.restore()
    assert found.head.total.n_frames == 6
    keeper.close()
