"""An areaDetector IOC without EPICS: it plays the records of a camera and writes real files.

It works on a detector that `ophyd.sim.make_fake_device` has made, whose signals it sets and answers
as the records of an IOC do: `cam.acquire`, `hdf5.capture`, `hdf5.file_path`. The frames of a burst
are written by a thread of its own, so the status of a trigger is pending meanwhile, as it is at the
beamline.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.devices.burst_detector import BurstDetector
from femto_bluesky.devices.frame_files import DATASET
from femto_bluesky.devices.simulated import FrameSource, HasPosition, SimulatedBurst
from femto_bluesky.files.stacks import FrameStack

log = logging.getLogger(__name__)

LIVE_VIEW_S = 0.005
"""Between two frames of a camera that takes them without end."""


class SimulatedIoc:
    """Plays the IOC of a fake `detector`, whose frames come from `source`.

    Frames are numbered through its life, so no two carry the same noise; the position handed to the
    source is that of `motor`, or 0.0 without one. `bursts` are those that were taken (live view,
    where `cam.image_mode` says "Continuous", among them). `loses` says for a burst (its place in
    `bursts`) how many of its frames the camera drops, and `before_burst` is called with that number
    before the first frame: to hold it up, or to let it fail.
    """

    def __init__(
        self, detector: BurstDetector, source: FrameSource, motor: HasPosition | None = None
    ) -> None:
        self.source = source
        self.bursts: list[SimulatedBurst] = []
        self.loses: dict[int, int] = {}
        self.before_burst: Callable[[int], None] = _nothing
        self._detector = detector
        self._motor = motor
        self._stack: FrameStack | None = None
        self._thread: threading.Thread | None = None
        self._stops = threading.Event()
        self._example: NDArray[Any] = source(0, self.position)
        self._prime()

    @property
    def position(self) -> float:
        """The position that the source is given now."""
        return 0.0 if self._motor is None else float(self._motor.position)

    def truth(self, burst: SimulatedBurst) -> NDArray[Any]:
        """The frames of one burst (n, rows, columns), asked from the source again."""
        numbers = range(burst.source_index, burst.source_index + burst.n_frames)
        return np.stack([self.source(number, burst.position) for number in numbers])

    def _prime(self) -> None:
        """Give the records the values that an IOC starts with."""
        cam, hdf5 = self._detector.cam, self._detector.hdf5
        rows, columns = self._example.shape
        dtype = str(self._example.dtype.name).capitalize().replace("Uint", "UInt")
        for signal, value in {
            cam.port_name: "CAM", cam.manufacturer: "femto_bluesky", cam.model: "simulated",
            cam.acquire: 0, cam.acquire_time: 0.05, cam.acquire_period: 0.1, cam.num_images: 1,
            cam.num_exposures: 1, cam.trigger_mode: 0,
            cam.image_mode: 0, cam.array_callbacks: 1,
            cam.min_x: 0, cam.min_y: 0, cam.size.size_x: columns, cam.size.size_y: rows,
            cam.array_size.array_size_x: columns, cam.array_size.array_size_y: rows,
            cam.data_type: dtype, cam.temperature_actual: -20.0,
            hdf5.port_name: "HDF5", hdf5.nd_array_port: "CAM", hdf5.plugin_type: "NDFileHDF5",
            hdf5.enable: 1, hdf5.blocking_callbacks: "Yes", hdf5.create_directory: 0,
            hdf5.auto_increment: "Yes", hdf5.array_counter: 0, hdf5.auto_save: "Yes",
            hdf5.num_capture: 0, hdf5.num_captured: 0, hdf5.file_write_mode: "Single",
            hdf5.file_template: "%s%s_%6.6d.h5", hdf5.file_path: "/", hdf5.file_name: "",
            hdf5.file_number: 0, hdf5.file_path_exists: 1, hdf5.full_file_name: "",
            hdf5.capture: 0, hdf5.lazy_open: "No", hdf5.swmr_mode: "Off", hdf5.swmr_active: "Off",
            hdf5.num_frames_chunks: 1, hdf5.num_frames_flush: 0, hdf5.compression: "Blosc",
            hdf5.num_extra_dims: 0, hdf5.min_callback_time: 0.0, hdf5.write_status: 0,
            hdf5.write_message: "", hdf5.data_type: dtype, hdf5.array_size.depth: 0,
            hdf5.array_size.height: rows, hdf5.array_size.width: columns, hdf5.height: rows,
            hdf5.width: columns,
        }.items():  # fmt: skip
            signal.sim_put(value)
        for name in self._detector.configured:
            signal = getattr(cam, name)
            if signal.get() is None:
                signal.sim_put(0)
        cam.image_mode.sim_set_enum_strs((self._detector.mode_of_bursts, "Continuous"))
        cam.trigger_mode.sim_set_enum_strs(("Internal", "External"))
        # ophyd sets it by number and reads it back as text
        hdf5.enable.sim_set_enum_strs(("Disable", "Enable"))
        cam.acquire.sim_set_putter(self._put_acquire)
        hdf5.capture.sim_set_putter(self._put_capture)
        hdf5.file_path.sim_set_putter(self._put_path)

    def _put_path(self, value: str) -> None:
        path = value if value.endswith("/") else f"{value}/"
        Path(path).mkdir(parents=True, exist_ok=True)
        self._detector.hdf5.file_path.sim_put(path)

    def _put_capture(self, value: int) -> None:
        hdf5 = self._detector.hdf5
        if not value:
            self._stop()
            if self._stack is not None:
                self._stack.close()
                self._stack = None
            hdf5.swmr_active.sim_put("Off")
        elif self._stack is None:
            number = int(hdf5.file_number.get())
            name = hdf5.file_template.get() % (hdf5.file_path.get(), hdf5.file_name.get(), number)
            rows, columns = self._example.shape
            self._stack = FrameStack(Path(name), DATASET, (rows, columns), self._example.dtype)
            hdf5.full_file_name.sim_put(name)
            hdf5.file_number.sim_put(number + 1)
            hdf5.num_captured.sim_put(0)
            hdf5.swmr_active.sim_put("Active")
        hdf5.capture.sim_put(int(value))

    def _put_acquire(self, value: int, **_: Any) -> None:
        if not value:
            self._stop()
            self._detector.cam.acquire.sim_put(0)
            return
        self._stop()
        self._stops.clear()
        self._detector.cam.acquire.sim_put(1)
        self._thread = threading.Thread(target=self._take, name=f"{self._detector.name} IOC")
        self._thread.start()

    def _stop(self) -> None:
        self._stops.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _take(self) -> None:
        cam, hdf5 = self._detector.cam, self._detector.hdf5
        taken = self.bursts[-1].source_index + self.bursts[-1].n_frames if self.bursts else 0
        place = len(self.bursts)
        n_frames = int(cam.num_images.get()) - self.loses.get(place, 0)
        first = 0 if self._stack is None else len(self._stack)
        path = None if self._stack is None else self._stack.path
        burst = SimulatedBurst(taken, n_frames, self.position, first, path)
        self.bursts.append(burst)
        is_live_view = cam.image_mode.get(as_string=True) == "Continuous"
        n_shown = 0
        try:
            self.before_burst(place)
            for index in itertools.count() if is_live_view else range(n_frames):
                if self._stops.wait(LIVE_VIEW_S if is_live_view else 0):
                    break
                frame = self.source(taken + index, burst.position)
                self._show(frame)
                if self._stack is not None:
                    self._write(self._stack, frame)
                    hdf5.num_captured.sim_put(len(self._stack))
                n_shown = index + 1
        except Exception as failure:
            # an IOC goes on: its message says what happened, and the burst is short
            log.exception("%s: the simulated camera has failed", self._detector.name)
            hdf5.write_message.sim_put(f"{type(failure).__name__}: {failure}")
        self.bursts[place] = replace(burst, n_frames=n_shown)
        cam.acquire.sim_put(0)

    def _write(self, stack: FrameStack, frame: NDArray[Any]) -> None:
        status = self._detector.hdf5.write_status
        try:
            stack.append(frame)
        except Exception:
            status.sim_put(1)
            raise
        status.sim_put(0)

    def _show(self, frame: NDArray[Any]) -> None:
        """Have the plugin note what it has seen."""
        hdf5 = self._detector.hdf5
        for size in (hdf5, hdf5.array_size):
            size.height.sim_put(frame.shape[0])
            size.width.sim_put(frame.shape[1])
        hdf5.array_counter.sim_put(int(hdf5.array_counter.get()) + 1)


def _nothing(burst: int) -> None:
    """What happens before a burst, if nobody says otherwise."""
