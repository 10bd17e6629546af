"""kill -9 at random moments of an analysis that counts photons, adds up and serves its page."""

from __future__ import annotations

import os
import random
import re
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import pytest
import zmq
from bluesky.callbacks.zmq import Publisher

from femto_bluesky.callbacks.derived_files import derived_in
from femto_bluesky.sources import jsonl
from tests.commands.broken_off import assert_same, recorded
from tests.faults.loaded import command

N_KILLS = 50
N_STEPS, N_FRAMES = 12, 3
EVERY_S = 0.12
"""A step takes so long: the two runs some three seconds."""

PROBE = "probe"


class Proxy:
    """A proxy of 0MQ that knows whether anybody listens."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._in, self._out = self._context.socket(zmq.XSUB), self._context.socket(zmq.XPUB)
        for socket in (self._in, self._out):
            socket.setsockopt(zmq.LINGER, 0)
            socket.set_hwm(0)
        self.entrance = f"127.0.0.1:{self._in.bind_to_random_port('tcp://127.0.0.1')}"
        self.leaving = f"tcp://127.0.0.1:{self._out.bind_to_random_port('tcp://127.0.0.1')}"
        self.is_heard = threading.Event()
        self.is_through = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()

    def _pass_on(self) -> None:
        poller = zmq.Poller()
        poller.register(self._in, zmq.POLLIN)
        poller.register(self._out, zmq.POLLIN)
        while not self._ended.is_set():
            for socket, _ in poller.poll(100):
                message = socket.recv_multipart()
                if message[0].startswith(b" %s " % PROBE.encode()):
                    self.is_through.set()
                elif socket is self._in:
                    self._out.send_multipart(message)
                else:
                    self._in.send_multipart(message)
                    if message[0][:1] == b"\x01":
                        self.is_heard.set()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._context.destroy(linger=0)


@dataclass
class Beamtime:
    """A RunEngine elsewhere that plays recorded runs, once for each analysis that listens."""

    runs: list[Path]
    proxy: Proxy = field(default_factory=Proxy)

    def play(self, is_over: threading.Event) -> threading.Thread:
        """Send all documents, when somebody listens; `is_over` ends it."""

        def send() -> None:
            publisher = Publisher(self.proxy.entrance)
            try:
                send_all(publisher)
            finally:
                publisher.close()

        def send_all(publisher: Publisher) -> None:
            while not self.proxy.is_heard.wait(0.02):
                if is_over.is_set():
                    return
            while not self.proxy.is_through.wait(0.02):
                publisher(PROBE, {})  # until it has learnt that somebody listens
            for path in self.runs:
                for name, document in jsonl.read(path):
                    if is_over.is_set():
                        return
                    publisher(name, dict(document))
                    if name == "event":
                        time.sleep(EVERY_S)

        self.proxy.is_heard.clear()
        self.proxy.is_through.clear()
        thread = threading.Thread(target=send)
        thread.start()
        return thread


@contextmanager
def watched(log: Path) -> Iterator[list[int]]:
    """A browser that asks again and again for what the page and other viewers show."""
    ended, n = threading.Event(), [0]

    def ask() -> None:
        address = None
        while not ended.wait(0.05):
            found = re.search(r"http://[\d.]+:\d+/", log.read_text()) if log.exists() else None
            address = address or (found and found[0])
            for what in ("health", "", "datasets") if address else ():
                with (
                    suppress(OSError, HTTPException),
                    urlopen(f"{address}{what}", timeout=5) as reply,
                ):
                    reply.read()
                    n[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield n
    finally:
        ended.set()
        thread.join()


def is_whole(out: Path) -> bool:
    """Whether both runs were analysed to their ends."""
    return sum(one.is_finished for one in derived_in(out)) == 2


def until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


def analyse(
    beamtime: Beamtime, out: Path, every_s: float, kill: Callable[[], None] | None
) -> tuple[float, float, int]:
    """Run `live`; kill it when `kill` returns.

    Returns how long it took until it listened, and from then on to its end, and how often the page
    was asked.
    """
    log, is_over = out.with_suffix(".log"), threading.Event()
    given = ["live", "--documents", beamtime.proxy.leaving, "--roi", "spot=100,100,300,300",
             "--out", out, "--port", 0]  # fmt: skip
    playing = beamtime.play(is_over)
    started = time.monotonic()
    heard = 0.0
    with command(log, every_s, *given) as live, watched(log) as n_asked:
        try:
            if kill is None:
                assert beamtime.proxy.is_heard.wait(120)
                heard = time.monotonic()
                until(lambda: is_whole(out))
                ended = time.monotonic()
                os.kill(live.pid or 0, signal.SIGINT)
                live.join(120)
                assert live.exitcode == 0, log.read_text()
                return heard - started, ended - heard, n_asked[0]
            kill()
            live.kill()
            live.join()
        finally:
            is_over.set()
            playing.join()
    return heard - started, 0.0, n_asked[0]


def n_bytes(out: Path) -> int:
    """How far the lines of the derived runs have come."""
    return sum(path.stat().st_size for path in out.glob("*.jsonl"))


def inodes(out: Path) -> dict[int, int]:
    """The files of results, and how large they are; the running sums are written anew."""
    return {
        path.stat().st_ino: path.stat().st_size
        for path in out.rglob("*")
        if path.is_file() and path.parent.name != "sums" and not path.name.startswith(".")
    }


@dataclass
class Seen:
    """What came of all kills."""

    taken: int = 0
    analysed: int = 0
    n_broken: int = 0
    n_unfinished: int = 0
    n_resumes_killed: int = 0
    n_asked: int = 0
    bytes_lost: int = 0
    seconds: list[float] = field(default_factory=list)


def resume(log: Path, runs: list[Path], out: Path, kill_after_s: float | None) -> float:
    """Finish it; the seconds that it took. With `kill_after_s` it is killed if not done by then."""
    started = time.monotonic()
    with command(log, 0.2, "resume", *runs, "--out", out) as process:
        process.join(kill_after_s or 300)
        assert kill_after_s is not None or process.exitcode == 0, log.read_text()
    return time.monotonic() - started


def is_killed_n_times(n: int, folder: Path) -> Seen:
    moments, seen = random.Random(20261123), Seen()
    beamtime = Beamtime(recorded(folder / "raw", N_STEPS, N_FRAMES, shape=(512, 512)))
    reference = folder / "reference"
    try:
        start_s, run_s, n_asked = analyse(beamtime, reference, 10.0, None)
        whole = n_bytes(reference)
        assert n_asked
        for number in range(n):
            out = folder / f"killed_{number}"
            is_early, share = number % 8 == 7, moments.uniform(0, 1.15)
            pause_s = moments.uniform(0, 0.5 * start_s if is_early else 0.5)

            def wait(
                out: Path = out,
                share: float = 0.0 if is_early else share,
                pause_s: float = pause_s,
            ) -> None:
                # from when there is anything to be resumed, until after the last picture
                until((out / "sums" / "begun.json").exists)
                until(lambda: is_whole(out) if share > 1 else n_bytes(out) >= 0.95 * share * whole)
                time.sleep(pause_s)

            # as it is, and so often that a checkpoint may be of any moment
            analysis = analyse(beamtime, out, moments.choice((10.0, 0.2)), wait)
            out.mkdir(exist_ok=True)
            seen.n_asked += analysis[2]
            seen.n_unfinished += not is_whole(out)
            seen.n_broken += sum(not one.is_finished for one in derived_in(out))
            there, log = inodes(out), out.with_suffix(".log")
            for _ in range(moments.choice((0, 0, 0, 1, 2))):
                resume(log, beamtime.runs, out, moments.uniform(0.5, start_s + run_s))
                seen.n_resumes_killed += 1
            seen.seconds.append(resume(log, beamtime.runs, out, None))
            assert_same(out, reference)
            kept = inodes(out)
            seen.bytes_lost += sum(size for inode, size in there.items() if inode not in kept)
            seen.taken += 2 * N_STEPS * N_FRAMES
            seen.analysed += sum(len(one.n_times) for one in derived_in(out))
    finally:
        beamtime.proxy.close()
    return seen


@pytest.mark.long
def test_killed_at_fifty_moments_and_resumed_it_equals_an_uninterrupted_run(
    tmp_path: Path, fault: Callable[..., None]
) -> None:
    seen = is_killed_n_times(N_KILLS, tmp_path)
    assert seen.n_unfinished
    assert seen.n_asked
    assert seen.bytes_lost == 0
    fault(
        "the analysis is killed",
        injected=f"kill -9 of `live` at {N_KILLS} moments of two runs, while a browser watched; "
        f"{seen.n_resumes_killed} times of `resume` too",
        promised="`femto-bluesky resume` makes what an uninterrupted run leaves",
        happened=f"{N_KILLS} of {N_KILLS} the same: sums with their history, rows, photons, names "
        f"of files; {seen.n_broken} runs had been broken off",
        taken=seen.taken, analysed=seen.analysed, missing=seen.taken - seen.analysed,
        bytes_lost=seen.bytes_lost, recovery_s=statistics.median(seen.seconds),
    )  # fmt: skip
