"""Many runs again, on more than one process: what is gained, what it costs, and what is sent.

The runs of a bench share one file of frames, so that the disk's cache holds them.
"""

from __future__ import annotations

import pickle
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.reprocess import local_cluster, reprocess
from femto_bluesky.reprocess.driving import MAX_SHOTS
from femto_bluesky.reprocess.group_by import GroupBy
from femto_bluesky.reprocess.pieces import PlanFile, Span
from femto_bluesky.reprocess.planning import Planner
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings

BALOR, SMALL = (4104, 4128), (64, 64)
KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "bitshuffle-LZ4": {"chunks": (1, *BALOR), **hdf5plugin.Bitshuffle(cname="lz4")},
}
N_HELD, N_BALOR = 32, 1280

pytestmark = pytest.mark.filterwarnings("ignore")


def documents(
    path: Path, detector: str, n_events: int, burst: int, number: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A scan whose bursts are in a file, one after the other, and again where it is short."""
    uid = f"run-{number:06d}"
    with h5py.File(path) as file:
        n_frames, *shape = file["data"].shape
    whole = {"source": "bench", "dtype": "integer", "shape": []}
    yield "start", {"uid": uid, "scan_id": number, "time": 1e9 + number, "motors": ["delay"]}
    yield (
        "descriptor",
        {
            "uid": f"{uid}-d", "run_start": uid, "time": 1e9, "name": "primary", "hints": {},
            "data_keys": {
                "delay": {"source": "bench", "dtype": "number", "shape": []},
                f"{detector}_image": {
                    "source": "bench", "dtype": "array", "shape": [burst, *shape],
                    "dtype_numpy": "<u2", "external": "FILESTORE:", "dims": ["frame", "y", "x"],
                },
                f"{detector}_first_frame": whole, f"{detector}_n_frames": whole,
            },
            "object_keys": {
                "delay": ["delay"],
                detector: [f"{detector}_{end}" for end in ("image", "first_frame", "n_frames")],
            },
            "configuration": {},
        },
    )  # fmt: skip
    in_file = n_frames // burst
    for event in range(n_events):
        if event % in_file == 0:  # the same file by another name, for no two events share frames
            yield (
                "resource",
                {
                    "uid": f"{uid}-{event}", "spec": "AD_HDF5_SWMR", "root": str(path.parent),
                    "resource_path": path.name, "run_start": uid, "path_semantics": "posix",
                    "resource_kwargs": {"frame_per_point": burst, "dataset": "data"},
                },
            )  # fmt: skip
            resource = f"{uid}-{event}"
        datum = {"datum_id": f"{uid}/{event}", "resource": resource, "datum_kwargs": {}}
        yield "datum", datum | {"datum_kwargs": {"point_number": event % in_file}}
        data = {
            "delay": float(event % 10), f"{detector}_image": f"{uid}/{event}",
            f"{detector}_first_frame": event % in_file * burst, f"{detector}_n_frames": burst,
        }  # fmt: skip
        yield (
            "event",
            {
                "uid": f"{uid}/e{event}", "descriptor": f"{uid}-d", "seq_num": event + 1,
                "time": 1e9 + event, "data": data, "timestamps": dict.fromkeys(data, 1e9),
                "filled": {f"{detector}_image": False},
            },
        )  # fmt: skip
    yield "stop", {"uid": f"{uid}-s", "run_start": uid, "time": 2e9, "exit_status": "success"}


def night(path: Path, detector: str, n_runs: int, n_frames: int, burst: int) -> list[Any]:
    """The documents of runs of so many frames each."""
    return [list(documents(path, detector, n_frames // burst, burst, n)) for n in range(n_runs)]


def analysis() -> LiveAnalysis:
    """The beamline's pipeline."""
    return LiveAnalysis({"spot": Roi(x0=10, y0=10, x1=50, y1=50)}, photon_files=False)


def seconds_of(call: Any) -> float:
    """What a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def replayed(runs: list[Any]) -> float:
    """The plain loop: one run after the other through one analysis."""
    live = analysis()
    return seconds_of(lambda: [replay(run, live) for run in runs])


@pytest.fixture(scope="module")
def balor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of Balor frames with a thousand photons each."""
    directory = tmp_path_factory.mktemp("balor")
    frames = BalorFrames(BalorSettings(shape=BALOR, n_photons=1000, is_exact=True))
    few = [frames(number, 0.0) for number in range(4)]
    for kind, how in KINDS.items():
        with h5py.File(directory / f"{kind}.h5", "w") as file:
            data = file.create_dataset("data", (N_HELD, *BALOR), "u2", **how)
            for number in range(N_HELD):
                data[number] = few[number % 4]
    return {kind: directory / f"{kind}.h5" for kind in KINDS}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of small frames."""
    path = tmp_path_factory.mktemp("small") / "small.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.random.default_rng(0).poisson(3, (10_000, *SMALL)).astype(np.uint16)
    return path


@pytest.mark.parametrize("kind", KINDS)
def bench_two_processes(benchmark: Any, tell: Any, balor: dict[str, Path], kind: str) -> None:
    """A run of Balor frames on one process and on two; the target is 1.8 times as fast."""
    runs, n = night(balor[kind], "andor3_balor", 1, N_BALOR, 8), N_BALOR
    few = night(balor[kind], "andor3_balor", 1, N_HELD, 8)
    times: dict[str, float] = {"a replay": replayed(runs)}
    times["this process"] = seconds_of(lambda: reprocess(runs, analysis(), workers=1))
    for workers in (1, 2):
        with local_cluster(workers) as client:
            reprocess(few, analysis(), client)  # compiled code is loaded
            if workers == 1:
                times["1 worker"] = seconds_of(lambda: reprocess(runs, analysis(), client))
            else:
                times["2 workers"] = benchmark.pedantic(
                    lambda: seconds_of(lambda: reprocess(runs, analysis(), client)), rounds=1
                )
    told = ", ".join(f"{name} {1e3 * s / n:.1f}" for name, s in times.items())
    tell(
        f"{kind} Balor: {times['this process'] / times['2 workers']:.2f} times as fast on 2 "
        f"workers as in one process, {times['1 worker'] / times['2 workers']:.2f} as on 1 worker "
        f"(target 1.8); ms a frame: {told}"
    )


@pytest.mark.parametrize("kind", ["contiguous", "small"])
def bench_over_the_plain_loop(ratio: Any, balor: dict[str, Path], small: Path, kind: str) -> None:
    """In one process, beside a replay of the same runs through the same analysis."""
    if kind == "small":
        runs, rounds = night(small, "pilatus", 10, 200, 20), 5
    else:
        runs, rounds = night(balor[kind], "andor3_balor", 2, N_HELD, 8), 3
    ratio(
        lambda: reprocess(runs, analysis(), workers=1), lambda: replayed(runs),
        goal=1.05, than=f"a replay ({kind})", rounds=rounds,
    )  # fmt: skip


class Sent:
    """How many bytes a process has written to others, by Dask's own count of each message."""

    def __init__(self) -> None:
        from distributed.comm.tcp import TCP

        write = TCP.write
        self.n_bytes = 0

        async def counted(comm: Any, *args: Any, **kwargs: Any) -> int:
            n = int(await write(comm, *args, **kwargs))
            self.n_bytes += n
            return n

        TCP.write = counted


def _count(dask_worker: Any) -> None:
    dask_worker.sent = Sent()


def _sent(dask_worker: Any) -> int:
    return int(dask_worker.sent.n_bytes)


@pytest.mark.parametrize("burst", [1, 20])
def bench_traffic(benchmark: Any, tell: Any, small: Path, burst: int) -> None:
    """Bytes a frame that cross the network, of small frames, events of one and of 20 frames."""
    runs = night(small, "pilatus", 4, 5000, burst)
    here = Sent()
    with local_cluster(2) as client:
        reprocess(runs[:1], analysis(), client)
        client.run(_count)
        before = here.n_bytes
        benchmark.pedantic(lambda: reprocess(runs, analysis(), client), rounds=1)
        from_here, from_workers = here.n_bytes - before, sum(client.run(_sent).values())
    planner = Planner(GroupBy(), "primary", PlanFile())
    planner.add(runs[0], None)
    plan = planner.plan()
    share = plan.groups[0].shares["run-000000"]
    piece = pickle.dumps(plan.file.piece(share, Span(0, "run-000000", 0, MAX_SHOTS)))
    n = 20_000
    tell(
        f"events of {burst} frames: a frame costs {len(piece) / MAX_SHOTS:.0f} bytes in its piece "
        f"and {plan.file.n_bytes / share.n_shots:.0f} in the plan; scheduler and client sent "
        f"{from_here / n:.0f} bytes a frame, workers {from_workers / n:.0f}; the analysis with no "
        f"shot is {len(pickle.dumps(analysis()))} bytes"
    )


@pytest.mark.parametrize("n_frames", [100, 1000, 10_000])
def bench_more_frames(benchmark: Any, tell: Any, small: Path, n_frames: int) -> None:
    """Small frames of one run: microseconds a frame must not grow."""
    runs = night(small, "pilatus", 1, n_frames, 20)
    grown(benchmark, tell, runs, n_frames, f"{n_frames} frames")


@pytest.mark.parametrize("n_runs", [1, 10, 100])
def bench_more_runs(benchmark: Any, tell: Any, small: Path, n_runs: int) -> None:
    """Runs of 100 small frames."""
    runs = night(small, "pilatus", n_runs, 100, 20)
    grown(benchmark, tell, runs, 100 * n_runs, f"{n_runs} runs of 100 frames")


def grown(benchmark: Any, tell: Any, runs: list[Any], n: int, what: str) -> None:
    """Time for a frame: of the plan alone, in this process, and on two workers."""
    reprocess(runs[:1], analysis(), workers=1)
    rounds = 5 if n <= 1000 else 2

    def plan() -> None:
        planner = Planner(GroupBy(), "primary", PlanFile())
        for run in runs:
            planner.add(run, None)
        planner.plan().file.close()

    def median(call: Any) -> float:
        return 1e6 * statistics.median(seconds_of(call) for _ in range(rounds)) / n

    loop = 1e6 * statistics.median(replayed(runs) for _ in range(rounds)) / n
    planned = median(plan)
    here = median(lambda: reprocess(runs, analysis(), workers=1))
    with local_cluster(2) as client:
        reprocess(runs[:1], analysis(), client)
        benchmark.pedantic(lambda: reprocess(runs, analysis(), client), rounds=rounds)
    there = 1e6 * benchmark.stats.stats.median / n
    tell(
        f"{what}, us a frame: a replay {loop:.0f}, planning {planned:.0f}, in one process "
        f"{here:.0f}, on 2 workers {there:.0f}"
    )
