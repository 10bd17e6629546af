"""A motor and a camera that need no hardware: real ophyd devices, real files, known truth."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from ophyd import Component, Device, DeviceStatus, Signal
from ophyd.sim import SynAxis

from femto_bluesky.devices.frame_files import (
    AssetDocument,
    DatumFrames,
    FrameFiles,
    InlineFrames,
    StreamedFrames,
    Style,
    TiffFrames,
)

FrameSource = Callable[[int, float], NDArray[Any]]
"""What makes the frames: the frame of this number, taken at this motor position.

The same number and position must give the same frame: tests ask again to know the truth.
"""


class SimulatedDetectorError(RuntimeError):
    """A simulated detector that is used in a way in which it cannot take frames."""


class HasPosition(Protocol):
    """Anything that says where it stands, as ophyd's motors do."""

    @property
    def position(self) -> float:
        """Where it stands, in its own unit."""


class SimulatedMotor(SynAxis):
    """A motor that is where it was sent, at once. Its readback has the motor's name."""


class MotorWithUnits(SimulatedMotor):
    """A motor whose documents say what it is in, as those of an EPICS motor do."""

    def describe(self) -> OrderedDict[str, Any]:
        """The data keys, with units."""
        found: OrderedDict[str, Any] = super().describe()
        for key in found.values():
            key["units"] = self.egu
        return found


@dataclass(frozen=True, slots=True)
class SimulatedBurst:
    """One burst that a simulated detector took, whether or not an event came of it.

    The source was asked for frames `source_index` to `source_index + n_frames`, at `position`;
    they are at `first_frame` and after in the stack of this staging (the file at `path`).
    """

    source_index: int
    n_frames: int
    position: float
    first_frame: int
    path: Path | None


class SimulatedDetector(Device):
    """A camera whose every trigger takes a burst of `num_images` frames from a `source`.

    Frames are numbered through the detector's life, so no two carry the same noise; the stack of
    a staging starts at its frame 0. A repeated trigger (after a pause) takes new frames and goes
    on in the same file, as a real detector does: the frames of the lost burst stay in it.

    Data keys: `<name>_image`, shape [num_images, rows, columns]; with `report_frames` the scalars
    `<name>_first_frame` (where the burst begins in the stack, from 0) and `<name>_n_frames`.
    Configuration: `<name>_num_images`, `<name>_exposure_s`, `<name>_pixel_size_m` (row, column).
    """

    num_images = Component(Signal, value=1, kind="config")
    exposure_s = Component(Signal, value=0.05, kind="config")
    pixel_size_m = Component(Signal, value=[1.72e-4, 1.72e-4], kind="config")
    first_frame = Component(Signal, value=0, kind="normal")
    n_frames = Component(Signal, value=0, kind="normal")

    def __init__(
        self,
        *,
        name: str,
        source: FrameSource,
        directory: str | Path | None = None,
        style: Style = "stream",
        num_images: int = 1,
        motor: HasPosition | None = None,
        report_frames: bool = True,
        exposure_s: float = 0.05,
        pixel_size_m: float = 1.72e-4,
    ) -> None:
        """Make the camera; nothing is written before it is staged.

        `style` says how frames reach the documents: "inline" (in the event), "datum" (HDF5 behind
        resource and datum), "stream" (HDF5 behind stream_resource and stream_datum) or "tiff" (a
        TIFF file each behind resource and datum). All but "inline" need a `directory`. The
        position handed to the source is that of `motor`, or 0.0 without one.
        Raises `ValueError` for an unknown style or a missing directory.
        """
        if style not in get_args(Style):
            raise ValueError(f"the style is one of {', '.join(get_args(Style))}; not {style!r}")
        if directory is None and style != "inline":
            raise ValueError(
                f"{name}: the style {style!r} writes files; say where with directory=..., "
                "or take style='inline'"
            )
        super().__init__(name=name)
        self.style: Style = style
        self.source = source
        self.bursts: list[SimulatedBurst] = []
        self._directory = None if directory is None else Path(directory).absolute()
        self._motor = motor
        self._files: FrameFiles | None = None
        self._example: NDArray[Any] | None = None
        self._stack_length = 0
        self._reading: Any = None
        self._read_at = 0.0
        self.num_images.put(num_images)
        self.exposure_s.put(exposure_s)
        self.pixel_size_m.put([pixel_size_m, pixel_size_m])
        if not report_frames:
            self.first_frame.kind = "omitted"
            self.n_frames.kind = "omitted"

    @property
    def image_key(self) -> str:
        """The data key of the frames."""
        return f"{self.name}_image"

    @property
    def position(self) -> float:
        """The position that the source is given now."""
        return 0.0 if self._motor is None else float(self._motor.position)

    def truth(self, burst: SimulatedBurst) -> NDArray[Any]:
        """The frames of one burst (n, rows, columns), asked from the source again."""
        numbers = range(burst.source_index, burst.source_index + burst.n_frames)
        return np.stack([self.source(number, burst.position) for number in numbers])

    def stage(self) -> list[object]:
        """Begin a new stack of frames: a new file, numbered from 0."""
        staged: list[object] = super().stage()
        self._files = self._new_files()
        self._stack_length = 0
        return staged

    def unstage(self) -> list[object]:
        """Close the file. Documents that nobody collected are dropped, as ophyd does."""
        if self._files is not None:
            self._files.close()
            self._files = None
        unstaged: list[object] = super().unstage()
        return unstaged

    def trigger(self) -> DeviceStatus:
        """Take a burst of `num_images` frames; done when they are in the file."""
        if self._files is None:
            raise SimulatedDetectorError(
                f"{self.name} was triggered but is not staged, so it has no file to write to; "
                f"use a plan that stages its detectors, or call {self.name}.stage() first"
            )
        n_frames = int(self.num_images.get())
        if n_frames < 1:
            raise SimulatedDetectorError(
                f"{self.name} was asked for a burst of {n_frames} frames; set "
                f"{self.name}.num_images to 1 or more"
            )
        taken = self.bursts[-1].source_index + self.bursts[-1].n_frames if self.bursts else 0
        burst = SimulatedBurst(taken, n_frames, self.position, self._stack_length, self._files.path)
        self._reading = self._files.append(self.truth(burst))
        self._read_at = time.time()
        self._stack_length += n_frames
        self.bursts.append(burst)
        self.first_frame.put(burst.first_frame)
        self.n_frames.put(n_frames)
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def describe(self) -> dict[str, Any]:
        """The data keys; `shape` of the image is that of a burst of the present length."""
        keys: dict[str, Any] = super().describe()
        for key in keys.values():
            key["dtype_numpy"] = "<i8"
        frame = self._frame_like()
        image: dict[str, Any] = {
            "source": f"SIM:{self.name}",
            "dtype": "array",
            "shape": [int(self.num_images.get()), *frame.shape],
            "dtype_numpy": frame.dtype.str,
            "dims": ["frame", "y", "x"],
        }
        if self.style != "inline":
            image["external"] = "STREAM:" if self.style == "stream" else "FILESTORE:"
        return keys | {self.image_key: image}

    def read(self) -> dict[str, Any]:
        """The readings of the last burst; with stream documents the image is not among them."""
        readings: dict[str, Any] = super().read()
        if self._reading is not None:
            readings[self.image_key] = {"value": self._reading, "timestamp": self._read_at}
        return readings

    def collect_asset_docs(self) -> Iterator[AssetDocument]:
        """The documents of the bursts since the last call, each handed out once."""
        if self._files is not None:
            yield from self._files.take_documents()

    def _frame_like(self) -> NDArray[Any]:
        # Asked for once: every frame of a source has the same shape and dtype.
        if self._example is None:
            self._example = self.source(0, self.position)
        return self._example

    def _new_files(self) -> FrameFiles:
        if self._directory is None:
            return InlineFrames()
        self._directory.mkdir(parents=True, exist_ok=True)
        name = f"{self.name}_{uuid.uuid4().hex[:12]}"
        rows, columns = self._frame_like().shape
        dtype = self._frame_like().dtype
        n_frames = int(self.num_images.get())
        match self.style:
            case "inline":
                return InlineFrames()
            case "tiff":
                return TiffFrames(self._directory, name, n_frames)
            case "datum":
                path = self._directory / f"{name}.h5"
                return DatumFrames(path, n_frames, (rows, columns), dtype)
            case "stream":
                path = self._directory / f"{name}.h5"
                return StreamedFrames(path, self.image_key, (rows, columns), dtype)
