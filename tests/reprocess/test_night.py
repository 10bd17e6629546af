"""A night of delay scans, analysed again with one command: numbers, images, I(q) and the report."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from femto_bluesky.callbacks.azimuthal_integration import AzimuthalIntegration
from femto_bluesky.cli import app
from femto_bluesky.model.sums import AccumulatedImage
from femto_bluesky.reprocess.group_files import read_results, read_summary
from tests.reprocess.nights import DETECTOR, cut, damage, lose, take_night

LOST, CUT, DAMAGED = 1, 2, 4
"""The runs that are broken, counted from 0."""


def reprocessed(night, folder, *options):
    """The command, on a night of which three runs are broken."""
    lose(night.paths[LOST])
    cut(night.paths[CUT])
    damage(night.paths[DAMAGED], len(night.delays) * night.n_shots // 2)
    geometry = folder / "geometry.json"
    geometry.write_text(night.geometry.model_dump_json())
    settings = folder / "settings.json"
    settings.write_text(json.dumps({"azimuthal": {"n_bins": 120}}))
    words = [
        "reprocess", *night.paths, "--roi", night.roi_text, "--geometry", geometry, "--settings",
        settings, "--group-by", "delay", "--out", folder / "out", *options,
    ]  # fmt: skip
    return CliRunner().invoke(app, [str(word) for word in words])


def check(night, out, done):
    """All that one wants of a night."""
    broken = {LOST, CUT, DAMAGED}
    good = [run for run in range(len(night.paths)) if run not in broken]
    assert done.exit_code == 1, done.output
    told = " ".join(done.output.split())
    for run, reason in {
        LOST: "no such file", CUT: "truncated file", DAMAGED: "is not readable",
    }.items():  # fmt: skip
        assert f"scan {run + 1} ({run:08x})" in told
        assert reason in told
    pulls = [_check_group(night, out, delay, good) for delay in night.delays]
    assert max(map(abs, pulls)) < 4, pulls
    summary = read_results(out / "summary.h5")["means/pilatus_ring"]
    assert summary.axes[0].label == "delay [ps]"
    assert summary.axes[0].values.tolist() == sorted(night.delays)
    _check_differences(night, out, good)
    record = json.loads((out / "provenance.json").read_text())
    assert {one["scan_id"] - 1 for one in record["broken"]} == broken
    assert [run["scan_id"] - 1 for run in record["runs"]] == good
    assert "--group-by delay" in record["command"]
    _check_report(out / "report.html", len(good), len(night.delays))


def _check_group(night, out, delay, good):
    """The image to the bit, I(q) within its errors; by how many errors the region is off."""
    path = out / f"delay={delay:g}.h5"
    found, summary = read_results(path), read_summary(path)
    assert summary.n_shots == len(good) * night.n_shots
    step = night.delays.index(delay)
    places = slice(step * night.n_shots, (step + 1) * night.n_shots)
    total = np.zeros(night.rings.settings.shape)
    for run in good:
        with h5py.File(night.paths[run].with_suffix(".h5")) as file:
            total += file["entry/data/data"][places].sum(axis=0, dtype=float)
    total[~night.rings.is_live] = 0
    assert (found["accumulated/pilatus"].signal.values == total).all()
    _check_curve(night, found["azimuthal/pilatus"], night.expected(good, delay))
    region = summary.numbers["pilatus_ring"]
    assert region.std_of_runs is not None
    drift = found["means_of_runs/pilatus_ring"]
    assert drift.axes[0].values.tolist() == [run + 1 for run in good]
    return (region.mean - night.roi_mean(good, delay)) / region.sem


def _check_curve(night, curve, expected):
    image = AccumulatedImage(
        np.nan_to_num(expected), ~night.rings.is_live, 1, None, None, DETECTOR, True, {}
    )
    truth = AzimuthalIntegration(night.geometry, n_bins=120).integrate(image)
    bright = curve.errors > 0
    pulls = (curve.signal.values - truth.intensity)[bright] / curve.errors[bright]
    assert abs(float(pulls.mean())) < 0.6
    assert float(np.abs(pulls).max()) < 5.5


def _check_differences(night, out, good):
    first, *others = sorted(night.delays)
    assert first < 0
    for delay in others:
        found = read_results(out / f"difference_delay={delay:g}.h5")
        image = found["differences/pilatus"]
        expected = night.expected(good, delay) - night.expected(good, first)
        if night.response(delay) == 1:
            assert abs(image.signal.values.mean()) < 0.01
            continue
        where = night.rings.is_live & (expected < np.nanmin(expected) / 4)
        mean, true = image.signal.values[where].mean(), expected[where].mean()
        assert mean == pytest.approx(true, rel=0.35)
        assert len(found["azimuthal_differences/pilatus"].signal.values) == 120


def _check_report(path, n_runs, n_groups):
    text = path.read_text()
    assert f"<h1>{n_runs} runs in {n_groups} groups</h1>" in text
    # one picture for each group, one for each difference, and the curves
    assert len(re.findall(r'src="data:image/png;base64,', text)) >= 2 * n_groups + 3
    outside = re.findall(r"(?:src|href)=[\"'](?!data:image|#)|url\(|@import|<script", text)
    assert not outside, "the page must need nothing beside it"
    for words in ("Runs that are in no result", "no such file", "--settings", "From run to run"):
        assert words in text


def test_an_evening(tmp_path):
    night = take_night(tmp_path, 6, (-1.0, 0.5), 4, (64, 64))
    done = reprocessed(night, tmp_path, "--workers", "1")
    check(night, tmp_path / "out", done)


@pytest.mark.long
def test_a_night(tmp_path):
    delays = (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
    night = take_night(tmp_path, 100, delays, 4)
    done = reprocessed(night, tmp_path, "--workers", "2")
    check(night, tmp_path / "out", done)
    found = read_summary(tmp_path / "out" / "delay=1.h5").numbers["pilatus_ring"]
    assert found.n_runs == 97
    assert found.std_of_runs > 3 * found.sem, "the drift of the night is seen"
