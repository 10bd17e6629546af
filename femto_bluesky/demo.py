"""The demonstration: a scan of a simulated beamline, analysed while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.plans import scan

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.result_files import ResultFiles
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files.names import new_path
from femto_bluesky.model.rois import Roi
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources import jsonl

ROIS = {
    "ring 3": Roi(x0=500, y0=300, x1=535, y1=440),
    "beside": Roi(x0=1000, y0=430, x1=1150, y1=600),
}


@dataclass(slots=True)
class Demo:
    """What the demonstration leaves."""

    live: LiveAnalysis
    truth: dict[str, list[float]]
    raw: Path
    paths: list[Path] = field(default_factory=list)
    problems: list[Exception] = field(default_factory=list)


def intensity(delay_ps: float) -> float:
    """How bright the rings are after a laser pulse: they dim and come back."""
    if delay_ps < 0:
        return 1.0
    return float(1 - 0.6 * (1 - np.exp(-delay_ps / 0.5)) * np.exp(-delay_ps / 6))


def run_demo(out: Path, *, steps: int, frames: int, seed: int) -> Demo:
    """Scan a pump-probe delay in a real RunEngine, with the analysis subscribed; `out` is filled.

    The frames are Debye-Scherrer rings of LaB6, some 2000 photons of 13.5 counts in each; the truth
    is the mean that each region would have after infinitely many of them.
    """
    mpl.use("Agg")  # BestEffortCallback would open windows
    source = RingFrames(RingSettings(seed=seed), scale_at=intensity)
    delay = SimulatedMotor(name="delay", labels={"motors"})
    raw = out / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    pilatus = SimulatedDetector(
        name="pilatus", source=source, directory=raw, num_images=frames, motor=delay
    )
    live = LiveAnalysis(ROIS, directory=out)
    files = ResultFiles(live, out)
    live.subscribe(files)
    live.subscribe(BestEffortCallback())
    engine = RunEngine({"scan_id": _last_scan(out), "sample": "simulated LaB6"})
    engine.subscribe(live)
    documents: list[tuple[str, dict[str, Any]]] = []
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(scan([pilatus], delay, -1.0, 7.0, steps))
    lines = new_path(raw, files.paths[0].stem, "jsonl")
    jsonl.write(documents, lines)
    return Demo(
        live=live,
        truth=_truth(source, live),
        raw=lines,
        paths=files.paths,
        problems=[*live.failures, *files.failures],
    )


def _last_scan(out: Path) -> int:
    """The highest scan number in the directory, so that a second demo is another scan."""
    stems = [path.stem.removeprefix("scan_") for path in out.glob("scan_*.jsonl")]
    return max((int(stem) for stem in stems if stem.isdigit()), default=0)


def _truth(source: RingFrames, live: LiveAnalysis) -> dict[str, list[float]]:
    """The expected mean of each region at each step."""
    images = [source.expected(intensity(delay)) for delay in live.result().steps["delay"]]
    return {
        f"true {name}": [float(np.nanmean(image[roi.box])) for image in images]
        for name, roi in ROIS.items()
    }
