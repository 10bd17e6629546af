"""The demonstration: scans of a simulated beamline, analysed while they run."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.plans import scan
from bluesky.utils import DuringTask, MsgGenerator

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.result_files import ResultFiles
from femto_bluesky.devices.simulated import MotorWithUnits, SimulatedDetector
from femto_bluesky.files.names import new_path
from femto_bluesky.model.rois import Roi
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.stream.frames import path_of_uri

log = logging.getLogger(__name__)

ROIS = {
    "ring 3": Roi(x0=500, y0=300, x1=535, y1=440),
    "beside": Roi(x0=1000, y0=430, x1=1150, y1=600),
}

PERIOD_S: Final = 0.1
"""Between two frames of a beamline that goes on scanning, as between two pulses at 10 Hz."""

KEPT_SCANS: Final = 100
"""So many scans are remembered by the analysis of a beamline that goes on; then it begins anew."""


@dataclass(slots=True)
class Demo:
    """What a scan of the demonstration leaves."""

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
    return DemoBeamline(out, RingSettings(seed=seed)).scan(steps, frames)


class DemoBeamline:
    """A RunEngine, a camera that sees rings, a delay, and the analysis `live`.

    `stop` ends a scan before its next frame, and the scanning.
    """

    def __init__(self, out: Path, rings: RingSettings, stop: threading.Event | None = None) -> None:
        mpl.use("Agg")  # BestEffortCallback would open windows
        self.stop = stop or threading.Event()
        self._out, self._raw = out, out / "raw"
        self._raw.mkdir(parents=True, exist_ok=True)
        self._rings = rings
        self._delay = MotorWithUnits(name="delay", labels={"motors"}, egu="ps")
        self.live = LiveAnalysis(ROIS, directory=out)
        said = {"scan_id": _last_scan(out), "sample": "simulated LaB6"}
        # Ctrl-C is for whoever started it: to pause a scan would be of no use here
        self._engine = RunEngine(said, context_managers=[], during_task=DuringTask())
        self._engine.subscribe(self.live)

    def scan(self, steps: int, frames: int) -> Demo:
        """One scan as fast as can be, a burst at each delay, whose results are left as files."""
        camera = self._camera(self._raw, self._rings.seed)
        files = ResultFiles(self.live, self._out)
        told = [self.live.subscribe(files), self.live.subscribe(BestEffortCallback())]
        documents: list[tuple[str, dict[str, Any]]] = []
        token = self._engine.subscribe(lambda name, doc: documents.append((name, doc)))
        try:
            self._run(camera, steps, frames, 1, 0.0)
        finally:
            self._engine.unsubscribe(token)
            for listener in told:
                self.live.unsubscribe(listener)
        lines = new_path(self._raw, files.paths[0].stem, "jsonl")
        jsonl.write(documents, lines)
        return Demo(
            live=self.live,
            truth=_truth(RingFrames(self._rings), self.live),
            raw=lines,
            paths=files.paths,
            problems=[*self.live.failures, *files.failures],
        )

    def keep_scanning(
        self, steps: int, frames: int, *, period_s: float = PERIOD_S, kept_scans: int = KEPT_SCANS
    ) -> None:
        """Scan after scan, a frame every `period_s`, until `stop` is set.

        Nothing piles up: the files of all but the newest two scans are deleted, and the analysis
        begins anew, its sums too, after `kept_scans`.
        """
        raw, derived = NewestFiles(self._out), NewestFiles(self._out)
        tokens = self._engine.subscribe(raw), self.live.subscribe(derived)
        n_scans = 0
        # a folder of its own: also what no document names is gone with it
        with TemporaryDirectory(dir=self._raw, prefix="scanning_") as folder:
            camera = self._camera(Path(folder), self._rings.seed + 1)
            try:
                while not self.stop.is_set():
                    self._run(camera, steps, 1, frames, period_s)
                    # it goes on with the number of its last frame
                    del camera.bursts[:-1]
                    n_scans += 1
                    if n_scans % kept_scans == 0:
                        log.warning("after %d scans the sums and curves begin anew", n_scans)
                        with self.live.shell.lock:
                            self.live.clear()
            finally:
                self._engine.unsubscribe(tokens[0])
                self.live.unsubscribe(tokens[1])
                derived.delete(0)

    def _camera(self, folder: Path, seed: int) -> SimulatedDetector:
        source = RingFrames(self._rings.model_copy(update={"seed": seed}), scale_at=intensity)
        return SimulatedDetector(name="pilatus", source=source, directory=folder, motor=self._delay)

    def _run(
        self, camera: SimulatedDetector, steps: int, burst: int, n_events: int, period_s: float
    ) -> None:
        """A scan: at each delay so many events of a burst each."""
        camera.num_images.put(burst)

        def per_step(
            detectors: Any, step: Mapping[Any, float], pos_cache: dict[Any, float]
        ) -> MsgGenerator[None]:
            for number in range(n_events):
                begun = time.monotonic()
                if self.stop.is_set():
                    return
                if number == 0:
                    yield from bps.move_per_step(step, pos_cache)
                yield from bps.trigger_and_read([*detectors, *step])
                yield from bps.sleep(max(0.0, period_s - (time.monotonic() - begun)))

        by_step: Any = per_step  # of the shape that is wanted, with fewer words for it
        self._engine(scan([camera], self._delay, -1.0, 7.0, steps, per_step=by_step))
        self.live.wait()


class NewestFiles:
    """A callback that deletes the files of frames that its documents name, of all but two runs.

    Only files in `folder`, which the demonstration itself has made.
    """

    def __init__(self, folder: Path, n_runs: int = 2) -> None:
        self._folder, self._n_runs = folder.absolute(), n_runs
        self._files: OrderedDict[str, list[Path]] = OrderedDict()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Note the files of a run; delete those of an older one when it has ended."""
        if name == "start":
            self._files[doc["uid"]] = []
        elif name == "stream_resource" and self._files:
            path = path_of_uri(doc["uri"])
            if path.is_relative_to(self._folder):
                next(reversed(self._files.values())).append(path)
        elif name == "stop":
            self.delete(self._n_runs)

    def delete(self, n_left: int) -> None:
        """Delete the files of all but the newest runs."""
        while len(self._files) > n_left:
            for path in self._files.popitem(last=False)[1]:
                path.unlink(missing_ok=True)


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
