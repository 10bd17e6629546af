"""`femto-bluesky photons` and `hot-pixels`: what they print, leave, and say of bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import xye
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.offline.raw import SETTINGS, SHAPE, frames, write

ONE = ("--processes", "1")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def words(done: Result) -> str:
    return " ".join(done.output.split())


def test_one_photon_file_and_one_line_for_each_raw_file(tmp_path: Path) -> None:
    first = write(tmp_path / "raw" / "a.h5", frames(3))
    second = write(tmp_path / "raw" / "b.h5", frames(5), chunks=(1, *SHAPE), compression="gzip")
    done = run("photons", first, second, *ONE)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if ".h5: " in line]
    assert len(lines) == 2
    found = xye.contents(tmp_path / "process" / "xye" / "a_xye.h5")
    n, hot = len(found.photons), found.frames["n_hot_pixels"].sum()
    assert lines[0].startswith("a.h5: 3 frames (")
    assert f"{n} photons ({n / 3:.1f} a frame), overlaps " in lines[0]
    expected = np.average(found.frames["overlap_share"], weights=found.frames["n_photons"])
    assert f"(by chance: {expected:.2%})" in lines[0]
    assert f"{hot} hot pixels; wrote {tmp_path}/process/xye/a_xye.h5" in lines[0]
    assert lines[1].startswith("b.h5: 5 frames")


@pytest.mark.long
def test_several_processes_give_the_same_file(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(12))
    for number in ("1", "2"):
        done = run("photons", raw, "--out", tmp_path / number, "--processes", number)
        assert done.exit_code == 0, done.output
    files = [(tmp_path / number / "a_xye.h5").read_bytes() for number in ("1", "2")]
    assert files[0] == files[1]


def test_options_go_before_the_settings_of_a_file(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(2))
    dark, mask = tmp_path / "dark.npy", tmp_path / "mask.npy"
    np.save(dark, np.full(SHAPE, 101.0))
    np.save(mask, np.zeros(SHAPE, bool))
    settings = {"energy_min_adu": 700, "overlap_adu": 1500, "histogram_bin_adu": 5}
    (tmp_path / "mine.json").write_text(json.dumps(settings))
    done = run(
        "photons", raw, "--settings", tmp_path / "mine.json", "--energy-min", "900", "--threshold",
        "120", "--dark-file", dark, "--hot-pixels", mask, "--roi", "10,20,90,80", "--out",
        tmp_path / "new" / "place", *ONE,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = xye.contents(tmp_path / "new" / "place" / "a_xye.h5")
    record = found.settings[0]
    assert (record["energy_min_adu"], record["overlap_adu"]) == (900, 1500)
    assert record["pixel_threshold_adu"] == 120
    assert record["dark_file"] == str(dark)
    assert record["hot_pixel_file"] == str(mask)
    assert found.bins.width_adu == 5
    assert found.roi is not None
    assert found.roi.box == (slice(20, 80), slice(10, 90))


def test_the_settings_of_a_live_analysis_serve_too(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(1))
    (tmp_path / "live.yaml").write_text("photons: {energy_min_adu: 950}\naccumulate: {}\n")
    done = run("photons", raw, "--settings", tmp_path / "live.yaml", "--dark", "99", *ONE)
    assert done.exit_code == 0, done.output
    record = xye.contents(tmp_path / "a_xye.h5").settings[0]
    assert (record["energy_min_adu"], record["dark_adu"]) == (950, 99)


def test_a_crowded_file_says_so(tmp_path: Path) -> None:
    crowded = frames(2, SETTINGS.model_copy(update={"n_photons": 2500}))
    done = run("photons", write(tmp_path / "a.h5", crowded), *ONE)
    assert "overlaps not known (by chance: not known)" in words(done)
    assert "2 frames too crowded" in words(done)


def test_bad_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = write(tmp_path / "good.h5", frames(1))
    two = write(tmp_path / "two.h5", frames(1))
    write(two, frames(1), "/entry/second")
    (tmp_path / "text.h5").write_text("text")
    done = run("photons", tmp_path / "none.h5", two, tmp_path / "text.h5", good, *ONE)
    assert done.exit_code == 1
    text = words(done)
    assert "none.h5: no such file; check the path" in text
    assert "two.h5: found 2 stacks of images" in text
    assert "/entry/second (1, 96, 160)" in text
    assert "--dataset" in text
    assert "text.h5: not readable as HDF5" in text
    assert "Traceback" not in text
    assert "good.h5: 1 frames" in text
    assert run("photons", two, "--dataset", "/entry/second", *ONE).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--roi", "1,2,3"], "--roi '1,2,3': expected x0,y0,x1,y1, four whole numbers"),
        (["--roi", "5,5,5,9"], "an empty ROI"),
        (["--roi", "0,0,999,9"], "reaches outside"),
        (["--dark", "-3"], "dark_adu: Input should be greater than or equal to 0"),
        (["--dark-file", "nowhere.npy"], "nowhere.npy: no such file"),
        (["--hot-pixels", "nowhere.npy"], "nowhere.npy: no such file"),
        (["--settings", "nowhere.json"], "nowhere.json"),
        (["--detector", "my_camera"], "'my_camera', for which the table of detectors has no dark"),
        (["--energy-min", "2000"], "overlap_adu is 1400, expected at least energy_min_adu, 2000"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, arguments: list[str], expected: str) -> None:
    raw = write(tmp_path / "a.h5", frames(1))
    done = run("photons", raw, *arguments, *ONE)
    assert done.exit_code == 1
    assert expected in words(done)
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == [raw]


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"energy_minimum": 3}')
    done = run("photons", tmp_path / "a.h5", "--settings", tmp_path / "mine.json", *ONE)
    assert done.exit_code == 1
    assert "energy_minimum" in done.output


def test_a_photon_file_is_no_raw_file(tmp_path: Path) -> None:
    run("photons", write(tmp_path / "a.h5", frames(1)), *ONE)
    done = run("photons", tmp_path / "a_xye.h5", *ONE)
    assert done.exit_code == 1
    assert "is a photon file already; look at it with `femto-bluesky inspect`" in words(done)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(1))
    run("photons", raw, *ONE)
    before = (tmp_path / "a_xye.h5").read_bytes()
    assert "wrote" in run("photons", raw, *ONE).output
    assert (tmp_path / "a_xye.h5").read_bytes() == before
    assert (tmp_path / "a_xye_2.h5").is_file()


def test_ctrl_c_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("femto_bluesky.offline.count_photons", interrupted)
    done = run("photons", tmp_path / "a.h5", tmp_path / "b.h5", *ONE)
    assert done.exit_code == 130
    assert f"stopped at {tmp_path}/a.h5; the photons that were found until then" in words(done)
    assert "b.h5" not in done.output


SLOW = """
import sys
from femto_bluesky import offline
from femto_bluesky.cli import app

def slowly(*arguments, progress, **more):
    def tell(done, of):
        print(done, flush=True)
        sys.stdin.readline()
        progress(done, of)
    return count(*arguments, progress=tell, **more)

if __name__ == "__main__":
    count, offline.count_photons = offline.count_photons, slowly
    app(["photons", sys.argv[1], "--processes", "2"])
"""


@pytest.mark.long
def test_ctrl_c_ends_all_processes_and_keeps_what_was_found(tmp_path: Path) -> None:
    """As a terminal sends it: to every process of the group at once."""
    raw = write(tmp_path / "a.h5", frames(80))
    (tmp_path / "slow.py").write_text(SLOW)
    with subprocess.Popen(
        [sys.executable, tmp_path / "slow.py", raw], stdin=subprocess.PIPE, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        cwd=Path(__file__).parents[2],
        # a shell has its background jobs ignore Ctrl-C, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        done = 0
        while done < 40:
            done = int(process.stdout.readline())
            if done < 40:
                process.stdin.write("\n")
                process.stdin.flush()
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "stopped at" in errors
    assert "Traceback" not in output + errors
    assert done <= len(xye.contents(tmp_path / "a_xye.h5").frames["frame"]) < 80


def test_hot_pixels_become_a_mask(tmp_path: Path) -> None:
    data = frames(60)
    files = [write(tmp_path / "a.h5", data[:30]), write(tmp_path / "b.h5", data[30:])]
    mask = tmp_path / "mask.npy"
    done = run("hot-pixels", *files, "--out", mask)
    assert done.exit_code == 0, done.output
    assert "4 hot pixels of 15360 (0.00026), from 60 frames" in words(done)
    assert f"wrote {mask}" in words(done)
    rows, columns = BalorFrames(SETTINGS).hot_pixels
    found = np.load(mask)
    assert found.dtype == bool
    assert set(np.flatnonzero(found)) == set(rows * SHAPE[1] + columns)
    before = mask.read_bytes()
    again = run("hot-pixels", *files, "--out", mask)
    assert again.exit_code == 1
    assert "mask.npy exists already, and nothing is overwritten" in words(again)
    assert mask.read_bytes() == before
    counted = run("photons", files[0], "--hot-pixels", mask, *ONE)
    assert counted.exit_code == 0, counted.output
    assert " 0 hot pixels" in words(counted)


def test_hot_pixels_that_cannot_be_told(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.h5", frames(1))
    for arguments, expected in (
        (["--out", tmp_path / "mask.png"], "expected a name that ends in .npy"),
        (["--out", tmp_path / "no" / "mask.npy"], "does not exist; create it"),
        (["--out", tmp_path / "mask.npy"], "1 frames are too few to tell hot pixels"),
        (["--out", tmp_path / "mask.npy", "--threshold", "0"], "threshold_adu is 0.0"),
        (["--out", tmp_path / "mask.npy", "--dataset", "/none"], "no dataset '/none'"),
    ):
        done = run("hot-pixels", raw, *arguments)
        assert done.exit_code == 1
        assert expected in words(done)
        assert not (tmp_path / "mask.npy").exists()


def test_the_command_starts_quickly() -> None:
    """What an analysis needs is imported when one runs: help is there at once."""
    code = "import sys; import femto_bluesky.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numba", "bluesky", "h5py", "matplotlib", "scipy", "ophyd"}


def test_a_replay_tells_of_photons_and_leaves_nothing_beside_the_raw_files(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    motor = SimulatedMotor(name="delay")
    frames = BalorFrames(BalorSettings(shape=(200, 300), n_photons=40, is_exact=True))
    detector = SimulatedDetector(
        name="andor3_balor1", source=frames, directory=raw, num_images=2, motor=motor
    )
    docs = run_plan(burst_scan([detector], motor, [0.0, 1.0]))
    jsonl.write(docs, raw / "scan_1.jsonl")
    before = sorted(tmp_path.rglob("*"))
    told = run("replay", raw / "scan_1.jsonl")
    assert "andor3_balor1_n_photons" in told.output
    assert re.search(r"│ +1 │ +2 │ +(39|40|39.5) ± ", told.output)
    assert sorted(tmp_path.rglob("*")) == before
    told = run("replay", raw / "scan_1.jsonl", "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*_xye.h5"))) == 1
