"""Small raw files for the tests of what works on them: frames of a simulated camera."""

from __future__ import annotations

import h5py
import hdf5plugin
import numpy as np

from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

DATASET = "/entry/data/data"
SHAPE = (96, 160)
SETTINGS = BalorSettings(shape=SHAPE, n_photons=30, n_hot_pixels=4, hot_share_of_frames=(0.6, 0.9))

LAYOUTS = {
    "contiguous": {},
    "one frame a chunk": {"chunks": (1, *SHAPE)},
    "several frames a chunk": {"chunks": (3, 40, 160)},
    "growing": {"chunks": (1, *SHAPE), "maxshape": (None, *SHAPE)},
    "gzip": {"chunks": (1, *SHAPE), "compression": "gzip", "shuffle": True},
    "bitshuffle-lz4": {"chunks": (1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4")},
    "blosc": {"chunks": (1, 32, 160), **hdf5plugin.Blosc(cname="lz4")},
}


def frames(n: int = 7, settings: BalorSettings = SETTINGS) -> np.ndarray:
    source = BalorFrames(settings)
    return np.stack([source(index) for index in range(n)])


def write(path, data, dataset=DATASET, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a") as file:
        file.create_dataset(dataset, data=data, **options)
    return path
