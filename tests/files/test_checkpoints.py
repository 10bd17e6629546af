"""A running sum in one file: whole or not there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.files import checkpoints
from femto_bluesky.files.checkpoints import (
    ChangedError,
    CheckpointError,
    previous,
    read_checkpoint,
    read_head,
    write_checkpoint,
)
from femto_bluesky.files.held_directory import HeldDirectory, HeldElsewhereError
from femto_bluesky.model.kept_sums import KeptSum, Taken
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.model.sums import FrameSum, accumulated_image
from femto_bluesky.testing.shots import make_shots

SHOTS = make_shots(("pilatus",), runs=("one", "two"), n_steps=2, n_frames=3)


def sum_of(shots: list[Shot]) -> FrameSum:
    held = FrameSum(shots[0])
    for shot in shots:
        held.add(shot)
    return held


def kept(shots: list[Shot], before: list[Shot] | None = None) -> KeptSum:
    taken = {("one", "pilatus"): b"\1\2\3", ("two", "pilatus"): b""}
    return KeptSum(sum_of(shots), sum_of(before) if before else None, "by the user", taken)


def write(path: Path, what: KeptSum, **options: object) -> int:
    settings = {"detectors.dark_adu": None}
    return write_checkpoint(
        path, what, detector="pilatus", written_at=1e9, settings=settings, **options
    )


def same(one: FrameSum | None, other: FrameSum | None) -> bool:
    if one is None or other is None:
        return one is other
    a, b = accumulated_image(one, is_sum=True), accumulated_image(other, is_sum=True)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.mask, b.mask)
    np.testing.assert_array_equal(one.masks.counts, other.masks.counts)
    assert a.image.dtype == b.image.dtype
    names = ("kind", "pixel_size_m", "since", "n_frames", "shots")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path, what = tmp_path / "sum.npz", kept(SHOTS[:8], SHOTS[8:])
    n_bytes = write(path, what)
    head, found = read_checkpoint(path)
    assert same(found.total, what.total)
    assert same(found.before, what.before)
    assert (found.why_reset, found.taken) == ("by the user", what.taken)
    assert head == read_head(path)
    assert (head.total.n_frames, head.total.n_runs, head.before.n_runs) == (8, 2, 1)
    assert n_bytes == path.stat().st_size
    assert [one.name for one in tmp_path.iterdir()] == ["sum.npz"]


def test_numpy_reads_it_too(tmp_path: Path) -> None:
    write(tmp_path / "sum.npz", kept(SHOTS))
    with np.load(tmp_path / "sum.npz") as found:
        np.testing.assert_array_equal(found["total"], sum_of(SHOTS).total)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
@pytest.mark.parametrize("mask", ["none", "fixed", "changing", "both"])
def test_every_kind_of_sum_comes_back_and_goes_on(tmp_path: Path, dtype: str, mask: str) -> None:
    fixed = np.eye(4, 5, dtype=bool)
    fixed.flags.writeable = False
    masks = {"none": [None], "fixed": [fixed], "changing": [np.eye(4, 5, 1) > 0]}
    masks["both"] = masks["fixed"] + masks["changing"] + masks["fixed"]
    shots = [
        Shot("run", 0, n, "cam", DenseFrame(np.full((4, 5), 200 + n, dtype), masked))
        for n, masked in enumerate(masks[mask] * 2)
    ]
    n = len(shots) // 2
    write(tmp_path / "sum.npz", KeptSum(sum_of(shots[:n])))
    found = read_checkpoint(tmp_path / "sum.npz")[1].total
    for shot in shots[n:]:
        found.add(shot)
    assert same(found, sum_of(shots))
    found.take_out(shots[0])
    assert found.n_frames == len(shots) - 1


def test_no_sum_is_kept_too(tmp_path: Path) -> None:
    write(tmp_path / "sum.npz", KeptSum(None, sum_of(SHOTS), "by the user"))
    head, found = read_checkpoint(tmp_path / "sum.npz")
    assert head.total is None
    assert same(found.before, sum_of(SHOTS))


def test_a_copy_is_of_its_moment_and_its_memory_is_used_again() -> None:
    held = sum_of(SHOTS[:3])
    first = held.into(held.room())
    held.add(SHOTS[3])
    assert same(first, sum_of(SHOTS[:3]))
    second = held.into(first)
    assert second.total is first.total
    assert same(second, sum_of(SHOTS[:4]))


# what is not whole


def test_a_file_cut_anywhere_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "sum.npz"
    write(path, kept(SHOTS[:2]))
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="is no whole running sum"):
            read_checkpoint(path)


def test_no_byte_of_a_sum_can_change_unseen(tmp_path: Path) -> None:
    path, what = tmp_path / "sum.npz", kept(SHOTS[:2])
    write(path, what)
    whole = path.read_bytes()
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            _, found = read_checkpoint(path)
        except CheckpointError:
            continue
        assert same(found.total, what.total)  # it was a time stamp, or padding
        assert found.taken == what.taken


@pytest.mark.parametrize("what", ["no zip", "a huge shape", "a bomb", "newer", "another's"])
def test_what_is_no_running_sum_is_refused_before_memory_is_taken(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "sum.npz"
    write(path, kept(SHOTS[:2]))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    head = json.loads(parts["head.json"])
    words = "is no whole running sum"
    if what == "a huge shape":
        head["total"]["shape"] = [10**9, 10**9]
        words = "total is float64 .12, 16., expected float64 .1000000000, 1000000000."
    if what == "a bomb":
        words = "compressed perhaps; expected a file that this package wrote"
    if what == "newer":
        head |= {"version": 2, "news": []}
        words = "of version 2, but this package reads version 1"
    if what == "another's":
        head["format"] = "something else"
        words = "format: Input should be 'running sum of femto_bluesky'"
    kind = zipfile.ZIP_DEFLATED if what == "a bomb" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in parts.items():
            text = json.dumps(head).encode() if name == "head.json" else content
            archive.writestr(name, bytes(10**6) if what == "a bomb" else text)
    if what == "no zip":
        path.write_bytes(b"\0" * 1000)
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(path)


# writing fails


@pytest.mark.parametrize("at", ["open", "write", "fsync", "replace", "change", "room"])
def test_where_writing_fails_nothing_has_changed(
    tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sum.npz"
    write(path, kept(SHOTS[:2]))
    write(path, kept(SHOTS[:3]))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    options = {}
    if at == "open":
        path.with_suffix(".part").mkdir()
    elif at == "write":
        monkeypatch.setattr(checkpoints, "_write", full)
    elif at == "change":
        options["is_still"] = lambda: False
    elif at == "room":
        usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    else:
        monkeypatch.setattr(os, at, full)
    with pytest.raises((OSError, ChangedError)):
        write(path, kept(SHOTS[:4]), **options)
    monkeypatch.undo()
    assert read_checkpoint(path)[0].total.n_frames == 3
    assert read_checkpoint(previous(path))[0].total.n_frames == 2
    if at != "open":
        assert sorted(p.name for p in tmp_path.iterdir()) == ["sum.npz", "sum.previous.npz"]


def test_broken_off_between_two_names_the_one_before_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sum.npz"
    write(path, kept(SHOTS[:2]))
    replace = os.replace

    def first_only(source: Path, target: Path) -> None:
        if source != path:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", first_only)
    with pytest.raises(KeyboardInterrupt):
        write(path, kept(SHOTS[:3]))
    assert not path.exists()
    assert read_checkpoint(previous(path))[0].total.n_frames == 2


# one process a directory


def test_a_directory_is_held_by_one_until_it_lets_go(tmp_path: Path) -> None:
    one, other = HeldDirectory(tmp_path / "new"), HeldDirectory(tmp_path / "new")
    one.hold()
    one.hold()
    with pytest.raises(HeldElsewhereError, match=f"process {os.getpid()} keeps its sums in"):
        other.hold()
    one.let_go()
    other.hold()
    other.let_go()


# what was done before is not done again


def test_a_replay_does_what_was_not_done_before() -> None:
    def shot(number: int) -> Shot:
        return SHOTS[number]

    first = Taken()
    # added, added, taken out, and broken off before it was added again
    assert all(first.is_next(shot(n)) for n in (0, 1, 1))
    again = Taken(first.counts())
    done = [again.is_next(shot(n)) for n in (0, 1, 1, 1, 2)]
    assert done == [False, False, False, True, True]
    # and once more
    assert not any(Taken(again.counts()).is_next(shot(n)) for n in (0, 1, 2))
    again.begin_anew()
    assert again.is_next(shot(0))
