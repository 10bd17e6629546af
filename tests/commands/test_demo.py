"""The demonstration goes on until somebody ends it, and nothing piles up meanwhile."""

from __future__ import annotations

import gc
import logging
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from femto_bluesky.cli import app
from femto_bluesky.demo import DemoBeamline
from femto_bluesky.simulation.rings import RingSettings
from tests.commands.processes import COMMAND, line, started
from tests.viewer.shown import ask

SMALL = RingSettings(shape=(40, 60), x0=10.0, y0=20.0)


@pytest.mark.long
def test_it_scans_on_and_is_watched_until_it_is_interrupted(tmp_path: Path) -> None:
    options = ["--out", tmp_path, "--steps", "2", "--frames", "2", "--port", "0"]
    with started(*COMMAND, "demo", *options) as demo:
        address = line(demo, "http://127.0.0.1:")
        assert line(demo, "The beamline scans on, and keeps nothing.").endswith(address)
        assert ask(address, "/health").json["status"] == "ok"
        shown = ask(address, "/", Accept="text/html")
        assert (shown.status, b"<!DOCTYPE html>" in shown.body) == (200, True)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(120) == 0
    # the first scan has left what a scan leaves, the others nothing
    assert {path.name for path in tmp_path.glob("scan_*")} == {
        "scan_1.h5", "scan_1.jsonl", "scan_1_accumulated_pilatus.png", "scan_1_pilatus_image.h5",
        "scan_1_roi_means.png", "scan_1_step_means.png",
    }  # fmt: skip
    assert len(list((tmp_path / "raw").iterdir())) == 2


def test_the_page_has_no_place_in_one_scan(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--once", "--port", "0", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "with --once there is none" in done.output


class ScansOn(DemoBeamline):
    """Notes at each scan how many files there are, and ends after so many scans."""

    def __init__(self, out: Path, n_scans: int) -> None:
        super().__init__(out, SMALL)
        self.n_scans = n_scans
        self.n_files: list[int] = []
        self.n_objects: list[int] = []
        self.live.subscribe(self.note, "start")

    def note(self, name: str, doc: object) -> None:
        self.n_files.append(sum(path.is_file() for path in self._out.rglob("*")))
        if len(self.n_files) in (self.n_scans // 2, self.n_scans):
            gc.collect()
            self.n_objects.append(len(gc.get_objects()))
        if len(self.n_files) == self.n_scans:
            self.stop.set()


@pytest.mark.parametrize("n_scans", [20, pytest.param(400, marks=pytest.mark.long)])
def test_nothing_piles_up(tmp_path: Path, n_scans: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # pytest itself would keep each record
    beamline = ScansOn(tmp_path, n_scans)
    beamline.keep_scanning(2, 2, period_s=0.0, kept_scans=5)
    assert len(beamline.n_files) == n_scans
    assert max(beamline.n_files) <= 5  # of two scans, and of the one that has begun
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 0
    assert beamline.live.failures == []
    assert len(beamline.live.rois.table.runs) <= 5
    # what is remembered of five scans comes and goes; it does not grow with their number
    before, after = beamline.n_objects
    assert after - before < 2000 + 5 * n_scans
