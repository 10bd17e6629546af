"""Darks on the disk: a folder for each collection, which is never written into again."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from femto_bluesky import __version__
from femto_bluesky.files.arrays import ImageFileError, read_image, write_image
from femto_bluesky.files.names import new_file, new_path
from femto_bluesky.model.darks import DarkImages

log = logging.getLogger(__name__)

RECORD = "dark.json"


@dataclass(frozen=True, slots=True)
class DarkFiles:
    """Where the darks of a detector are kept, and what is told of them.

    `level` is a .npy image of dark levels (float32, ADU), what `dark_file` of `PhotonDetection` and
    `CmosCleaning` takes; `noise` one of standard deviations; `hot_pixels` is True where a pixel is
    hot (`hot_pixel_file`, or a detector's `mask_file`). `last_time` is when the last frame was
    taken, in seconds since 1970 (UTC).
    """

    folder: Path
    detector: str
    run: str
    n_frames: int
    n_hot_pixels: int
    level_adu: float
    noise_adu: float | None
    shape: tuple[int, int]
    last_time: float

    @property
    def level(self) -> Path:
        """The image of dark levels."""
        return self.folder / "level.npy"

    @property
    def noise(self) -> Path:
        """The image of the noise."""
        return self.folder / "noise.npy"

    @property
    def hot_pixels(self) -> Path:
        """The mask of hot pixels."""
        return self.folder / "hot_pixels.npy"


def write_darks(
    directory: Path | str, images: DarkImages, settings: Mapping[str, Any] | None = None
) -> DarkFiles:
    """Write darks into a new folder in `directory`, which is made where it is missing.

    `settings` are what they were worked out with, as plain data. The record (`dark.json`) is
    written last: a folder without one was not finished. Raises `OutputError` where nothing can be
    written, `ValueError` for darks without any valid pixel.
    """
    if np.isnan(images.level_adu):
        raise ValueError(
            f"the dark frames of {images.detector!r} have no valid pixel, so there is no dark "
            "level to keep; check the detector's mask"
        )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    when = datetime.fromtimestamp(images.last_time, UTC)
    folder = new_path(directory, f"{images.detector}_dark_{when:%Y%m%dT%H%M%SZ}", "")
    folder.mkdir()
    files = DarkFiles(
        folder=folder,
        detector=images.detector,
        run=images.run,
        n_frames=images.n_frames,
        n_hot_pixels=int(np.count_nonzero(images.hot)),
        level_adu=images.level_adu,
        noise_adu=None if np.isnan(images.noise_adu) else images.noise_adu,
        shape=(images.level.shape[0], images.level.shape[1]),
        last_time=images.last_time,
    )
    write_image(files.level, images.level)
    write_image(files.noise, images.noise)
    write_image(files.hot_pixels, images.hot)
    record = {
        "detector": files.detector,
        "run": files.run,
        "first_frame_taken": datetime.fromtimestamp(images.first_time, UTC).isoformat(),
        "last_frame_taken": when.isoformat(),
        "last_time": files.last_time,
        "n_frames": files.n_frames,
        "n_hot_pixels": files.n_hot_pixels,
        "level_adu": files.level_adu,
        "noise_adu": files.noise_adu,
        "shape": list(files.shape),
        "settings": dict(settings or {}),
        "software": f"femto_bluesky {__version__}",
    }
    with new_file(folder / RECORD) as part:
        part.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return files


def read_darks(folder: Path | str) -> DarkFiles:
    """The darks in a folder. Raises `ImageFileError` where there are none, or not all of them."""
    folder = Path(folder)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        rows, columns = record["shape"]
        files = DarkFiles(
            folder=folder,
            detector=str(record["detector"]),
            run=str(record["run"]),
            n_frames=int(record["n_frames"]),
            n_hot_pixels=int(record["n_hot_pixels"]),
            level_adu=float(record["level_adu"]),
            noise_adu=None if record["noise_adu"] is None else float(record["noise_adu"]),
            shape=(int(rows), int(columns)),
            last_time=float(record["last_time"]),
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ImageFileError(
            f"{folder}: found no record of darks ({RECORD}: {error!r}), expected a folder that "
            "DarkCollection.save has written; collect the darks again"
        ) from error
    for path, what in ((files.level, "dark image"), (files.hot_pixels, "mask of hot pixels")):
        if read_image(path, what).shape != files.shape:
            raise ImageFileError(
                f"{path}: the {what} has another shape than {files.shape}, which {RECORD} says; "
                "collect the darks again"
            )
    return files


def newest_darks(directory: Path | str) -> dict[str, DarkFiles]:
    """The newest darks of each detector in a directory of collections, by the detector's name.

    A folder that cannot be read is left out, and the log says so; also where there is none at all.
    """
    found: dict[str, DarkFiles] = {}
    for record in sorted(Path(directory).glob(f"*/{RECORD}")):
        try:
            files = read_darks(record.parent)
        except ImageFileError as error:
            log.warning("%s", error)
            continue
        before = found.get(files.detector)
        if before is None or files.last_time >= before.last_time:
            found[files.detector] = files
    if not found:
        log.warning("%s: no darks found; collect some, or check the path", directory)
    return found
