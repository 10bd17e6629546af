"""A worker: who must not wait does not, everybody else does, and the order stays."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from femto_bluesky.stream.worker import Worker

PATIENCE_S = 60.0


class Gate:
    """Something to do that lasts until it is let go."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.began, self.may_go = threading.Event(), threading.Event()
        self.threads: set[str] = set()

    def __call__(self, item: Any) -> None:
        self.threads.add(threading.current_thread().name)
        if item == "gate":
            self.began.set()
            assert self.may_go.wait(PATIENCE_S)
        self.taken.append(item)


def in_a_loop(function: Callable[[], Any]) -> Any:
    async def call() -> Any:
        return function()

    return asyncio.run(call())


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_in_plain_code_it_is_done_at_once_and_in_this_thread(gate: Gate) -> None:
    worker = Worker(gate)
    for item in range(3):
        worker(item)
    assert gate.taken == [0, 1, 2]
    assert gate.threads == {threading.current_thread().name}
    assert worker.backlog.n_waiting == 0


def test_an_event_loop_does_not_wait_and_the_order_stays(gate: Gate) -> None:
    worker = Worker(gate)
    in_a_loop(lambda: [worker(item) for item in ("gate", 1, 2)])
    assert gate.began.wait(PATIENCE_S)
    assert gate.taken == []
    assert worker.backlog.n_waiting == 3
    assert worker.backlog.at_work_s is not None
    assert not worker.wait(0.0)
    gate.may_go.set()
    worker(3)  # of plain code: after all that came before
    assert gate.taken == ["gate", 1, 2, 3]
    assert worker.wait()
    assert (worker.backlog.n_waiting, worker.backlog.at_work_s) == (0, None)


def test_who_waits_does_not_wait_for_what_comes_later(gate: Gate) -> None:
    worker = Worker(gate)
    in_a_loop(lambda: worker(1))
    assert worker.wait(PATIENCE_S)
    in_a_loop(lambda: worker("gate"))
    assert gate.taken == [1]
    gate.may_go.set()
    assert worker.wait(PATIENCE_S)


def test_its_own_thread_does_not_wait_for_itself() -> None:
    waited: list[bool] = []

    def take(item: int) -> None:
        waited.append(worker.wait())
        if item < 2:
            worker(item + 1)  # what it gives itself comes later

    worker = Worker(take)
    in_a_loop(lambda: worker(0))
    assert worker.wait(PATIENCE_S)
    worker(5)
    assert len(waited) == 4


def test_what_raises_all_the_same_does_not_leave_others_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    taken = []

    def take(item: int) -> None:
        if item == 0:
            raise SystemExit
        taken.append(item)

    worker = Worker(take)
    in_a_loop(lambda: [worker(item) for item in range(3)])
    assert worker.wait(PATIENCE_S)
    assert taken == [1, 2]


def test_its_thread_ends_when_there_is_nothing_to_do(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("femto_bluesky.stream.worker.IDLE_S", 0.0)
    worker = Worker(gate)
    for item in range(3):
        in_a_loop(lambda item=item: worker(item))
        thread = worker._thread
        assert worker.wait(PATIENCE_S)
        if thread is not None:
            thread.join(PATIENCE_S)
        assert worker._thread is None
    assert gate.taken == [0, 1, 2]


def test_a_process_ends_when_all_is_done() -> None:
    script = """
import asyncio, time
from femto_bluesky.stream.worker import Worker
def take(item):
    time.sleep(0.05)
    print(item, flush=True)
worker = Worker(take)
async def main():
    for item in range(5):
        worker(item)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == [*"01234"]


def test_one_that_hangs_is_told_once_and_that_it_goes_on(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    worker = Worker(gate, lambda: now[0])
    in_a_loop(lambda: worker("gate"))
    assert gate.began.wait(PATIENCE_S)
    in_a_loop(lambda: worker(1))
    assert not caplog.records
    for now[0] in (61.0, 70.0):
        in_a_loop(lambda: worker(2))
    gate.may_go.set()
    assert worker.wait(PATIENCE_S)
    told = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert told == [
        "the analysis has been busy with one event for 61 s, and 2 more wait",
        "the analysis goes on",
    ]
