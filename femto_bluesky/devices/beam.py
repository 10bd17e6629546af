"""What is read beside the cameras: the count of linac shots, and the intensity of each pulse.

Simulated: the numbers come from a seed, so that a test can ask for them again.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component, Device, DeviceStatus, Signal

from femto_bluesky.devices.simulated import SimulatedDetectorError


class SimulatedBeam(Device):
    """The linac's shot counter and I0, an ion chamber before the sample.

    Each trigger takes `num_images` shots: as many as the cameras have in a burst. Data keys:
    `<name>_shot_count` (of the last shot of the burst, from 1, through the beam's life),
    `<name>_i0_mean`, and `<name>_i0`, shape [num_images]: the intensity of each shot, a label of
    it. Intensities are about 1 with a relative spread of `spread`; one shot in `1 / missing_share`
    is missing and has 0. Shots do not depend on how they are cut into bursts.
    """

    num_images = Component(Signal, value=1, kind="config")
    shot_count = Component(Signal, value=0, kind="normal")
    i0_mean = Component(Signal, value=0.0, kind="normal")

    def __init__(
        self, *, name: str = "beam", spread: float = 0.1, missing_share: float = 0.0, seed: int = 0
    ) -> None:
        """Make the beam. Raises `ValueError` for a spread or a share below 0 or above 1."""
        if not (0 <= spread <= 1 and 0 <= missing_share <= 1):
            raise ValueError(
                f"{name}: spread and missing_share are {spread} and {missing_share}, expected "
                "numbers from 0 to 1"
            )
        super().__init__(name=name)
        self._spread, self._missing_share, self._seed = spread, missing_share, seed
        self._i0: NDArray[np.float64] | None = None
        self._read_at = 0.0

    @property
    def i0_key(self) -> str:
        """The data key of the intensities."""
        return f"{self.name}_i0"

    def intensity(self, shot: int) -> float:
        """The intensity of a shot, by its count (from 1)."""
        rng = np.random.default_rng([self._seed, shot])
        is_missing, deviation = rng.random() < self._missing_share, rng.standard_normal()
        return 0.0 if is_missing else max(0.0, 1 + self._spread * float(deviation))

    def trigger(self) -> DeviceStatus:
        """Take the shots of a burst."""
        n_shots = int(self.num_images.get())
        if n_shots < 1:
            raise SimulatedDetectorError(
                f"{self.name} was asked for {n_shots} shots; set {self.name}.num_images to 1 or "
                "more, as many as the cameras take in a burst"
            )
        first = int(self.shot_count.get()) + 1
        self._i0 = np.array([self.intensity(first + i) for i in range(n_shots)])
        self._read_at = time.time()
        self.shot_count.put(first + n_shots - 1)
        self.i0_mean.put(float(self._i0.mean()))
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def describe(self) -> dict[str, Any]:
        """The data keys; the shape of the intensities is that of a burst of the present length."""
        keys: dict[str, Any] = super().describe()
        keys[self.shot_count.name]["dtype_numpy"] = "<i8"
        keys[self.i0_mean.name]["dtype_numpy"] = "<f8"
        return keys | {
            self.i0_key: {
                "source": f"SIM:{self.name}",
                "dtype": "array",
                "shape": [int(self.num_images.get())],
                "dtype_numpy": "<f8",
                "dims": ["frame"],
            }
        }

    def read(self) -> dict[str, Any]:
        """The readings of the last burst."""
        readings: dict[str, Any] = super().read()
        if self._i0 is not None:
            readings[self.i0_key] = {"value": self._i0.tolist(), "timestamp": self._read_at}
        return readings
