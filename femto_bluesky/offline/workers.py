"""Photons found in frames of raw files by one process or several, always in the order of frames."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings, counter_of
from femto_bluesky.kernels.photons import Photons
from femto_bluesky.model.detectors import DetectorSettings, PhotonFinding
from femto_bluesky.model.photons import PhotonCounter, PhotonFrame
from femto_bluesky.offline.raw_files import open_frames
from femto_bluesky.offline.uninterrupted import uninterrupted
from femto_bluesky.stream.frames import Hdf5Frames
from femto_bluesky.stream.memory import keep_memory
from femto_bluesky.stream.photon_rows import photons_of

WAITING = 4
"""Blocks that are begun for each process, so that none is idle while a file is made."""


class WorkerDiedError(RuntimeError):
    """A process ended before its frames were done; the message says what may have ended it."""


@dataclass(frozen=True)
class Job:
    """What is to be found, and where: one dataset of one file, as the file is in `state`."""

    path: Path
    dataset: str
    detector: str
    known: DetectorSettings
    settings: PhotonDetectionSettings
    state: tuple[int, ...]

    def counter(self) -> PhotonCounter:
        """What finds the photons. Raises `ValueError`, as `counter_of` does."""
        return counter_of(self.settings, self.detector, self.known)


class Found(NamedTuple):
    """What was found on one frame; no photons where it is crowded."""

    photons: Photons
    n_hot: int
    is_crowded: bool
    overlap_share: float


class Eye:
    """Looks at the frames of one job after the other; keeps the file of the last one open."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._frames: Hdf5Frames | None = None
        self._counter: PhotonCounter | None = None

    def look(self, job: Job, block: range) -> list[Found]:
        """What is on some frames of a job."""
        if self._job != job or self._frames is None or self._counter is None:
            self.close()
            self._counter = job.counter()
            self._frames = open_frames(job.path, job.dataset)
            self._job = job
        found = []
        for index in block:
            frame = self._counter.count(self._frames.read(index))
            is_counted = isinstance(frame, PhotonFrame)
            found.append(Found(photons_of(frame), frame.n_hot, not is_counted, frame.overlap_share))
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._frames is not None:
            self._frames.close()
        self._job = self._frames = self._counter = None


class Workers:
    """So many processes, for one file after the other; with one, it is this process.

    The processes are new ones (spawn): threads of the compiled code would not survive a fork. As
    with all such processes, a script that makes them keeps its own work behind
    ``if __name__ == "__main__":``.
    """

    def __init__(self, n: int = 1) -> None:
        if n < 1:
            raise ValueError(f"{n} processes cannot work; give 1 or more")
        self.n = n
        self._eye = Eye()
        self._pool: ProcessPoolExecutor | None = None

    def look(self, job: Job, blocks: Sequence[range]) -> Generator[list[Found], None, None]:
        """What is on the frames of each block, in order.

        No more blocks are begun than keep all processes busy, so that a slow consumer fills no
        memory. Raises `WorkerDiedError`, and what reading and finding raise.
        """
        self.start()
        if self.n > 1:
            with self._watched() as pool:
                yield from _in_order(pool, _look, job, blocks, WAITING * self.n)
            return
        # a thread, so that reading goes on while the consumer writes
        with ThreadPoolExecutor(1) as thread:
            try:
                yield from _in_order(thread, self._eye.look, job, blocks, WAITING)
            finally:
                thread.submit(self._eye.close)

    def start(self) -> None:
        """Start the processes and wait until they are ready; else the first frames wait."""
        if self.n == 1:
            _warm()
            return
        if self._pool is not None:
            return
        with self._watched() as pool:
            with uninterrupted():
                # each starts one, as none is idle yet
                ready = [pool.submit(_begin) for _ in range(self.n)]
            for future in ready:
                future.result()

    def close(self) -> None:
        """Let the processes finish the frames they are at, and end them."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _watched(self) -> Iterator[ProcessPoolExecutor]:
        """The processes; when one dies in here, all are ended and the next use starts new ones."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.n, mp_context=context)
        try:
            yield self._pool
        except BrokenProcessPool as error:
            self.close()
            raise WorkerDiedError(
                "one of the processes that look for photons has died; it may have run out of "
                "memory, been killed, or met a disk that failed: try fewer of them (--processes 1)"
            ) from error


def _in_order(
    pool: Executor,
    look: Callable[[Job, range], list[Found]],
    job: Job,
    blocks: Sequence[range],
    n_waiting: int,
) -> Generator[list[Found], None, None]:
    waiting: deque[Future[list[Found]]] = deque()
    try:
        for block in blocks:
            waiting.append(pool.submit(look, job, block))
            if len(waiting) >= n_waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@lru_cache(maxsize=1)
def _eye_of_this_process() -> Eye:
    return Eye()


def _begin() -> None:
    """The first task of a process: to be ready for the second."""
    keep_memory()
    _warm()


def _warm() -> None:
    """Load the compiled code, or compile it, as it is for the frames of most cameras."""
    PhotonCounter(PhotonFinding(), 100.0).warm(np.uint16)


def _look(job: Job, block: range) -> list[Found]:
    return _eye_of_this_process().look(job, block)
