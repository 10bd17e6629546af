"""The devices over real Channel Access, against an IOC in another process, on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import pytest

pytestmark = pytest.mark.skipif(
    find_spec("caproto") is None or find_spec("epics") is None,
    reason="needs caproto and pyepics: pip install 'femto-bluesky[test]'",
)


def free_port():
    """A port that is free for UDP and TCP; searches go by the one, values by the other."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = udp.getsockname()[1]
            try:
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def begin(part, directory):
    project = Path(__file__).parents[2]
    environment = os.environ | {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(free_port()),
        "EPICS_CA_REPEATER_PORT": str(free_port()),
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "OPHYD_CONTROL_LAYER": "pyepics",
        "PYTHONPATH": os.pathsep.join([str(project), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, str(Path(__file__).with_name("loopback_client.py")), part]
    return subprocess.Popen(
        [*command, str(directory)], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What a part has found. All begin at once: most of their time they wait for the network."""
    parts = ("loss", "scan", "by_hand")
    clients = {part: begin(part, tmp_path_factory.mktemp(part) / "raw") for part in parts}

    def result(part):
        found, said = clients[part].communicate(timeout=60)
        assert clients[part].returncode == 0, said[-4000:]
        return json.loads(found.splitlines()[-1])

    yield result
    for client in clients.values():
        client.kill()
        client.communicate()  # closes its pipes too


def test_stage_trigger_read_unstage(run):
    found = run("by_hand")
    assert found["shape"] == [3, 6, 9]
    assert found["dtype"] == "<u2"
    assert found["read"] == {"cam_first_frame": 0, "cam_n_frames": 3}
    assert found["short"] == [3, 2]
    assert found["documents"] == ["stream_resource", "stream_datum"]
    assert found["configured"]["cam_cam_model"] == "loopback"
    assert found["configured"]["cam_exposure_s"] == 0.05
    assert found["configured"]["cam_cam_num_images"] == 3
    assert found["capture"] == 0
    with h5py.File(found["file"]) as file:
        assert list(file["/entry/data/data"][:, 5, 8]) == [0, 1, 2, 3, 4]


def test_frames_are_read_while_the_ioc_writes_them(run):
    found = run("scan")
    assert found["failures"] == []
    assert found["first"] == [0, 3, 6, 9]
    assert found["means"] == [1, 4, 7, 10]


def test_a_disconnection_fails_the_scan_and_the_next_one_is_analysed(run):
    found = run("loss")
    assert found["said"].startswith("DetectorLostError: cam: the IOC LOOP: is gone")
    assert found["stop"] == "fail"
    assert found["n_events"] == 2
    assert found["first"] == [1, 4]
    assert found["failures"] == []
    assert found["second"] == [1, 4]
