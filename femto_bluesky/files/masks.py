"""Masks in files, of this package and of others: .npy, .edf, .tif, .cbf, .msk, HDF5.

In all of them what is not 0 is masked, as pyFAI and fabio have it (pyFAI-drawmask writes .edf,
.npy and .tif so), NeXus (`pixel_mask`), and the hot pixels that `femto-bluesky hot-pixels` learns.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from femto_bluesky.files.arrays import read_image, write_image
from femto_bluesky.model.masks import checked, combine, in_words
from femto_bluesky.model.shots import Mask

log = logging.getLogger(__name__)


def read_mask(path: Path | str, shape: tuple[int, int] | None = None) -> Mask:
    """The mask in a file: True where it is not 0. A dataset of HDF5 is ``mask.h5::/entry/mask``.

    Raises `ImageFileError` for what is no image, `MaskError` for one of another shape than the
    frames (where `shape` is given), with NaN, or that leaves no pixel.
    """
    image = read_image(path, "mask")
    return np.array(checked(image, image.shape if shape is None else shape, f"the mask {path}"))


def read_masks(paths: Sequence[Path | str], shape: tuple[int, int] | None = None) -> Mask:
    """The masks of several files in one, for example that of the gaps and that of hot pixels."""
    found = combine(*(read_mask(path, shape) for path in paths), shape=shape)
    log.info("%d masks leave out %s", len(paths), in_words(found))
    return found


def write_mask(path: Path | str, mask: Mask) -> None:
    """Write a mask into a new .npy file, which every setting here and pyFAI's programs take.

    Raises `OutputExistsError` where the name is taken, `OutputError` where nothing can be written,
    `MaskError` for a mask that leaves no pixel.
    """
    write_image(path, checked(mask, mask.shape))
