"""The command line: what it prints, what it leaves, and what it says of bad input."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from femto_bluesky.callbacks import LiveAnalysis, ResultFiles
from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.testing.runs import burst_scan, run_plan

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LAB6 = DATA / "lab6"
SCAN = [str(LAB6 / "pilatus.cbors.gz"), str(LAB6 / "sardana.cbors")]
ROI = ["--roi", "ROI 2=600,220,700,400"]

needs_recordings = pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the recordings are not there: put them into {DATA}"
)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@needs_recordings
def test_replay_prints_the_step_means_and_leaves_files(tmp_path: Path) -> None:
    done = run("replay", *SCAN, *ROI, "--out", tmp_path / "results")
    assert done.exit_code == 0, done.output
    assert "0.0667569 ± 0.0054" in done.output
    assert "sum of 30 images" in done.output
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert {
        "scan_123374.jsonl",
        "scan_123374.h5",
        "scan_123374_accumulated_pilatus.png",
        "scan_123374_step_means.png",
    } <= names
    lines = (tmp_path / "results" / "scan_123374.jsonl").read_text().splitlines()
    documents = [json.loads(line) for line in lines]
    assert documents[0][1]["purpose"] == "derived"
    assert documents[-1][1]["exit_status"] == "success"
    with h5py.File(tmp_path / "results" / "scan_123374.h5") as file:
        assert file["entry/step_means/pilatus_ROI_2/mean"].shape == (5,)


@needs_recordings
def test_replay_of_what_convert_wrote(tmp_path: Path) -> None:
    assert run("convert", *SCAN, "--to", tmp_path / "run.jsonl").exit_code == 0
    done = run("replay", tmp_path / "run.jsonl", *ROI)
    assert done.exit_code == 0
    assert "0.0667569 ± 0.0054" in done.output


@needs_recordings
def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for _ in range(2):
        assert run("replay", *SCAN, *ROI, "--out", tmp_path).exit_code == 0
    assert {"scan_123374.h5", "scan_123374_2.h5"} <= {path.name for path in tmp_path.iterdir()}
    (tmp_path / "run.jsonl").write_text("mine")
    done = run("convert", *SCAN, "--to", tmp_path / "run.jsonl")
    assert done.exit_code == 1
    assert "run.jsonl" in done.output
    assert (tmp_path / "run.jsonl").read_text() == "mine"


@needs_recordings
def test_a_truncated_recording_is_used_up_to_the_damage(tmp_path: Path) -> None:
    whole = gzip.decompress((LAB6 / "pilatus.cbors.gz").read_bytes())
    (tmp_path / "pilatus.cbors").write_bytes(whole[: len(whole) * 2 // 3])
    shutil.copy(LAB6 / "sardana.cbors", tmp_path)
    done = run("replay", tmp_path / "pilatus.cbors", tmp_path / "sardana.cbors", *ROI)
    assert done.exit_code == 1
    assert "0.0667569 ± 0.0054" in done.output
    assert "pilatus.cbors" in done.output
    assert "byte" in done.output


@needs_recordings
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--roi", "a=1,2,3"], ["NAME=x0,y0,x1,y1"]),
        (["--roi", "a=5,5,5,9"], ["empty ROI", "x1 must be above x0"]),
        (["--roi", "a=0,0,9999,10"], ["reaches outside", "1475 columns", "move it inside"]),
        (["--settings", "nowhere.json"], ["nowhere.json"]),
        (["--callback", "no.such.module:Thing"], ["MODULE:CLASS"]),
        (["--callback", "json:NoSuchClass"], ["no class 'NoSuchClass'"]),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], words: list[str]) -> None:
    done = run("replay", *SCAN, *arguments)
    assert done.exit_code == 1
    text = " ".join(done.output.split())
    for word in words:
        assert word in text
    assert "Traceback" not in text


@needs_recordings
def test_settings_that_do_not_exist_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rois: {a: {x0: 1, y0: 1, x1: 9, y1: 9}}\nacumulate: true")
    done = run("replay", *SCAN, "--settings", tmp_path / "mine.yaml")
    assert done.exit_code == 1
    assert "acumulate" in done.output


def test_missing_file_is_named(tmp_path: Path) -> None:
    done = run("replay", tmp_path / "nothing.cbors")
    assert done.exit_code == 1
    assert "nothing.cbors" in done.output


@needs_recordings
def test_unwritable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("replay", *SCAN, "--out", tmp_path / "file" / "results")
    assert done.exit_code == 1
    assert str(tmp_path / "file") in done.output


@needs_recordings
def test_a_callback_from_a_file_sees_the_documents(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "class Names:\n"
        "    def __init__(self, directory=None):\n"
        "        self.path = Path(directory) / 'names.txt'\n"
        "    def __call__(self, name, doc):\n"
        "        with self.path.open('a') as file: file.write(name + '\\n')\n"
    )
    done = run("replay", *SCAN, "--callback", f"{tmp_path}/mine.py:Names", "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    names = (tmp_path / "o" / "names.txt").read_text().split()
    assert names == ["start", "descriptor", *["event"] * 5, "stop"]


def test_demo_agrees_with_the_truth(tmp_path: Path) -> None:
    done = run("demo", "--once", "--out", tmp_path, "--steps", "3", "--frames", "10")
    assert done.exit_code == 0, done.output
    with h5py.File(tmp_path / "scan_1.h5") as file:
        group = file["entry/step_means/pilatus_ring_3"]
        assert group["mean"][:].tolist() == pytest.approx([0.094, 0.062, 0.078], rel=0.25)
    again = run("replay", tmp_path / "raw" / "scan_1.jsonl")
    assert again.exit_code == 0, again.output
    assert "sum of 30 images" in again.output


@pytest.mark.long
def test_a_second_demo_is_another_scan(tmp_path: Path) -> None:
    for _ in range(2):
        done = run("demo", "--once", "--out", tmp_path, "--steps", "2", "--frames", "2")
        assert done.exit_code == 0, done.output
    assert (tmp_path / "scan_2.h5").exists()


def test_the_command_is_installed() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("femto-bluesky"), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "replay" in done.stdout


@needs_recordings
def test_a_callback_that_raises_leaves_the_others_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Oops:\n    def __call__(self, name, doc):\n        if name == 'event': 1 / 0\n"
    )
    done = run("replay", *SCAN, *ROI, "--callback", f"{tmp_path}/mine.py:Oops")
    assert done.exit_code == 1
    assert "sum of 30 images" in done.output
    text = " ".join(done.output.split())
    assert "Oops (" in text
    assert "line 3): ZeroDivisionError on a event document" in text


@needs_recordings
def test_a_run_without_images_is_named() -> None:
    done = run("replay", *sorted((DATA / "fluorescence").glob("*.pkls")))
    assert done.exit_code == 1
    assert "no images to be analysed were found" in done.output


def test_version() -> None:
    done = run("--version")
    assert done.exit_code == 0
    assert done.output.strip() == "0.1.0"


def test_files_are_named_where_they_are(tmp_path: Path) -> None:
    live = LiveAnalysis(directory=tmp_path / "images")
    files = ResultFiles(live, tmp_path / "results")
    live.subscribe(files)
    motor = SimulatedMotor(name="motor")
    detector = SimulatedDetector(
        name="cam", source=lambda *_: np.ones((4, 5), np.uint16), directory=tmp_path / "raw"
    )
    run_plan(burst_scan([detector], motor, [1.0, 2.0]), live)
    assert files.failures == []
    assert all(path.is_file() for path in files.paths)
    assert tmp_path / "images" / "scan_1_cam_image.h5" in files.paths
