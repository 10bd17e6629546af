from __future__ import annotations

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.console.showing import Showing
from femto_bluesky.model.rois import Roi
from femto_bluesky.plans import burst_scan, collect_dark
from femto_bluesky.sources.catalogs import Run
from femto_bluesky.testing.runs import run_plan


def test_nothing_is_shown_before_there_is_something(tmp_path):
    with pytest.raises(ConsoleError, match="there is no result yet; take a scan first"):
        Showing(LiveAnalysis(), tmp_path).show()


def test_the_last_run_is_shown(tmp_path, delay, pilatus):
    live = LiveAnalysis({"a": Roi(x0=5, y0=5, x1=20, y1=30)})
    showing = Showing(live, tmp_path / "pictures")
    run_plan(burst_scan([pilatus], delay, 0, 1, num=2, frames=3), live)
    shown = showing.show()
    lines = repr(shown).splitlines()
    assert lines[0] == "scan 1, burst_scan"
    assert lines[1].split() == [
        "delay", "n_shots", "pilatus_a",
    ]  # fmt: skip
    assert lines[2].strip() == "mean ± std"
    assert {"pilatus_a_mean", "pilatus_a_sem", "delay"} <= shown.steps.keys()
    assert [line.split()[:2] for line in lines[3:5]] == [["0", "3"], ["1", "3"]]
    assert [path.name for path in shown.pictures] == [
        "scan_1_pilatus.png", "scan_1_step_means.png",
    ]  # fmt: skip
    # what was shown before stays
    again = showing.show()
    assert [path.name for path in again.pictures] == [
        "scan_1_pilatus_2.png", "scan_1_step_means_2.png",
    ]  # fmt: skip


def test_an_earlier_scan_is_shown_by_its_number_or_its_place(tmp_path, delay, pilatus):
    live = LiveAnalysis({"a": Roi(x0=5, y0=5, x1=20, y1=30)})
    showing = Showing(live, tmp_path)
    docs = []
    for scan_id, num in ((7, 2), (8, 3)):
        plan = burst_scan([pilatus], delay, 0, 1, num=num, frames=2, md={"scan_id": scan_id})
        docs.append(run_plan(plan, live))
    uid = docs[0][0][1]["uid"]
    run = Run(start=docs[0][0][1], stop=None, where="", read=lambda: iter(()))
    for wanted in (7, -2, uid, uid[:8], run):
        shown = showing.show(wanted)
        assert (shown.title, len(shown.steps["delay"])) == ("scan 7, burst_scan", 2)
    assert showing.show().title == "scan 8, burst_scan"
    for missing in (3, -3, "", "nothing", None):
        with pytest.raises(ConsoleError, match=r"was not analysed since .* the scans 7, 8\. One"):
            showing.show(missing)
    for name, doc in docs[0]:  # what is analysed again is the newest
        live(name, doc)
    assert showing.show().title == "scan 7, burst_scan"


def test_a_region_that_was_left_out_is_named(tmp_path, delay, pilatus):
    live = LiveAnalysis(
        {"a": Roi(x0=5, y0=5, x1=20, y1=30), "far": Roi(x0=500, y0=5, x1=520, y1=9)}
    )
    showing = Showing(live, tmp_path)
    run_plan(burst_scan([pilatus], delay, 0, 1, num=2, frames=3), live)
    shown = showing.show()
    assert repr(shown).splitlines()[1].startswith("left out: ROI 'far' (x 500..520")
    assert "pilatus_a_mean" in shown.steps


def test_of_darks_it_is_said_what_to_do(tmp_path, pilatus):
    live = LiveAnalysis()
    showing = Showing(live, tmp_path)
    run_plan(collect_dark([pilatus], n=2), live)
    assert repr(showing.show()).splitlines()[1:] == [
        "darks are no steps; use_darks() keeps them and has them used"
    ]


def test_why_there_is_nothing_is_shown(tmp_path, delay, pilatus):
    live = LiveAnalysis()
    showing = Showing(live, tmp_path)
    live.update = lambda shot: 1 / 0
    run_plan(burst_scan([pilatus], delay, 0, 1, num=2, frames=3), live)
    lines = repr(showing.show()).splitlines()
    assert lines[1].startswith("it has failed: LiveAnalysis: ZeroDivisionError")
    assert lines[2] == "no steps"
