"""A replay that is watched: served while it goes on and after it, until Ctrl-C."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.commands.processes import COMMAND, line, started
from tests.viewer.shown import ask

HTML = {"Accept": "text/html"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small run as JSON lines."""
    frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
    camera = SimulatedDetector(name="pilatus", source=frames, directory=tmp_path / "raw")
    documents = run_plan(burst_scan([camera], SimulatedMotor(name="delay"), [0, 1]))
    path = tmp_path / "run.jsonl"
    jsonl.write(documents, path)
    return path


def test_a_replay_is_served_until_it_is_interrupted(run: Path) -> None:
    options = ["--roi", "ring=0,10,30,30", "--serve", "--host", "0.0.0.0", "--port", "0"]
    with started(*COMMAND, "replay", run, *options) as replay:
        change, read = line(replay, "to watch and change"), line(replay, "to watch only")
        line(replay, "It is done. The page stays until Ctrl-C.")
        found = re.fullmatch(r"http://[^/]+:(\d+)/(\?token=\S+)  to watch and change", change)
        assert found, change
        assert read.split("token=")[1] != change.split("token=")[1]
        here = f"http://127.0.0.1:{found[1]}/"
        assert ask(here, "/", **HTML).status == 401
        cookie = ask(here, f"/{found[2]}", **HTML).headers["Set-Cookie"].partition(";")[0]
        page = ask(here, "/", Cookie=cookie, **HTML)
        assert (page.status, b"<!DOCTYPE html>" in page.body) == (200, True)
        assert ask(here, "/static/js/bokeh.min.js", Cookie=cookie).status == 200
        tree = ask(here, "/api/v1/parameters", Cookie=cookie).json
        assert "ring" in str(tree)
        replay.send_signal(signal.SIGINT)
        assert replay.wait(120) == 0


@pytest.mark.long
def test_what_went_wrong_is_still_told_at_the_end(tmp_path: Path, run: Path) -> None:
    lines = run.read_text().splitlines()
    run.write_text("\n".join(lines[:-1]) + "\n")  # it never stopped
    with started(*COMMAND, "replay", run, "--serve", "--port", "0") as replay:
        line(replay, "It is done. The page stays until Ctrl-C.")
        replay.send_signal(signal.SIGTERM)
        assert replay.wait(120) == 1


def test_a_port_that_is_taken(run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(app, ["replay", str(run), "--serve", "--port", port])
    assert done.exit_code == 1
    words = " ".join(done.output.split())
    assert f"results cannot be served at 127.0.0.1, port {port}: Address already in use" in words


def test_an_address_without_a_page(run: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(run), "--port", "8000"])
    assert done.exit_code == 1
    assert "--host and --port are of the page; give --serve too" in done.output
