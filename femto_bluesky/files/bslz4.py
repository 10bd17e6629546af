"""Frames compressed with Bitshuffle and LZ4, decompressed without HDF5.

HDF5 takes three copies and its one lock for the process to read such a frame; the same library,
called directly, writes the pixels to where they belong while other threads go on.

A chunk, as the HDF5 filter writes it: 8 bytes with the length of the pixels and 4 with the length
of a block, big-endian, then for each block 4 bytes with its compressed length and the block. What
is left of the pixels, less than 8 of them, follows as it is. Source: `bitshuffle_h5filter.c` and
`bitshuffle.c` in https://github.com/kiyo-masui/bitshuffle
"""

from __future__ import annotations

import ctypes
import logging
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import h5py
import hdf5plugin
from numpy.typing import NDArray

log = logging.getLogger(__name__)

FILTER: Final = 32008
"""Bitshuffle's number among the registered filters of HDF5."""

LZ4: Final = 2
"""What the filter's parameters say after the length of its blocks, where they are compressed so."""

HEAD: Final = struct.Struct(">QI")
LENGTH: Final = struct.Struct(">I")

MULTIPLE: Final = 8
"""Pixels: blocks are of multiples of so many."""


class Bslz4Error(ValueError):
    """A chunk that is damaged; the message says how."""


def is_bslz4(data: h5py.Dataset) -> bool:
    """Whether each frame of a stack is a chunk that `decompress` takes."""
    if data.ndim != 3 or data.chunks != (1, *data.shape[1:]) or not data.dtype.isnative:
        return False
    properties = data.id.get_create_plist()
    if data.dtype.kind not in "uif" or properties.get_nfilters() != 1:
        return False
    code, _, parameters, _ = properties.get_filter(0)
    is_lz4 = code == FILTER and parameters[4:5] == (LZ4,)
    return is_lz4 and parameters[2] == data.dtype.itemsize and _library() is not None


def decompress(chunk: bytes, into: NDArray[Any]) -> None:
    """Fill an array (C order) with the pixels of a chunk; raises `Bslz4Error` for a damaged one.

    The lengths of all blocks are held against that of the chunk first: the library believes them.
    """
    if len(chunk) < HEAD.size:
        raise Bslz4Error(f"found {len(chunk)} bytes, which is shorter than its own header")
    n_bytes, block_bytes = HEAD.unpack_from(chunk)
    item = into.itemsize
    if n_bytes != into.nbytes:
        raise Bslz4Error(f"found {n_bytes} bytes of pixels, expected {into.nbytes}")
    block = block_bytes // item
    if block_bytes % item or block % MULTIPLE or not 0 < block_bytes <= 2**30:
        raise Bslz4Error(
            f"found blocks of {block_bytes} bytes, expected some multiple of {MULTIPLE * item}"
        )
    _check_blocks(chunk, -(-(into.size - into.size % MULTIPLE) // block),
                  into.size % MULTIPLE * item)  # fmt: skip
    function = _library()
    if function is None:
        _through_hdf5(chunk, into)
        return
    start = ctypes.cast(ctypes.c_char_p(chunk), ctypes.c_void_p).value or 0
    used = function(start + HEAD.size, into.ctypes.data, into.size, item, block)
    if used < 0:
        raise Bslz4Error(f"a block of it is not LZ4 (bitshuffle's error {used})")


def _through_hdf5(chunk: bytes, into: NDArray[Any]) -> None:
    """The same by HDF5's filter, where the library cannot be called on its own."""
    with h5py.File.in_memory() as file:
        options = hdf5plugin.Bitshuffle(cname="lz4")
        data = file.create_dataset("a", into.shape, into.dtype, chunks=into.shape, **options)
        data.id.write_direct_chunk((0,) * into.ndim, chunk)
        try:
            data.read_direct(into)
        except OSError as error:
            raise Bslz4Error(f"a block of it is not LZ4 ({error})") from error


def _check_blocks(chunk: bytes, n_blocks: int, rest: int) -> None:
    """Raise unless so many blocks, and the rest, end where the chunk ends."""
    at, end, length = HEAD.size, len(chunk) - rest, LENGTH.unpack_from
    for block in range(n_blocks):
        if at + LENGTH.size > end:
            raise Bslz4Error(f"it ends in block {block} of {n_blocks}")
        at += LENGTH.size + length(chunk, at)[0]
    if at != end:
        raise Bslz4Error(f"its {n_blocks} blocks are of {at + rest} bytes, found {len(chunk)}")


@lru_cache(maxsize=1)
def _library() -> Callable[..., int] | None:
    """The function of the library that hdf5plugin brings; None where it cannot be called."""
    path = hdf5plugin.get_config().registered_filters.get("bshuf")
    try:
        function = ctypes.CDLL(path).bshuf_decompress_lz4 if path else None
    except (AttributeError, OSError) as error:
        log.info("Bitshuffle in %s cannot be called (%s); frames are read by HDF5", path, error)
        return None
    if function is not None:
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        function.argtypes = [pointer, pointer, size, size, size]
        function.restype = ctypes.c_int64
    return function
