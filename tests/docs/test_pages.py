"""What the pages show is what the code does: outputs, figures and the words of errors."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import Accumulation, RoiMeans
from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files.photon_file import FrameRow, PhotonFile
from femto_bluesky.files.photon_header import PhotonFileInfo
from femto_bluesky.testing.laws import assert_laws
from femto_bluesky.testing.replayed import merged_order
from femto_bluesky.testing.runs import burst_scan, run_plan
from femto_bluesky.testing.shots import make_shots

HOUSE = Path(__file__).parents[2]
DOCS = HOUSE / "docs"
LAB6 = HOUSE.parent / "shared" / "data" / "lab6"
EXAMPLE = DOCS / "how-to" / "total_counts.py"

needs_recording = pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the LaB6 recording is not there: put it into {LAB6}"
)


def words(text):
    """A text without its line breaks and quotation marks, to be looked for in another."""
    return " ".join(re.sub(r"^> ?", "", text, flags=re.MULTILINE).split())


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


# --- the example of an analysis ---------------------------------------------------------------


def test_the_example_keeps_the_laws_and_is_short(monkeypatch):
    spec = importlib.util.spec_from_file_location("total_counts", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "total_counts", module)  # pickle looks for it there
    spec.loader.exec_module(module)
    assert_laws(module.TotalCounts(), make_shots(["pilatus", "andor3_zyla12"], runs=["a", "b"]))
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 100


# --- what the command prints ------------------------------------------------------------------


@needs_recording
def test_the_command_prints_what_the_page_shows(tmp_path):
    done = CliRunner().invoke(
        app,
        ["replay", str(LAB6 / "pilatus.cbors.gz"), str(LAB6 / "sardana.cbors"),
         "--settings", str(LAB6 / "params.json"), "--out", str(tmp_path / "results")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    printed = words(done.stdout.replace(f"{tmp_path}/", ""))
    shown = page("how-to/replay-recordings.md").split("```")[3]
    assert "Step means" in shown
    assert words(shown) in printed


@needs_recording
def test_the_figures_of_the_lab6_scan():
    frames = []
    accumulation = Accumulation()
    update = accumulation.update

    def noted(shot):
        frames.append(shot.frame.dense().copy())
        return update(shot)

    accumulation.update = noted
    replay([LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"], accumulation)
    image, stack = accumulation.result(), np.stack(frames)
    raw = stack.sum(axis=0, dtype=np.float64)
    flagged = (stack < 0).sum(axis=0)

    shown = page("explanations/why-results-do-not-depend-on-cutting.md").replace("\n", " ")
    assert f"{image.total:_.1f}".replace("_", " ") in shown
    assert f"{raw[raw >= 0].sum():_.1f}".replace("_", " ") in shown
    assert f"{int(image.mask.sum()):_}".replace("_", " ") + " pixels" in shown
    (place,) = np.argwhere((flagged > 0) & (flagged < len(stack)))
    assert f"row {place[0]} and column {place[1]}" in shown
    assert (flagged[tuple(place)], image.n_valid[tuple(place)]) == (6, 24)
    assert set(stack[:, place[0], place[1]][stack[:, place[0], place[1]] < 0]) == {-2}
    assert f"{image.image[tuple(place)]:.1f} - 12 = {raw[tuple(place)]:.1f}" in shown

    # exact as float64 while the sum has no more than 53 digits above the last one of any pixel
    mantissa, exponent = np.frexp(stack[stack > 0].astype(np.float64))
    whole = (mantissa * 2**24).astype(np.int64)
    last = int((np.log2(whole & -whole) + exponent - 24).min())
    assert (last, stack[stack > 0].min()) == (-27, np.float32(0.1))
    assert "2⁻²⁷ = 2²⁶" in shown
    assert f"{int(np.ceil(np.log2(image.hottest) - last))} digits" in shown
    n_frames = round(2.0 ** (53 + last) / (image.hottest / 30), -4)
    assert f"after {n_frames:_.0f} frames".replace("_", " ") in shown


# --- photons ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((DOCS / "how-to").glob("*.md")), ids=lambda path: path.stem)
def test_commands_and_options_of_a_page_exist(path):
    commands = typer.main.get_command(app).commands
    named = re.findall(r"^femto-bluesky (.*(?:\\\n.*)*)", page(path), flags=re.MULTILINE)
    for line in (line for line in named if not line.startswith(":")):
        name = line.split()[0]
        assert name in commands, f"{path.name} names the command {name!r}"
        missing = set(re.findall(r"--[a-z][a-z-]*", line)) - options_of(commands[name])
        assert not missing, f"{path.name} gives {name!r} {sorted(missing)}"


def options_of(command):
    return {option for parameter in command.params for option in parameter.opts}


def test_the_options_of_photons_are_all_on_their_page():
    text = page("how-to/count-photons.md")
    section = text.partition("## Raw files that are there already")[2].partition("\n## ")[0]
    shown = set(re.findall(r"--[a-z][a-z-]*", section))
    photons = typer.main.get_command(app).commands["photons"]
    assert shown == {option for option in options_of(photons) if option.startswith("--")}


def test_what_the_page_says_is_in_a_photon_file_is_there(tmp_path):
    text = page("how-to/count-photons.md").partition("## What is in a photon file")[2]
    info = PhotonFileInfo(
        "andor3_balor", (8, 9), {}, roi=Roi(x0=0, y0=0, x1=9, y1=8), run="uid",
        start={"scan_id": 1, "time": 0.0}, raw=(tmp_path / "raw.h5", "/data"),
        pixel_size_m=(1e-5, 1e-5),
    )  # fmt: skip
    with PhotonFile(tmp_path / "a_xye.h5", info, FrameRow(0, 0)):
        pass
    with h5py.File(tmp_path / "a_xye.h5") as file:
        there = {"raw"} | set(file["entry"])
        for cell in re.findall(r"^\| (`/entry/.*?) \|", text, flags=re.MULTILINE):
            first, *others = re.findall(r"`([^`]+)`", cell)
            folder, _, name = first.rpartition("/")
            for path in (name, *others):
                if folder == "/entry":
                    assert path in there, path
                elif not path.startswith("<"):
                    assert path in file[folder], f"{folder}/{path}"
        assert set(re.findall(r"/entry/(\w+)", text)) <= there


# --- the words of refusals --------------------------------------------------------------------


def refusal(plan_of, *, style="stream", report=False, catalog=False, directory, n_images=3):
    """Why the analysis of a scan was refused, without what names the run."""
    motor = SimulatedMotor(name="stage")
    detector = SimulatedDetector(
        name="pilatus", source=lambda index, position: np.full((8, 8), index, np.uint16),
        directory=directory, style=style, num_images=n_images, motor=motor, report_frames=report,
    )  # fmt: skip
    live = RoiMeans()
    docs = run_plan(plan_of(detector, motor), live)
    failures = live.failures
    if catalog:
        again = RoiMeans()
        for name, doc in merged_order(docs):
            again(name, doc)
        failures = again.failures
    (failure,) = failures
    beginning, _, reason = str(failure).partition("key 'pilatus_image': ")
    assert beginning.startswith("run ")
    return reason


POINTS = [1.0, 1.5, 2.0]
REFUSALS = {
    "short, live": (lambda d, m: burst_scan([d], m, POINTS, n_frames=[3, 2, 3]), {}),
    "short, from a catalog": (
        lambda d, m: burst_scan([d], m, POINTS, n_frames=[3, 2, 3]), {"catalog": True}),
    "taken again": (
        lambda d, m: burst_scan([d], m, POINTS, pause_after_save=[1]), {"catalog": True}),
    "reconfigured": (
        lambda d, m: burst_scan([d], m, POINTS, n_frames=[3, 2, 4], reconfigure=True),
        {"catalog": True}),
    "images in events": (
        lambda d, m: burst_scan([d], m, POINTS, pause_after_save=[1]),
        {"catalog": True, "style": "inline", "report": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_have_the_words_of_the_page(case, tmp_path):
    plan_of, how = REFUSALS[case]
    said = refusal(plan_of, directory=tmp_path, **how)
    shown = words(page("how-to/make-frames-findable.md"))
    assert said.split("; ")[0] in shown
    assert "let the detector" in said.split("; ")[1] or "replay the documents" in said


# --- where proofs are said to be --------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_files_that_a_page_names_are_there(path):
    named = re.findall(r"`((?:tests|femto_bluesky|benchmarks|docs)/[\w/.-]+)`", page(path))
    missing = {name for name in named if not (HOUSE / name).exists()}
    assert not missing, f"{path.name} names {sorted(missing)}"
