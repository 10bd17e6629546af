"""What is done when, whatever the order in which it is done: the result is that of one process."""

from __future__ import annotations

import random

import pytest

from femto_bluesky.reprocess.driving import Driver, ReprocessError
from femto_bluesky.reprocess.group_by import GroupBy
from femto_bluesky.reprocess.pieces import PlanFile
from femto_bluesky.reprocess.planning import Planner
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.laws import given_out
from tests.reprocess.chance import ChanceEngine
from tests.reprocess.made_runs import Own, OwnSettings, a_run, pipeline, straight

LEFT = {"n": 0}


class Picky(Own):
    def update(self, shot):
        if shot.run == "0001-run" and shot.number == 14:
            raise ValueError("the last one")
        return super().update(shot)


class Shaky(Own):
    def update(self, shot):
        if shot.number == 3 and LEFT["n"]:
            LEFT["n"] -= 1
            raise OSError("the disk was away")
        return super().update(shot)


class Stubborn(Own):
    def merge(self, other):
        if self.sums:
            raise RuntimeError("no")
        super().merge(other)


def planned(runs, group_by=None):
    planner = Planner(GroupBy.parse(group_by), "primary", PlanFile())
    for run in runs:
        planner.add(run, None)
    return planner.plan()


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Four runs, a laser that is on for every other shot, and what one process makes of them."""
    directory = tmp_path_factory.mktemp("night")
    runs = [list(a_run(directory, number, burst=7)) for number in range(4)]
    by_run = [straight(pipeline, [run]) for run in runs]
    return runs, straight(pipeline, runs), by_run


@pytest.mark.parametrize("seed", range(7))
def test_order_places_cuts_and_losses_change_no_bit(night, seed):
    runs, (expected, shots), _ = night
    rng = random.Random(seed)
    plan = planned(runs)
    n_workers, loss = rng.randint(1, 4), rng.choice([0.0, 0.0, 0.05])
    engine = ChanceEngine(
        pipeline(), rng, n_workers=n_workers, n_merged=rng.randint(2, 4), loss=loss
    )
    size = rng.choice([2, 5, 9, 30])
    driver = Driver(plan, engine, shots_per_piece=size, retries=1000 if loss else 2)
    found = list(driver.run())
    engine.close()
    assert engine.most <= 3 * n_workers + 4
    if plan.broken:  # a piece that has killed workers twice is given up, and the run with it
        assert loss
        assert {broken.reason for broken in plan.broken} == {"died"}
        return
    ((_, partial),) = found
    assert partial.n_shots == 84
    assert difference(expected, given_out(partial.analysis, shots)) is None


@pytest.mark.parametrize("group_by", ["delay", "delay:2,laser", "run", None])
def test_a_run_that_breaks_late_is_in_no_group(tmp_path, group_by):
    runs = [list(a_run(tmp_path, number)) for number in range(3)]
    good = planned([runs[0], runs[2]], group_by)
    expected = {
        good.groups[n].name: partial.analysis.result()
        for n, partial in Driver(good, ChanceEngine(Own(), random.Random(0))).run()
    }
    for seed in range(4):
        plan = planned(runs, group_by)
        engine = ChanceEngine(Picky(), random.Random(seed), n_workers=3)
        found = {}
        for number, partial in Driver(plan, engine, shots_per_piece=1 + 2 * seed).run():
            assert plan.groups[number].name not in found, "a group was finished twice"
            assert {span.run for span in partial.spans} == {
                uid for uid in plan.groups[number].shares if uid != "0001-run"
            }
            found[plan.groups[number].name] = partial.analysis.result()
        assert found == expected
        assert [broken.reason for broken in plan.broken] == ["ValueError: the last one"]
        engine.close()


def test_a_piece_is_tried_again(tmp_path):
    for retries, n_broken in ((2, 0), (1, 1)):
        LEFT["n"] = 2
        plan = planned([list(a_run(tmp_path, retries))])
        engine = ChanceEngine(Shaky(), random.Random(1))
        found = list(Driver(plan, engine, retries=retries).run())
        assert (len(plan.broken), len(found)) == (n_broken, 1 - n_broken)


def test_an_analysis_that_cannot_merge_is_told(tmp_path):
    plan = planned([list(a_run(tmp_path))])
    driver = Driver(plan, ChanceEngine(Stubborn(), random.Random(1)), shots_per_piece=3)
    with pytest.raises(ReprocessError, match=r"'all' cannot be merged .*RuntimeError: no.*laws"):
        list(driver.run())


def test_progress_counts_what_is_done(tmp_path):
    seen = []
    plan = planned([list(a_run(tmp_path, n)) for n in range(3)])
    driver = Driver(
        plan, ChanceEngine(Own(worst=7), random.Random(1)), shots_per_piece=4, retries=0,
        on_progress=seen.append,
    )  # fmt: skip
    assert list(driver.run()) == []
    assert (seen[0].n_done, seen[0].n_shots, seen[0].n_groups) == (0, 45, 1)
    assert (seen[-1].n_done, seen[-1].n_shots, seen[-1].n_broken) == (0, 0, 3)
    assert OwnSettings().worst == -1
