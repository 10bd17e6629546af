"""Sums are kept while frames come, whatever the disk does."""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path

import pytest

from femto_bluesky.callbacks import checkpoints as module
from femto_bluesky.callbacks.checkpoints import Checkpoints, RestoreError
from femto_bluesky.files import checkpoints as files
from femto_bluesky.testing.shots import make_shots
from tests.callbacks.kept_sums import SHOTS, assert_same, feed, live_of, restored, until


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)


# while frames come


def test_the_thread_writes_what_changes_and_close_the_rest(tmp_path: Path) -> None:
    live = live_of()
    keeper = Checkpoints(live, tmp_path, every_s=0).start()
    feed(live, SHOTS[0])
    until(lambda: keeper.n_written == 1)
    keeper._cost.due = float("inf")
    feed(live, *SHOTS[1:])
    keeper.close()
    assert keeper.n_written == 2
    assert_same(restored(tmp_path), live_of(*SHOTS))


def test_the_cost_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    cost = module._Cost(10, 0.05)
    cost.has_taken(0.2)
    assert cost.due == pytest.approx(110)
    cost.has_taken(2.0)
    assert cost.due == pytest.approx(138)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A disk on which nothing can be made safe as long as there is an error number."""
    now = {"errno": errno.ENOSPC}
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        if now["errno"]:
            raise OSError(now["errno"], os.strerror(now["errno"]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    return now


def test_a_full_disk_is_told_once_and_writing_goes_on_when_there_is_room(
    tmp_path: Path, full: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    live = live_of()
    keeper = Checkpoints(live, tmp_path)
    for shot in SHOTS[:5]:
        feed(live, shot)
        keeper.look()
    assert live.accumulation().extent.n_frames == 5
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert errors == [
        f"the running sums are in memory only: {tmp_path}: No space left on device; make room"
    ]
    assert "make room" in keeper.problem
    full["errno"] = 0
    keeper.look()
    assert (keeper.problem, keeper.n_written) == ("", 1)
    assert f"the running sums are kept in {tmp_path} again" in caplog.text
    keeper.close()
    assert_same(restored(tmp_path), live_of(*SHOTS[:5]))


def test_where_one_sum_finds_no_room_another_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = module.write_checkpoint

    def small_only(path: Path, *given: object, **named: object) -> int:
        if "pilatus" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, *given, **named)

    monkeypatch.setattr(module, "write_checkpoint", small_only)
    keeper = Checkpoints(live_of(*make_shots(("pilatus", "andor3_zyla10"))), tmp_path)
    keeper.look()
    keeper.close()
    assert "make room" in keeper.problem
    assert [found.head.detector for found in keeper.found()] == ["andor3_zyla10"]


def test_whatever_fails_frames_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise MemoryError("no memory for the copy")

    monkeypatch.setattr(module, "write_checkpoint", broken)
    live = live_of(SHOTS[0])
    with Checkpoints(live, tmp_path, every_s=0).start() as keeper:
        until(lambda: bool(keeper.problem))
        feed(live, *SHOTS[1:])
        monkeypatch.undo()
        until(lambda: not keeper.problem)
    assert "MemoryError: no memory for the copy" in caplog.text
    assert_same(restored(tmp_path), live_of(*SHOTS))


@pytest.mark.parametrize("what", ["a file is in the way", "read-only"])
def test_a_directory_that_takes_nothing(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "sums"
    if what == "read-only":
        # root may write everywhere, so that the rights alone prove nothing
        def refused(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(Path, "mkdir", refused)
    else:
        directory.write_text("")
    live = live_of(SHOTS[0])
    keeper = Checkpoints(live, directory)
    keeper.look()
    words = {"read-only": "Read-only file system; give another directory"}
    assert words.get(what, "File exists") in keeper.problem
    monkeypatch.undo()
    directory.unlink(missing_ok=True)
    keeper.look()
    keeper.close()
    assert (keeper.problem, keeper.n_written) == ("", 1)


def test_the_second_process_says_so_and_keeps_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Checkpoints(live_of(SHOTS[0]), tmp_path)
    first.look()
    second = Checkpoints(live_of(*SHOTS), tmp_path)
    second.look()
    assert f"process {os.getpid()} keeps its sums in {tmp_path}" in second.problem
    assert "this process keeps none" in caplog.text
    with pytest.raises(RestoreError, match="end it, or give another directory"):
        second.restore()
    assert second.n_written == 0
    first.close()
    second.look()
    second.close()
    assert (second.problem, second.n_written) == ("", 1)


def test_a_reset_while_it_is_written_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = live_of(*SHOTS[:4])
    live.accumulation().reset()
    feed(live, *SHOTS[4:6])
    keeper = Checkpoints(live, tmp_path)
    write = files._write

    def undone_meanwhile(*given: object) -> None:
        monkeypatch.setattr(files, "_write", write)
        live.accumulation().undo_reset()
        write(*given)

    monkeypatch.setattr(files, "_write", undone_meanwhile)
    keeper.look()
    assert keeper.n_written == 0
    keeper.look()
    keeper.close()
    assert_same(restored(tmp_path), live_of(*SHOTS[:6]))


def test_all_that_was_cleared_is_set_aside(tmp_path: Path) -> None:
    live = live_of(*SHOTS[:4])
    keeper = Checkpoints(live, tmp_path)
    keeper.look()
    live.clear()
    keeper.look()
    feed(live, SHOTS[0])
    keeper.look()
    keeper.close()
    assert restored(tmp_path).accumulation().extent.n_frames == 1
    assert len(list((tmp_path / "aside").iterdir())) == 1
