"""Workers of a Dask cluster: the same bits, also where one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from femto_bluesky.reprocess import ReprocessError, local_cluster, reprocess
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.laws import given_out
from tests.reprocess.made_runs import Own, Slow, a_run, pipeline, straight

distributed = pytest.importorskip("distributed")

HOUSE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    directory = tmp_path_factory.mktemp("night")
    return [list(a_run(directory, n, inline=n == 2, compressed=n == 1)) for n in range(4)]


@pytest.fixture(scope="module")
def threads():
    """A cluster in this process: quick to begin, and everything is sent as if it were not."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def assert_the_same(make, runs, client, **how):
    expected, shots = straight(make, runs)
    done = reprocess(runs, make(), client, **how)
    assert not done.broken
    assert difference(expected, given_out(done.groups[0].analysis, shots)) is None
    return done


def assert_forgotten(client):
    """Nothing is left on the cluster once the client has told it so."""
    for _ in range(1000):
        if not (left := list(client.cluster.scheduler.tasks)):
            return
        time.sleep(0.01)
    raise AssertionError(f"the scheduler still has {left}")


@pytest.mark.parametrize("size", [3, None])
def test_a_cluster_gives_what_a_replay_gives(night, threads, size):
    assert assert_the_same(pipeline, night, threads, frames_per_piece=size).n_workers == 4
    assert_forgotten(threads)


def test_groups_and_broken_runs_on_a_cluster(tmp_path, threads):
    runs = [list(a_run(tmp_path, n, delays=[0.0, 1.0][: n + 1])) for n in range(3)]
    alone = reprocess(runs, Own(worst=8), workers=1, group_by="delay")
    done = reprocess(runs, Own(worst=8), threads, group_by="delay", frames_per_piece=2)
    assert [b.reason for b in done.broken] == [b.reason for b in alone.broken]
    assert len(done.broken) == 2
    assert [(g.name, g.n_shots, g.analysis.result()) for g in done.groups] == [
        (g.name, g.n_shots, g.analysis.result()) for g in alone.groups
    ]


def test_a_cluster_without_workers_is_told(night):
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(TimeoutError, match="no worker"),
    ):
        reprocess(night, Own(), client, wait_s=0.1)


@pytest.mark.parametrize(("there", "told"), [("0.0.1", "0.0.1"), (ImportError("no"), "not")])
def test_a_worker_with_another_version_is_refused(night, threads, monkeypatch, there, told):
    monkeypatch.setattr(threads, "run", lambda *args, **kwargs: {"tcp://there": there})
    words = rf"tcp://there has femto-bluesky {told}, expected .* as here"
    with pytest.raises(ReprocessError, match=words):
        reprocess(night, Own(), threads)


@pytest.mark.long
def test_processes_give_what_a_replay_gives(night):
    with local_cluster(2) as client:
        assert client.dashboard_link.startswith("http")
        assert_the_same(pipeline, night, client, frames_per_piece=3)
        assert_the_same(pipeline, night, client)
    expected, shots = straight(pipeline, night)
    done = reprocess(night, pipeline(), workers=2)
    assert done.n_workers == 2
    assert difference(expected, given_out(done.groups[0].analysis, shots)) is None


@contextmanager
def real_cluster(directory, n_workers=3):
    """`dask scheduler` and `dask worker`s, as on machines of their own; their processes."""
    told = directory / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": str(HOUSE)}
    common = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
             "--scheduler-file", str(told)], **common
        )
    ]  # fmt: skip
    try:
        started += [
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", str(told), "--nthreads", "1", "--no-nanny",
                 "--no-dashboard", "--name", str(n), "--memory-limit", "1GB",
                 "--local-directory", str(directory)], **common
            )
            for n in range(n_workers)
        ]  # fmt: skip
        with distributed.Client(scheduler_file=str(told), timeout="60s") as client:
            client.wait_for_workers(n_workers, timeout=60)
            yield client, started
    finally:
        for process in started[::-1]:
            process.kill()
            process.wait()


@pytest.mark.long
def test_a_worker_that_is_killed_in_the_middle_changes_no_bit(tmp_path):
    runs = [list(a_run(tmp_path, n, burst=40)) for n in range(6)]
    with real_cluster(tmp_path) as (client, processes):
        pids = client.run(os.getpid)
        killed = []

        def kill_one(progress):
            if not killed and progress.n_done >= progress.n_shots // 3:
                killed.append(processes[1].pid)
                os.kill(processes[1].pid, signal.SIGKILL)

        done = assert_the_same(Slow, runs, client, frames_per_piece=8, on_progress=kill_one)
        assert killed
        assert killed[0] in pids.values()
        assert len(client.nthreads()) == 2
        assert done.n_shots == 720


@pytest.mark.long
def test_a_scheduler_that_goes_is_told_and_the_work_goes_on(tmp_path):
    runs = [list(a_run(tmp_path, n, burst=40)) for n in range(6)]
    expected, _ = straight(Own, runs)
    out = tmp_path / "out"

    def kill_it(progress):
        if progress.n_done >= progress.n_shots // 2:
            os.kill(processes[0].pid, signal.SIGKILL)

    how = {"frames_per_piece": 8, "group_by": "run", "out": out}
    told = []
    with (
        real_cluster(tmp_path, 2) as (client, processes),
        pytest.raises(ReprocessError, match=r"scheduler .* has gone, .*goes on where it stopped"),
    ):
        reprocess(runs, Slow(), client, **how, on_progress=kill_it, on_group=told.append)
    totals = {group.name: group.analysis.result() for group in told}
    done = reprocess(
        runs, Slow(), workers=1, **how,
        on_group=lambda group: totals.update({group.name: group.analysis.result()}),
    )  # fmt: skip
    assert len(told) >= 2
    assert done.finished_before == [group.name for group in told]
    added = {}
    for total in totals.values():
        for at, value in total.items():
            added[at] = added.get(at, 0) + value
    assert added == expected["result"]


@pytest.mark.long
def test_a_piece_that_kills_its_workers_is_given_up(tmp_path):
    runs = [list(a_run(tmp_path, n)) for n in range(3)]
    expected, _ = straight(Own, [runs[0], runs[2]])
    began = time.monotonic()
    with local_cluster(2) as client:
        done = reprocess(runs, Deadly(), client, frames_per_piece=5)
    (broken,) = done.broken
    assert broken.run.uid == "0001-run"
    assert "its worker died 4 times (was there memory enough?)" in broken.reason
    assert done.groups[0].analysis.result() == expected["result"]
    assert time.monotonic() - began < 300


class Deadly(Own):
    """Kills the process at a shot of one run."""

    def update(self, shot):
        if shot.run == "0001-run" and shot.number == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update(shot)


@pytest.mark.long
def test_the_memory_of_a_worker_does_not_grow_with_a_run(tmp_path):
    """2000 frames of 512 x 512, 1 GB, on one worker that may have 1 GB."""
    run = list(a_run(tmp_path, delays=[float(n) for n in range(100)], burst=20, shape=(512, 512)))
    sizes = []

    def look(progress):
        if progress.n_done > (len(sizes) + 1) * 200:
            (size,) = client.run(resident_bytes).values()
            sizes.append(size)

    try:
        with local_cluster(1, memory_bytes=10**9) as client:
            done = reprocess(run, pipeline(), client, on_progress=look, frames_per_piece=50)
    finally:
        (tmp_path / "0000_pilatus.h5").unlink()
    assert done.n_shots == 2000
    assert len(sizes) >= 6
    # what grows a little is Dask's own book-keeping; the frames that went through are 1 GB
    assert max(sizes) < min(sizes) + 0.1e9


def resident_bytes():
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
