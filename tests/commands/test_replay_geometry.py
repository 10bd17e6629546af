"""`femto-bluesky replay --geometry`: I(q) of a run, and the rings of a calibrant on its sum."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from typer.testing import CliRunner

from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.simulation.rings import RingFrames, RingSettings
from femto_bluesky.sources import jsonl
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_plan

GEOMETRY = """
energy_kev: 13.5
distance_m: 0.131
x0_px: 210
y0_px: 373
pixel_size_m: 172.0e-6
"""


def replay(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def recorded(tmp_path: Path) -> Path:
    """Few rings' worth of frames, as JSON lines."""
    motor, raw = SimulatedMotor(name="delay"), Recorder()
    detector = SimulatedDetector(
        name="pilatus", source=RingFrames(RingSettings(ring_photons=20_000)),
        directory=tmp_path / "raw", num_images=2, motor=motor,
    )  # fmt: skip
    run_plan(burst_scan([detector], motor, [0.0, 1.0]), raw)
    jsonl.write(raw.documents, tmp_path / "run.jsonl")
    return tmp_path / "run.jsonl"


def test_lines_of_the_powder_are_where_the_calibrant_has_them(tmp_path):
    (tmp_path / "there.yaml").write_text(GEOMETRY)
    out = tmp_path / "out"
    options = ("--geometry", tmp_path / "there.yaml", "--calibrant", "lab6", "--out", out)
    code, said = replay(recorded(tmp_path), *options)
    assert code == 0, said
    assert (out / "pilatus.poni").is_file()
    (results,) = (path for path in out.glob("scan_*.h5") if "image" not in path.name)
    with h5py.File(results) as file:
        curve = file["entry/azimuthal/pilatus"]
        q, intensity = curve["q"][()], curve["intensity"][()]
        assert "rings" in file["entry/accumulated/pilatus"]
    for line in calibrant_lines("LaB6", (1.4, 3.5)):
        near = np.abs(q - line.q) < 0.1
        middle = np.average(q[near], weights=np.clip(intensity[near] - intensity[near].min(), 0, 9))
        assert abs(middle - line.q) < 0.02, line


def test_a_calibrant_needs_a_geometry(tmp_path):
    code, said = replay(tmp_path / "run.jsonl", "--calibrant", "LaB6")
    assert code == 1
    assert "--calibrant LaB6 has no rings without a geometry; give --geometry FILE" in said


def test_a_geometry_that_is_none_is_named(tmp_path):
    (tmp_path / "there.yaml").write_text("energy_kev: -3")
    code, said = replay(tmp_path / "run.jsonl", "--geometry", tmp_path / "there.yaml")
    assert code == 1
    assert "there.yaml" in said
    assert "energy_kev" in said
