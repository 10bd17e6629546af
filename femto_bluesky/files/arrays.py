"""Images that belong to a detector, not to a run: dark levels and masks, read from a file."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import DTypeLike, NDArray

from femto_bluesky.files.image_formats import FORMATS, ImageFormatError, parted, read_foreign
from femto_bluesky.files.names import new_file

_OF_NPY: Final = (BadZipFile, SyntaxError, TokenError)
"""What numpy raises, too, at headers that it cannot read."""


class KeptImages:
    """Images of files, each read once for as long as the file stays the same.

    They cannot be written to, so that all who use one may share its memory.
    """

    def __init__(self) -> None:
        self._images: dict[tuple[Path, int, int], NDArray[Any]] = {}

    def read(self, path: Path, what: str, dtype: DTypeLike) -> NDArray[Any]:
        """The image in a file as a dtype (for booleans: where it is not 0); see `read_image`."""
        try:
            stat = parted(path)[0].stat()
        except OSError:
            return read_image(path, what)  # which says what is wrong
        key = path.absolute(), stat.st_mtime_ns, stat.st_size
        if key not in self._images:
            if len(self._images) > 3:
                self._images.clear()
            image = read_image(path, what)
            kept = image != 0 if np.dtype(dtype).kind == "b" else image.astype(dtype)
            kept.flags.writeable = False
            self._images[key] = kept
        return self._images[key]


class ImageFileError(ValueError):
    """A file without the image that it is named for; the message says what to do."""


def read_image(path: Path | str, what: str) -> NDArray[Any]:
    """The image (rows, columns) in a file: real numbers or booleans, native byte order.

    The file is a .npy, or of a detector or another program (EDF, TIFF, CBF, HDF5; a dataset of an
    HDF5 file is ``mask.h5::/entry/mask``). `what` names the image in errors: "dark image". Nothing
    is unpickled, and the header of a .npy that promises more than the file holds is refused before
    memory is taken for it.

    Raises `ImageFileError` for anything that is no such file, also where it is missing.
    """
    path = Path(path)
    try:
        image: Any = read_foreign(path)
        if image is None:
            # mapped first, because then numpy compares what the header says with the file's length
            _check_header(path)
            image = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise ImageFileError(
            f"{path}: no such file, expected a {what} ({FORMATS}); check the path"
        ) from error
    except ImageFormatError as error:
        raise ImageFileError(f"{path}: not readable as a {what}: {error}") from error
    except (OSError, ValueError, TypeError, OverflowError, EOFError, *_OF_NPY) as error:
        raise ImageFileError(
            f"{path}: not readable as a {what} ({error}); expected {FORMATS}, save one with "
            "numpy.save"
        ) from error
    if not isinstance(image, np.ndarray):
        image.close()
        raise ImageFileError(
            f"{path}: found an archive of arrays (.npz), expected a {what} in a .npy file; save "
            "the one image with numpy.save"
        )
    if image.ndim != 2 or image.size == 0 or image.dtype.kind not in "buif":
        raise ImageFileError(
            f"{path}: found an array of the shape {image.shape} and dtype {image.dtype}, "
            f"expected a {what}: rows and columns of real numbers"
        )
    return np.array(image, dtype=image.dtype.newbyteorder("="), order="C", subok=False)


def _check_header(path: Path) -> None:
    """Raise `ValueError` where the header of a .npy is longer than its file, before it is read."""
    with path.open("rb") as file:
        begin = file.read(12)
    if begin[:6] == b"\x93NUMPY" and begin[6:7] in (b"\x02", b"\x03"):
        length = int.from_bytes(begin[8:12], "little")
        if length > path.stat().st_size:
            raise ValueError(f"its header is said to have {length} bytes")


def write_image(path: Path | str, image: NDArray[Any]) -> None:
    """Write an image into a new .npy file.

    Raises `OutputExistsError` where the name is taken, `OutputError` where nothing can be written.
    """
    with new_file(path) as part, part.open("wb") as file:
        np.save(file, image, allow_pickle=False)
