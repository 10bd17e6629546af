"""Bitshuffle and LZ4 without HDF5: the same pixels, and damage in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from femto_bluesky.files import bslz4
from femto_bluesky.files.bslz4 import Bslz4Error, decompress, is_bslz4

RNG = np.random.default_rng(7)


def chunk_of(image: NDArray[Any], block: int = 0) -> bytes:
    """As the HDF5 filter writes it."""
    with h5py.File.in_memory() as file:
        options = hdf5plugin.Bitshuffle(nelems=block, cname="lz4")
        data = file.create_dataset("a", data=image, chunks=image.shape, **options)
        return bytes(data.id.read_direct_chunk((0,) * image.ndim)[1])


@pytest.fixture(params=["called", "through HDF5"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the library that hdf5plugin brings cannot be called on its own."""
    if request.param == "called":
        assert bslz4._library() is not None
    else:
        monkeypatch.setattr(bslz4, "_library", lambda: None)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", ["u1", "<u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 5), (64, 65), (301, 211)])
@pytest.mark.parametrize("block", [0, 64])
def test_pixels_are_those_that_were_written(dtype: str, shape: tuple[int, int], block: int) -> None:
    image = RNG.poisson(3, shape).astype(dtype)
    into = np.full(shape, 9, dtype)
    decompress(chunk_of(image, block), into)
    np.testing.assert_array_equal(into, image)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[:11], "found 11 bytes, which is shorter than its own header"),
        (lambda c: b"\x01" + c[1:], "bytes of pixels, expected 12000"),
        (lambda c: c[:8] + (2**32 - 1).to_bytes(4, "big") + c[12:], "found blocks of 4294967295"),
        (lambda c: c[:8] + bytes(4) + c[12:], "found blocks of 0 bytes, expected some multiple"),
        (lambda c: c[:8] + (18).to_bytes(4, "big") + c[12:], "blocks of 18 bytes"),
        (lambda c: c[:12] + b"\x7f" + c[13:], "it ends in block 1 of 2"),
        (lambda c: c[:40], "it ends in block 1 of 2"),
        (lambda c: c + b"\0", "its 2 blocks are of"),
        (lambda c: c[:16] + b"\xff" * (len(c) - 16), "its 2 blocks are of 42949"),
    ],
)  # fmt: skip
def test_damage_is_refused_before_anything_is_read(change: Any, words: str) -> None:
    image = RNG.poisson(3, (60, 100)).astype("u2")
    with pytest.raises(Bslz4Error, match=words):
        decompress(change(chunk_of(image)), np.empty_like(image))


@pytest.mark.usefixtures("way")
def test_a_block_that_is_no_lz4_is_refused() -> None:
    image = RNG.poisson(3, (60, 100)).astype("u2")
    chunk = bytearray(chunk_of(image))
    chunk[16:300] = b"\xff" * 284
    with pytest.raises(Bslz4Error, match="is not LZ4"):
        decompress(bytes(chunk), np.empty_like(image))


@pytest.mark.parametrize(
    ("made", "is_it"),
    [
        ({"dtype": "u2", "chunks": (1, 8, 9), **hdf5plugin.Bitshuffle(cname="lz4")}, True),
        ({"dtype": ">u2", "chunks": (1, 8, 9), **hdf5plugin.Bitshuffle(cname="lz4")}, False),
        ({"dtype": "u2", "chunks": (2, 8, 9), **hdf5plugin.Bitshuffle(cname="lz4")}, False),
        ({"dtype": "u2", "chunks": (1, 8, 9), **hdf5plugin.Bitshuffle(cname="zstd")}, False),
        ({"dtype": "u2", "chunks": (1, 8, 9), **hdf5plugin.Bitshuffle(cname="none")}, False),
        ({"dtype": "u2", "chunks": (1, 8, 9), **hdf5plugin.LZ4()}, False),
        ({"dtype": "u2", "chunks": (1, 8, 9), "shuffle": True,
          **hdf5plugin.Bitshuffle(cname="lz4")}, False),
        ({"dtype": "u2"}, False),
    ],
)  # fmt: skip
def test_it_is_told_from_other_datasets(tmp_path: Path, made: dict[str, Any], is_it: bool) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert is_bslz4(file.create_dataset("a", (3, 8, 9), **made)) is is_it
