"""`femto-bluesky calibrate`: on an image, on the recorded LaB6 scan, and with bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import curve_fit
from typer.testing import CliRunner, Result

from femto_bluesky import replay
from femto_bluesky.callbacks import Accumulation
from femto_bluesky.cli import app
from femto_bluesky.files.geometries import read_geometry
from femto_bluesky.model.calibrants import calibrant_lines
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.offline.calibration import calibrate
from tests.offline import powder

LAB6 = Path(__file__).parents[2].parent / "shared" / "data" / "lab6"
RECORDING = [LAB6 / "pilatus.cbors.gz", LAB6 / "sardana.cbors"]
# from the README beside the recording
START = Geometry(
    energy_kev=13.5, distance_m=0.131, x0_px=210, y0_px=373, pixel_size_m=(172e-6, 172e-6)
)
ALL = ("distance", "centre", "tilt", "energy")

needs_recording = pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the LaB6 recording is not there: put it into {LAB6}"
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def words(done: Result) -> str:
    return " ".join(done.output.split())


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "sum.npy"
    np.save(path, powder.image_of(powder.expected(), 20_000))
    return path


NUMBERS = ("--energy", 13.5, "--distance", 0.132, "--x0", 62, "--y0", 118)


def test_an_image_gives_a_poni_and_a_picture(image, tmp_path):
    out = tmp_path / "new" / "place"
    done = run("calibrate", image, *NUMBERS, "--pixel", 172, "--out", out)
    assert done.exit_code == 0, done.output
    assert "LaB6: 3 of 3 rings on the frame are seen" in done.output
    assert f"wrote {out}/calibration_LaB6.poni" in words(done)
    found = read_geometry(out / "calibration_LaB6.poni")
    assert found.x0_px == pytest.approx(powder.TRUTH.x0_px, abs=1)
    assert found.distance_m == pytest.approx(powder.TRUTH.distance_m, rel=0.01)
    assert (out / "calibration_LaB6.png").stat().st_size > 50_000

    # what it wrote is a start, and nothing is overwritten
    poni = out / "calibration_LaB6.poni"
    again = run("calibrate", image, "--geometry", poni, "--fix", "tilt", "--out", out)
    assert again.exit_code == 0, again.output
    assert "refined: distance, centre" in again.output
    second = read_geometry(out / "calibration_LaB6_2.poni")
    assert second.tilt_deg == pytest.approx(found.tilt_deg, abs=1e-6)
    assert (out / "calibration_LaB6_2.png").exists()


def test_masks_are_combined(image, tmp_path):
    pixels = np.load(image)
    pixels[:120, :30] = 5000
    pixels[120:, :30] = 5000
    np.save(image, pixels)
    for name, rows in (("upper", slice(None, 120)), ("lower", slice(120, None))):
        mask = np.zeros(pixels.shape, np.uint8)
        mask[rows, :30] = 1
        np.save(tmp_path / f"{name}.npy", mask)
    masks = ("--mask", tmp_path / "upper.npy", "--mask", tmp_path / "lower.npy")
    done = run("calibrate", image, *NUMBERS, "--pixel", 172, "--out", tmp_path / "out", *masks)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--energy", 13.5), "--distance, --x0, --y0 are missing; give all four numbers"),
        ((*NUMBERS,), "nothing says how large the pixels are; give --pixel UM, or --geometry"),
        ((*NUMBERS, "--geometry", "a.poni"), "--geometry and --energy, --distance, --x0, --y0 are"),
        ((*NUMBERS, "--pixel", 172, "--fix", "energy"), "--fix energy: expected one of distance,"),
        ((*NUMBERS, "--pixel", 172, "--calibrant", "LaB7"), "did you mean LaB6"),
        ((*NUMBERS, "--pixel", 172, "--calibrant", "Ni"), "no line of Ni falls on the frame"),
        ((*NUMBERS, "--pixel", 172, "--mask", "no.npy"), "no.npy: no such file, expected a mask"),
        (("--geometry", "none.poni"), "none.poni: cannot be read"),
        ((*NUMBERS, "--pixel", 172, "other.npy"), "is an image and other sources are given too"),
    ],
)
def test_bad_input_is_said_in_one_line(image, tmp_path, arguments, said):
    done = run("calibrate", image, *arguments, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert said in words(done)
    assert "Traceback" not in done.output
    assert not list(tmp_path.glob("out/*"))


def lines_found(image, mask, geometry):
    """Where the lines of LaB6 are in pyFAI's I(q), and how wide: {q of the table: (q, width)}.

    Those between 1.5 and 6.6 1/A that stand out by 6 of their standard errors.
    """
    # a spot of a single crystal is no line
    found = geometry.integrator(image.shape).integrate1d(
        np.minimum(image, 200), 1500, mask=mask, unit="q_A^-1", radial_range=(1.2, 6.8),
        method=("no", "histogram", "cython"), error_model="poisson",
    )  # fmt: skip
    lines = {}

    def peak(q, height, middle, width, level, slope):
        return height * np.exp(-(((q - middle) / width) ** 2) / 2) + level + slope * (q - middle)

    for line in calibrant_lines("LaB6", (1.5, 6.6)):
        near = (np.abs(found.radial - line.q) < 0.075) & (found.sigma > 0)
        q, intensity, sigma = (a[near] for a in (found.radial, found.intensity, found.sigma))
        first = (intensity.max() - intensity.min(), line.q, 0.015, intensity.min(), 0)
        try:
            best, covariance = curve_fit(peak, q, intensity, first, sigma)
        except RuntimeError:
            continue
        if best[0] > 6 * np.sqrt(covariance[0, 0]) and 0.003 < abs(best[2]) < 0.05:
            lines[line.q] = (best[1], abs(best[2]))
    return lines


@needs_recording
def test_the_recorded_powder():
    accumulation = Accumulation()
    replay(RECORDING, accumulation)
    held = accumulation.result()
    assert held is not None
    image, mask = held.image, held.mask
    before = lines_found(image, mask, START)

    with_energy = calibrate(held, "LaB6", start=START, refine=ALL)
    after = lines_found(image, mask, with_energy.geometry)
    assert len(after) >= 14
    worst = max(abs(found / q - 1) for q, (found, _) in after.items())
    assert worst < 0.001
    narrower = [before[q][1] / after[q][1] for q in after if q in before]
    assert np.median(narrower) > 1.3
    assert with_energy.rms_percent < 0.05
    assert with_energy.uncertainties["energy_kev"] < 0.05

    found = calibrate(held, "LaB6", start=START)
    after = lines_found(image, mask, found.geometry)
    assert max(abs(q_found / q - 1) for q, (q_found, _) in after.items()) < 0.0015
    off = START.model_copy(update={"distance_m": 0.131 * 1.02, "x0_px": 215.0, "y0_px": 368.0})
    again = calibrate(held, "LaB6", start=off)
    for name, error in found.uncertainties.items():
        assert getattr(again.geometry, name) == pytest.approx(
            getattr(found.geometry, name), abs=error
        )


@pytest.mark.long
@needs_recording
def test_the_command_on_the_recorded_scan(tmp_path):
    (tmp_path / "start.json").write_text(json.dumps(START.model_dump()))
    done = run("calibrate", *RECORDING, "--geometry", tmp_path / "start.json", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "17 of 18 rings on the frame are seen" in done.output
    assert (tmp_path / "calibration_LaB6.poni").exists()
