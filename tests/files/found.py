"""What the tests of photon files share: photons and frames to write, and a process that writes."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import numpy as np

from femto_bluesky.files.photon_file import FrameRow, PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo
from femto_bluesky.kernels.photons import CLOSE, EDGE, OVERLAP, PHOTON
from femto_bluesky.model.photons import EnergyBins

SHAPE = (60, 80)


def photons(n, seed=0):
    """`n` photons that differ in all fields."""
    rng = np.random.default_rng([n, seed])
    found = np.zeros(n, PHOTON)
    found["y"], found["x"] = rng.uniform(0, 59, n), rng.uniform(0, 79, n)
    found["energy"] = rng.normal(1200, 100, n)
    found["flags"] = rng.choice([0, OVERLAP, EDGE, CLOSE], n, p=[0.7, 0.1, 0.1, 0.1])
    return found


def row(shot, frame=None, **more):
    return FrameRow(shot if frame is None else frame, shot, **more)


def info(**more):
    return PhotonFileInfo(**{"detector": "balor", "shape": SHAPE, "settings": {"dark": 100}} | more)


def write(path, frames, like=None, **more):
    """A closed file of (row, photons), each flushed."""
    with PhotonFile(path, info(**more), like or (frames[0][0] if frames else row(0))) as file:
        for of_frame, found in frames:
            file.append(of_frame, found)
            file.flush()
    return path


BINS = EnergyBins(20, 90)

WRITER = """
import sys
from pathlib import Path
from tests.files.found import info, photons, row
from femto_bluesky.files.photon_file import PhotonFile

file = PhotonFile(Path(sys.argv[1]), info(), row(0, position={"motor": "in"}))
print("ready", flush=True)
for line in sys.stdin:
    command, shot, n = line.split()
    if command == "append":
        file.append(row(int(shot), position={"motor": "out"}), photons(int(n), int(shot)))
    elif command == "flush":
        file.flush()
    print("done", flush=True)
"""


@contextmanager
def writing_process(path):
    """Another process with a new photon file, and a function that lets it do things.

    It is killed in the end, and so never closes the file.
    """
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=__file__.rpartition("/tests/")[0],
    ) as process:  # fmt: skip

        def do(command, shot=0, n=0):
            process.stdin.write(f"{command} {shot} {n}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        try:
            assert process.stdout.readline() == "ready\n"
            yield do
        finally:
            process.kill()
    assert process.returncode == -9
