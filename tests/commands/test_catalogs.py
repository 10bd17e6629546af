"""Runs of catalogs on the command line: replayed by number, uid, range and search; uploaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.sources import open_catalog
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import need_a_catalog


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def source(index, position):
    return np.random.default_rng(index).poisson(position, (8, 12)).astype(np.uint16)


def fill(catalog, folder):
    """Three scans of one, two and three steps, with the numbers 11, 12 and 13."""
    uids = []
    (folder / "raw").mkdir()
    for number in range(3):
        motor = SimulatedMotor(name="delay")
        camera = SimulatedDetector(
            name="camera", source=source, directory=folder / "raw", num_images=2, motor=motor
        )
        md = {"scan_id": 11 + number, "sample_name": "LaB6" if number else "air"}
        plan = burst_scan([camera], motor, [1.0, 2.0, 3.0][: number + 1], md=md)
        uids.append(run_plan(plan, catalog.writer)[0][1]["uid"])
    return uids


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    with open_catalog(f"lines:{folder / 'runs'}") as catalog:
        uids = fill(catalog, folder)
        assert catalog.writer.wait()
    return folder / "runs", uids


ROI = ["--roi", "all=0,0,12,8"]


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        ("-1", [2]), ("-3", [0]), ("-2:", [1, 2]), ("12", [1]), ("11-12", [0, 1]),
        ("sample_name=LaB6", [1, 2]),
    ],
)  # fmt: skip
def test_runs_are_named_in_many_ways(lines, which, numbers):
    folder, uids = lines
    for done in (
        run("replay", "--catalog", f"lines:{folder}", *ROI, "--", which),
        run("replay", which, "--catalog", folder, *ROI),
        run("replay", f"catalog:{folder}#{which}", *ROI),
    ):
        assert done.exit_code == 0, done.output
        titles = [line.strip() for line in done.output.splitlines() if "Step means of run" in line]
        assert titles == [f"Step means of run {uids[number][:8]}" for number in numbers]


def test_a_run_by_its_uid_and_files_that_were_moved(lines, tmp_path):
    folder, uids = lines
    shutil.copytree(folder.parent / "raw", tmp_path / "elsewhere")
    shutil.copytree(folder, tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*.jsonl"):
        path.write_text(path.read_text().replace(str(folder.parent / "raw"), "/gone/raw"))
    named = f"lines:{tmp_path / 'runs'}#{uids[1][:8]}"
    lost = run("replay", named, *ROI)
    assert lost.exit_code == 1
    assert "no such file" in lost.output
    done = run("replay", named, *ROI, "--path-map", f"/gone={tmp_path}",
               "--path-map", f"/gone/raw={tmp_path / 'elsewhere'}")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "sum of 4 images" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-1"], "-1 counts runs; say of which catalog: --catalog WHERE"),
        (["lines:{}"], "say which run of the catalog, such as lines:{}#-1"),
        (["lines:{}#99"], "no raw run has the scan_id 99"),
        (["lines:{}#50-60"], "no raw run is '50-60'"),
        (["lines:{}#-4"], "it has fewer than 4 raw runs"),
        (["lines:{}#-1", "scan.jsonl"], "scan.jsonl is a file and other sources are runs"),
        (["-1", "--catalog", "{}/nowhere"], "neither a directory nor a URL nor a Tiled profile"),
        (["x.jsonl", "--rio", "a=1"], "no such option: --rio"),
        (["x.jsonl", "--path-map", "/a"], "--path-map /a: expected OLD=NEW"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_line(lines, arguments, words):
    folder, _ = lines
    need_a_catalog()
    done = run("replay", *(text.format(folder) for text in arguments))
    assert done.exit_code == 1
    assert words.format(folder) in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Tiled's own
def test_upload_brings_lines_into_a_catalog(lines, tmp_path: Path):
    need_a_catalog()
    folder, uids = lines
    to = f"catalog:{tmp_path / 'catalog'}"
    done = run("upload", folder, "--to", to)
    assert done.exit_code == 0, done.output
    assert done.output.count("stored ") == 3
    again = run("upload", folder, "--to", to)
    assert again.output.count("there already: ") == 3
    (tmp_path / "bad.jsonl").write_text("no lines\n")
    bad = run("upload", tmp_path / "bad.jsonl", "--to", to)
    assert bad.exit_code == 1
    assert "bad.jsonl: no run starts in it" in bad.output
    seen = run("replay", f"{to}#{uids[2]}", *ROI)
    assert seen.exit_code == 0, seen.output
    assert "sum of 6 images" in seen.output
