"""The pixels in a message: a JSON header with shape, type and compression, then the bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

COMPRESSIONS: Final = ("none", "bslz4")
# LZ4 cannot do better than this, see "worst case" in its block format; 12 bytes are the header.
BEST_RATIO: Final = 256
CHUNK_HEADER: Final = 12


class FrameError(ValueError):
    """A header or the bytes of a frame that cannot be an image."""


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """What the header of a frame says: shape, dtype and compression."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    compression: str

    @property
    def nbytes(self) -> int:
        """The bytes of the decompressed frame."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_json(data: bytes) -> dict[str, Any]:
    """The JSON object in a frame. Raises `FrameError` where it is anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{data[:40]!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FrameError(f"{data[:40]!r} is not a JSON object")
    return value


def parse_format(header: Mapping[str, Any]) -> FrameFormat:
    """The format of a frame from its header (`shape`, `type`, `compression`).

    Raises `FrameError` where the shape is not two or more positive integers, the type is not a
    numpy dtype of numbers, or the compression is not known.
    """
    shape = header.get("shape")
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not all(type(n) is int and n > 0 for n in shape)
    ):
        raise FrameError(f"the shape is {shape!r:.60}; expected [rows, columns]")
    try:
        dtype = np.dtype(str(header.get("type")))
    except (TypeError, ValueError, SyntaxError) as error:
        raise FrameError(f"the type {header.get('type')!r:.60} is not a numpy dtype") from error
    if dtype.kind not in "biufc":
        raise FrameError(f"the type {header.get('type')!r:.60} is not a dtype of numbers")
    compression = header.get("compression", "none")
    if compression not in COMPRESSIONS:
        raise FrameError(
            f"the compression {compression!r:.60} is not known; known are {', '.join(COMPRESSIONS)}"
        )
    return FrameFormat(tuple(shape), dtype, compression)


def check_bytes(payload: bytes, fmt: FrameFormat) -> None:
    """Raise `FrameError` unless `payload` can be a frame of this format, before it is decoded."""
    found = len(payload)
    if fmt.compression == "bslz4":
        if found < CHUNK_HEADER:
            raise FrameError(f"a bslz4 frame of {found} bytes is shorter than its own header")
        found = int.from_bytes(payload[:8], "big")
        if found > BEST_RATIO * len(payload):
            raise FrameError(f"a bslz4 frame of {len(payload)} bytes cannot hold {found} bytes")
    if found != fmt.nbytes:
        raise FrameError(
            f"the header says {list(fmt.shape)} of {fmt.dtype}, which is {fmt.nbytes} bytes, but "
            f"the frame holds {found} bytes"
        )


def decode(payload: bytes, fmt: FrameFormat) -> NDArray[Any]:
    """The pixels as an array of the format's shape and dtype (read-only where not compressed).

    `bslz4` is a chunk as the HDF5 Bitshuffle-LZ4 filter writes it: 8 bytes with the decompressed
    length and 4 with the block length, both big-endian, then the blocks. It is put into an HDF5
    file in memory as it is and read through the filter, which runs at the filter's own speed.
    Source: https://github.com/kiyo-masui/bitshuffle
    """
    check_bytes(payload, fmt)
    if fmt.compression == "none":
        return np.frombuffer(payload, dtype=fmt.dtype).reshape(fmt.shape)
    try:
        with h5py.File.in_memory() as file:
            dataset = file.create_dataset(
                "frame",
                shape=fmt.shape,
                dtype=fmt.dtype,
                chunks=fmt.shape,
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            dataset.id.write_direct_chunk((0, 0), payload)
            return np.asarray(dataset[()])
    except (OSError, RuntimeError) as error:
        raise FrameError(f"the bslz4 frame cannot be decompressed: {error}") from error
