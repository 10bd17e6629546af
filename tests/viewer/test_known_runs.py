"""What the runs of an analysis were called, and where their photons are."""

from __future__ import annotations

from pathlib import Path

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.viewer import known_runs
from femto_bluesky.viewer.known_runs import KnownRuns
from tests.viewer.browser.beam import Beam, photons


def test_runs_with_their_units_and_files(tmp_path: Path) -> None:
    live = LiveAnalysis(directory=tmp_path)
    runs = KnownRuns(live)
    beam = Beam(live, {"andor3_balor": photons()})
    run = beam.begin(plan_name="burst_scan")
    assert not runs.of[run].has_results
    beam.shot(1.0)
    beam.shot(2.0)
    known = runs.of[run]
    assert (known.label, known.stop) == ("scan 1, burst_scan", None)
    assert known.units["delay"] == "ps"
    assert known.has_results
    beam.end("abort")
    assert known.stop is not None
    assert known.stop["exit_status"] == "abort"
    assert [path.name for path in known.photon_files] == ["scan_1_andor3_balor_xye.h5"]
    runs.close()
    beam.scan()
    assert list(runs.of) == [run]


def test_one_that_is_analysed_again_is_the_newest_and_old_ones_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_runs, "N_REMEMBERED", 3)
    live = LiveAnalysis()
    runs = KnownRuns(live)
    beam = Beam(live)
    for uid in ("a", "b", "c", "a", "d"):
        beam.begin(uid=uid)
        beam._run = uid
        beam.end()
    assert list(runs.of) == ["c", "a", "d"]
