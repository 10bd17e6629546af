"""One image in a file of a detector or of another program: EDF, TIFF, CBF, HDF5.

fabio reads what is not HDF5, as pyFAI does, and so what pyFAI's programs write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".cxi"})
FABIO_SUFFIXES = frozenset({".edf", ".tif", ".tiff", ".cbf", ".img", ".mccd", ".msk"})
FORMATS = ".npy, .edf, .tif, .cbf, .msk or HDF5"
"""What is read, in words."""


class ImageFormatError(ValueError):
    """A file that cannot be read as an image; the message says why."""


def parted(path: Path | str) -> tuple[Path, str]:
    """The file and what is meant in it: ``mask.h5::/entry/mask`` is a dataset of an HDF5 file.

    >>> parted("mask.h5::/entry/mask")
    (PosixPath('mask.h5'), '/entry/mask')
    """
    name, _, dataset = str(path).partition("::")
    return Path(name), dataset


def is_image_file(path: Path | str) -> bool:
    """Whether a name is that of an image: .npy or one of the other formats.

    >>> is_image_file("sum.edf"), is_image_file("sums.h5::/entry/image"), is_image_file("a.jsonl")
    (True, True, False)
    """
    return parted(path)[0].suffix.lower() in {".npy", *HDF5_SUFFIXES, *FABIO_SUFFIXES}


def read_foreign(path: Path | str) -> NDArray[Any] | None:
    """The image (rows, columns) in a file of another format, None where it is none of `FORMATS`.

    Of an HDF5 file it is the dataset behind ``::``, or the only image that there is. Raises
    `ImageFormatError` for a file that is damaged, or holds several images; `OSError` for one that
    is not there.
    """
    file, dataset = parted(path)
    suffix = file.suffix.lower()
    if suffix not in HDF5_SUFFIXES | FABIO_SUFFIXES:
        return None
    file.stat()  # what is missing is said in the words of the system
    return _from_hdf5(file, dataset) if suffix in HDF5_SUFFIXES else _from_fabio(file)


def _from_fabio(path: Path) -> NDArray[Any]:
    import fabio

    try:
        with fabio.open(str(path)) as image:
            n_frames, data = image.nframes, np.array(image.data)
    except Exception as error:  # fabio's readers raise whatever their parts raise
        raise ImageFormatError(f"{type(error).__name__}: {error}") from error
    if n_frames != 1:
        raise ImageFormatError(f"it holds {n_frames} frames, expected one image")
    return data


def _from_hdf5(path: Path, dataset: str) -> NDArray[Any]:
    import h5py
    import hdf5plugin  # noqa: F401 - its import makes the compressions known

    from femto_bluesky.files.opening import open_hdf5

    found: dict[str, tuple[int, ...]] = {}

    def look(name: str, item: Any) -> None:
        shape = getattr(item, "shape", None)
        if shape is not None and len(shape) >= 2 and shape[:-2] in ((), (1,)):
            found[f"/{name}"] = shape

    try:
        with open_hdf5(path) as file:
            if not dataset:
                file.visititems(look)
                if len(found) != 1:
                    listed = ", ".join(f"{name} {shape}" for name, shape in found.items())
                    raise ImageFormatError(
                        f"it holds {len(found)} images{': ' * bool(found)}{listed}; name one: "
                        f"{path.name}::/entry/mask"
                    )
                (dataset,) = found
            if dataset not in file or not isinstance(file[dataset], h5py.Dataset):
                raise ImageFormatError(f"it has no dataset {dataset}")
            data = np.asarray(file[dataset][()])
    except OSError as error:
        raise ImageFormatError(str(error)) from error
    return data[0] if data.ndim == 3 and len(data) == 1 else data
