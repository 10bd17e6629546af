"""A beamline without hardware, whose shots come when a test says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.simulation.rings import RingFrames, RingSettings

FrameSource = Callable[[int, float], NDArray[Any]]

POWDER = RingSettings(
    shape=(120, 160), x0=80.5, y0=60.5, distance_m=0.02, ring_photons=400, background_photons=100,
    ring_width_q=0.04, n_dead_pixels=5,
)  # fmt: skip
"""A small Pilatus close to a powder of LaB6, with the beam in its middle."""

POWDER_GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.02, x0_px=80.5, y0_px=60.5, pixel_size_m=(172e-6, 172e-6)
)

PHOTONS = BalorSettings(shape=(120, 160), n_photons=30, n_hot_pixels=2)
"""A small Balor; its name must begin with `andor3_balor`."""


def powder() -> RingFrames:
    """Frames with rings, the brighter the further the motor."""
    return RingFrames(POWDER, scale_at=lambda position: 1 + position)


def photons() -> BalorFrames:
    """Frames with single photons."""
    return BalorFrames(PHOTONS)


class Beam:
    """A motor and detectors, and a scan that goes on by one event when it is told to.

    `sources` give the frames by the detectors' names. Events go straight to the analysis, in the
    caller's thread, as those of a RunEngine do.
    """

    def __init__(
        self,
        live: LiveAnalysis,
        sources: Mapping[str, FrameSource] | None = None,
        motor: str = "delay",
    ) -> None:
        self.live, self.motor = live, motor
        self.sources = dict(sources or {"pilatus": powder()})
        self.n_frames = dict.fromkeys(self.sources, 0)
        self.n_scans = 0
        self._run = ""
        self._seq_num = 0
        self._descriptor = ""

    def begin(self, **md: Any) -> str:
        """Begin a run; its uid."""
        self._run, self._descriptor, self._seq_num = str(uuid4()), str(uuid4()), 0
        self.n_scans += 1
        self.live(
            "start",
            {
                "uid": self._run, "time": time.time(), "scan_id": self.n_scans,
                "motors": [self.motor], "plan_name": "scan",
                "hints": {"dimensions": [[[self.motor], "primary"]]}, **md,
            },
        )  # fmt: skip
        return self._run

    def shot(self, position: float = 0.0, n: int = 1, seconds_ago: float = 0.0) -> None:
        """One event, a burst of `n` frames of each detector; in a new run where none is open."""
        if not self._run:
            self.begin()
        bursts = {name: self._burst(name, n, position) for name in self.sources}
        if not self._seq_num:
            self._describe(bursts)
        self._seq_num += 1
        now = time.time() - seconds_ago
        data = {f"{name}_image": burst for name, burst in bursts.items()}
        data[self.motor] = position
        self.live(
            "event",
            {
                "uid": str(uuid4()), "time": now, "descriptor": self._descriptor,
                "seq_num": self._seq_num, "data": data, "timestamps": dict.fromkeys(data, now),
                "filled": {},
            },
        )  # fmt: skip

    def end(self, exit_status: str = "success") -> None:
        """End the run."""
        self.live(
            "stop",
            {
                "uid": str(uuid4()), "time": time.time(), "run_start": self._run,
                "exit_status": exit_status, "num_events": {"primary": self._seq_num},
            },
        )  # fmt: skip
        self._run = ""

    def scan(self, positions: Sequence[float] = (0.0, 1.0, 2.0), n: int = 2, **md: Any) -> str:
        """A whole run: a burst at each position."""
        run = self.begin(**md)
        for position in positions:
            self.shot(position, n)
        self.end()
        return run

    @contextmanager
    def going_on(self, rate_hz: float = 10.0, n_steps: int = 20) -> Iterator[BeamThread]:
        """Shots come by themselves, scan after scan, from another thread."""
        thread = BeamThread(self, rate_hz, n_steps)
        thread.start()
        try:
            yield thread
        finally:
            thread.end()

    def _burst(self, name: str, n: int, position: float) -> NDArray[Any]:
        numbers = range(self.n_frames[name], self.n_frames[name] + n)
        self.n_frames[name] += n
        return np.stack([self.sources[name](number, position) for number in numbers])

    def _describe(self, bursts: Mapping[str, NDArray[Any]]) -> None:
        keys: dict[str, Any] = {
            self.motor: {
                "source": "SIM", "dtype": "number", "shape": [], "units": "ps",
                "object_name": self.motor,
            }
        }  # fmt: skip
        for name, burst in bursts.items():
            keys[f"{name}_image"] = {
                "source": "SIM", "dtype": "array", "dtype_numpy": burst.dtype.str,
                "shape": list(burst.shape), "dims": ["frame", "y", "x"], "object_name": name,
            }  # fmt: skip
        objects = {name: [f"{name}_image"] for name in bursts} | {self.motor: [self.motor]}
        self.live(
            "descriptor",
            {
                "uid": self._descriptor, "time": time.time(), "run_start": self._run,
                "name": "primary", "data_keys": keys, "object_keys": objects,
                "configuration": {}, "hints": {name: {"fields": keys} for name, keys in
                                               objects.items()},
            },
        )  # fmt: skip


class BeamThread(threading.Thread):
    """Shots at a steady rate, and how long the analysis has held each up."""

    def __init__(self, beam: Beam, rate_hz: float, n_steps: int) -> None:
        super().__init__(name="beam", daemon=True)
        self.beam, self.period_s, self.n_steps = beam, 1 / rate_hz, n_steps
        self.took_s: list[float] = []
        self.failure: BaseException | None = None
        self._is_ending = threading.Event()

    def run(self) -> None:
        """Shot after shot, each at its time, or as soon as the one before lets it."""
        due = time.monotonic()
        try:
            while not self._is_ending.wait(max(0.0, due - time.monotonic())):
                due += self.period_s
                step = len(self.took_s) % self.n_steps
                begun = time.perf_counter()
                self.beam.shot(float(step))
                self.took_s.append(time.perf_counter() - begun)
                if step == self.n_steps - 1:
                    self.beam.end()
        except BaseException as failure:
            self.failure = failure

    def end(self) -> None:
        """Let the last shot be the last; raises what went wrong in the thread."""
        self._is_ending.set()
        self.join()
        if self.failure is not None:
            raise self.failure
        if self.beam._run:
            self.beam.end()
