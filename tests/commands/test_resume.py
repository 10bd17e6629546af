"""`resume` finishes what was interrupted, and the result equals an uninterrupted run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.derived_files import STOPPED, derived_in, read_derived
from femto_bluesky.callbacks.interrupted import files_of, put_apart
from femto_bluesky.callbacks.unfinished import note_begun
from femto_bluesky.cli import app
from femto_bluesky.cli.keeping import keeping
from femto_bluesky.files import pictures
from femto_bluesky.files.checkpoints import read_checkpoint
from femto_bluesky.model.kept_sums import Taken, is_whole
from femto_bluesky.model.shots import Shot
from femto_bluesky.testing.shots import make_shots
from tests.commands.broken_off import (
    ROI,
    Session,
    assert_same,
    cut,
    names,
    recorded,
    rest,
    retaken,
    uninterrupted,
)

SHOTS = make_shots(("pilatus",), n_steps=2, n_frames=2)


def resume(*given: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["resume", *map(str, given)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


@pytest.fixture(scope="module", autouse=True)
def _without_drawing() -> Iterator[None]:
    """Pictures take longer than all the rest; where real processes are killed they are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw", "draw_curves"):
            patch.setattr(pictures, name, lambda what, path, title="": path.touch())
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return recorded(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def reference(
    _without_drawing: None, runs: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return uninterrupted(tmp_path_factory.mktemp("results") / "out", *runs)


def test_runs_broken_off_and_missing_in_the_sum(
    runs: list[Path], reference: Path, tmp_path: Path
) -> None:
    one, two = runs
    # the checkpoint knows half of the first run, which was finished, and nothing of the second
    session = Session(tmp_path / "out").take(cut(one, 2)).keep()
    out = session.take(rest(one, 2), cut(two, 3)).kill()
    assert names(out) != names(reference)
    code, said = resume(two, one, "--out", out)
    assert code == 0, said
    assert "restored: andor3_balor1: 4 frames of 1 run" in said
    assert "not all of it was in the sum recorded 4 frames added to the sum" in said
    assert "broken off after 6 shots recorded analysed, 8 shots" in said
    assert_same(out, reference)
    (apart,) = (out / "interrupted").iterdir()
    assert {"scan_2.jsonl"} < {path.name for path in apart.iterdir()}
    assert len(list(apart.glob("*_xye.h5"))) == 1
    before = inodes(out)
    code, said = resume(one, two, "--out", out)
    assert (code, "Nothing to do in" in said, "wrote" in said) == (0, True, False)
    assert inodes(out) == before


def test_of_a_catalog_all_runs_since_the_first_that_was_analysed(
    runs: list[Path], reference: Path, tmp_path: Path
) -> None:
    one, two = runs
    # without a checkpoint: the sum begins with the run with which it began then
    out = Session(tmp_path / "out").take(one).kill()
    code, said = resume(f"lines:{one.parent}", "--out", out)
    assert code == 0, said
    assert "not analysed those of scan 1 analysed, 8 shots" in said
    assert_same(out, reference)
    out = Session(tmp_path / "second").take(cut(two, 1)).kill()
    code, said = resume("--catalog", f"lines:{one.parent}", "--out", out)
    assert (code, "scan_1.jsonl" in names(out)) == (0, False)
    code, said = resume(one, "--out", out)
    assert (code, "scan_1.jsonl" in names(out)) == (0, True)


def test_settings_change_at_the_same_event_again(runs: list[Path], tmp_path: Path) -> None:
    one, _ = runs
    other = {"rois": {"a.b": {"x0": 3, "y0": 2, "x1": 9, "y1": 8}}}
    counting = {"photons": {"energy_min_adu": 1150.0}}

    def session(out: Path) -> Session:
        begun = Session(out, rois={"all/0.5": {"x0": 0, "y0": 0, "x1": 60, "y1": 40}})
        return begun.take(cut(one, 1)).configure(**other).keep()

    whole = session(tmp_path / "whole")
    half = rest(one, 1)[: -len(rest(one, 3))]
    whole.take(half).configure(**counting).take(rest(one, 3)).keep()
    reference = whole.kill()
    broken = session(tmp_path / "out").take(half).configure(**counting)
    out = broken.take(rest(one, 3)[: -len(rest(one, 4))]).kill()
    code, said = resume(one, "--out", out)
    assert (code, "recorded, changed 2 times" in said) == (0, True), said
    assert_same(out, reference)
    shutil.rmtree(out)
    out = session(tmp_path / "out").kill()
    code, said = resume(one, "--out", out, "--roi", "mine=1,1,5,5")
    assert (code, "recorded; given: rois" in said) == (0, True), said
    found = read_derived(out / "scan_1.jsonl")
    assert found is not None
    assert [*found.ended_with["rois"]] == ["mine"]


def test_resume_may_be_killed_too(runs: list[Path], reference: Path, tmp_path: Path) -> None:
    one, two = runs
    settings = {"photons": {"energy_min_adu": 900.0}}
    reference = uninterrupted(tmp_path / "reference", one, two, **settings)
    out = Session(tmp_path / "out", **settings).take(one, cut(two, 2)).keep().kill()
    # after all was set apart, and the next lines were made but not begun
    derived = derived_in(out)
    broken = [one for one in derived if not one.is_finished]
    raw = broken[0].raw
    put_apart(raw, broken, files_of(raw, broken, out, derived), out)
    (out / "scan_2.jsonl").touch()
    code, said = resume(two, "--out", out)
    assert code == 0, said
    assert "broken off after 4 shots recorded analysed" in said
    assert_same(out, reference)
    assert sorted(path.name for path in (out / "interrupted").iterdir()) == [
        f"scan_2_{broken[0].start['uid'][:8]}", "scan_2_torn",
    ]  # fmt: skip


def test_photon_files_without_lines_and_before_they_were_whole(
    runs: list[Path], reference: Path, tmp_path: Path
) -> None:
    one, two = runs
    out = Session(tmp_path / "out").take(cut(one, 2)).kill()
    (photons,) = out.glob("*_xye.h5")
    torn = out / next(p.name for p in reference.glob("*_xye.h5") if p.name != photons.name)
    torn.write_bytes(b"\x89HDF")
    (out / "scan_1.jsonl").write_text('["start", {"uid": "abc')
    (out / "scan_2.jsonl").touch()
    (out / "scan_2_image.png").write_text("not of resume")
    (out / "notes_xye.txt").write_text("not of resume")
    code, said = resume(one, two, "--roi", "spot=0,0,30,20", "--out", out)
    assert code == 0, said
    assert "broken off before its first line the defaults; given: rois analysed" in said
    assert (out / "notes_xye.txt").exists()
    (out / "notes_xye.txt").unlink()
    assert_same(out, reference)


def test_two_broken_runs_and_photon_files_that_nobody_can_open(
    runs: list[Path], reference: Path, tmp_path: Path
) -> None:
    one, two = runs
    names_of_photons = sorted(path.name for path in reference.glob("*_xye.h5"))
    out = Session(tmp_path / "out").take(cut(one, 1), cut(two, 1)).kill()
    for path in out.glob("*_xye.h5"):
        path.write_bytes(b"\x89HDF")
    code, said = resume(one, two, "--out", out)
    assert code == 0, said
    assert_same(out, reference)
    out = Session(tmp_path / "first").take(cut(one, 0)).kill()  # its start, and no more
    for name in names_of_photons:
        (out / name).write_bytes(b"\x89HDF")
    code, said = resume(one, two, "--out", out)
    assert code == 0, said
    assert_same(out, reference)
    apart = [path.name for path in (out / "interrupted").rglob("*_xye.h5")]
    assert sorted(apart) == names_of_photons


def test_a_step_that_was_taken_again_is_in_the_sum_once(tmp_path: Path) -> None:
    run = retaken(tmp_path / "raw")
    reference = uninterrupted(tmp_path / "reference", run)
    for n_known, n_seen in ((2, 4), (3, 4), (5, 7)):
        session = Session(tmp_path / f"out_{n_known}").take(cut(run, n_known)).keep()
        out = session.take(rest(run, n_known)[: -len(rest(run, n_seen)) or None]).kill()
        assert [one.is_finished for one in derived_in(out)] == [n_seen == 7]
        code, said = resume(run, "--out", out)
        assert code == 0, said
        assert_same(out, reference)


def test_an_analysis_that_was_stopped_is_finished_too(
    runs: list[Path], reference: Path, tmp_path: Path
) -> None:
    one, two = runs
    stop = {"run_start": cut(two, 1)[0][1]["uid"], "exit_status": "fail", "reason": STOPPED}
    out = Session(tmp_path / "out").take(one, cut(two, 2), [("stop", stop)]).keep().kill()
    assert [one.is_finished for one in derived_in(out)] == [True, False]
    code, said = resume(*runs, "--out", out)
    assert (code, "broken off after 4 shots" in said) == (0, True), said
    assert_same(out, reference)


def test_settings_of_an_analysis_that_was_killed_before_its_first_run(
    runs: list[Path], reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with keeping(LiveAnalysis(ROI, photon_files=False), out, restore=False):
        pass
    code, said = resume(*runs, "--out", out)
    assert code == 0, said
    assert "not analysed as it was started analysed, 8 shots" in said
    (out / "sums" / "begun.json").unlink()
    assert_same(out, reference)


def test_a_sum_that_nobody_had_restored_stays_aside(runs: list[Path], tmp_path: Path) -> None:
    one, two = recorded(tmp_path / "raw")
    for is_restored, n_frames in ((False, 16), (True, 24)):
        folder = tmp_path / str(is_restored)
        out = Session(folder / "out").take(runs[0]).keep().kill()
        for path in out.glob("*.*"):
            path.rename(folder / path.name)
        session = Session(out, restore=is_restored)
        note_begun(session.live, session.keeper.directory, is_restored=is_restored)
        out = session.take(one, cut(two, 2)).kill()  # before anything was kept
        code, said = resume(one, two, "--out", out)
        assert (code, "8 frames added to the sum" in said) == (0, True), said
        _, kept = read_checkpoint(out / "sums" / "sum_andor3_balor1.npz")
        assert kept.total is not None
        assert kept.total.n_frames == n_frames
        assert len(list((out / "sums" / "aside").glob("*.npz"))) == (not is_restored)


def test_what_a_reset_has_thrown_away_is_not_missing() -> None:
    def shot(number: int) -> Shot:
        return SHOTS[number]

    key = SHOTS[0].run, SHOTS[0].detector
    again = Taken({key: b"\x03\x01\x01"})
    again.begin_anew()
    assert again.is_next(shot(0))
    # of a shot that comes again it counts what has been done since, of others what was
    assert again.counts() == {key: b"\x01\x01\x01"}
    assert not is_whole(again.counts()[key], {0: 2, 1: 1})
    assert is_whole(again.counts()[key], {0: 1, 1: 1, 2: 1})
    assert not is_whole(again.counts()[key], {3: 1})


def inodes(out: Path) -> set[int]:
    return {path.stat().st_ino for path in out.rglob("*") if path.is_file()}
