"""The shots of an event: its frames, masked, with the motors and labels of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.arrays import ImageFileError, read_image
from femto_bluesky.model.detectors import DetectorSettings, settings_of
from femto_bluesky.model.shots import DenseFrame, Mask, Shot
from femto_bluesky.stream.events import FIRST_FRAME, N_FRAMES, Burst, Document, JoinedEvent
from femto_bluesky.stream.frames import FrameError
from femto_bluesky.stream.steps import Step


class ShotMaker:
    """Makes the shots of events, with the detector's mask applied.

    `detectors` are the settings by what detectors' names begin with.
    """

    def __init__(self, detectors: Mapping[str, DetectorSettings]) -> None:
        self._detectors = detectors
        self._masks: dict[str, Mask] = {}
        self._buffers: dict[str, Mask] = {}

    def shots(
        self, event: JoinedEvent, step: Step, parts: Sequence[range] | None = None
    ) -> Iterator[Shot]:
        """The shots of an event, detector by detector; the frames of each in turn.

        Of `parts`, which count the shots of the event from 0, only these are made and read. The
        pixels of a shot are good until the next one is made.
        """
        labels = label_columns(event, step)
        for detector, burst in event.bursts.items():
            settings = self.known(detector)
            configuration = event.descriptor.get("configuration", {}).get(detector, {})
            found = configuration.get("data", {})
            origin = origin_of(event.descriptor, detector)
            for index, pixels in _numbered(burst, parts):
                yield Shot(
                    run=event.start["uid"],
                    step=step.number,
                    number=step.first_shot + index,
                    detector=detector,
                    frame=DenseFrame(pixels, self._mask(detector, settings, pixels)),
                    position=step.position,
                    labels={key: column[index] for key, column in labels.items()},
                    known=settings,
                    pixel_size_m=_pixel_size(found, settings),
                    origin=origin,
                    time=float(event.doc["time"]),
                )

    def known(self, detector: str) -> DetectorSettings:
        """What is known of a detector, by its name."""
        return settings_of(detector, self._detectors)

    def _mask(self, detector: str, settings: DetectorSettings, pixels: NDArray[Any]) -> Mask | None:
        """The detector's mask of a frame, or None where every pixel is valid."""
        fixed = self._fixed_mask(detector, settings, pixels.shape)
        can_be_invalid = pixels.dtype.kind == "f" or (
            settings.mask_negative and pixels.dtype.kind == "i"
        )
        if not can_be_invalid:
            return fixed
        mask = self._buffers.get(detector)
        if mask is None or mask.shape != pixels.shape:
            mask = self._buffers[detector] = np.empty(pixels.shape, np.bool_)
        if settings.mask_negative:
            # not (0 <= v < infinity), so that NaN is masked too
            np.greater_equal(pixels, 0, out=mask)
            if pixels.dtype.kind == "f":
                np.logical_and(mask, pixels < np.inf, out=mask)
            np.logical_not(mask, out=mask)
        else:
            np.isfinite(pixels, out=mask)
            np.logical_not(mask, out=mask)
        if fixed is not None:
            np.logical_or(mask, fixed, out=mask)
        return mask if mask.any() else None

    def _fixed_mask(
        self, detector: str, settings: DetectorSettings, shape: tuple[int, ...]
    ) -> Mask | None:
        if settings.mask_file is None:
            return None
        if detector not in self._masks:
            try:
                mask = read_image(settings.mask_file, f"mask of {detector!r}") != 0
            except ImageFileError as error:
                raise FrameError(str(error)) from error
            # the same for every frame; who counts masks can rely on that
            mask.flags.writeable = False
            self._masks[detector] = mask
        mask = self._masks[detector]
        if mask.shape != shape:
            raise FrameError(
                f"{settings.mask_file}: the mask has shape {mask.shape}, the frames of "
                f"{detector!r} have {shape}; make a mask for this readout region"
            )
        return mask


def _numbered(burst: Burst, parts: Sequence[range] | None) -> Iterator[tuple[int, NDArray[Any]]]:
    """The frames of a burst with their numbers in it; of `parts` only."""
    if parts is None:
        yield from enumerate(burst.frames())
        return
    for part in parts:
        # another detector of the event may have more frames
        stop = min(burst.start + part.stop, burst.stop)
        yield from enumerate(
            replace(burst, start=burst.start + part.start, stop=stop).frames(), part.start
        )


def label_keys(descriptor: Document) -> list[str]:
    """The data keys that can label shots: numbers, and arrays of one dimension.

    The places of frames in files are no labels, and neither are the motors, which are positions.
    """
    return [
        key
        for key, entry in descriptor["data_keys"].items()
        if entry["dtype"] in ("number", "integer", "boolean")
        or (entry["dtype"] == "array" and len(entry.get("shape") or ()) == 1)
        if not key.endswith((FIRST_FRAME, N_FRAMES)) and key not in ("step", "shot")
    ]


def label_columns(event: JoinedEvent, step: Step) -> dict[str, list[float]]:
    """What an event says of its shots beside motors and frames: a list of numbers for each label.

    A number is of every shot of the burst; of an array, each shot has its own element. An array
    that has another length than the burst, or holds anything but numbers, labels nothing.
    """
    columns = {}
    for key in label_keys(event.descriptor):
        if key in step.position or key not in event.doc["data"]:
            continue
        try:
            values = np.asarray(event.doc["data"][key], dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if values.ndim == 0:
            values = np.full(step.n_shots, values)
        if values.shape == (step.n_shots,):
            columns[key] = [float(value) for value in values]
    return columns


def _pixel_size(
    configuration: Mapping[str, Any], settings: DetectorSettings
) -> tuple[float, float] | None:
    """Height and width of a pixel in metres: as the run's descriptor says, or as the table does."""
    for key, value in configuration.items():
        if key.endswith("pixel_size_m"):
            height, width = np.broadcast_to(np.asarray(value, np.float64), 2)
            return float(height), float(width)
    return settings.pixel_size_m


def origin_of(descriptor: Document, detector: str) -> tuple[int, int]:
    """First row and column of the readout region, from areaDetector's MinY and MinX."""
    configuration = descriptor.get("configuration", {}).get(detector, {}).get("data", {})
    found = [
        next((int(value) for key, value in configuration.items() if key.endswith(end)), 0)
        for end in ("min_y", "min_x")
    ]
    return found[0], found[1]
