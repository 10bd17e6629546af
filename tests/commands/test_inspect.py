"""`femto-bluesky inspect`: a picture and a table of a photon file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from typer.testing import CliRunner, Result

from femto_bluesky.cli import app
from tests.offline.raw import SETTINGS, frames, write


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def words(done: Result) -> str:
    return " ".join(done.output.split())


def test_a_file_of_ours(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(40, SETTINGS.model_copy(update={"n_photons": 10})))
    assert run("photons", raw, "--processes", "1").exit_code == 0
    done = run("inspect", tmp_path / "a_xye.h5")
    assert done.exit_code == 0, done.output
    text = words(done)
    assert "a_xye.h5 (andor3_balor)" in text
    assert "Single photons: the peak is at 1" in text
    assert "share above 1400 ADU (overlaps)" in text
    assert f"wrote {tmp_path}/a_xye_inspect.png" in text
    assert (tmp_path / "a_xye_inspect.png").read_bytes().startswith(b"\x89PNG")
    again = run("inspect", tmp_path / "a_xye.h5", "--out", tmp_path / "new" / "place")
    assert again.exit_code == 0
    assert (tmp_path / "new" / "place" / "a_xye_inspect.png").is_file()
    assert run("inspect", tmp_path / "a_xye.h5").exit_code == 0
    assert (tmp_path / "a_xye_inspect_2.png").is_file()


def test_a_file_of_the_predecessor(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "old.h5", "x") as file:
        file["hits/hits_xye"] = np.c_[rng.uniform(0, 90, (500, 2)), rng.normal(1200, 40, 500)]
        file["hits/hits_frame_number"] = np.sort(rng.integers(0, 9, 500))
    done = run("inspect", tmp_path / "old.h5")
    assert done.exit_code == 0, done.output
    assert "Single photons: the peak is at 1" in words(done)
    assert "by chance: not known" in words(done)


def test_other_files_are_named(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(1))
    several = write(write(tmp_path / "b.h5", frames(1)), frames(1), "/other")
    with h5py.File(tmp_path / "numbers.h5", "x") as file:
        file["numbers"] = [1, 2]
    (tmp_path / "text.h5").write_text("text")
    for name, expected in (
        ("none.h5", "none.h5"),
        ("text.h5", "text.h5"),
        ("numbers.h5", "holds no photons: found"),
        ("a.h5", f"holds raw frames, no photons; find them first: femto-bluesky photons {raw}"),
        ("b.h5", f"find them first: femto-bluesky photons {several}"),
    ):
        done = run("inspect", tmp_path / name)
        assert done.exit_code == 1
        assert expected in words(done)
        assert "Traceback" not in done.output
        assert not list(tmp_path.glob("*.png"))
