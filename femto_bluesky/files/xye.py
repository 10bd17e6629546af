"""Photon files: where they are written, and what is in them.

    photons = xye.read("process/xye/scan_12_xye.h5")

reads this package's files (see `photon_file`) and those of the predecessor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.checked import XyeError, XyeFileError, open_checked
from femto_bluesky.files.names import OutputError, new_path
from femto_bluesky.files.photon_contents import NO_FRAME, Contents, read_contents
from femto_bluesky.model import eta as offsets

__all__ = [
    "NO_FRAME",
    "XYE",
    "Contents",
    "XyeError",
    "XyeFileError",
    "contents",
    "path_for",
    "read",
]

XYE = np.dtype([("y", "<f8"), ("x", "<f8"), ("energy", "<f4"), ("frame", "<i8")])
"""One photon: row, column (pixel centres are whole numbers), energy in ADU, frame."""


def read(path: str | Path, *, eta: bool = False) -> NDArray[Any]:
    """The photons of a file as a structured array with the fields of `XYE`.

    They come in the order of the shots; frames that were taken again are left out. `frame` is the
    index in the raw dataset, `NO_FRAME` where the predecessor did not say. With `eta`, positions
    are corrected by the offsets that the file has counted (see `model.eta`).

    A file that is being written is read as it is. Raises `XyeFileError` (an OSError) where it is
    not there, and `XyeError` (a ValueError) where it holds no photons, is damaged, or has counted
    too few offsets.
    """
    found = contents(path)
    photons = _corrected(Path(path), found) if eta else found.photons
    out = np.empty(len(photons), XYE)
    for name in ("y", "x", "energy"):
        out[name] = photons[name]
    out["frame"] = found.frame_of_photon
    return out


def contents(path: str | Path) -> Contents:
    """All that counts in a file: photons with their flags, frames, histogram, settings.

    Raises as `read` does.
    """
    with open_checked(Path(path)) as file:
        return read_contents(file)


def path_for(raw: Path | None, directory: Path | None, stem: str) -> Path:
    """Where a photon file goes; folders are made.

    In `directory`, or else near the raw file: in its folder, with the last part that is ``raw``
    replaced by ``process/xye``. It is called after the raw file, or `stem` where there is none:
    ``<stem>_xye.h5``, with a number where that is taken, which the log says. Raises `OutputError`
    where there is neither folder nor raw file, or the folder cannot be made.
    """
    if directory is None:
        if raw is None:
            raise OutputError(
                f"no folder for the photons of {stem!r}: there is no raw file beside which they "
                "could be written; give a directory"
            )
        directory = _process_folder(raw.absolute().parent)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {directory} for photons: {error.strerror}; give a directory "
            "where you may write"
        ) from error
    return new_path(directory, f"{stem if raw is None else raw.stem}_xye", ".h5")


def _process_folder(folder: Path) -> Path:
    parts = list(folder.parts)
    if "raw" not in parts:
        return folder
    last = len(parts) - 1 - parts[::-1].index("raw")
    return Path(*parts[:last], "process", "xye", *parts[last + 1 :])


def _corrected(path: Path, found: Contents) -> NDArray[Any]:
    if found.offsets is None:
        raise XyeError(
            f"{path}: the predecessor's files count no offsets; read it without eta, or find its "
            "photons again in the raw frames"
        )
    n_photons = int(found.offsets.sum(axis=1).min())
    if n_photons < offsets.MIN_PHOTONS:
        raise XyeError(
            f"{path}: the positions of {n_photons} photons were counted, expected at least "
            f"{offsets.MIN_PHOTONS} to learn a correction from; read it without eta"
        )
    return offsets.correct(found.photons, found.offsets)
