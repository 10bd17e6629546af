"""One image in a file of a detector or of another program: EDF, TIFF, CBF, HDF5.

fabio reads what is not HDF5, as pyFAI does, and so what pyFAI's programs write.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from femto_bluesky.files.opening import TRUSTED_BYTES, TRUSTED_RATIO, open_hdf5, untrusted

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".cxi"})
FABIO_SUFFIXES = frozenset({".edf", ".tif", ".tiff", ".cbf", ".img", ".mccd", ".msk"})
_DIMENSION = re.compile(rb"(?i)(?:\bdim_[0-9]+|\bsize[0-9]|dimension)\s*[:=]\s*([0-9]+)")
_SIZE = re.compile(rb"(?i)(?:size|blocks|position|elements)\s*[:=]\s*([0-9]+)")
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
    _check_declared(path)
    import fabio

    try:
        with fabio.open(str(path)) as image:
            if image.classname == "EdfImage":
                _check_header(image.header)  # what follows it has not been read yet
            n_frames, data = image.nframes, np.array(image.data)
    except ImageFormatError:
        raise
    except Exception as error:  # fabio's readers raise whatever their parts raise
        raise ImageFormatError(f"{type(error).__name__}: {error}") from error
    if n_frames != 1:
        raise ImageFormatError(f"it holds {n_frames} frames, expected one image")
    return data


def _check_header(header: Mapping[str, Any]) -> None:
    """Raise `ImageFormatError` where the pixels of an EDF are packed, or in another file.

    fabio unpacks them to any size, for which it may start another program.
    """
    packed = [str(header[key]).upper() for key in header if str(key).upper() == "COMPRESSION"]
    if any(not kind.startswith("NO") for kind in packed):
        raise ImageFormatError(f"its pixels are compressed ({packed[0]:.20}); write it without")
    if "EDF_BinaryFileName" in header:
        raise ImageFormatError("its pixels are in another file; write them into this one")


def _check_declared(path: Path) -> None:
    """Raise `ImageFormatError` where a header of text declares more than such a file can hold.

    fabio takes the memory for it, and fills with 0 what is missing.
    """
    with path.open("rb") as file:
        header = file.read(1 << 16)
    most = TRUSTED_BYTES + TRUSTED_RATIO * path.stat().st_size
    sizes = [int(found[:20]) for found in _SIZE.findall(header)]
    n_pixels = math.prod(int(found[:20]) for found in _DIMENSION.findall(header)[:3])
    if path.suffix.lower() == ".cbf" or header.startswith(b"###CBF"):
        # fabio takes what follows these words within 8 kB, and looks for its pixels for good
        section = header.find(b"--CIF-BINARY-FORMAT-SECTION--", 0, 8 << 10)
        if section < 0 or b"\x0c\x1a\x04\xd5" not in header[section:]:
            raise ImageFormatError("its header is not followed by pixels; it is cut off")
    if path.suffix.lower() in (".tif", ".tiff"):
        n_pixels = _tiff_pixels(path)
    if header[:16] == b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0":  # of fit2d, in binary
        n_pixels = int.from_bytes(header[16:20], "little") * int.from_bytes(header[20:24], "little")
    if max([n_pixels, *sizes]) * 4 > most:
        raise ImageFormatError(
            f"its header declares {n_pixels} pixels and sizes of {sizes}, a file of "
            f"{path.stat().st_size} bytes is trusted with {most} bytes"
        )


def _tiff_pixels(path: Path) -> int:
    """The pixels of the images of a TIFF, by their tags (TIFF 6.0, section 2).

    Raises `ImageFormatError` for tags with more values than the file has bytes, for sides that are
    not one number, and for more than a hundred images.
    """
    size, n_pixels, seen = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        begin = file.read(8)
        order: Literal["little", "big"] = "little" if begin[:2] == b"II" else "big"
        place = int.from_bytes(begin[4:8], order)
        while place and place not in seen:
            seen.add(place)
            file.seek(place)
            entries = file.read(12 * int.from_bytes(file.read(2), order))
            sides = []
            for at in range(0, len(entries), 12):
                tag, count = entries[at : at + 2], int.from_bytes(entries[at + 4 : at + 8], order)
                if count > size or len(seen) > 100:
                    raise ImageFormatError(f"a tag of it has {count} values in {size} bytes")
                if int.from_bytes(tag, order) in (256, 257):  # width and height
                    kind = int.from_bytes(entries[at + 2 : at + 4], order)
                    if count != 1 or kind not in (3, 4):
                        raise ImageFormatError(
                            f"its width or height is {count} values of type {kind}, expected one "
                            "of 2 or 4 bytes"
                        )
                    value = entries[at + 8 : at + (10 if kind == 3 else 12)]
                    sides.append(int.from_bytes(value, order))
            n_pixels = max(n_pixels, math.prod(sides))
            place = int.from_bytes(file.read(4), order)
    return n_pixels


def _from_hdf5(path: Path, dataset: str) -> NDArray[Any]:
    import h5py
    import hdf5plugin  # noqa: F401 - its import makes the compressions known

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
                    listed = ", ".join(f"{name} {shape}" for name, shape in [*found.items()][:20])
                    raise ImageFormatError(
                        f"it holds {len(found)} images{': ' * bool(found)}{listed}; name one: "
                        f"{path.name}::/entry/mask"
                    )
                (dataset,) = found
            if dataset not in file or not isinstance(file[dataset], h5py.Dataset):
                raise ImageFormatError(f"it has no dataset {dataset}")
            if file[dataset].shape is None or file[dataset].ndim not in (2, 3):
                raise ImageFormatError(f"{dataset} has the shape {file[dataset].shape}")
            n_images = 1 if file[dataset].ndim == 2 else len(file[dataset])
            if (why := untrusted(file[dataset], path, n_images)) is not None:
                raise ImageFormatError(why)
            data = np.asarray(file[dataset][()])
    except ImageFormatError:
        raise
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        # what h5py raises depends on the part of the file that is broken
        raise ImageFormatError(str(error)) from error
    return data[0] if data.ndim == 3 and len(data) == 1 else data
