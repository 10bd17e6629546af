"""What `resume` leaves as it is, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from femto_bluesky.callbacks import Checkpoints, LiveAnalysis, ResultFiles, RoiMeans
from femto_bluesky.cli import app
from femto_bluesky.files import pictures
from femto_bluesky.files.checkpoints import read_checkpoint
from femto_bluesky.sources import jsonl
from femto_bluesky.sources.catalogs.locks import try_lock
from tests.commands.broken_off import Session, cut, names, recorded


def resume(*given: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["resume", *map(str, given)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return recorded(tmp_path_factory.mktemp("raw"))


@pytest.fixture(autouse=True)
def _without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("draw", "draw_curves"):
        monkeypatch.setattr(pictures, name, lambda what, path, title="": path.touch())


def test_what_cannot_be_is_said(runs: list[Path], tmp_path: Path) -> None:
    one, two = runs
    (tmp_path / "empty").mkdir()
    out = Session(tmp_path / "out").take(cut(one, 1)).kill()
    before = names(out)
    for given, words in {
        (one,): "expected the directory into which the runs were analysed; give the --out of",
        (one, "--out", tmp_path / "none"): "expected the directory into which the runs",
        ("--out", out): "no source is given; name the raw runs, or their catalog (--catalog)",
        (tmp_path / "x.jsonl", "--out", out): "there is no file",
        (out / "scan_1.jsonl", "--out", out): "there is no raw run; check the name",
        (one, "--oops", "--out", out): "no such option: --oops",
        (two, "--out", tmp_path / "empty", "--roi", "x"): "expected NAME=x0,y0,x1,y1",
    }.items():
        code, said = resume(*given)
        assert (code, words in said) == (1, True), said
    assert names(out) == before


def test_an_analysis_at_work_is_not_disturbed(runs: list[Path], tmp_path: Path) -> None:
    one, _ = runs
    out = Session(tmp_path / "out").take(cut(one, 1)).keep().kill()
    before = names(out)
    with (out / "scan_1.jsonl").open("a") as lines:
        assert try_lock(lines)
        code, said = resume(one, "--out", out)
        assert (code, "scan_1.jsonl is being written: an analysis is at work in" in said) == (1, 1)
    holder = Checkpoints(LiveAnalysis(photon_files=False), out / "sums")
    assert holder.hold()
    code, said = resume(one, "--out", out)
    holder.close()
    assert (code, "end it, or give another directory" in said) == (1, True), said
    assert names(out) == before


def test_lines_are_locked_while_they_are_written(runs: list[Path], tmp_path: Path) -> None:
    live = LiveAnalysis(photon_files=False)
    live.subscribe(ResultFiles(live, tmp_path))
    for name, document in cut(runs[0], 1):
        live(name, document)
    code, said = resume(runs[0], "--out", tmp_path)
    assert (code, "is being written" in said) == (1, True)
    live("stop", {"run_start": cut(runs[0], 1)[0][1]["uid"], "exit_status": "abort"})
    code, said = resume(runs[0], "--out", tmp_path)
    assert (code, "Nothing to do" in said) == (0, True), said


def test_a_run_that_goes_on_and_one_that_is_not_at_hand_are_left(
    runs: list[Path], tmp_path: Path
) -> None:
    one, two = runs
    out = Session(tmp_path / "out").take(cut(one, 2), cut(two, 2)).kill()
    before = names(out)
    growing = tmp_path / "growing.jsonl"
    growing.write_text("".join(jsonl.line(*pair) for pair in cut(one, 3)))
    code, said = resume(growing, "--out", out)
    assert "growing.jsonl: it has not stopped left: resume when it has stopped" in said
    assert "scan_2.jsonl was broken off, and its raw run" in said
    assert code == 1
    assert names(out) == before
    code, said = resume(growing, two, "--out", out)
    assert (code, "analysed, 8 shots" in said) == (0, True), said


def test_those_of_other_analyses_are_left(runs: list[Path], tmp_path: Path) -> None:
    means = RoiMeans()
    means.subscribe(ResultFiles(means, tmp_path / "at_work"))
    for name, document in cut(runs[0], 2):
        means(name, document)
    out = tmp_path / "out"
    out.mkdir()
    (out / "scan_1_RoiMeans.jsonl").write_bytes(
        (tmp_path / "at_work" / "scan_1_RoiMeans.jsonl").read_bytes()
    )
    code, said = resume(f"lines:{runs[0].parent}", "--out", out)
    assert "scan_1_RoiMeans.jsonl was broken off by RoiMeans; replay its run with it" in said
    assert (code, names(out)) == (0, ["scan_1_RoiMeans.jsonl"])
    means("stop", {"run_start": cut(runs[0], 1)[0][1]["uid"], "exit_status": "abort"})


def test_runs_before_the_sum_was_begun_anew_are_not_added(runs: list[Path], tmp_path: Path) -> None:
    one, two = runs
    out = Session(tmp_path / "out").take(one).keep().kill()
    # nobody restored: this sum is of the second run alone
    session = Session(out).take(cut(two, 2)).keep()
    out = session.kill()
    code, said = resume(*runs, "--out", out)
    assert code == 0, said
    assert "analysed nothing" in said
    _, kept = read_checkpoint(out / "sums" / "sum_andor3_balor1.npz")
    assert kept.total is not None
    assert [run for run, _ in kept.taken] == [cut(two, 1)[0][1]["uid"]]
    assert kept.total.n_frames == 8
    # nor are those that were thrown away by a reset, which is remembered
    session = Session(out, restore=True)
    session.live.accumulation().reset()
    out = session.keep().kill()
    code, said = resume(*runs, "--out", out)
    assert (code, "Nothing to do" in said) == (0, True), said


def test_where_no_sums_were_kept_none_are(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    session = Session(out)
    session.take(runs[0], cut(runs[1], 1)).kill()
    (out / "sums" / ".lock").unlink()
    (out / "sums").rmdir()
    code, said = resume(*runs, "--out", out)
    assert code == 0, said
    assert not (out / "sums").exists()
    code, said = resume(*runs, "--out", out)
    assert (code, "Nothing to do" in said) == (0, True), said
