"""Analyses whose sums are kept, and those that go on from them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from femto_bluesky.callbacks import Checkpoints, LiveAnalysis
from femto_bluesky.model.shots import Shot
from femto_bluesky.testing.shots import make_shots

SHOTS = make_shots(("pilatus",), runs=("one", "two"), n_steps=3, n_frames=2)


def live_of(*shots: Shot, **options: object) -> LiveAnalysis:
    live = LiveAnalysis(photon_files=False, **options)
    feed(live, *shots)
    return live


def feed(live: LiveAnalysis, *shots: Shot) -> None:
    for shot in shots:
        with live.shell.lock:
            live.update(shot)


def keep(live: LiveAnalysis, directory: Path) -> Checkpoints:
    """Keep the sums once, as the process before did."""
    keeper = Checkpoints(live, directory)
    keeper.look()
    assert keeper.problem == ""
    keeper.close()
    return keeper


def restored(directory: Path, **options: object) -> LiveAnalysis:
    live = live_of(**options)
    keeper = Checkpoints(live, directory)
    keeper.restore()
    keeper.close()
    return live


def assert_same(one: LiveAnalysis, other: LiveAnalysis) -> None:
    a, b = one.accumulations.result(), other.accumulations.result()
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name].image, b[name].image)
        np.testing.assert_array_equal(a[name].mask, b[name].mask)
        assert a[name].n_frames_of_run == b[name].n_frames_of_run
        assert one.accumulation(name).extent == other.accumulation(name).extent


def until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)
