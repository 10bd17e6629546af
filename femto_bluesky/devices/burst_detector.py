"""A camera behind an areaDetector IOC whose every trigger takes a burst of frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, get_args

import numpy as np
import ophyd
from ophyd import Component, DeviceStatus, Signal
from ophyd.areadetector.detectors import DetectorBase
from ophyd.device import Staged
from ophyd.signal import AttributeSignal
from ophyd.utils.errors import DisconnectedError

from femto_bluesky.devices.hdf5_plugin import (
    SETTLE_S,
    DetectorError,
    PluginStyle,
    SwmrHdf5Plugin,
)

log = logging.getLogger(__name__)

GONE = (TimeoutError, DisconnectedError)
"""What ophyd raises where an IOC does not answer."""

CONFIGURED = (
    "acquire_time acquire_period num_images image_mode trigger_mode manufacturer model min_x min_y "
    "size.size_x size.size_y"
).split()
"""What every descriptor says of the camera itself; subclasses add to it."""


class DetectorLostError(DetectorError):
    """A detector whose IOC went away while frames were taken."""


class BurstDetector(DetectorBase):
    """A camera with an HDF5 plugin: `cam.num_images` frames a trigger, all of a staging in a file.

    A subclass names the camera class as `cam` and how `cam.image_mode` calls a finite number of
    frames. `directory` is where files go, as this computer sees it; `ioc_directory` as the IOC sees
    it, where that differs (a `PureWindowsPath` for an IOC on Windows).

    Data keys: `<name>_image`, shape [num_images, rows, columns]; `<name>_first_frame` (where the
    burst begins in the file, from 0) and `<name>_n_frames` (how many frames have come: fewer than
    asked for where the camera or the plugin dropped some, which the log says).
    Configuration: `<name>_exposure_s`, `<name>_pixel_size_m` (row, column), and those of the camera
    as `<name>_cam_...`, among them `min_x`, `min_y`, `size_size_x`, `size_size_y`.
    """

    mode_of_bursts = "Multiple"
    configured: tuple[str, ...] = ()
    own_configuration: tuple[str, ...] = ("pixel_size_m", "exposure_s")

    hdf5 = Component(SwmrHdf5Plugin, "HDF1:")
    first_frame = Component(Signal, value=0, kind="normal")
    n_frames = Component(Signal, value=0, kind="normal")
    pixel_size_m = Component(Signal, value=[0.0, 0.0], kind="config")
    exposure_s = Component(AttributeSignal, attr="_exposure_s", kind="config")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        directory: str | Path,
        ioc_directory: str | PurePath | None = None,
        style: PluginStyle = "stream",
        pixel_size_m: float | None = None,
    ) -> None:
        """Make the device; nothing is set on the IOC before it is staged.

        `style` is how documents point to frames, as in `SwmrHdf5Plugin`. Raises `ValueError` for
        another one.
        """
        if style not in get_args(PluginStyle):
            raise ValueError(
                f"{name}: the style is one of {', '.join(get_args(PluginStyle))}; not {style!r}"
            )
        super().__init__(prefix, name=name)
        self.hdf5.style = style
        self._set_paths(Path(directory).absolute(), ioc_directory)
        if pixel_size_m is not None:
            self.pixel_size_m.put([pixel_size_m, pixel_size_m])
        self.cam.configuration_attrs = [*CONFIGURED, *self.configured]
        self.cam.stage_sigs.update({"acquire": 0, "image_mode": self.mode_of_bursts})
        self.read_attrs = ["hdf5", "first_frame", "n_frames"]
        self.configuration_attrs = ["cam", *self.own_configuration]
        self._news = threading.Event()
        self._n_captured = 0
        self._is_acquiring = False
        self._is_abandoned = False
        self._burst: threading.Thread | None = None

    @property
    def image_key(self) -> str:
        """The data key of the frames."""
        return f"{self.name}_image"

    @property
    def num_images(self) -> Any:
        """The signal that says how many frames a burst has: `cam.num_images`."""
        return self.cam.num_images

    @property
    def dtype_numpy(self) -> str:
        """The type of a pixel in the file, as numpy writes it."""
        found = str(self.hdf5.data_type.get(as_string=True)).lower()
        try:
            return np.dtype(found).str
        except TypeError:
            raise DetectorError(
                f"{self.name}: the HDF5 plugin says that pixels are {found!r}, expected a type "
                f"such as UInt16; call {self.name}.hdf5.warmup()"
            ) from None

    def make_data_key(self) -> dict[str, Any]:
        """The data key of a burst of the present length."""
        key = {
            "source": f"PV:{self.prefix}",
            "dtype": "array",
            "shape": [int(self.cam.num_images.get()), *self.hdf5.frame_shape],
            "dtype_numpy": self.dtype_numpy,
            "dims": ["frame", "y", "x"],
        }
        if self.hdf5.style != "inline":
            key["external"] = "STREAM:" if self.hdf5.style == "stream" else "FILESTORE:"
        return key

    def describe(self) -> dict[str, Any]:
        """The data keys: of the image, and of where the burst is in the file."""
        keys: dict[str, Any] = super().describe()
        for name in (self.first_frame.name, self.n_frames.name):
            keys[name]["dtype_numpy"] = "<i8"
        return keys

    def stage(self) -> list[object]:
        """Begin a new file and make ready for bursts."""
        staged: list[object] = super().stage()
        self._is_abandoned = False
        self._burst = None
        self._n_captured = 0
        self.hdf5.num_captured.subscribe(self._captured, run=True)
        self.cam.acquire.subscribe(self._acquired, run=False)
        self.cam.acquire.subscribe(self._connected, event_type="meta", run=False)
        return staged

    def unstage(self) -> list[object]:
        """Close the file and put back what staging has set.

        Where the IOC is gone there is nothing to be put back: the log says so, nothing is raised.
        """
        self._is_abandoned = True
        self._news.set()
        self.hdf5.num_captured.clear_sub(self._captured)
        self.cam.acquire.clear_sub(self._acquired)
        self.cam.acquire.clear_sub(self._connected)
        if self.cam.acquire.connected:
            try:
                unstaged: list[object] = super().unstage()
            except GONE as failure:
                log.warning("%s: %s", self.name, failure)
            else:
                return unstaged
        log.error("%s: the IOC is gone, so what staging has set on it stays", self.name)
        for device in (self, *(device for _, device in self.walk_subdevices())):
            device._original_vals.clear()
            device._staged = Staged.no
        return [self]

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Change the configuration; `num_images` stands for `cam.num_images`."""
        named = {"cam.num_images" if key == "num_images" else key: d[key] for key in d}
        before, after = super().configure(named)
        return before, after

    def trigger(self) -> DeviceStatus:
        """Take a burst; done when its frames are in the file.

        The status fails with `DetectorLostError` when the IOC goes away meanwhile, and with
        `DetectorError` when no frame came.
        """
        if self._staged != Staged.yes:
            raise DetectorError(
                f"{self.name} was triggered but is not staged, so it has no file to write to; use "
                f"a plan that stages its detectors, or call {self.name}.stage() first"
            )
        if not self.cam.acquire.connected:
            raise self._lost()
        status = DeviceStatus(self)
        # of the control layer, for Channel Access wants its context in each thread
        self._burst = ophyd.cl.thread_class(
            target=self._take, args=(status, self._burst), name=f"{self.name} burst", daemon=True
        )
        self._burst.start()
        return status

    def _take(self, status: DeviceStatus, before: threading.Thread | None) -> None:
        try:
            if before is not None:
                before.join()  # a pause in the middle of a burst: the camera is still at work
            first = int(self.hdf5.num_captured.get())
            n_frames = int(self.cam.num_images.get())
            self._n_captured = first
            self._is_acquiring = True
            self.cam.acquire.put(1, wait=False)
            taken = self._wait(first, n_frames)
            self.first_frame.put(first)
            self.n_frames.put(taken)
            self.hdf5.note_burst(first, taken)
        except GONE as failure:
            # a question to the IOC may find out before the connection is known to be lost
            lost = self._lost()
            lost.__cause__ = failure
            status.set_exception(lost)
        except Exception as failure:
            # in a thread of its own nobody else would hear of it
            status.set_exception(failure)
        else:
            status.set_finished()

    def _wait(self, first: int, n_frames: int) -> int:
        """Wait for the frames of a burst; return how many came."""
        ended: float | None = None
        while True:
            self._news.wait(SETTLE_S / 4)
            self._news.clear()
            if self._is_abandoned:
                raise DetectorError(f"{self.name} was unstaged in the middle of a burst")
            if not self.cam.acquire.connected:
                raise self._lost()
            if self._is_acquiring:
                ended = None
                continue
            taken = self._n_captured - first
            if taken == n_frames:
                return taken
            if ended is None:
                ended = time.monotonic()
            elif time.monotonic() - ended > SETTLE_S:
                # whatever monitors said: the camera may be at work
                self._is_acquiring = bool(self.cam.acquire.get())
                if not self._is_acquiring:
                    taken = int(self.hdf5.num_captured.get()) - first
                    return taken if taken == n_frames else self._of_other_length(taken, n_frames)

    def _of_other_length(self, taken: int, n_frames: int) -> int:
        message = self.hdf5.write_message.get() or "none"
        if taken < 1:
            raise DetectorError(
                f"{self.name}: the camera has stopped and no frame is in {self.hdf5.file}, "
                f"expected {n_frames}; look at the camera's and the HDF5 plugin's page (dropped "
                f"arrays, disk). The plugin's message: {message}"
            )
        log.warning(
            "%s: a burst has %d frames, expected %d; the event says so. The plugin's message: %s",
            self.name, taken, n_frames, message,
        )  # fmt: skip
        return taken

    def _lost(self) -> DetectorLostError:
        return DetectorLostError(
            f"{self.name}: the IOC {self.prefix} is gone in the middle of a run; frames that were "
            "written before are good. Restart the IOC, then the scan"
        )

    def _captured(self, value: Any = None, **_: Any) -> None:
        self._n_captured = int(value or 0)
        self._news.set()

    def _acquired(self, value: Any = None, **_: Any) -> None:
        if value in (0, "Done"):
            self._is_acquiring = False
            self._news.set()

    def _connected(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self._news.set()

    @property
    def _exposure_s(self) -> float:
        return float(self.cam.acquire_time.get())

    @_exposure_s.setter
    def _exposure_s(self, value: float) -> None:
        self.cam.acquire_time.set(value).wait()

    def _set_paths(self, directory: Path, of_ioc: str | PurePath | None) -> None:
        if of_ioc is None:
            self.hdf5.write_path_template = str(directory)
            return
        if isinstance(of_ioc, PureWindowsPath):
            self.hdf5.path_semantics = "windows"
            self.hdf5.file_path.path_semantics = "nt"
        self.hdf5.read_path_template = str(directory)
        self.hdf5.write_path_template = str(of_ioc)
