"""A night at the beamline: a delay scan, again and again, while the beam drifts. Truth is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.rois import Roi
from femto_bluesky.simulation.rings import RingFrames, RingSettings, cubic_lines

EVENING = 1_730_500_000.0
"""The first run; each takes five minutes."""
RUN_S = 300.0

DETECTOR = "pilatus"
KEY = f"{DETECTOR}_image"


@dataclass(frozen=True)
class Night:
    """What was measured, and what it would be without noise."""

    paths: list[Path]
    delays: tuple[float, ...]
    n_shots: int
    rings: RingFrames
    roi: Roi

    def drift(self, run: int) -> float:
        """How bright the beam is in a run, compared with the first."""
        return float(1 - 0.3 * run / max(len(self.paths) - 1, 1) + 0.05 * np.sin(run))

    def response(self, delay: float) -> float:
        """How bright the rings are after a laser pulse: they dim and come back."""
        if delay < 0:
            return 1.0
        return float(1 - 0.5 * (1 - np.exp(-delay / 0.5)) * np.exp(-delay / 6))

    def scale(self, run: int, delay: float) -> float:
        """How bright the rings are in a run at a delay."""
        return self.drift(run) * self.response(delay)

    def expected(self, runs: Sequence[int], delay: float) -> NDArray[np.float64]:
        """The mean frame of runs at a delay."""
        return self.rings.expected(float(np.mean([self.scale(run, delay) for run in runs])))

    def roi_mean(self, runs: Sequence[int], delay: float) -> float:
        """What the region is, in the mean of runs, at a delay."""
        return float(np.nanmean(self.expected(runs, delay)[self.roi.box]))

    @property
    def geometry(self) -> Geometry:
        """Where the detector stands."""
        rings = self.rings.settings
        return Geometry(
            distance_m=rings.distance_m, energy_kev=rings.energy_kev, x0_px=rings.x0,
            y0_px=rings.y0, pixel_size_m=(rings.pixel_size_m, rings.pixel_size_m),
        )  # fmt: skip

    @property
    def roi_text(self) -> str:
        """The region as the command takes it."""
        return f"ring={self.roi.x0},{self.roi.y0},{self.roi.x1},{self.roi.y1}"


def take_night(
    folder: Path,
    n_runs: int,
    delays: Sequence[float],
    n_shots: int,
    shape: tuple[int, int] = (256, 256),
    brightness: float = 1.0,
) -> Night:
    """Measure a night: `scan_<n>.jsonl` and `.h5` for each run; scans count from 1."""
    size = min(shape) / 256
    rings = RingFrames(
        RingSettings(
            shape=shape, x0=shape[1] * 0.15, y0=shape[0] / 2, distance_m=0.06 * size,
            ring_photons=3000 * size**2 * brightness, background_photons=1000 * size**2,
            has_gaps=False, n_dead_pixels=5, ring_q=cubic_lines(4.1569, 4),
        )
    )  # fmt: skip
    radius = rings.ring_radius_px(rings.settings.ring_q[1])
    x, y = int(rings.settings.x0 + radius), int(rings.settings.y0)
    half = max(round(12 * size), 4)
    roi = Roi(x0=x - half // 2, y0=y - 2 * half, x1=x + half // 2 + 1, y1=y + 2 * half)
    paths = [folder / f"scan_{number}.jsonl" for number in range(1, n_runs + 1)]
    night = Night(paths, tuple(delays), n_shots, rings, roi)
    for run in range(n_runs):
        if not paths[run].exists():
            _take_run(night, run)
    return night


def _take_run(night: Night, run: int) -> None:
    frames = night.paths[run].with_suffix(".h5")
    rows, columns = night.rings.settings.shape
    n = night.n_shots * len(night.delays)
    with h5py.File(frames, "w") as file:
        data = file.create_dataset(
            "entry/data/data", (n, rows, columns), np.float32,
            chunks=(1, rows, columns), compression="gzip", compression_opts=1,
        )  # fmt: skip
        for index in range(n):
            delay = night.delays[index // night.n_shots]
            data[index] = night.rings.frame(run * n + index, night.scale(run, delay))
    lines = [json.dumps(pair) + "\n" for pair in _documents(night, run, frames)]
    night.paths[run].write_text("".join(lines), encoding="utf-8")


def _documents(night: Night, run: int, frames: Path) -> list[tuple[str, Mapping[str, Any]]]:
    began = EVENING + run * RUN_S
    uid = f"{run:08x}-0000-4000-8000-000000000000"
    rows, columns = night.rings.settings.shape
    image = {
        "source": "test", "dtype": "array", "shape": [night.n_shots, rows, columns],
        "dtype_numpy": "<f4", "external": "STREAM:", "object_name": DETECTOR,
    }  # fmt: skip
    delay_key = {
        "source": "test", "dtype": "number", "shape": [], "units": "ps", "object_name": "delay",
    }  # fmt: skip
    docs: list[tuple[str, Mapping[str, Any]]] = [
        ("start", {
            "uid": uid, "time": began, "scan_id": run + 1, "plan_name": "list_scan",
            "detectors": [DETECTOR], "motors": ["delay"], "num_points": len(night.delays),
            "hints": {"dimensions": [[["delay"], "primary"]]}, "sample_name": "LaB6",
        }),
        ("descriptor", {
            "uid": f"{uid}-d", "run_start": uid, "time": began + 1, "name": "primary",
            "data_keys": {KEY: image, "delay": delay_key},
            "object_keys": {DETECTOR: [KEY], "delay": ["delay"]},
            "hints": {"delay": {"fields": ["delay"]}}, "configuration": {},
        }),
        ("stream_resource", {
            "uid": f"{uid}-r", "run_start": uid, "data_key": KEY,
            "uri": f"file://localhost{frames}", "mimetype": "application/x-hdf5",
            "parameters": {"dataset": "/entry/data/data", "chunk_shape": [1, rows, columns]},
        }),
    ]  # fmt: skip
    for step, delay in enumerate(night.delays):
        moment = began + 2 + step
        docs += [
            ("stream_datum", {
                "uid": f"{uid}-r/{step}", "stream_resource": f"{uid}-r", "descriptor": f"{uid}-d",
                "indices": {"start": step, "stop": step + 1},
                "seq_nums": {"start": step + 1, "stop": step + 2},
            }),
            ("event", {
                "uid": f"{uid}-e{step}", "descriptor": f"{uid}-d", "seq_num": step + 1,
                "time": moment, "data": {"delay": delay}, "timestamps": {"delay": moment},
            }),
        ]  # fmt: skip
    stop = {
        "uid": f"{uid}-s", "run_start": uid, "time": began + RUN_S - 1, "exit_status": "success",
        "reason": "", "num_events": {"primary": len(night.delays)},
    }  # fmt: skip
    return [*docs, ("stop", stop)]


def lose(path: Path) -> None:
    """The frames of a run are gone."""
    path.with_suffix(".h5").unlink()


def cut(path: Path) -> None:
    """The file of the frames of a run is cut off."""
    frames = path.with_suffix(".h5")
    frames.write_bytes(frames.read_bytes()[: frames.stat().st_size // 2])


def damage(path: Path, index: int) -> None:
    """One frame of a run is overwritten on the disk."""
    frames = path.with_suffix(".h5")
    with h5py.File(frames) as file:
        chunk = file["entry/data/data"].id.get_chunk_info(index)
    with frames.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\xff" * min(chunk.size, 400))
