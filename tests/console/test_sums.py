from __future__ import annotations

from types import SimpleNamespace

import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.console.sums import Sums
from femto_bluesky.testing.shots import make_shots

DETECTORS = ("pilatus", "andor3_zyla12")


def seen(live, run):
    for shot in make_shots(DETECTORS, runs=[run], n_frames=2):
        live.update(shot)
    return live


def n_frames(live):
    return {name: found.n_frames for name, found in live.result().accumulated.items()}


def test_sums_span_runs_and_are_begun_anew_and_brought_back():
    live = seen(LiveAnalysis(), "a")
    sums = Sums(live)
    one = n_frames(live)
    sums.reset_accumulation("pilatus")
    seen(live, "b")
    both = {name: 2 * n for name, n in one.items()}
    assert n_frames(live) == both | {"pilatus": one["pilatus"]}
    sums.undo_reset()
    assert n_frames(live) == both
    sums.reset_accumulation()
    assert n_frames(live) == {}
    assert repr(sums.list_sums()).splitlines()[1] == "pilatus        no frames, adding"
    sums.undo_reset("pilatus")
    assert n_frames(live) == {"pilatus": both["pilatus"]}


def test_a_stopped_sum_shows_the_newest_frame():
    live = seen(LiveAnalysis(), "a")
    sums = Sums(live)
    before = n_frames(live)
    pilatus = SimpleNamespace(name="pilatus")
    assert " stopped, " in sums.stop_accumulation(pilatus).lines["pilatus"]
    seen(live, "b")
    lines = sums.list_sums().lines
    assert lines["pilatus"].startswith("the newest frame, stopped, total ")
    assert f"{2 * before['andor3_zyla12']} frames of 2 runs, adding" in lines["andor3_zyla12"]
    assert f"{before['pilatus']} frames of 1 run, adding" in repr(sums.start_accumulation())
    sums.stop_accumulation()
    assert {part.settings.accumulating for part in live.accumulations.of.values()} == {False}


def test_what_cannot_be_is_told():
    sums = Sums(LiveAnalysis())
    assert repr(sums.start_accumulation()) == (
        "no frames since this start; those to come will be added. "
        "replay(catalog[-1], live) adds those of an earlier run again"
    )
    assert "will not be added" in repr(sums.stop_accumulation())
    with pytest.raises(ConsoleError, match="nothing was accumulated, and nothing reset"):
        sums.undo_reset()
    sums = Sums(seen(LiveAnalysis(), "a"))
    with pytest.raises(ConsoleError, match="no frames of 'x' so far; frames came from: pilatus"):
        sums.reset_accumulation("x")
    with pytest.raises(ConsoleError, match="pilatus: there is no reset to undo"):
        sums.undo_reset()
