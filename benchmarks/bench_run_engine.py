"""What an analysis costs the scan: the RunEngine's time for an event, with and without it.

Balor frames come at 10 Hz, more or less as they do at the beamline, from files that were written
before: what a detector costs is not measured. Bars: 5 ms more in the median, 50 ms at worst.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from ophyd.status import Status

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.testing.runs import run_engine

SHAPE, N_EVENTS, PERIOD_S = (4104, 4128), 40, 0.1
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bitshuffle-LZ4": {"chunks": (1, *SHAPE), **hdf5plugin.Bitshuffle(cname="lz4")},
}

pytestmark = pytest.mark.filterwarnings("ignore")


class Camera:
    """A Balor whose frames are in a file already; each trigger is done at once."""

    name, parent, hints = "andor3_balor", None, {}

    def __init__(self, path: Path) -> None:
        self._path, self._uid, self._n, self._is_told = path, str(uuid.uuid4()), 0, False

    def trigger(self) -> Status:
        """Take a frame."""
        self._n += 1
        status = Status()
        status.set_finished()
        return status

    def collect_asset_docs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where the frame is."""
        if not self._is_told:
            self._is_told = True
            yield "resource", {
                "uid": self._uid, "spec": "AD_HDF5", "root": str(self._path.parent),
                "resource_path": self._path.name, "resource_kwargs": {"frame_per_point": 1},
                "path_semantics": "posix",
            }  # fmt: skip
        yield "datum", {
            "datum_id": f"{self._uid}/{self._n}", "resource": self._uid,
            "datum_kwargs": {"point_number": self._n - 1},
        }  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """The image, and its place in the file."""
        number = {"source": "bench", "dtype": "integer", "shape": []}
        return {
            f"{self.name}_image": {
                "source": "bench", "dtype": "array", "shape": [1, *SHAPE], "dtype_numpy": "<u2",
                "external": "FILESTORE:", "dims": ["frame", "y", "x"],
            },
            f"{self.name}_first_frame": number,
            f"{self.name}_n_frames": number,
        }  # fmt: skip

    def read(self) -> dict[str, Any]:
        """The newest frame."""
        values = {
            "image": f"{self._uid}/{self._n}", "first_frame": self._n - 1, "n_frames": 1,
        }  # fmt: skip
        now = time.time()
        return {f"{self.name}_{k}": {"value": v, "timestamp": now} for k, v in values.items()}

    def describe_configuration(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def read_configuration(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def times_of_events(path: Path, *callbacks: Callable[..., Any]) -> list[float]:
    """What each event of a scan takes the RunEngine, in ms."""
    times: list[float] = []

    @bpp.run_decorator()
    def scan(camera: Camera) -> Iterator[Any]:
        for _ in range(N_EVENTS):
            begun = time.perf_counter()
            yield from bps.trigger_and_read([camera])
            times.append(1e3 * (time.perf_counter() - begun))
            yield from bps.sleep(max(0.0, PERIOD_S - times[-1] / 1e3))

    with run_engine() as engine:
        for callback in callbacks:
            engine.subscribe(callback)
        engine(scan(Camera(path)))
    return times


@pytest.mark.parametrize("kind", KINDS)
def bench_time_of_an_event(benchmark: Any, tell: Any, tmp_path: Path, kind: str) -> None:
    """40 events of a 4104 x 4128 frame each: photons, sum, regions."""
    frames = BalorFrames(BalorSettings(shape=SHAPE, n_photons=20_000))
    few = [frames(number, 0.0) for number in range(4)]
    path = tmp_path / "frames.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("entry/data/data", (N_EVENTS, *SHAPE), "u2", **KINDS[kind])
        for number in range(N_EVENTS):
            data[number] = few[number % 4]
    times_of_events(path)  # warms up
    alone = times_of_events(path)
    live = LiveAnalysis(directory=tmp_path / "out", geometries={})
    found = benchmark.pedantic(lambda: times_of_events(path, live), rounds=1)
    assert live.wait(60)
    assert not live.failures
    assert live.status().n_shots == N_EVENTS
    median, bare = statistics.median(found), statistics.median(alone)
    tell(
        f"{kind}: the RunEngine's time for an event grows by {median - bare:.1f} ms in the median "
        f"(bar 5), to {max(found):.0f} ms at worst (alone {max(alone):.0f}; bar for what is added "
        f"50); {live.status().n_waiting} wait"
    )
