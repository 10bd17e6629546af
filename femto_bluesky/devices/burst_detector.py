"""A camera behind an areaDetector IOC whose every trigger takes a burst of frames."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, get_args

import numpy as np
from ophyd import Component, DeviceStatus, Signal
from ophyd.areadetector.cam import CamBase
from ophyd.areadetector.detectors import DetectorBase
from ophyd.device import Staged
from ophyd.signal import AttributeSignal

from femto_bluesky.devices.burst_watch import BurstWatch, DetectorLostError, is_gone
from femto_bluesky.devices.hdf5_plugin import (
    SETTLE_S,
    DetectorError,
    PluginStyle,
    SwmrHdf5Plugin,
)
from femto_bluesky.model.detectors import DetectorSettings, settings_of

__all__ = ["BurstDetector", "DetectorError", "DetectorLostError"]

log = logging.getLogger(__name__)

CONFIGURED = (
    "acquire_time acquire_period num_images image_mode trigger_mode manufacturer model min_x min_y "
    "size.size_x size.size_y"
).split()
"""What every descriptor says of the camera itself; subclasses add to it."""


class BurstDetector(DetectorBase):
    """A camera with an HDF5 plugin: `cam.num_images` frames a trigger, all of a staging in a file.

    A subclass names the camera class as `cam`, how `cam.image_mode` calls a finite number of frames
    (`mode_of_bursts`), which of the camera's records belong in descriptors (`configured`), and the
    pixel (`pixel_m`, in metres) where the table of detectors does not know it by the name.
    `directory` is where files go, as this computer sees it; `ioc_directory` as the IOC sees it,
    where that differs (a `PureWindowsPath` for an IOC on Windows).

    Data keys: `<name>_image`, shape [num_images, rows, columns]; `<name>_first_frame` (where the
    burst begins in the file, from 0) and `<name>_n_frames` (how many frames have come: fewer than
    asked for where the camera or the plugin dropped some, which the log says).
    Configuration: `<name>_exposure_s`, `<name>_pixel_size_m` (row, column), and those of the camera
    as `<name>_cam_...`, among them `min_x`, `min_y`, `size_size_x`, `size_size_y`.
    """

    mode_of_bursts = "Multiple"
    configured: tuple[str, ...] = ()
    pixel_m: float | None = None
    own_configuration: tuple[str, ...] = ("pixel_size_m", "exposure_s")

    # before the plugin: a camera in live view is stopped first, and nothing of that is in the file
    cam = Component(CamBase, "cam1:")
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

        `style` is how documents point to frames, as in `SwmrHdf5Plugin`; `pixel_size_m` is the edge
        of a pixel (None: as the table of detectors or the class says). Raises `ValueError` for
        another style.
        """
        if style not in get_args(PluginStyle):
            raise ValueError(
                f"{name}: the style is one of {', '.join(get_args(PluginStyle))}; not {style!r}"
            )
        super().__init__(prefix, name=name)
        self.hdf5.style = style
        self._set_paths(Path(directory).absolute(), ioc_directory)
        known = settings_of(name)
        edge = self.pixel_m if pixel_size_m is None else pixel_size_m
        if pixel_size_m is None and known.pixel_size_m is not None:
            self.pixel_size_m.put(list(known.pixel_size_m))
        elif edge is not None:
            self.pixel_size_m.put([edge, edge])
        self._take_over(known)
        self.cam.configuration_attrs = [*CONFIGURED, *self.configured]
        self.cam.stage_sigs.update({"acquire": 0, "image_mode": self.mode_of_bursts})
        self.read_attrs = ["hdf5", "first_frame", "n_frames"]
        self.configuration_attrs = ["cam", *self.own_configuration]
        self._watch: BurstWatch | None = None

    def _take_over(self, known: DetectorSettings) -> None:
        """Take over more of what the table of detectors knows; for subclasses."""

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
        self._watch = BurstWatch(self)
        return staged

    def unstage(self) -> list[object]:
        """End a burst that is being taken, close the file and put back what staging has set.

        Where the IOC is gone there is nothing to be put back: the log says so, nothing is raised.
        """
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.end()
        if self.cam.acquire.connected:
            try:
                unstaged: list[object] = super().unstage()
            except Exception as failure:
                if not is_gone(self, failure):
                    raise
                log.warning("%s: %s", self.name, failure)
            else:
                return unstaged
        log.error("%s: the IOC is gone, so what staging has set on it stays", self.name)
        for device in (self, *(device for _, device in self.walk_subdevices())):
            device._original_vals.clear()
            device._staged = Staged.no
        return [self]

    def stop(self, *, success: bool = False) -> None:
        """Stop the camera. A burst that is being taken ends with the frames that it has.

        ophyd calls it also when a burst has failed.
        """
        if self.cam.acquire.connected:
            self.cam.acquire.put(0, wait=False)
        super().stop(success=success)

    def configure(self, d: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Change the configuration; `num_images` stands for `cam.num_images`."""
        named = {"cam.num_images" if key == "num_images" else key: d[key] for key in d}
        before, after = super().configure(named)
        return before, after

    def trigger(self) -> DeviceStatus:
        """Take a burst; done when its frames are in the file.

        The status fails with `DetectorLostError` when the IOC goes away meanwhile, and with
        `DetectorError` when no frame came, or the plugin could not write one. Where the detector is
        unstaged meanwhile it is done, and the log says that the burst was lost.
        """
        if self._staged != Staged.yes or self._watch is None:
            raise DetectorError(
                f"{self.name} was triggered but is not staged, so it has no file to write to; use "
                f"a plan that stages its detectors, or call {self.name}.stage() first"
            )
        return self._watch.take()

    def note_burst(self, first_frame: int, n_frames: int) -> None:
        """Say in the next event, and in documents, where the burst is that has been taken."""
        self.first_frame.put(first_frame)
        self.n_frames.put(n_frames)
        self.hdf5.note_burst(first_frame, n_frames)

    @property
    def _exposure_s(self) -> float:
        return float(self.cam.acquire_time.get())

    @_exposure_s.setter
    def _exposure_s(self, value: float) -> None:
        try:
            self.cam.acquire_time.set(value, timeout=SETTLE_S).wait()
        except TimeoutError:
            # a camera rounds to rows, and has limits; ophyd would wait for the value for ever
            log.warning(
                "%s: asked for an exposure of %g s, the camera takes %g s",
                self.name, value, self._exposure_s,
            )  # fmt: skip

    def _set_paths(self, directory: Path, of_ioc: str | PurePath | None) -> None:
        if of_ioc is None:
            self.hdf5.write_path_template = str(directory)
            return
        if isinstance(of_ioc, PureWindowsPath):
            self.hdf5.path_semantics = "windows"
            self.hdf5.file_path.path_semantics = "nt"
        self.hdf5.read_path_template = str(directory)
        self.hdf5.write_path_template = str(of_ioc)
