"""An example of a callback of one's own: a fluorescence map from an X-ray spectrometer.

Run it on a recorded mesh: ``femto-bluesky replay contrast.pkls xspress.pkls --callback
femto_bluesky.callbacks.fluorescence_map:FluorescenceMap --out results``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from bluesky.callbacks import CallbackBase
from event_model import Event
from numpy.typing import NDArray

from femto_bluesky.files.names import new_path
from femto_bluesky.files.pictures import draw
from femto_bluesky.model.results import DataGroup, Quantity


class FluorescenceMap(CallbackBase):
    """Counts in a window of channels, summed over the detector's elements, at each point of a mesh.

    Channels are those of `first_channel` to `last_channel` (half open; None: to the end) of the
    first data key of an event whose `dims` name a "channel" and a "bin". `counts` is the list of
    points in the order they were taken, `image()` the map. With a `directory`, a picture is left
    there when the run ends.
    """

    def __init__(
        self,
        first_channel: int = 0,
        last_channel: int | None = None,
        directory: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.window = slice(first_channel, last_channel)
        self.directory = directory
        self.counts: list[float] = []
        self.paths: list[Path] = []
        self._points: list[list[float]] = []
        self._start: Mapping[str, Any] = {}
        self._keys: dict[str, str] = {}

    def start(self, doc: Mapping[str, Any]) -> None:
        """Begin a new map."""
        self._start = doc
        self.counts, self._points = [], []

    def descriptor(self, doc: Mapping[str, Any]) -> None:
        """Find the spectra among the data keys."""
        for key, entry in doc["data_keys"].items():
            if {"channel", "bin"} <= set(entry.get("dims") or ()):
                self._keys.setdefault(doc["uid"], key)

    def event(self, doc: Event) -> Event:
        """Add a point."""
        key = self._keys.get(doc["descriptor"])
        if key is not None and key in doc["data"]:
            spectra = np.asarray(doc["data"][key])
            self.counts.append(float(spectra[..., self.window].sum()))
            self._points.append([float(doc["data"][motor]) for motor in self._motors])
        return doc

    def stop(self, doc: Mapping[str, Any]) -> None:
        """Draw the map."""
        if self.directory is not None and self.counts:
            stem = f"scan_{self._start.get('scan_id', '')}_fluorescence"
            path = new_path(self.directory, stem, "png")
            draw(self.group(), path)
            self.paths.append(path)

    def image(self) -> NDArray[np.float64]:
        """The map (slow motor, fast motor), NaN where no point was taken.

        Raises `ValueError` for a run that is not a mesh of two motors.
        """
        shape = self._shape
        image = np.full(shape, np.nan)
        image.flat[: len(self.counts)] = self.counts
        return image

    def group(self) -> DataGroup:
        """The map with its axes, to be drawn or written."""
        image, (slow, fast) = self.image(), self._motors
        places = np.full((*image.shape, 2), np.nan)
        places.reshape(-1, 2)[: len(self._points)] = self._points
        return DataGroup(
            path="fluorescence",
            title=f"Fluorescence, channels {self.window.start} to {self.window.stop or 'end'}",
            signal=Quantity("counts", image, long_name="counts"),
            axes=(
                Quantity(slow, np.nanmean(places[..., 0], axis=1), units="motor units"),
                Quantity(fast, np.nanmean(places[..., 1], axis=0), units="motor units"),
            ),
        )

    @property
    def _motors(self) -> list[str]:
        return [fields[0] for fields, _ in self._start["hints"]["dimensions"]]

    @property
    def _shape(self) -> tuple[int, int]:
        shape = tuple(self._start.get("shape", ()))
        if len(shape) != 2 or len(self._motors) != 2:
            raise ValueError(
                f"run {self._start.get('uid')} scans {self._motors} with shape {shape}; a map "
                "needs a mesh of two motors"
            )
        return int(shape[0]), int(shape[1])
