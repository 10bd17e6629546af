"""What goes wrong beside a scan, in its analysis or in who listens: no shot is lost unnoticed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

import pytest

from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs.uploading import upload
from femto_bluesky.stream.frames import Hdf5Frames
from femto_bluesky.viewer import serve
from tests.faults.scanning import PATIENCE_S, Scans, scans_in

Say = Callable[..., None]


class BrokenError(RuntimeError):
    """What a test has broken."""


@pytest.fixture
def scans(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Scans]:
    with scans_in(tmp_path, caplog) as found:
        yield found


def test_an_analysis_raises(scans: Scans, fault: Say) -> None:
    def fail(shot: Any) -> None:
        if shot.number == 6:
            raise BrokenError("divided by nothing")

    scans.live.before_shot = fail
    broken = scans.run(20)
    scans.live.wait()
    scans.live.before_shot = None
    good = scans.run(20)
    shots = scans.shots()
    rows = scans.rows
    assert "BrokenError: divided by nothing" in rows[broken].reason
    said = [record for record in scans.log.records if "divided by nothing" in record.getMessage()]
    assert rows[good].n_shots == 20
    scans.assert_right(good)
    fault(
        "an analysis raises",
        injected="the analysis raises an exception at one shot of a run",
        promised="the scan goes on; the derived run, the log and the status say so, once; the next "
        "run is analysed",
        happened=f"the scan took all its shots; {len(said)} line in the log; of the next run "
        f"{rows[good].n_shots} of {len(scans.bursts_of(good))} shots were analysed",
        **shots,
    )
    assert len(said) == 1


def test_an_analysis_hangs(scans: Scans, fault: Say) -> None:
    let_go = threading.Event()
    scans.live.before_shot = lambda shot: shot.number == 3 and let_go.wait(PATIENCE_S)
    run = scans.run(40)
    status = scans.live.status()
    let_go.set()
    begun = time.monotonic()
    assert scans.live.wait(PATIENCE_S)
    recovery_s = time.monotonic() - begun
    shots = scans.shots()
    scans.assert_right(run)
    assert status.n_shots == 3
    fault(
        "an analysis hangs",
        injected="the analysis does nothing at one shot until the scan is over",
        promised="the scan ends as if there were no analysis; what has come waits, and nothing of "
        "it is lost",
        happened=f"the RunEngine came back after {scans.took_s[0]:.2g} s, when "
        f"{status.n_shots} shots were analysed and {status.n_waiting} events and documents waited",
        recovery_s=recovery_s,
        **shots,
    )


def test_an_analysis_is_ten_times_too_slow(scans: Scans, fault: Say) -> None:
    run = scans.run(20)
    alone_s = scans.took_s[-1]
    slow_s = 10 * alone_s / 20
    scans.live.wait()
    scans.live.before_shot = lambda shot: time.sleep(slow_s)
    slow = scans.run(20)
    behind = scans.live.status().n_waiting
    begun = time.monotonic()
    shots = scans.shots()
    for each in (run, slow):
        scans.assert_right(each)
    assert behind > 10
    fault(
        "an analysis is ten times too slow",
        injected="it takes ten times as long for a shot as the scan does",
        promised="the scan is not held up, RE(...) returns at once; live.wait() waits for the rest",
        happened=f"the scan took {scans.took_s[-1] / alone_s:.1f} times what it takes with a quick "
        f"analysis; {behind} events and documents waited at its end",
        recovery_s=time.monotonic() - begun,
        **shots,
    )
    assert scans.took_s[-1] < 5 * alone_s + 1, "it would be ten times"


def test_the_page_is_killed_in_a_run(scans: Scans, fault: Say) -> None:
    server = serve(scans.live)
    port = int(server.address.rstrip("/").rpartition(":")[2])
    times: dict[str, float] = {}

    def asked() -> str:
        with urlopen(f"{server.address}health", timeout=PATIENCE_S) as reply:
            return str(reply.read(), "utf-8")

    def each(n_taken: int) -> None:
        nonlocal server
        if n_taken == 5:
            assert '"open_runs":1' in asked()
            server.close()
            times["closed"] = time.monotonic()
        if n_taken == 15:
            server = serve(scans.live, port=port)
            assert '"open_runs"' in asked()
            times["served"] = time.monotonic()

    try:
        run = scans.run(25, each)
        shots = scans.shots()
        scans.assert_right(run)
        with urlopen(f"{server.address}health", timeout=PATIENCE_S) as reply:
            told = str(reply.read(), "utf-8")
    finally:
        server.close()
    assert '"status":"ok"' in told
    fault(
        "the page is killed in a run",
        injected="what serves the page ends in the middle of a run, and is started again",
        promised="scan and analysis notice nothing; the page comes back with all that was found",
        happened="all shots were analysed; the page was there again at the same address",
        recovery_s=times["served"] - times["closed"],
        **shots,
    )


def test_a_catalog_raises_in_a_run(scans: Scans, tmp_path: Path, fault: Say) -> None:
    def refuse(path: Path) -> None:
        raise BrokenError("no catalog today")

    def broken(name: str, doc: Any) -> None:
        raise BrokenError("a listener that raises at each document")

    with open_catalog(f"lines:{tmp_path / 'catalog'}", tmp_path / "beside") as catalog:
        scans.engine.subscribe(catalog.writer)
        scans.live.subscribe(broken)
        scans.live.subscribe(catalog.writer)
        with patch.object(catalog.writer, "_insert", refuse):
            refused = scans.run(20)
            scans.live.wait()
            assert catalog.writer.wait()
        taken = scans.run(20)
        shots = scans.shots()
        assert catalog.writer.wait()
        n_waiting = len(list(catalog.writer.waiting.glob("*.jsonl")))
        begun = time.monotonic()
        n_stored = len(upload(catalog.writer.waiting, catalog).stored)
        recovery_s = time.monotonic() - begun
        for run in (refused, taken):
            scans.assert_right(run)
            events = [doc for name, doc in catalog[run].documents() if name == "event"]
            assert len(events) == 20
            (derived,) = catalog[run].derived()
            assert derived.stop["exit_status"] == "success"
        left = list(catalog.writer.waiting.glob("*.jsonl"))
    assert (n_waiting, n_stored, left) == (2, 2, [])
    said = [record for record in scans.log.records if "no catalog today" in record.getMessage()]
    listened = [record for record in scans.log.records if "failed on a" in record.getMessage()]
    fault(
        "the catalog raises in a run",
        injected="the catalog takes neither the raw nor the derived run; another listener raises "
        "at each document",
        promised="the scan goes on; runs wait on the disk and can be uploaded; the log says it "
        "once a run",
        happened=f"{n_waiting} runs waited, {n_stored} were uploaded; {len(said)} line in the log "
        f"of the catalog, {len(listened)} of the listener in 2 runs",
        bytes_lost=0,
        recovery_s=recovery_s,
        **shots,
    )
    assert (len(said), len(listened)) == (1, 2)


def test_runs_are_paused_and_ended(scans: Scans, fault: Say) -> None:
    pauses = [(answer, defer) for answer in ("resume", "stop", "abort") for defer in (False, True)]
    runs = [scans.run(12, pause_at=7, defer=defer, on_pause=answer) for answer, defer in pauses]
    shots = scans.shots()
    ends = [doc["exit_status"] for doc in scans.raw.of("stop")]
    for run, end in zip(runs, ends, strict=True):
        scans.assert_right(run)
        assert scans.rows[run].exit_status == end
    again = len(scans.camera.bursts) - shots["taken"]
    fault(
        "a scan is paused, resumed, stopped, aborted",
        injected=f"{len(pauses)} pauses in the middle of runs, at once and at the next checkpoint, "
        "answered by RE.resume, RE.stop and RE.abort",
        promised="each shot of the run is analysed, once, with its own frame",
        happened=f"the runs ended as {', '.join(ends)}, and so did the derived runs; {again} "
        "frames were of no event",
        **shots,
    )


def test_the_clock_jumps(scans: Scans, fault: Say) -> None:
    real, ahead = time.time, 0.0
    jumps = {3: 3600.0, 8: -3600.0, 14: 0.0, 20: -3600.0, 30: 3600.0}

    def each(n_taken: int) -> None:
        nonlocal ahead
        ahead = jumps.get(n_taken, ahead)

    with patch.object(time, "time", lambda: real() + ahead):
        runs = [scans.run(18, each), scans.run(18, each)]
        shots = scans.shots()
    for run in runs:
        scans.assert_right(run)
        assert scans.rows[run].exit_status == "success"
    times = [doc["time"] for doc in scans.raw.of("event")]
    n_back = sum(later < earlier for earlier, later in itertools.pairwise(times))
    fault(
        "the clock jumps",
        injected=f"the clock is set an hour ahead and back, {len(jumps)} times in two runs",
        promised="shots keep their order and their steps",
        happened=f"the times of events went back {n_back} times; rows are in the order in which "
        "frames were taken",
        **shots,
    )
    assert n_back > 0


def test_frames_come_late(scans: Scans, fault: Say) -> None:
    """For those who read, the file has grown only later: as on a disk that is far away."""
    length, n_late, shown = Hdf5Frames.__len__, 0, 0

    def late(frames: Hdf5Frames) -> int:
        nonlocal n_late
        there = length(frames)
        if there > shown:
            n_late += 1
        return min(there, shown)

    def each(n_taken: int) -> None:
        nonlocal shown
        shown = max(0, n_taken - 3) if n_taken < 20 else 10**9

    with patch.object(Hdf5Frames, "__len__", late):
        run = scans.run(25, each)
        shots = scans.shots()
    scans.assert_right(run)
    assert n_late > 5
    fault(
        "frames reach the disk late",
        injected="the file shows frames three events after the documents that name them",
        promised="they are waited for, and are of their own events",
        happened=f"{n_late} times the file was asked and was behind; all shots have their own "
        "frames",
        **shots,
    )


def test_frames_never_come(scans: Scans, fault: Say) -> None:
    length = Hdf5Frames.__len__
    with patch.object(Hdf5Frames, "__len__", lambda frames: min(length(frames), 12)):
        broken = scans.run(20)
        scans.live.wait()
    good = scans.run(20)
    shots = scans.shots()
    rows = scans.rows
    scans.assert_right(good)
    assert rows[broken].n_shots == 12
    assert "found 12 in the file" in rows[broken].reason
    fault(
        "frames never reach the disk",
        injected="the file of a run ends in the middle, its documents go on",
        promised="what is there is analysed; which frames are missing is said in the derived run "
        "and in the log",
        happened=f"{rows[broken].n_shots} shots of the run were analysed; it says: "
        f"{rows[broken].reason.rpartition('event ')[2].partition(';')[0]}",
        **shots,
    )
