"""--restore: a sum goes on where the process before was broken off."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from femto_bluesky import replay
from femto_bluesky.callbacks import Checkpoints, LiveAnalysis
from femto_bluesky.cli import app
from femto_bluesky.cli.keeping import keeping
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_plan
from femto_bluesky.testing.shots import make_shots


def run(*given: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, given)])
    return done.exit_code, " ".join(done.output.split())


def kept(directory: Path, n: int, **options: object) -> None:
    live = LiveAnalysis(photon_files=False, **options)
    for shot in make_shots(("andor3_zyla10",), n_frames=4)[:n]:
        live.update(shot)
    with Checkpoints(live, directory) as keeper:
        keeper.look()


def recorded(folder: Path) -> Path:
    """A run of three steps of two frames, as JSON lines."""
    motor, raw = SimulatedMotor(name="delay"), Recorder()
    frames = RingFrames(RingSettings(shape=(40, 60), x0=10.0, y0=20.0))
    detector = SimulatedDetector(
        name="pilatus", source=frames, directory=folder, num_images=2, motor=motor
    )
    run_plan(burst_scan([detector], motor, [0.0, 0.5, 1.0]), raw)
    jsonl.write(raw.documents, folder / "run.jsonl")
    return folder / "run.jsonl"


def test_the_same_run_again_is_not_added_again_and_another_is(tmp_path: Path) -> None:
    one, other = recorded(tmp_path / "one"), recorded(tmp_path / "other")
    out = tmp_path / "out"
    live = LiveAnalysis(photon_files=False)
    with keeping(live, out, restore=True):
        replay(one, live)
    total = live.accumulation().result().total
    code, said = run("replay", one, "--out", out, "--restore")
    assert code == 0
    assert "restored: pilatus: 6 frames of 1 run, from " in said
    assert f"pilatus: sum of 6 images, total {total:.6g}, " in said
    live = LiveAnalysis(photon_files=False)
    with keeping(live, out, restore=True):
        replay(other, live)
    assert live.accumulation().extent.n_frames == 12


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    live = "live", "--documents", "tcp://127.0.0.1:1", "--port", 0
    code, said = run("replay", "x.jsonl", "--restore", "--out", tmp_path / "new")
    assert code == 1
    code, said = run(*live, "--restore")
    assert (code, "give --out too" in said) == (1, True)
    kept(tmp_path / "sums", 5, cmos={"threshold_adu": 20})
    code, said = run(*live, "--out", tmp_path, "--restore")
    assert code == 1
    assert "cmos.threshold_adu was 20.0, and is None. Set them as they were" in said
    holder = Checkpoints(LiveAnalysis(photon_files=False), tmp_path / "sums")
    holder.restore(other_settings=True)
    code, said = run(*live, "--out", tmp_path, "--restore")
    assert code == 1
    assert "end it, or give another directory" in said
    holder.close()


def test_live_says_what_it_does_not_restore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "sums", 5)
    with keeping(LiveAnalysis(photon_files=False), tmp_path, restore=False):
        pass
    assert "not restored (give --restore): andor3_zyla10: 5 frames of 1 run" in (
        " ".join(capsys.readouterr().out.split())
    )
