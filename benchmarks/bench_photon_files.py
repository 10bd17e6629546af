"""Raw files into photon files: frames a second, beside reading and decoding alone.

The files are warm, as they are after they were copied from the disk once. The reference is what
h5py needs for the same frames: `read_direct` into one buffer, by as many processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from femto_bluesky.files.photon_file import FrameRow, PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo
from femto_bluesky.kernels.photons import PhotonSearch
from femto_bluesky.offline import Workers, count_photons
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

SHAPE = (4104, 4128)
DATASET = "/entry/data/data"
# the shorter a file, the more it counts that a photon file is made (10 ms) and blocks run out
FILES = {
    "contiguous": (80, {}),
    "bitshuffle-LZ4": (24, {"chunks": (1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4")}),
}


@cache
def camera_frames() -> Any:
    """Four frames with 1000 photons each."""
    source = BalorFrames(BalorSettings(shape=SHAPE, n_photons=1000, is_exact=True))
    return np.stack([source(index) for index in range(4)])


@pytest.fixture(params=FILES)
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A raw file and how many frames it has; deleted afterwards, for pytest keeps what is left."""
    n_frames, options = FILES[request.param]
    path = tmp_path / f"{request.param}.h5"
    with h5py.File(path, "x") as file:
        data = file.create_dataset(DATASET, (n_frames, *SHAPE), "u2", **options)
        for index in range(n_frames):
            data[index] = camera_frames()[index % 4]
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(1 << 24):
            pass
    yield path, n_frames
    path.unlink()


def read_frames(path: Path, first: int, last: int) -> None:
    """The reference: frames into one buffer, and nothing done with them."""
    with h5py.File(path) as file:
        data = file[DATASET]
        buffer = np.empty(data.shape[1:], data.dtype)
        for index in range(first, last):
            data.read_direct(buffer, np.s_[index])


@pytest.mark.parametrize("n", [1, 2], ids=["1 process", "2 processes"])
def bench_photons_of_a_file(
    ratio: Any, request: pytest.FixtureRequest, raw: tuple[Path, int], n: int
) -> None:
    """`femto-bluesky photons`: read, decode, find, write; the processes are started before."""
    path, n_frames = raw
    cuts = np.linspace(0, n_frames, n + 1).astype(int)
    seconds: list[float] = []
    context = multiprocessing.get_context("spawn")
    with Workers(n) as workers, ProcessPoolExecutor(n, mp_context=context) as readers:

        def ours() -> None:
            done = count_photons(path, out=path.parent, workers=workers)
            assert done.n_frames == n_frames
            seconds.append(done.seconds)
            done.path.unlink()

        def reference() -> None:
            if n == 1:
                read_frames(path, 0, n_frames)
            else:
                list(readers.map(read_frames, [path] * n, cuts[:-1], cuts[1:]))

        found = ratio(ours, reference, goal=1 / 0.9, than="reading and decoding alone", rounds=3)
    rate = n_frames / float(np.median(seconds))
    (summary,) = (p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "LINES"))
    request.config.stash[summary.LINES].append(
        f"    {path.stem}, {n} processes: {rate:.0f} frames/s, {1 / found:.0%} of the rate of "
        "reading and decoding alone (goal: at least 90 %)"
    )


def bench_append_and_flush(ratio: Any, tmp_path: Path) -> None:
    """1000 photons into a photon file, flushed after every frame."""
    frame, search = camera_frames()[0], PhotonSearch()
    photons = search.find(frame)
    info = PhotonFileInfo("andor3_balor", SHAPE, {})
    numbers = iter(range(10**6))
    with PhotonFile(tmp_path / "photons.h5", info, FrameRow(0, 0)) as file:

        def append() -> None:
            number = next(numbers)
            file.append(FrameRow(number, number), photons)
            file.flush()

        ratio(append, lambda: search.find(frame), goal=None, than="finding them", rounds=100)
