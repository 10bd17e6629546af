"""A scan of photons, analysed beside a disk that fails, and what is asked of the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from femto_bluesky.callbacks import Checkpoints, LiveAnalysis, ResultFiles
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import photon_header, xye
from femto_bluesky.files.photon_contents import Contents
from femto_bluesky.model.rois import Roi
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.stream.frames import path_of_uri
from femto_bluesky.testing.documents import Recorder

BALOR, N_STEPS, N_FRAMES = "andor3_balor", 20, 3
N_SHOTS = N_STEPS * N_FRAMES
MOTOR = SimulatedMotor(name="delay")
FRAMES = BalorFrames(BalorSettings(shape=(128, 160), n_photons=120, n_hot_pixels=2))
OF_PHOTON = sum(np.dtype(dtype).itemsize for dtype, _, _ in photon_header.PHOTON_COLUMNS.values())


def detector_of(folder: Path | None, style: str) -> SimulatedDetector:
    return SimulatedDetector(
        name=BALOR, source=FRAMES, directory=folder, style=style, num_images=N_FRAMES,
        motor=MOTOR, pixel_size_m=12e-6,
    )  # fmt: skip


@dataclass
class Analysed:
    """An analysis of the scan, what it left on disk, and what it said."""

    live: LiveAnalysis
    derived: Recorder
    directory: Path
    problems: list[str] = field(default_factory=list)
    kept: Checkpoints | None = None
    files: ResultFiles | None = None

    @property
    def paths(self) -> list[Path]:
        """Its photon files, in the order in which documents told of them."""
        uris = [
            doc["uri"] for doc in self.derived.of("stream_resource") if "photon" in doc["data_key"]
        ]
        return list(dict.fromkeys(map(path_of_uri, uris)))

    @cached_property
    def contents(self) -> list[Contents]:
        """What is in its photon files that are there."""
        return [xye.contents(path) for path in self.paths if path.exists()]

    @property
    def shots(self) -> list[int]:
        """The shots in its photon files."""
        return [shot for found in self.contents for shot in found.frames["shot"].tolist()]

    @property
    def stop(self) -> dict[str, Any]:
        return self.derived.of("stop")[0]

    @property
    def n_missing(self) -> int:
        """How many frames it says that no file has."""
        reason = self.stop["reason"]
        return int(reason.split("those of ")[1].split()[0]) if "those of " in reason else 0


def analysed(
    documents, directory, at_document=lambda _: None, *, sums=None, has_files=False
) -> Analysed:
    """The scan, analysed document by document, at once; its sums are kept after each.

    `has_files`: lines, results and pictures are left in the directory, too.
    """
    live, derived = LiveAnalysis({"spot": Roi(x0=20, y0=20, x1=90, y1=90)}), Recorder()
    live.read_as(directory=directory)
    live.subscribe(derived)
    done = Analysed(live, derived, directory)
    if has_files:
        done.files = ResultFiles(live, directory)
        live.subscribe(done.files)
    done.kept = None if sums is None else Checkpoints(live, sums, every_s=0)
    for number, (name, doc) in enumerate(documents):
        at_document(number)
        live(name, doc)
        if done.kept is not None:
            done.kept.look()
        for run in live.shell._runs.values():
            done.problems += [run.photons.problem] if run.photons.problem else []
    return done


def assert_numbers_are_complete(done: Analysed, whole: Analysed) -> None:
    for found, expected in (
        (done.live.rois.result(), whole.live.rois.result()),
        (done.live.photons.result(), whole.live.photons.result()),
    ):
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
    found, expected = (one.live.accumulations.result()[BALOR] for one in (done, whole))
    np.testing.assert_array_equal(found.image, expected.image)
    assert found.n_frames == N_SHOTS


def assert_same_file(done: Analysed, whole: Analysed) -> None:
    (one,), (other,) = done.contents, whole.contents
    np.testing.assert_array_equal(one.photons, other.photons)
    np.testing.assert_array_equal(one.histogram, other.histogram)
    np.testing.assert_array_equal(one.offsets, other.offsets)
    assert one.frames.keys() == other.frames.keys()
    for name in other.frames:
        np.testing.assert_array_equal(one.frames[name], other.frames[name])


def bytes_lost(done: Analysed, whole: Analysed) -> int:
    """What documents tell of and no file has: 0, for the file holds whole events from the first."""
    (found,), (expected,) = done.contents, whole.contents
    n = len(found.frames["shot"])
    assert found.frames["shot"].tolist() == list(range(n))
    assert n % N_FRAMES == 0
    n_photons = int(found.frames["n_photons"].sum())
    np.testing.assert_array_equal(found.photons, expected.photons[:n_photons])
    energies = [d["uid"] for d in done.derived.of("stream_resource") if "energy" in d["data_key"]]
    told = [d for d in done.derived.of("stream_datum") if d["stream_resource"] in energies]
    n_told = sum(d["indices"]["stop"] - d["indices"]["start"] for d in told)
    assert n_told == n_photons
    return (n_told - n_photons) * OF_PHOTON


def assert_files_are_whole(done: Analysed) -> None:
    """The lines are the documents, each file that is named is there, and nothing half is."""
    assert done.files is not None
    (lines,) = done.directory.glob("*.jsonl")
    expected = "".join(jsonl.line(name, doc) for name, doc in done.derived.documents)
    assert lines.read_text() == expected
    assert done.files.failures == []
    kinds = [path.suffix for path in done.files.paths]
    assert kinds.count(".png") > 1
    assert all(path.stat().st_size for path in done.files.paths)
    assert not list(done.directory.glob(".*"))
