"""What a photon file may hold, for the tests of what is told of it."""

from __future__ import annotations

import numpy as np

from femto_bluesky.files.photon_contents import Contents
from femto_bluesky.kernels.photons import OVERLAP, PHOTON
from femto_bluesky.model.eta import count_offsets
from femto_bluesky.model.photons import EnergyBins


def contents(n=4000, peak=1200.0, width=42.0, n_overlaps=20, n_frames=10, **more):
    """What a file holds: photons spread evenly, in frames of one size."""
    rng = np.random.default_rng(1)
    photons = np.zeros(n, PHOTON)
    photons["y"], photons["x"] = rng.uniform(0, 50, n), rng.uniform(0, 80, n)
    photons["energy"] = rng.normal(peak, width, n)
    if n_overlaps:
        photons["energy"][:n_overlaps] += 1200
        photons["flags"][:n_overlaps] |= OVERLAP
    of_frame = np.diff(np.linspace(0, n, n_frames + 1).astype(int))
    frames = {
        "frame": np.arange(n_frames),
        "n_photons": of_frame,
        "first_photon": np.cumsum(of_frame) - of_frame,
        "overlap_share": np.full(n_frames, 0.005),
        "is_crowded": np.zeros(n_frames, bool),
        "n_hot_pixels": np.full(n_frames, 2),
    }
    bins = EnergyBins()
    given = {
        "photons": photons,
        "frame_of_photon": np.repeat(np.arange(n_frames), of_frame),
        "bins": bins,
        "histogram": bins.count(photons),
        "offsets": count_offsets(photons),
        "frames": frames,
        "shape": (50, 80),
        "detector": "andor3_balor",
    }
    return Contents(**given | more)
