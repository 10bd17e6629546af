"""A raw file of frames in, a photon file out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings
from femto_bluesky.files import xye
from femto_bluesky.files.names import OutputError
from femto_bluesky.files.photon_file import FrameRow, PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo
from femto_bluesky.kernels.photons import OVERLAP
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.offline.raw_files import RawFileError, dataset_of, open_frames
from femto_bluesky.offline.workers import Found, Job, Workers

FLUSHED_EVERY = 32
"""Frames. So much is lost at most when the process is killed."""

Progress = Callable[[int, int], None]
"""Is told how many frames are done, and of how many."""


class CountingError(RuntimeError):
    """Frames of a file that could not be counted; the message says why, and what is kept."""


@dataclass(slots=True)
class CountedFile:
    """What was found in a raw file. `path` is the photon file; hot pixels are not photons."""

    path: Path
    raw: Path
    dataset: str
    n_frames: int = 0
    n_photons: int = 0
    n_overlaps: int = 0
    n_hot: int = 0
    n_crowded: int = 0
    n_expected_overlaps: float = 0.0
    seconds: float = 0.0

    @property
    def overlap_share(self) -> float:
        """The share of the photons whose energy is that of two or more; NaN without photons."""
        return self.n_overlaps / self.n_photons if self.n_photons else float("nan")

    @property
    def expected_overlap_share(self) -> float:
        """The share that is expected of photons that fall at random; NaN without photons."""
        return self.n_expected_overlaps / self.n_photons if self.n_photons else float("nan")

    def add(self, found: Found) -> None:
        """Count one frame."""
        n = len(found.photons)
        self.n_frames += 1
        self.n_photons += n
        self.n_overlaps += int(np.count_nonzero(found.photons["flags"] & OVERLAP))
        self.n_hot += found.n_hot
        self.n_crowded += found.is_crowded
        self.n_expected_overlaps += n * found.overlap_share


def count_photons(
    path: Path | str,
    *,
    settings: PhotonDetectionSettings | None = None,
    detector: str | None = None,
    dataset: str | None = None,
    out: Path | str | None = None,
    processes: int = 1,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> CountedFile:
    """Find the photons on all frames of a raw HDF5 file and write a photon file.

    Frames are those of `dataset`, or of the only stack of images that there is; of a file that
    still grows, those that are there now. `detector` says which defaults hold where `settings` say
    nothing. The photon file goes into `out`, or near the raw file (`xye.path_for`); it is the same
    for any number of processes. `workers` that are given are used instead of new ones and are left
    running: for many files in a row.

    Raises `RawFileError` and `FrameError` for a file without frames, `ValueError` for settings that
    make no sense or do not fit, `OutputError` where no more can be written, and `CountingError`
    where it stops in the middle: what was counted until then stays.
    """
    path = Path(path)
    settings = settings or PhotonDetectionSettings()
    detector = detector or settings.detector or "andor3_balor"
    # that photons are counted, and on which detector, is said by asking for it
    settings = settings.model_copy(update={"counting": True, "detector": detector})
    name, stat = dataset_of(path, dataset), path.stat()
    # a file of the same name that was written since is another one
    state = stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
    job = Job(path, name, detector, settings_of(detector), settings, state)
    info, n_frames = _look_at(job)
    crew = workers or Workers(processes)
    try:
        crew.start()
        begun = time.perf_counter()
        found = _write(job, info, n_frames, None if out is None else Path(out), crew, progress)
    finally:
        if crew is not workers:
            crew.close()
    found.seconds = time.perf_counter() - begun
    return found


def _look_at(job: Job) -> tuple[PhotonFileInfo, int]:
    """What the photon file says once, and how many frames there are."""
    counter = job.counter()
    frames = open_frames(job.path, job.dataset)
    try:
        n_frames, shape = len(frames), frames.frame_shape
    finally:
        frames.close()
    if n_frames == 0:
        raise RawFileError(
            f"{job.path}: {job.dataset} holds no frame yet; wait until some are written"
        )
    for what, image in (("dark image", counter.dark), ("mask", counter.mask)):
        if image is not None and np.ndim(image) == 2 and np.shape(image) != shape:
            raise ValueError(
                f"the {what} has the shape {np.shape(image)}, the frames of {job.path} have "
                f"{shape}; make one for this readout region"
            )
    if counter.roi is not None:
        counter.roi.check_inside(shape, "of the settings", job.detector)
    info = PhotonFileInfo(
        job.detector, shape, counter.found_with.settings, counter.found_with.bins,
        roi=counter.roi, raw=(job.path, job.dataset), pixel_size_m=job.known.pixel_size_m,
    )  # fmt: skip
    return info, n_frames


def _write(
    job: Job, info: PhotonFileInfo, n_frames: int, out: Path | None, workers: Workers,
    progress: Progress | None,
) -> CountedFile:  # fmt: skip
    target: PhotonFile | None = None
    result = CountedFile(Path(), job.path, job.dataset)
    try:
        with closing(workers.look(job, _blocks(n_frames, workers.n))) as blocks:
            for block in blocks:
                for found in block:
                    row = FrameRow(
                        result.n_frames, result.n_frames, time=float("nan"), n_hot=found.n_hot,
                        is_crowded=found.is_crowded, overlap_share=found.overlap_share,
                    )  # fmt: skip
                    if target is None:  # not before a first frame was read
                        target = PhotonFile(xye.path_for(job.path, out, job.path.stem), info, row)
                        result.path = target.path
                    target.append(row, found.photons)
                    result.add(found)
                    # by frames, not by blocks: so the file is the same, however it was cut
                    if result.n_frames % FLUSHED_EVERY == 0:
                        target.flush()
                if progress is not None:
                    progress(result.n_frames, n_frames)
    except (OSError, ValueError, RuntimeError) as error:
        if target is None:
            raise
        with suppress(OSError):
            target.flush()
        target.take_back()  # closing it would fail as this has
        kind = OutputError if isinstance(error, OutputError) else CountingError
        raise kind(
            f"{error}; {target.n_frames} of {n_frames} frames of {job.path} are in {target.path}"
        ) from error
    finally:
        if target is not None:
            target.close()
    return result


def _blocks(n_frames: int, n_workers: int) -> list[range]:
    """Consecutive frames in blocks: small enough that all processes end at the same time."""
    size = max(1, min(4, n_frames // (10 * n_workers)))
    return [range(first, min(first + size, n_frames)) for first in range(0, n_frames, size)]
