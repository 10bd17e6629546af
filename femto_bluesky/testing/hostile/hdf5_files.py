"""HDF5 files that declare what they do not hold, lead elsewhere, or are damaged."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from femto_bluesky.files import xye
from femto_bluesky.files.arrays import read_image
from femto_bluesky.offline.raw_files import dataset_of, open_frames
from femto_bluesky.testing.hostile import values

DATA = "/entry/data/data"
PHOTONS = ("y", "x", "energy", "frame", "flags")


def _huge(file: h5py.File, *shape: int, dtype: Any = "u2", **how: Any) -> None:
    file.create_dataset(DATA, shape, dtype, **how)


def _bomb(file: h5py.File, n_bytes: int, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    """A chunk that becomes many more bytes than were declared, or as many as were."""
    data = file.create_dataset(DATA, shape, "u1", chunks=chunks, compression="gzip")
    press = zlib.compressobj(1)
    piece = bytes(1 << 20)
    pressed = b"".join(press.compress(piece) for _ in range(n_bytes >> 20)) + press.flush()
    data.id.write_direct_chunk((0,) * len(shape), pressed)


def _external(path: str) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        group = file.create_group("/entry/data")
        group["data"] = h5py.ExternalLink(path, "/entry/data/data")

    return make


def _elsewhere(path: str) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        file.create_dataset(DATA, (4, 8, 8), "u2", external=[(path, 0, h5py.h5f.UNLIMITED)])

    return make


def _loops(file: h5py.File) -> None:
    file["/entry/data"] = h5py.SoftLink("/entry/loop")
    file["/entry/loop"] = h5py.SoftLink("/entry/data")
    file["/entry/self"] = file["/entry"]


def _deep(file: h5py.File) -> None:
    group: Any = file
    for _ in range(400):
        group = group.create_group("a")
    group.create_dataset("data", data=np.zeros((2, 8, 8), "u2"))


def _many(file: h5py.File) -> None:
    for i in range(200):
        file.create_dataset(f"d{i}{'x' * 100}", data=np.zeros((2, 8, 8), "u2"))


def _virtual(path: str) -> Callable[[h5py.File], None]:
    def make(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((10**6, 10**5, 10**5), "u2")
        layout[0] = h5py.VirtualSource(path, DATA, (10**5, 10**5))
        file.create_virtual_dataset(DATA, layout)

    return make


def _photons(file: h5py.File, n: int, **how: Any) -> None:
    for name in PHOTONS:
        file.create_dataset(f"/entry/photons/{name}", (n,), "f8", **how)


_MAKERS: list[Callable[[h5py.File], None]] = [
    lambda file: _huge(file, 10**6, 10**5, 10**5, chunks=(1, 100, 100)),
    lambda file: _huge(file, 2, 10**9, 10**9, chunks=(1, 100, 100)),
    lambda file: _huge(file, 10**9, 10**9, chunks=(100, 100), compression="gzip"),
    lambda file: _huge(file, 1, 20_000, 20_000, chunks=(1, 20_000, 20_000), compression="gzip"),
    lambda file: _huge(file, 10**12, 8, 8, chunks=(1, 8, 8)),
    lambda file: _huge(file, 10**6, 16, 16, chunks=(10**6, 16, 16), compression="gzip"),
    lambda file: _huge(file, 2, 2**31, 2**31, dtype="f8", chunks=(1, 1, 1024)),
    lambda file: _huge(file, 0, 8, 8),
    lambda file: _huge(file, 4, 0, 8),
    lambda file: _huge(file, 4, 8, 8, dtype=h5py.string_dtype()),
    lambda file: _huge(file, 4, 8, 8, dtype="V1000"),
    lambda file: _huge(file, *[2] * 20),
    lambda file: _bomb(file, 150 << 20, (1, 64, 64), (1, 64, 64)),
    lambda file: _bomb(file, 150 << 20, (1, 20480, 20480), (1, 20480, 20480)),
    lambda file: _bomb(file, 150 << 20, (409600, 32, 32), (409600, 32, 32)),
    lambda file: _bomb(file, 150 << 20, (20480, 20480), (20480, 20480)),
    _external("/etc/passwd"), _external("../../marker"), _external("file.h5"),
    _elsewhere("/etc/passwd"), _elsewhere("/dev/zero"), _elsewhere("marker"),
    _loops, _deep, _many, _virtual("."), _virtual("/dev/zero"),
    lambda file: _photons(file, 10**12, chunks=(1000,)), lambda file: _photons(file, 0),
    lambda file: _photons(file, 10**9, chunks=(1000,), compression="gzip"),
    lambda file: file.create_dataset("/hits/hits_xye", (10**10, 3), "f8", chunks=(100, 3)),
    lambda file: file.create_dataset("/hits/hits_xye", (5, 10**10), "f8", chunks=(1, 1000)),
]  # fmt: skip


@cache
def _made(number: int) -> bytes:
    """The bytes of a file that is made by hand."""
    with h5py.File.in_memory() as file:
        _MAKERS[number](file)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


@cache
def _sound(kind: int) -> bytes:
    """The bytes of a sound file, to be damaged: contiguous, in chunks, compressed, of photons."""
    with h5py.File.in_memory() as file:
        frames = np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16)
        if kind == 0:
            file[DATA] = frames
        elif kind == 1:
            file.create_dataset(DATA, data=frames, chunks=(1, 16, 16), maxshape=(None, 16, 16))
        elif kind == 2:
            file.create_dataset(DATA, data=frames, chunks=(2, 8, 8), compression="gzip")
        elif kind == 3:
            file[DATA] = frames[0]
        else:
            file["/hits/hits_xye"] = np.random.default_rng(1).random((50, 3))
            file["/hits/hits_frame_number"] = np.arange(50)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def made(rng: Random, number: int, folder: Path) -> Path:
    """One file."""
    path = folder / "file.h5"
    if number < len(_MAKERS):
        path.write_bytes(_made(number))
    elif number < len(_MAKERS) + 5:
        odd = number - len(_MAKERS)
        if odd == 0:
            path.symlink_to(path)
        elif odd == 1:
            path.symlink_to("/dev/zero")
        elif odd == 2:
            path.mkdir()
        else:
            path.write_bytes([b"", b"\x89HDF\r\n\x1a\n" + b"\xff" * 500][odd - 3])
    else:
        data = values.damaged_bytes(_sound(rng.randrange(5)), rng)
        path.write_bytes(data)
    return path


def read_raw(path: Path, folder: Path) -> str | None:
    """Find the frames in a raw file and read the first ones."""
    source = open_frames(path, dataset_of(path))
    try:
        for index in range(min(len(source), 4)):
            source.read(index).sum()
    finally:
        source.close()
    return None


def read_photons(path: Path, folder: Path) -> str | None:
    """Read a photon file."""
    xye.read(path)
    return None


def read_mask(path: Path, folder: Path) -> str | None:
    """Read the only image in a file."""
    read_image(path, "mask")
    return None
