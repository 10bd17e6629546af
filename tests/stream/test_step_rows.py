"""Rows of steps in streams of their own, with arrays in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.outputs import Output
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings, Pipeline
from femto_bluesky.stream.per_detector import PerDetector
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.laws import assert_laws
from femto_bluesky.testing.runs import burst_scan, run_plan
from femto_bluesky.testing.shots import make_shots
from tests.stream.scans import assert_valid, numbered


class Profiles(Analysis):
    """The columns' sums of each step and of the run; as a toy, those of step 1 are missing."""

    def __init__(self):
        super().__init__(AnalysisSettings())
        self.sums = {}

    def fresh(self):
        return type(self)()

    def update(self, shot):
        self.add((shot.run, shot.step), shot.frame.dense().sum(axis=0, dtype=np.float64))
        return shot

    def add(self, key, sums):
        self.sums[key] = self.sums.get(key, 0.0) + sums

    def merge(self, other):
        for key, sums in other.sums.items():
            self.add(key, sums)

    def clear(self):
        self.sums.clear()

    def result(self):
        return dict(sorted(self.sums.items()))

    def outputs(self, detectors):
        return [
            Output("place", "profiles", "", "the step, or -1", "integer"),
            Output("pilatus_columns", "profiles", "pilatus", "sums", is_array=True),
        ]

    def step_rows(self, run, step):
        if (run, step) not in self.sums:
            return {}
        row = {} if step == 1 else {"pilatus_columns": self.sums[run, step]}
        return {"profiles": {"place": step} | row}

    def run_rows(self, run):
        of_run = [sums for (name, _), sums in self.sums.items() if name == run]
        return {"profiles": {"place": -1, "pilatus_columns": sum(of_run)}} if of_run else {}


@pytest.mark.parametrize("wrapped", [Pipeline, PerDetector])
def test_steps_and_the_run_have_a_stream_of_their_own(tmp_path, wrapped):
    analysis, derived = wrapped(Profiles()), Recorder()
    analysis.subscribe(derived)
    detector = SimulatedDetector(name="pilatus", source=numbered, directory=tmp_path, num_images=2)
    run_plan(burst_scan([detector], SimulatedMotor(name="stage"), [1, 2]), analysis)
    assert analysis.failures == []
    assert_valid(derived.documents)
    (described,) = [d for d in derived.of("descriptor") if d["name"] == "profiles"]
    entry = described["data_keys"]["pilatus_columns"]
    assert (entry["dtype"], entry["shape"], entry["dtype_numpy"]) == ("array", [6], "<f8")
    rows = [e["data"] for e in derived.of("event") if e["descriptor"] == described["uid"]]
    assert [row["place"] for row in rows] == [0, 1, -1]
    assert rows[1]["pilatus_columns"] == [0.0] * 6, "what is missing cannot be stored as null"
    assert rows[0]["pilatus_columns"][1] == sum(6 * r + 1 for r in range(4)) * 2 + 400
    assert derived.of("stop")[0]["num_events"] == {"primary": 2, "shots": 4, "profiles": 3}


def test_the_laws_look_at_rows_of_steps():
    shots = [replace(s, detector="pilatus") for s in make_shots(("andor3_zyla12",), n_steps=1)]
    assert_laws(Profiles(), shots, laws=["merging", "clear", "outputs"])

    class Undeclared(Profiles):
        def outputs(self, detectors):
            return super().outputs(detectors)[:1]

    with pytest.raises(AssertionError, match=r"given but not declared are \['pilatus_columns'\]"):
        assert_laws(Undeclared(), shots, laws=["outputs"])

    class Empty(Profiles):
        def run_rows(self, run):
            return {"profiles": {"place": -1, "pilatus_columns": np.array([np.nan])}}

    with pytest.raises(AssertionError, match="'pilatus_columns' is declared as array, but is"):
        assert_laws(Empty(), shots, laws=["outputs"])

    class Unmerged(Profiles):
        n = 0

        def update(self, shot):
            self.n += 1
            return super().update(shot)

        def step_rows(self, run, step):
            rows = super().step_rows(run, step)
            return rows | {"seen": {"n": self.n}} if rows else rows

    with pytest.raises(AssertionError, match=r"given_out\['step_rows'\]"):
        assert_laws(Unmerged(), shots, laws=["merging"])
