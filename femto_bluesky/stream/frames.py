"""Where frames are read from: arrays in documents, HDF5 files (also while they grow), TIFF files.

A source reads one frame at a time into one buffer that it fills again for the next frame.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

import h5py
import numpy as np
import tifffile
from numpy.typing import NDArray

from femto_bluesky.files.bslz4 import Bslz4Error, decompress, is_bslz4
from femto_bluesky.model.repeated import is_repeated
from femto_bluesky.sources.moved import DELETED, SERVED
from femto_bluesky.stream.datasets import FrameError, OpenDataset, acquire, lock
from femto_bluesky.stream.plain import PlainBytes, plain_bytes
from femto_bluesky.stream.served import ServedFrames

__all__ = ["FrameError", "FrameSource", "Hdf5Frames", "InlineFrames", "TiffFrames", "checked_image",
           "open_resource", "path_of_uri"]  # fmt: skip

_WIDE = re.compile(r"\d{4}|\*|\{[^}]*[.\[]")
"""No part of a template: widths of more than 999, or given apart, and attributes of the number."""


class FrameSource(Protocol):
    """Frames in a row, numbered from 0."""

    def __len__(self) -> int:
        """How many frames there are now; a file that is being written grows."""

    def read(self, index: int) -> NDArray[Any]:
        """Frame `index`, 2-D, in memory that the next read may fill again."""

    @property
    def file(self) -> tuple[Path, str] | None:
        """The file and the dataset in it ("" where there is none); None for no file.

        Of several files, the first.
        """

    def close(self) -> None:
        """Let go of files."""


def checked_image(image: NDArray[Any], where: str) -> NDArray[Any]:
    """The image as kernels take it: 2-D real numbers, native byte order, C order."""
    if image.ndim != 2 or image.dtype.kind not in "buif":
        raise FrameError(
            f"{where}: found an array of shape {image.shape} and dtype {image.dtype}, expected a "
            "2-D image of real numbers; name only image keys as frames, or correct the detector's "
            "describe()"
        )
    _check_size(image, where)
    if image.dtype == np.float16:
        image = image.astype(np.float32)
    # writable, though nothing writes: the kernels have been compiled for such arrays
    return np.require(image, image.dtype.newbyteorder("="), ["C", "W"])


def _check_size(array: NDArray[Any], where: str) -> None:
    if is_repeated(array):
        raise FrameError(
            f"{where}: found an array of {array.nbytes} bytes of which most are the same memory, "
            "expected frames; put the frames themselves into the document"
        )


class InlineFrames:
    """The frames of one event that stand in the document itself (array, nested list, sequence)."""

    def __init__(self, value: Any, dtype: str | None, where: str) -> None:
        self.where = where
        # an array-like that loads frame by frame stays as it is: a burst may not fit the memory
        if not (hasattr(value, "shape") and hasattr(value, "dtype")):
            try:
                value = np.asarray(value, dtype=dtype)
            except ValueError as error:
                raise FrameError(
                    f"{where}: the nested list is no regular image ({error}); frames of one event "
                    "must have one shape"
                ) from error
        if isinstance(value, np.ndarray):
            _check_size(value, where)
        self._frames = value if len(value.shape) != 2 else value[np.newaxis]
        if len(self._frames.shape) != 3:
            checked_image(np.asarray(value), where)

    def __len__(self) -> int:
        return int(self._frames.shape[0])

    def read(self, index: int) -> NDArray[Any]:
        """Frame `index`."""
        return checked_image(np.asarray(self._frames[index]), self.where)

    def part(self, start: int, stop: int) -> InlineFrames:
        """The frames from `start` to `stop` (half open) alone."""
        return InlineFrames(self._frames[start:stop], None, self.where)

    @property
    def held(self) -> NDArray[Any] | None:
        """The frames as an array of numbers in memory; None where they are loaded one by one."""
        held = self._frames
        return held if isinstance(held, np.ndarray) and held.dtype.kind in "buif" else None

    @property
    def file(self) -> None:
        """There is none."""

    def close(self) -> None:
        """Nothing to let go of."""


class DeletedFrames:
    """Frames that were deleted on purpose: the run says so, and nobody can read them."""

    def __len__(self) -> int:
        return sys.maxsize  # as many as any event says: they were all there

    def read(self, index: int) -> NDArray[Any]:
        """Raises `FrameError`."""
        raise FrameError(f"frame {index} was deleted once its photons had been found")

    @property
    def file(self) -> None:
        """There is none any more."""

    def close(self) -> None:
        """Nothing to let go of."""


class Hdf5Frames:
    """A dataset (frames, rows, columns) of an HDF5 file, also while it is written with SWMR.

    SWMR: https://docs.h5py.org/en/stable/swmr.html. Chunks of several frames are kept in the
    dataset's chunk cache, so that each is decompressed once. Frames that stand in the file one
    after the other, as they are, are read without HDF5, so that other threads go on.

    With `is_mapped`, such frames are not copied at all: they are seen where the system keeps the
    file in memory, which halves the time of whoever reads them once. For files that nobody cuts
    off meanwhile: the process would be killed, as it is where a disk fails at the wrong moment.
    """

    def __init__(self, path: Path, dataset: str, *, is_mapped: bool = False) -> None:
        self.path, self.dataset, self.is_mapped = path, dataset, is_mapped
        self._held: OpenDataset | None = None
        self._buffer: NDArray[Any] = np.empty((0, 0))
        # what is known of the open dataset: where its pixels stand as they are, how chunks are made
        self._known: h5py.Dataset | None = None
        self._plain: PlainBytes | None = None
        self._is_bslz4 = False

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to another process: of what it is, and nothing that is open."""
        return partial(type(self), is_mapped=self.is_mapped), (self.path.absolute(), self.dataset)

    def _open(self) -> OpenDataset:
        if self._held is None:
            self._held = acquire(self.path, self.dataset)
            data = self._held.data
            dtype = data.dtype.newbyteorder("=")
            self._buffer = np.empty(data.shape[-2:], np.float32 if dtype == np.float16 else dtype)
        return self._held

    def __len__(self) -> int:
        with lock:
            held = self._open()
            if held.data.ndim == 2:
                return 1
            held.refresh()
            return int(held.data.shape[0])

    @property
    def file(self) -> tuple[Path, str]:
        """The file, and the dataset in it."""
        return self.path, self.dataset

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        rows, columns = self._open().data.shape[-2:]
        return rows, columns

    def read(self, index: int) -> NDArray[Any]:
        """Frame `index`, in the buffer of this source."""
        with lock:
            rest = self._begun(index)
        # without the lock: a slow disk must not hold up those who look how far a file has grown
        return self._buffer if rest is None else rest()

    def _begun(self, index: int) -> Callable[[], NDArray[Any]] | None:
        """Read a frame into the buffer as far as it needs HDF5; what is left to be done."""
        held = self._open()
        if index >= (1 if held.data.ndim == 2 else held.data.shape[0]):
            there = len(self)
            if index >= there:
                raise FrameError(
                    f"{self.path}: {self.dataset!r} holds {there} frames, the documents name "
                    f"frame {index}; copy the whole file, or wait until it is written"
                )
        data = held.data
        if data is not self._known:  # opened, or opened anew
            self._plain, self._known = plain_bytes(data, self._buffer.dtype), data
            self._is_bslz4 = data.dtype == self._buffer.dtype and is_bslz4(data)
        if self._plain is not None and index >= 0:
            return partial(self._read_plain, self._plain, index)
        if self._is_bslz4 and (chunk := _whole_chunk(data, index)) is not None:
            return partial(self._decompress, chunk, index)
        try:
            data.read_direct(self._buffer, () if data.ndim == 2 else np.s_[index])
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise self._damaged(index, error) from error
        return None

    def _decompress(self, chunk: bytes, index: int) -> NDArray[Any]:
        try:
            decompress(chunk, self._buffer)
        except Bslz4Error as error:
            raise self._damaged(index, error) from error
        return self._buffer

    def _damaged(self, index: int, error: Exception) -> FrameError:
        return FrameError(
            f"{self.path}: frame {index} of {self.dataset!r} is not readable ({error}); the "
            "file is damaged there, or a compression filter is missing"
        )

    def close(self) -> None:
        """Let go of the file; the next read takes it again."""
        with lock:
            self._plain = self._known = None
            if self._held is not None:
                self._held.release()
                self._held = None

    def _read_plain(self, plain: PlainBytes, index: int) -> NDArray[Any]:
        offset = plain.offset + index * self._buffer.nbytes
        try:
            found = plain.mapped(offset, self._buffer) if self.is_mapped else None
            n = self._buffer.nbytes if found is not None else plain.read(offset, self._buffer)
        except OSError as error:
            raise FrameError(
                f"{self.path}: frame {index} of {self.dataset!r} is not readable ({error}); check "
                "the disk, or copy the file again"
            ) from error
        if n < self._buffer.nbytes:
            raise FrameError(
                f"{self.path}: frame {index} of {self.dataset!r} is cut off: found {n} bytes of "
                f"it, expected {self._buffer.nbytes}; copy the whole file again"
            )
        return self._buffer if found is None else found


class TiffFrames:
    """One TIFF file a frame; `path_of` gives the file of a frame's index."""

    def __init__(self, path_of: Callable[[int], Path]) -> None:
        self._path_of = path_of

    def __len__(self) -> int:
        # the files of a series are numbered without gaps: double, then halve the interval
        if not self._path_of(0).is_file():
            return 0
        high = 1
        while self._path_of(high).is_file():
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._path_of(middle).is_file() else (low, middle)
        return low + 1

    def read(self, index: int) -> NDArray[Any]:
        """Frame `index`."""
        path = self._path_of(index)
        try:
            image = tifffile.imread(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise FrameError(
                f"{path}: not readable as TIFF ({error}); the documents name it as frame {index}"
            ) from error
        return checked_image(image, str(path))

    @property
    def file(self) -> tuple[Path, str]:
        """The first file."""
        return self._path_of(0), ""

    def close(self) -> None:
        """Nothing is kept open."""


def path_of_uri(uri: str) -> Path:
    """The local path that a file URI names.

    >>> path_of_uri("file://localhost/data/run%201.h5").as_posix()
    '/data/run 1.h5'
    """
    parts = urlparse(uri)
    if parts.scheme not in ("file", ""):
        raise FrameError(
            f"frames are behind {uri!r}; only files can be read here, replay from a catalog that "
            "serves them"
        )
    return Path(unquote(parts.path))


def _whole_chunk(data: h5py.Dataset, index: int) -> bytes | None:
    """The chunk of a frame as it stands in the file; None where HDF5 has to say what that is."""
    if index < 0:
        return None
    try:
        not_filtered, chunk = data.id.read_direct_chunk((index, 0, 0))
    except (OSError, RuntimeError, ValueError):
        return None  # never written, for one
    return None if not_filtered else chunk


def _numbered_paths(folder: Path, template: str, filename: str) -> Callable[[int], Path]:
    """areaDetector's printf template of folder, file name and number, or str.format of the number.

    The template: https://areadetector.github.io/areaDetector/ADCore/NDPluginFile.html
    """
    strings = {1: (filename,), 2: (f"{folder}/", filename)}.get(template.count("%s"), ())

    name = partial(_name, template, strings)
    try:
        # a width of many digits would make a name that fills the memory
        is_numbered = not _WIDE.search(template) and name(0) != name(1)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise FrameError(f"{folder}: {template!r:.200} is no template of names: {error}") from error
    if not is_numbered:
        raise FrameError(
            f"{folder}: {template!r:.200} gives no names with numbers of files, expected a "
            "template such as %s%s_%6.6d.tiff; correct the detector's file template"
        )
    return partial(_path, folder, name)


def _name(template: str, strings: tuple[str, ...], index: int) -> str:
    return template % (*strings, index) if "%" in template else template.format(index)


def _path(folder: Path, name: Callable[[int], str], index: int) -> Path:
    return folder / name(index)


def open_resource(doc: Mapping[str, Any]) -> FrameSource:
    """The frames behind a resource or stream_resource document; nothing is opened yet.

    Raises `FrameError` for a kind of file that is not known.
    """
    if "uri" in doc:
        kind, parameters = doc["mimetype"], doc["parameters"]
        if kind == SERVED:
            return ServedFrames(doc["uri"])
        path = path_of_uri(doc["uri"])
    else:
        kind, parameters = doc["spec"], doc["resource_kwargs"]
        path = Path(doc["root"]) / doc["resource_path"]
    if kind == DELETED:
        return DeletedFrames()
    if kind == "application/x-hdf5" or "HDF5" in kind:
        # areaDetector's place, when the document names none (a catalog may say "")
        dataset = parameters.get("dataset") or parameters.get("path") or "/entry/data/data"
        return Hdf5Frames(path, dataset)
    if kind in ("AD_TIFF", "multipart/related;type=image/tiff"):
        template = parameters.get("template")
        if not template:
            raise FrameError(
                f"{path}: found only {sorted(parameters)} of the TIFF files, expected a template "
                "of their names. A catalog loses it where the first digits in the names are not "
                "their number; replay the documents as they came live (JSON lines)"
            )
        return TiffFrames(_numbered_paths(path, template, parameters.get("filename", "")))
    raise FrameError(
        f"{path}: frames of kind {kind!r} cannot be read; known are application/x-hdf5, "
        "multipart/related;type=image/tiff, AD_HDF5, AD_HDF5_SWMR and AD_TIFF"
    )
