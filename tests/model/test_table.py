from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.model.table import ShotTable, Statistics, statistics
from femto_bluesky.testing.shots import make_shots

FRAME = DenseFrame(np.zeros((1, 1)))


def shot(number, step=0, run="r", **changes):
    made = Shot(run, step, number, "cam", FRAME, position={"x": float(step)}, time=float(number))
    return replace(made, **changes)


def table_of(*rows):
    table = ShotTable()
    for one, values in rows:
        table.add(one, values)
    return table


@given(st.lists(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)), max_size=40))
def test_statistics_against_numpy(values):
    there = np.array([value for value in values if not np.isnan(value)])
    found = statistics(np.array(values, np.float64))
    assert found.n == len(there)
    if len(there) == 0:
        assert found == Statistics(None, None, None, 0)
        return
    mean = there.sum() / len(there)
    squares = ((there - mean) ** 2).sum()
    scale = np.abs(there).max()
    assert found.mean == pytest.approx(mean, abs=1e-9 * scale)
    assert found.std == pytest.approx(np.sqrt(squares / len(there)), abs=1e-9 * scale)
    if len(there) == 1:
        assert found.sem is None
    else:
        sem = np.sqrt(squares / (len(there) - 1) / len(there))
        assert found.sem == pytest.approx(sem, abs=1e-9 * scale)


def test_std_is_of_the_population_and_sem_is_not():
    found = statistics(np.array([1.0, 2.0, 3.0, 6.0]))
    assert found.mean == 3
    assert found.std == pytest.approx(np.sqrt(14 / 4))
    assert found.sem == pytest.approx(np.sqrt(14 / 3) / 2)


def test_a_missing_value_is_not_0():
    table = table_of((shot(0), {"a": 4.0}), (shot(1), {"a": np.nan}), (shot(2), {"a": 2.0}))
    assert table.shot("r", 1) == {"a": None}
    assert table.step("r", 0)["a"] == Statistics(3.0, 1.0, 1.0, 2)
    assert table.n_shots("r", 0) == 3
    np.testing.assert_array_equal(table.rows("r")["a"], [4, np.nan, 2])


def test_what_was_never_seen_is_not_there():
    table = table_of((shot(0), {"a": 1.0}), (shot(5), {"a": 1.0}))
    assert table.shot("r", 3) == {}
    assert table.shot("r", 500) == {}
    assert table.shot("another", 0) == {}
    assert table.step("another", 0) == {}
    assert table.step("r", 7) == {"a": Statistics(None, None, None, 0)}
    assert (table.n_shots("r", 7), table.n_shots("another", 0)) == (0, 0)
    assert (table.steps("another"), table.rows("another")) == ([], {})
    np.testing.assert_array_equal(table.rows("r")["shot"], [0, 5])


def test_values_of_several_detectors_stand_in_one_row():
    table = table_of((shot(0), {"a": 1.0}), (shot(0, detector="other"), {"b": 2.0}))
    assert table.shot("r", 0) == {"a": 1.0, "b": 2.0}
    assert table.n_shots("r", 0) == 1


def test_steps_are_in_order_with_their_positions():
    table = table_of(*((shot(n, step=s), {"a": 1.0 * n}) for n, s in [(5, 2), (0, 0), (3, 1)]))
    assert table.steps("r") == [(0, {"x": 0.0}), (1, {"x": 1.0}), (2, {"x": 2.0})]
    assert [table.step("r", s)["a"].mean for s in range(3)] == [0, 3, 5]


def test_labels_stand_beside_the_values():
    table = table_of((shot(1, labels={"laser_on": 1.0}), {"a": 7.0}), (shot(0), {"a": 8.0}))
    rows = table.rows("r")
    assert list(rows) == ["shot", "step", "laser_on", "a"]
    np.testing.assert_array_equal(rows["laser_on"], [np.nan, 1])
    assert list(table.step("r", 0)) == ["a"]


def test_a_long_run_grows_the_table():
    numbers = np.random.default_rng(0).permutation(1000)
    rows = [(shot(int(n), step=int(n) // 10), {"a": float(n)}) for n in numbers]
    late = (shot(1500, labels={"l": 3.0}), {"a": 0.0, "b": 9.0})
    table = table_of(*rows, late)
    np.testing.assert_array_equal(table.rows("r")["a"][:1000], np.arange(1000))
    assert table.step("r", 42)["a"].mean == 424.5
    assert table.shot("r", 1500) == {"a": 0.0, "b": 9.0}
    assert table.shot("r", 3) == {"a": 3.0, "b": None}
    assert table.shot("r", 1200) == {}
    assert np.isnan(table.rows("r")["l"][:1000]).all()


def test_a_dropped_shot_was_never_seen():
    table = table_of((shot(0), {"a": 1.0}), (shot(1, labels={"l": 1.0}), {"a": 5.0}))
    table.drop(shot(1))
    assert table.shot("r", 1) == {}
    assert table.step("r", 0)["a"] == Statistics(1.0, 0.0, None, 1)
    np.testing.assert_array_equal(table.rows("r")["shot"], [0])
    table.drop(shot(77))
    table.drop(shot(0, run="another"))
    table.drop(shot(0))
    assert table.runs == []


def test_a_shot_taken_again_can_be_of_another_step():
    table = table_of((shot(0), {"a": 1.0}), (shot(1), {"a": 5.0}))
    table.drop(shot(1))
    table.add(shot(1, step=1), {"a": 9.0})
    assert table.step("r", 0)["a"].mean == 1
    assert table.step("r", 1)["a"].mean == 9
    assert [step for step, _ in table.steps("r")] == [0, 1]


def test_the_newest_run_is_the_last_in_whatever_order_tables_are_merged():
    old = table_of((shot(0, run="old"), {}))
    new = table_of((shot(0, run="new", time=100.0), {}))
    for one, other in ((old, new), (new, old)):
        table = ShotTable()
        table.merge(one)
        table.merge(other)
        assert table.runs == ["old", "new"]


@given(st.lists(st.integers(0, 2), min_size=90, max_size=90), st.permutations(range(3)))
def test_merged_parts_are_the_whole_table(part_of, order):
    rng = np.random.default_rng(0)
    rows = []
    for n, value in enumerate(rng.normal(size=90)):
        values = {"a": value if n % 7 else np.nan} | ({"b": 2 * value} if n > 80 else {})
        labels = {"l": float(n)} if n % 2 else {}
        rows.append((shot(n % 80, step=n % 80 // 8, run="rs"[n >= 80], labels=labels), values))
    whole, merged = table_of(*rows), ShotTable()
    for part in order:
        merged.merge(table_of(*(r for r, p in zip(rows, part_of, strict=True) if p == part)))
    assert sorted(merged.runs) == sorted(whole.runs)
    for run in whole.runs:
        expected, found = whole.rows(run), merged.rows(run)
        assert list(expected) == list(found)
        for name, column in expected.items():
            np.testing.assert_array_equal(found[name], column)
        assert merged.steps(run) == whole.steps(run)
        for step, _ in whole.steps(run):
            assert merged.step(run, step) == whole.step(run, step)


def test_merging_copies():
    one, other = table_of((shot(0), {"a": 1.0})), table_of((shot(1), {"a": 5.0}))
    one.merge(other)
    other.add(shot(1), {"a": 6.0})
    other.clear()
    assert one.shot("r", 1) == {"a": 5.0}
    assert other.runs == []


def test_all_steps_at_once_are_the_steps_one_by_one() -> None:
    table, shots = ShotTable(), make_shots(n_steps=5, n_frames=3)
    for number, shot in enumerate(reversed(shots)):
        table.add(
            shot, {"a": float(number**2), "b": np.nan if number % 4 == 0 else 1 / (number + 1)}
        )
    table.drop(shots[4])
    run = shots[0].run
    expected = [
        (position, table.n_shots(run, step), table.step(run, step))
        for step, position in table.steps(run)
    ]
    assert list(table.by_step(run)) == expected
    assert list(table.by_step("another")) == []
