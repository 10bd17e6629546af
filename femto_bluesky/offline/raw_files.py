"""Which dataset of a raw file holds the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from femto_bluesky.files.opening import open_hdf5
from femto_bluesky.stream.frames import FrameError, Hdf5Frames

PHOTONS = ("/entry/photons/y", "/hits/hits_xye")
"""What tells a photon file, ours and the predecessor's, from a raw one."""

MOST_NAMED = 20
"""So many datasets an error names."""


class RawFileError(ValueError):
    """A file in which frames cannot be told from the rest; the message says what is there."""


def dataset_of(path: Path, dataset: str | None = None) -> str:
    """The dataset of frames (frames, rows, columns): the one named, or the only one in the file.

    One image (rows, columns) is a stack of one frame where there is no other. Raises
    `RawFileError` where there is none or more than one, or for a photon file, and `FrameError`
    where the file cannot be read.
    """
    with _opened(path) as file:
        if dataset is not None:
            return dataset
        try:
            is_of_photons = any(name in file for name in PHOTONS)
            found = _images(file)
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            # what h5py raises depends on the part of the file that is broken
            raise FrameError(
                f"{path}: the file is damaged ({error}); copy the whole file again"
            ) from error
    if is_of_photons:
        raise RawFileError(
            f"{path} is a photon file already; look at it with `femto-bluesky inspect`, or "
            "name a raw file"
        )
    stacks = {name: shape for name, shape in found.items() if len(shape) == 3} or found
    if len(stacks) == 1:
        return next(iter(stacks))
    if not stacks:
        raise RawFileError(
            f"{path}: found no dataset of frames, expected one of (frames, rows, columns); is it "
            "a raw file of a camera?"
        )
    named = [f"{name} {shape}" for name, shape in stacks.items()]
    there = ", ".join(named[:MOST_NAMED]) + " and more" * (len(named) > MOST_NAMED)
    raise RawFileError(
        f"{path}: found {len(stacks)} stacks of images: {there}; name one: --dataset"
    )


def open_frames(path: Path, dataset: str) -> Hdf5Frames:
    """The frames of a dataset, each to be read once; nothing is opened yet."""
    return Hdf5Frames(path, dataset, is_mapped=True)


def _images(file: h5py.File) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def look(name: str, item: Any) -> None:
        is_image = isinstance(item, h5py.Dataset) and item.ndim in (2, 3)
        # one row or column only is a list of numbers
        if is_image and item.dtype.kind in "uif" and min(item.shape[-2:]) > 1:
            found[f"/{name}"] = item.shape

    file.visititems(look)
    return found


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise FrameError(f"{path}: no such file; check the path")
    try:
        return open_hdf5(path)
    except (OSError, ValueError) as error:
        raise FrameError(
            f"{path}: not readable as HDF5 ({error}); name a raw file. While it is being written, "
            'the writer must use libver="latest" and swmr_mode'
        ) from error
