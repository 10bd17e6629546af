"""A running sum in one file, whole or not there: what a crash leaves of a sum of hours.

The file is an .npz, stored without compression, which `numpy.load` reads: `head.json` says what it
is, `total` is the sum (rows, columns), `masked` how often each pixel was masked, `fixed` a mask of
`n_fixed` frames more, `shots` which shots are in it (run by run, 1 where it is), `before_*` the
same of the sum before the last reset, and `taken` how often each shot was added or taken out. Each
part has its CRC, and the list of parts stands at the end: a file that was cut short has none.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from femto_bluesky.model.kept_sums import KeptSum
from femto_bluesky.model.mask_counts import MaskCounts, MaskParts
from femto_bluesky.model.sums import FrameSum
from femto_bluesky.model.words import in_words

K = TypeVar("K")

SUFFIX = ".npz"
_HEAD = "head.json"
_BLOCK = 1 << 20
_SPARE = 1 << 24
"""So many bytes are left free on the disk, for those who write raw frames and photons."""


class CheckpointError(ValueError):
    """A file that holds no whole sum; the message says what is wrong with it."""


class ChangedError(RuntimeError):
    """What was being written changed meanwhile; write it again."""


class SumHead(BaseModel):
    """What one sum is of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    shape: tuple[int, int]
    origin: tuple[int, int]
    pixel_size_m: tuple[float, float] | None
    since: float = Field(description="time of its first shot, in seconds since 1970")
    n_frames: int = Field(ge=0)
    dtype: Literal["uint32", "uint64", "int64", "float64"]
    is_masked: bool
    n_fixed: int = Field(ge=0)
    runs: list[tuple[str, int]] = Field(description="each run, and its shots up to the last here")

    @property
    def n_runs(self) -> int:
        """Of how many runs it is, also of those of which no shot is left."""
        return len(self.runs)


class Head(BaseModel):
    """What a file of a running sum says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["running sum of femto_bluesky"] = "running sum of femto_bluesky"
    version: Literal[1] = 1
    detector: str
    written_at: float = Field(description="seconds since 1970")
    settings: dict[str, Any] = Field(description="the settings under which frames were cleaned")
    why_reset: str = ""
    total: SumHead | None = None
    before: SumHead | None = None
    taken: list[tuple[str, str, int]] = []


# writing


def write_checkpoint(
    path: Path,
    kept: KeptSum,
    *,
    detector: str,
    written_at: float,
    settings: Mapping[str, Any],
    is_still: Callable[[], bool] = lambda: True,
) -> int:
    """Write a sum to `path`, whole or not at all, and give the number of bytes.

    What stood there becomes `previous(path)`; until the new one is on the disk, whatever happens,
    at least one of the two is whole. Raises `OSError` where it cannot be written (nothing has
    changed then), and `ChangedError` where `is_still()` says so before the file gets its name.
    """
    total, parts = _parts("", kept.total)
    before, more = _parts("before_", kept.before)
    taken = b"".join(kept.taken.values())
    head = Head(
        detector=detector, written_at=written_at, settings=dict(settings),
        why_reset=kept.why_reset, total=total, before=before,
        taken=[(*key, len(numbers)) for key, numbers in kept.taken.items()],
    )  # fmt: skip
    parts = {**parts, **more, "taken": np.frombuffer(taken, np.uint8)}
    _check_room(path, sum(part.nbytes for part in parts.values()))
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as raw:
            with zipfile.ZipFile(raw, "w") as archive:
                archive.writestr(_HEAD, head.model_dump_json())
                for name, values in parts.items():
                    _write(archive, name, values)
            raw.flush()
            os.fsync(raw.fileno())
            n_bytes = raw.tell()
        if not is_still():
            raise ChangedError(f"{path}: the sum changed while it was written")
        if path.exists():
            path.replace(previous(path))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return n_bytes


def previous(path: Path) -> Path:
    """Where the file lies that stood at `path` before."""
    return path.with_suffix(f".previous{SUFFIX}")


def _parts(prefix: str, held: FrameSum | None) -> tuple[SumHead | None, dict[str, NDArray[Any]]]:
    if held is None:
        return None, {}
    counts, fixed, n_fixed = held.masks.look()
    detector, shape, origin = held.kind
    head = SumHead(
        detector=detector, shape=shape, origin=origin, pixel_size_m=held.pixel_size_m,
        since=held.since, n_frames=held.n_frames, dtype=held.total.dtype.name,
        is_masked=counts is not None, n_fixed=0 if fixed is None else n_fixed,
        runs=[(run, len(numbers)) for run, numbers in held.shots.items()],
    )  # fmt: skip
    parts: dict[str, NDArray[Any]] = {"total": held.total}
    if counts is not None:
        parts["masked"] = counts
    if fixed is not None and n_fixed:
        parts["fixed"] = fixed
    parts["shots"] = np.frombuffer(b"".join(held.shots.values()), np.uint8)
    return head, {prefix + name: np.ascontiguousarray(part) for name, part in parts.items()}


def _write(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    """Write an array; in small pieces, so that no other thread waits for long."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(
            member, np.lib.format.header_data_from_array_1_0(values)
        )
        held = values.reshape(-1).view(np.uint8).data
        for start in range(0, len(held), _BLOCK):
            member.write(held[start : start + _BLOCK])


def _check_room(path: Path, n_bytes: int) -> None:
    # a disk is not filled to the last byte only to find that out: raw frames go there too
    if shutil.disk_usage(path.parent).free < n_bytes + _SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems cannot sync a folder
        if error.errno not in {errno.EINVAL, errno.EBADF, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


# reading


def read_head(path: Path) -> Head:
    """What a file says of itself; of the sum nothing is read.

    Raises `CheckpointError` where it is not whole or not one of these, `OSError` where it cannot be
    opened.
    """
    with path.open("rb") as raw:
        try:
            with zipfile.ZipFile(raw) as archive:
                return _head(path, archive)
        except _BROKEN as error:
            raise _not_whole(path, error) from error


def read_checkpoint(path: Path) -> tuple[Head, KeptSum]:
    """A sum and what the file says of it, every byte checked. Raises as `read_head`."""
    with path.open("rb") as raw:
        try:
            with zipfile.ZipFile(raw) as archive:
                head = _head(path, archive)
                total = _read_sum(archive, "", head.total)
                before = _read_sum(archive, "before_", head.before)
                lengths = [((run, detector), n) for run, detector, n in head.taken]
                taken = _read_shots(archive, "taken", dict(lengths))
        except _BROKEN as error:
            raise _not_whole(path, error) from error
    return head, KeptSum(total, before, head.why_reset, taken)


_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, NotImplementedError,
    RuntimeError, TypeError, ValueError, OverflowError,
)  # fmt: skip


def _not_whole(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    why = in_words(error) if isinstance(error, ValidationError) else str(error)
    return CheckpointError(f"{path} is no whole running sum ({why}), and is left as it is")


def _head(path: Path, archive: zipfile.ZipFile) -> Head:
    size = path.stat().st_size
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise CheckpointError(
                f"{path} is no running sum: {info.filename} declares {info.file_size} bytes in a "
                f"file of {size}, compressed perhaps; expected a file that this package wrote"
            )
    found = json.loads(archive.read(_HEAD))
    version = found.get("version") if isinstance(found, dict) else None
    if isinstance(version, int) and version > 1:
        raise CheckpointError(
            f"{path} is of version {version}, but this package reads version 1; it was written by "
            "a newer one, which reads it"
        )
    return Head.model_validate(found)


def _read_sum(archive: zipfile.ZipFile, prefix: str, head: SumHead | None) -> FrameSum | None:
    if head is None:
        return None
    total = _read(archive, f"{prefix}total", head.shape, np.dtype(head.dtype))
    counts = fixed = None
    if head.is_masked:
        counts = _read(archive, f"{prefix}masked", head.shape, np.dtype(np.uint32))
    if head.n_fixed:
        fixed = _read(archive, f"{prefix}fixed", head.shape, np.dtype(np.bool_))
        fixed.flags.writeable = False
    return FrameSum.made_of(
        (head.detector, head.shape, head.origin), total,
        MaskCounts(MaskParts(counts, fixed, head.n_fixed)),
        _read_shots(archive, f"{prefix}shots", dict(head.runs)), head.n_frames,
        head.pixel_size_m, head.since,
    )  # fmt: skip


def _read_shots(archive: zipfile.ZipFile, name: str, lengths: Mapping[K, int]) -> dict[K, bytes]:
    n = sum(lengths.values())
    numbers = _read(archive, name, (n,), np.dtype(np.uint8)).tobytes()
    found, start = {}, 0
    for key, length in lengths.items():
        found[key] = numbers[start : start + length]
        start += length
    return found


def _read(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """An array of this shape and type; nothing is allocated before the file is known to hold it."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        np.lib.format.read_magic(member)
        found = np.lib.format.read_array_header_1_0(member)
        n_bytes = dtype.itemsize
        for size in shape:
            n_bytes *= size
        if found != (shape, False, dtype) or info.file_size != member.tell() + n_bytes:
            raise ValueError(f"{name} is {found[2]} {found[0]}, expected {dtype} {shape}")
        values = np.empty(shape, dtype)
        held = values.reshape(-1).view(np.uint8).data
        for start in range(0, n_bytes, _BLOCK):
            held[start : start + _BLOCK] = member.read(min(_BLOCK, n_bytes - start))
        if member.read(1):  # looks at the CRC where the last piece has not
            raise ValueError(f"{name} is longer than it says")
    return values
