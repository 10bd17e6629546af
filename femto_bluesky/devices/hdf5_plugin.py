"""The HDF5 plugin of an areaDetector IOC: one file a staging, written with SWMR, and its documents.

Naming the file, starting the capture and the resource document are ophyd's
(`ophyd.areadetector.filestore_mixins.FileStoreHDF5`); SWMR, checks and stream documents are here.
What the plugin does: https://areadetector.github.io/areaDetector/ADCore/NDFileHDF5.html
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from event_model import compose_stream_resource
from event_model.documents import StreamRange
from numpy.typing import NDArray
from ophyd import Component
from ophyd.areadetector.base import EpicsSignalWithRBV
from ophyd.areadetector.filestore_mixins import FileStoreHDF5
from ophyd.areadetector.plugins import HDF5Plugin_V34

from femto_bluesky.devices.frame_files import DATASET, is_lost
from femto_bluesky.files.opening import open_hdf5
from femto_bluesky.files.stacks import MIMETYPE, file_uri

PluginStyle = Literal["stream", "datum", "inline"]

SETTLE_S = 2.0
"""How long a readback may be behind what was set; it comes by a way of its own."""

OPEN_S = 10.0
"""How long a file may take to be opened."""

WARMUP_S = 10.0
"""How long a frame may take beside its exposure until the plugin has it."""


class DetectorError(RuntimeError):
    """A detector that cannot do what was asked; the message says why and what to do."""


class SwmrHdf5Plugin(HDF5Plugin_V34, FileStoreHDF5):
    """An HDF5 plugin that streams each staging into one file which others may read meanwhile.

    `style` says how documents point to the frames: "stream" (stream_resource and stream_datum,
    whose indices count bursts), "datum" (resource AD_HDF5_SWMR and a datum a burst) or "inline" (no
    way to the file: the frames are read from it and stand in the event, for small cameras and for
    tests).

    ADCore must be 3.4 or newer. Staging raises `DetectorError` where the IOC does not open the file
    or does not write it with SWMR, or where the plugin expects frames of another shape than the
    camera takes now.
    """

    # ophyd's waits forever for a file that cannot be opened
    capture = Component(EpicsSignalWithRBV, "Capture", write_timeout=OPEN_S)

    def __init__(
        self,
        prefix: str,
        *,
        style: PluginStyle = "stream",
        write_path_template: str = "/",
        **of_component: Any,
    ) -> None:
        super().__init__(prefix, write_path_template=write_path_template, **of_component)
        self.style: PluginStyle = style
        self.filestore_spec = "AD_HDF5_SWMR"
        self.read_attrs: list[str] = []
        self.configuration_attrs = ["compression", "full_file_name"]
        self.stage_sigs.update(
            {
                "lazy_open": "No",
                "swmr_mode": "On",
                "num_frames_chunks": 1,  # a frame is read without its neighbours
                "num_frames_flush": 1,
                "num_extra_dims": 0,  # or the dataset has more than frame, row and column
                "min_callback_time": 0,  # or the plugin leaves out frames
            }
        )
        # the settings above count only while no file is open
        self.stage_sigs.move_to_end("capture")
        self.file: Path | None = None
        self.n_bursts = 0
        self._compose: Callable[..., Mapping[str, Any]] | None = None
        self._resource: dict[str, Any] = {}
        self._resource_kwargs: dict[str, Any] = {}
        self._reading: dict[str, Any] | None = None

    def make_filename(self) -> tuple[str, str, str]:
        """A name that no other staging has, the folder as read here, and as the IOC writes it."""
        _, read_path, write_path = super().make_filename()
        # as the IOC will read it back
        slash = "\\" if self.path_semantics == "windows" else "/"
        name = f"{self.parent.name}_{uuid.uuid4().hex[:12]}"
        return name, read_path, write_path.rstrip(slash) + slash

    def stage(self) -> None:
        """Open a new file on the IOC."""
        self._check_shape()
        self.n_bursts = 0
        self._reading = None
        self.file = None
        try:
            super().stage()
        except TimeoutError as failure:
            if not self.capture.connected:
                raise
            raise DetectorError(
                f"{self.parent.name}: the HDF5 plugin opens no file {self.file_name.get()!r} in "
                f"{self.file_path.get()!r} ({failure}); may the IOC write there, and is there room "
                f"on the disk? The plugin's message: {self.write_message.get() or 'none'}"
            ) from failure
        deadline = time.monotonic() + SETTLE_S
        while self.swmr_active.get(as_string=True) not in ("Active", "1"):
            if time.monotonic() > deadline:
                self.unstage()
                raise DetectorError(
                    f"{self.parent.name}: the file {self._fn} is not written with SWMR, so no "
                    "frame could be read before the run ends; the IOC needs ADCore 3.4 or newer "
                    f"with HDF5 1.10 or newer, and {self.prefix}SWMRSupported_RBV must say so. The "
                    f"plugin's message: {self.write_message.get() or 'none'}"
                )
            time.sleep(0.02)
        self.file = Path(self._fn)

    def unstage(self) -> None:
        """Close the file. Documents that nobody collected are dropped, as ophyd does."""
        self._compose = None
        for signal, value in list(self._original_vals.items()):
            if isinstance(value, str) and not value:
                # over Channel Access an empty text never reads back as it was set: do not wait
                del self._original_vals[signal]
        super().unstage()

    def warmup(self) -> None:
        """Show the plugin a frame, by which it lays out its files; the settings are put back.

        In place of ophyd's, whose image mode not every driver knows. Raises `DetectorError` where
        no frame comes.
        """
        cam = self.parent.cam
        settings = {
            self.enable: 1,
            cam.array_callbacks: 1,
            cam.image_mode: self.parent.mode_of_bursts,
            cam.num_images: 1,
            cam.trigger_mode: "Internal",
        }
        before = {signal: signal.get() for signal in settings}
        try:
            for signal, value in settings.items():
                signal.set(value).wait(10)
            seen = self.array_counter.get()
            deadline = time.monotonic() + float(cam.acquire_time.get()) + WARMUP_S
            cam.acquire.put(1, wait=False)
            while self.array_counter.get() == seen or cam.acquire.get():
                if time.monotonic() > deadline:
                    cam.acquire.put(0, wait=False)
                    raise DetectorError(
                        f"{self.parent.name}: no frame came to the HDF5 plugin; look at "
                        f"{cam.prefix}DetectorState_RBV, and whether the plugin's array port is "
                        f"the camera's"
                    )
                time.sleep(0.02)
        finally:
            for signal, value in before.items():
                signal.set(value).wait(10)

    def note_burst(self, first_frame: int, n_frames: int) -> None:
        """Say in documents that the file has another burst, and where."""
        if is_lost(self._resource, self._asset_docs_cache):
            self._generate_resource(self._resource_kwargs)
        if self._compose is not None:
            indices = StreamRange(start=self.n_bursts, stop=self.n_bursts + 1)
            self._asset_docs_cache.append(("stream_datum", dict(self._compose(indices=indices))))
        elif self.style == "inline":
            self._reading = {
                "value": self._read_frames(first_frame, n_frames),
                "timestamp": time.time(),
            }
        else:
            datum = self._datum_factory({"point_number": self.n_bursts})
            self._asset_docs_cache.append(("datum", datum))
            self._reading = {"value": datum["datum_id"], "timestamp": time.time()}
        self.n_bursts += 1

    def describe(self) -> dict[str, Any]:
        """The image, also before the first burst."""
        return {self.parent.image_key: self.parent.make_data_key()}

    def read(self) -> dict[str, Any]:
        """The last burst, or its datum; with stream documents nothing."""
        return {} if self._reading is None else {self.parent.image_key: self._reading}

    def _read_frames(self, first: int, n_frames: int) -> NDArray[Any]:
        if self.file is None:
            raise DetectorError(f"{self.parent.name} is not staged, so it has no frames to read")
        with open_hdf5(self.file) as file:
            frames: NDArray[Any] = file[DATASET][first : first + n_frames]
        return frames

    def _generate_resource(self, resource_kwargs: dict[str, Any]) -> None:
        self._resource, self._resource_kwargs = {}, resource_kwargs
        if self.style == "inline":
            return
        if self.style == "datum":
            super()._generate_resource(resource_kwargs)
            self._resource = self._asset_docs_cache[-1][1]
            # the path is the one that is read here, whatever the IOC's own looks like
            self._resource["path_semantics"] = "posix"
            return
        height, width = self.frame_shape
        bundle = compose_stream_resource(
            mimetype=MIMETYPE,
            uri=file_uri(Path(self._fn)),
            data_key=self.parent.image_key,
            parameters={"dataset": DATASET, "chunk_shape": [1, height, width], "swmr": True},
        )
        self._compose = bundle.compose_stream_datum
        self._resource = dict(bundle.stream_resource_doc)
        self._asset_docs_cache.append(("stream_resource", self._resource))

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of the frames that the plugin has seen last, as it will write them."""
        return int(self.height.get()), int(self.width.get())

    def _check_shape(self) -> None:
        camera = self.parent.cam
        if self.nd_array_port.get() != camera.port_name.get():
            return  # frames are changed on their way, by a plugin that knows
        size = camera.array_size
        taken = int(size.array_size_y.get()), int(size.array_size_x.get())
        if taken != self.frame_shape:
            raise DetectorError(
                f"{self.parent.name}: the HDF5 plugin has last seen frames of {self.frame_shape} "
                f"(rows, columns), the camera takes {taken} now; it lays out the file by what it "
                f"has seen, so call {self.parent.name}.hdf5.warmup() after a change of the readout "
                "region or the binning"
            )
