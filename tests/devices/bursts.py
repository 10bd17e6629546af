"""What the tests of detectors scan, and what they ask of documents."""

from __future__ import annotations

import numpy as np

from femto_bluesky import Roi

POSITIONS = [1.0, 1.5, 2.0]
WHOLE = {"whole": Roi(x0=0, y0=0, x1=9, y1=6)}


def source(index, position):
    rng = np.random.default_rng([7, index])
    return rng.poisson(1 + position, (6, 9)).astype(np.uint16)


def named(docs, kind):
    return [doc for name, doc in docs if name == kind]


def first_frames(docs, detector="cam"):
    return [doc["data"][f"{detector}_first_frame"] for doc in named(docs, "event")]


def means(analysis, detector="cam"):
    return list(analysis.result()[f"{detector}_whole_mean"])


def truth(detector, bursts):
    return [detector.ioc.truth(burst).mean(axis=(1, 2)).mean() for burst in bursts]


def in_files(detector, paths=None):
    """The bursts that went into a file."""
    return [b for b in detector.ioc.bursts if b.path is not None and paths in (None, b.path)]
