"""How much memory a process has, and whether it grows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

MEGABYTE = 2**20


def resident_mb() -> float:
    """Memory of this process that is really there (VmRSS)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise OSError("/proc/self/status has no line VmRSS")


def slope_mb_a_minute(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope of a straight line through (seconds, MB) in MB a minute, and its standard error.

    By least squares; both are 0 for fewer than three samples.
    """
    if len(samples) < 3:
        return 0.0, 0.0
    seconds, megabytes = np.array(samples).T
    minutes = seconds / 60 - seconds.mean() / 60
    spread = float(minutes @ minutes)
    slope = float(minutes @ megabytes) / spread
    left = megabytes - megabytes.mean() - slope * minutes
    return slope, float(np.sqrt(left @ left / (len(samples) - 2) / spread))


class MemoryWatch:
    """Notes the memory of this process every second while frames are taken, for its peak.

    A frame of a Balor is 34 MB, a copy of its sum 68 MB, and how many there are depends on what was
    done to the sum, and who looks: that comes and goes. What stays is measured at rest: see `soak`.
    """

    def __init__(self, every_s: float = 1.0) -> None:
        self.peak_mb = 0.0
        self.is_taking = False
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            if self.is_taking:
                self.peak_mb = max(self.peak_mb, resident_mb())
