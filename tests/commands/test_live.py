"""Runs of a RunEngine in another process, through 0MQ or Kafka: analysed and shown here."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import h5py
import hdf5plugin  # noqa: F401  (the compression of the frames)
import numpy as np
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from femto_bluesky.cli import app
from tests.commands.processes import COMMAND, line, started

PROXY = """
from bluesky.callbacks.zmq import Proxy
proxy = Proxy("tcp://127.0.0.1", "tcp://127.0.0.1")
print(proxy.in_port, proxy.out_port, flush=True)
proxy.start()
"""

ENGINE = """
import sys
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.testing.runs import burst_scan, run_engine

entrance, folder = sys.argv[1:]
if entrance.startswith("kafka://"):
    from bluesky_kafka import Publisher
    broker, topic = entrance.removeprefix("kafka://").split("/")
    publisher = Publisher(topic, broker, "key", flush_on_stop_doc=True)
else:
    from bluesky.callbacks.zmq import Publisher
    publisher = Publisher(entrance)
delay = SimulatedMotor(name="delay", labels={"motors"})
frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
pilatus = SimulatedDetector(
    name="pilatus", source=frames, directory=folder, num_images=4, motor=delay
)
with run_engine() as RE:
    RE.subscribe(publisher)
    while True:  # who listens finds the middle of a scan first
        RE(burst_scan([pilatus], delay, [0.0, 0.5, 1.0]))
"""


@contextmanager
def proxy_0mq() -> Iterator[tuple[str, str]]:
    """Where documents come in, and where they go out: bluesky's proxy."""
    with started("-c", PROXY) as proxy:
        entrance, leaving = line(proxy, "tcp://").split()
        yield entrance, leaving


@contextmanager
def broker_of_kafka() -> Iterator[tuple[str, str]]:
    """The same of librdkafka's imitation of a broker, with a topic in it."""
    broker = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (found,) = broker.list_topics("documents", timeout=10).brokers.values()
    address = f"kafka://{found.host}:{found.port}/documents"
    yield address, address
    broker.flush()


@pytest.mark.parametrize(
    "between", [proxy_0mq, pytest.param(broker_of_kafka, marks=pytest.mark.long)]
)
def test_runs_of_another_process_are_analysed_and_shown(
    tmp_path: Path, between: Callable[[], AbstractContextManager[tuple[str, str]]]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    with between() as (entrance, leaving):
        command = [
            "live", "--documents", leaving, "--roi", "ring=0,10,30,30", "--out", out, "--port", "0",
        ]  # fmt: skip
        with started(*COMMAND, *command) as live:
            address = line(live, "http://")
            with started("-c", ENGINE, entrance, raw):
                number = line(live, "list_scan").split()[1].rstrip(":")
                assert line(live, "success") == "success, 3 steps"
                asked = Request(f"{address}health", headers={"Accept": "application/json"})
                with urlopen(asked, timeout=30) as reply:
                    assert json.load(reply)["failed_runs"] == 0
                with urlopen(Request(address, headers={"Accept": "text/html"}), timeout=30) as page:
                    assert page.headers["Content-Type"].startswith("text/html")
                line(live, "list_scan")
            live.send_signal(signal.SIGINT)
            assert live.wait(120) == 0
    documents = [*map(json.loads, (out / f"scan_{number}.jsonl").read_text().splitlines())]
    assert documents[-1][1]["exit_status"] == "success"
    # what was analysed is what is in the file that the documents name
    files = sorted(raw.glob("pilatus_*.h5"), key=lambda path: path.stat().st_mtime)
    with h5py.File(out / f"scan_{number}.h5") as results:
        found = results["entry/step_means/pilatus_ring/mean"][:]
    means = []
    for path in files[:-1]:  # the last was being written when its process was ended
        with h5py.File(path) as file:
            frames = file["entry/data/data"][:].astype(float)
        frames[frames < 0] = np.nan
        if len(frames) == 12:
            boxes = frames[:, 10:30, 0:30].reshape(3, 4, -1)
            means.append(np.nanmean(boxes, axis=2).mean(axis=1))
    assert any(np.allclose(found, mean, rtol=1e-12) for mean in means)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--documents", "localhost:9092"], "expected where a 0MQ proxy sends to, such as tcp"),
        (["--documents", "kafka://host:9092"], "such as kafka://localhost:9092/documents"),
        (["--documents", "kafka://a:1/b", "--prefix", "c"], "through Kafka, give them topics"),
        (["--documents", "tcp://localhost:1", "--roi", "x"], "expected NAME=x0,y0,x1,y1"),
        (["--documents", "tcp://localhost:1", "--host", "203.0.113.9"], "cannot be served at 203."),
    ],
)
def test_what_cannot_be_is_said(given: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["live", *given])
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
