"""`femto-bluesky reprocess`: what it takes, what it says, and how it ends."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from femto_bluesky.cli import app
from femto_bluesky.reprocess.group_files import read_results, read_summary
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.documents import difference
from tests.catalogs import free_port
from tests.commands.processes import COMMAND, started
from tests.reprocess.made_runs import a_run
from tests.reprocess.nights import lose, take_night

OWN = '''
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings
from femto_bluesky.model.outputs import Output


class Settings(AnalysisSettings):
    factor: int = 1


class Brightness(Analysis):
    """The sum of each frame."""

    def __init__(self, factor=1):
        super().__init__(Settings(factor=factor))
        self.sums = {}

    def update(self, shot):
        total = self.settings.factor * int(shot.frame.dense().sum(dtype="int64"))
        self.sums[shot.run, shot.number] = total
        return shot

    def merge(self, other):
        self.sums |= other.sums

    def clear(self):
        self.sums.clear()

    def result(self):
        return dict(self.sums)

    def outputs(self, detectors):
        return [Output("brightness", "shots", "", "sum of the frame", "integer")]

    def shot_row(self, run, number):
        return {"brightness": self.sums[run, number]}
'''


def run(*arguments):
    done = CliRunner().invoke(app, ["reprocess", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take a second; tests/reprocess looks at them."""
    monkeypatch.setattr("femto_bluesky.reprocess.report.report", lambda told: "<html></html>")
    monkeypatch.setattr(
        "femto_bluesky.files.pictures.draw_curves",
        lambda groups, path, title: path.write_text(title),
    )


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """Three runs as JSON lines."""
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / f"scan_{number}.jsonl" for number in (1, 2, 3)]
    for number, path in enumerate(paths, start=1):
        jsonl.write(a_run(folder, number), path)
    return paths


def test_runs_are_grouped_and_named(lines, tmp_path):
    out = tmp_path / "out"
    done = run(
        *lines, "--roi", "spot=3,4,11,9", "--group-by", "start.sample.name", "--workers", "1",
        "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert f"wrote {out / 'sample.name=LaB6.h5'}" in said
    assert "45 shots of 3 runs in 2 groups" in said
    assert "sample.name=LaB6 │ 1 │ 15 │" in said
    record = json.loads((out / "provenance.json").read_text())
    assert record["command"] in said
    assert record["runs"][0]["source"].startswith(str(lines[0]))
    assert read_summary(out / "sample.name=Si.h5").n_shots == 30

    # the command that it prints makes the same again
    words = record["command"].split()[2:]
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert run(*words, "--workers", "1").exit_code == 0
    for path in sorted(out.glob("*.h5")):
        found, expected = read_results(tmp_path / "again" / path.name), read_results(path)
        pairs = [{k: group.signal.values for k, group in of.items()} for of in (expected, found)]
        assert difference(*pairs) is None


def test_many_sources_are_in_a_file(lines, tmp_path, monkeypatch):
    monkeypatch.setattr("femto_bluesky.reprocess.provenance.MOST_SOURCES", 2)
    assert run(*lines, "--workers", "1", "--out", tmp_path / "out").exit_code == 0
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    words = record["command"].split()[2:]
    assert words[0] == f"@{tmp_path / 'out' / 'sources.txt'}"
    assert run(*words, "--workers", "1").exit_code == 0
    assert read_summary(tmp_path / "out_again" / "all.h5").n_shots == 45
    done = run(f"@{tmp_path}/none.txt", "--out", tmp_path / "b")
    assert done.exit_code == 1
    assert "there is no file" in done.output


def test_runs_of_a_catalog_are_chosen_as_for_replay(lines, tmp_path):
    where = f"lines:{lines[0].parent}"
    done = run(f"{where}#1-2", "--group-by", "run", "--workers", "1", "--out", tmp_path / "a")
    assert done.exit_code == 0, done.output
    assert "30 shots of 2 runs in 2 groups" in " ".join(done.output.split())
    done = run("-1", "--catalog", where, "--workers", "1", "--out", tmp_path / "b")
    assert done.exit_code == 0, done.output
    assert read_summary(tmp_path / "b" / "all.h5").runs[0]["scan_id"] == 3
    assert "--catalog" in json.loads((tmp_path / "b" / "provenance.json").read_text())["command"]


def test_an_analysis_of_ones_own(lines, tmp_path):
    code, settings = tmp_path / "own_brightness.py", tmp_path / "own.json"
    code.write_text(OWN)
    settings.write_text('{"factor": 10}')
    spec = f"{code}:Brightness"
    done = run(
        *lines, "--analysis", spec, "--settings", settings, "--group-by", "delay", "--workers",
        "1", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = read_summary(tmp_path / "out" / "delay=0.h5").numbers["brightness"]
    assert found.n_shots == 15
    assert found.mean == pytest.approx(10 * 3 * 24 * 32, rel=0.02)
    assert (tmp_path / "out" / "summary.h5").exists()


def test_a_file_that_cannot_be_read_costs_the_others_nothing(lines, tmp_path):
    torn = tmp_path / "torn.jsonl"
    torn.write_text('["start", {"uid": \n["event"\n')
    done = run(torn, *lines, "--workers", "1", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "torn.jsonl" in done.output
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert [one["source"] for one in record["broken"]] == [str(torn)]
    assert len(record["runs"]) == 3


def test_broken_runs_are_told_and_the_exit_code_is_1(tmp_path):
    night = take_night(tmp_path, 2, (-1.0, 0.5), 2, (32, 32))
    lose(night.paths[0])
    done = run(*night.paths, "--workers", "1", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "In no result" in done.output
    assert "scan 1 (00000000)" in done.output
    moved = tmp_path / "moved"
    moved.mkdir()
    night.paths[1].with_suffix(".h5").rename(moved / "scan_2.h5")
    done = run(
        night.paths[1], "--path-map", f"{tmp_path}={moved}", "--workers", "1", "--out",
        tmp_path / "mapped",
    )  # fmt: skip
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--out is missing; say where results are to be left"),
        (["--out", "OUT", "--workers", "2", "--scheduler", "tcp://x:1"], "give one"),
        (["--out", "OUT", "--group-by", "delay:no"], "found the width 'no', expected a number"),
        (["--out", "OUT", "--analysis", "nothing"], "--analysis nothing: expected MODULE:CLASS"),
        (["--out", "OUT", "--analysis", "json:JSONDecoder"], "a JSONDecoder is no Analysis"),
        (
            ["--out", "OUT", "--analysis", "femto_bluesky.callbacks:RoiMeans", "--roi", "a=1"],
            "give those of femto_bluesky.callbacks:RoiMeans with --settings",
        ),
        (["--out", "OUT", "--grup-by", "delay"], "no such option: --grup-by"),
        (["--out", "OUT", "--scheduler", "tcp://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(lines, tmp_path, options, words, monkeypatch):
    if "--scheduler" in options:
        monkeypatch.setattr("femto_bluesky.cli.clusters.PATIENCE_S", 0.1)
    options = [str(tmp_path / "out") if word == "OUT" else word for word in options]
    done = run(*lines, *options)
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_other_work_in_the_directory_is_refused_unless_it_is_to_go(lines, tmp_path):
    common = ["--workers", "1", "--out", tmp_path / "out"]
    assert run(*lines[:2], *common).exit_code == 0
    done = run(*lines, *common)
    assert done.exit_code == 1
    assert "of other work" in done.output
    done = run(*lines, *common, "--restart")
    assert done.exit_code == 0, done.output
    assert read_summary(tmp_path / "out" / "all.h5").n_shots == 45


def test_a_reference_that_is_none_is_said_and_can_be_mended(lines, tmp_path):
    common = [*lines, "--group-by", "delay", "--workers", "1", "--out", tmp_path / "out"]
    done = run(*common, "--reference", "7")
    assert done.exit_code == 1
    assert "found 0 such groups, expected one of: delay=0, delay=0.5, delay=1" in " ".join(
        done.output.split()
    )
    assert run(*common, "--reference", "0.5").exit_code == 0
    assert (tmp_path / "out" / "difference_delay=0.h5").exists()


@pytest.mark.long
def test_a_scheduler_that_runs_already_is_used(tmp_path):
    night = take_night(tmp_path, 3, (-1.0, 0.5), 6, (64, 64))
    code = tmp_path / "own_brightness.py"
    code.write_text(OWN)
    common = [*night.paths, "--analysis", f"{code}:Brightness", "--group-by", "delay", "--out"]
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    dask = ("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--nworkers", "2")
    scheduler = ("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port)
    with started(*scheduler, "--dashboard-address", "127.0.0.1:0"), started(*dask):
        done = run(*common, tmp_path / "many", "--scheduler", address)
    assert done.exit_code == 0, done.output
    assert "dashboard of the workers: http://127.0.0.1:" in done.output
    assert "with 2 workers" in " ".join(done.output.split())
    assert run(*common, tmp_path / "one", "--workers", "1").exit_code == 0
    for delay in ("-1", "0.5"):
        many, one = (read_summary(tmp_path / n / f"delay={delay}.h5") for n in ("many", "one"))
        assert many.record() == one.record()


@pytest.mark.long
def test_ctrl_c_ends_it_and_the_same_command_goes_on(tmp_path):
    night = take_night(tmp_path, 6, (-1.0, 0.0, 0.5, 1.0), 20, (128, 128))
    out = tmp_path / "out"
    command = [
        *COMMAND, "reprocess", *night.paths, "--roi", night.roi_text, "--group-by", "delay",
        "--workers", "2", "--out", out,
    ]  # fmt: skip
    with started(*command) as process:
        for _ in range(5000):
            if list(out.glob("delay=*.h5")):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert list(out.glob("delay=*.h5"))
    assert not (out / "report.html").exists()
    with started(*command) as process:
        assert process.wait(300) == 0
    assert len(list(out.glob("delay=*.h5"))) == 4
    assert read_summary(out / "delay=1.h5").n_shots == 120
    assert Path(out / "report.html").stat().st_size > 100_000
