"""What is drawn of a curve: its points with their bars, and no more than can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.viewer.page.curve_points import N_COLUMNS, numbers, points_of, seen, texts


def curve(y: list[float], errors: list[float] | None = None, **columns: list[float]) -> DataGroup:
    return DataGroup(
        path="step_means/det_ROI",
        title="ROI on det, mean of each step",
        signal=Quantity("mean", np.array(y)),
        axes=(Quantity("motor", np.arange(len(y), dtype=float)),),
        errors=None if errors is None else np.array(errors),
        errors_name="std of the shots",
        columns=tuple(Quantity(name, np.array(values)) for name, values in columns.items()),
    )


def test_bars_reach_from_below_to_above_and_are_not_where_nothing_is_known() -> None:
    group = curve([1.0, np.nan, 3.0], [0.5, 0.5, 0.0], n_shots=[4, 0, 1])
    found = points_of(group, numbers(group.axes[0]))
    np.testing.assert_array_equal(found.low, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(found.high, [1.5, np.nan, np.nan])
    assert found.n.tolist() == [4, 0, 1]
    assert found.columns["y"][0] == 1.0


def test_the_standard_error_is_taken_where_it_is_wanted() -> None:
    group = curve([2.0], [1.0], sem=[0.25])
    x = numbers(group.axes[0])
    assert points_of(group, x).error.tolist() == [1.0]
    assert points_of(group, x, errors="sem").error.tolist() == [0.25]


def test_on_a_logarithmic_scale_nothing_is_at_or_below_0() -> None:
    group = curve([0.0, -1.0, 10.0, 4.0], [1.0, 1.0, 20.0, 1.0])
    found = points_of(group, numbers(group.axes[0]), is_log=True)
    np.testing.assert_array_equal(found.y, [np.nan, np.nan, 10.0, 4.0])
    np.testing.assert_array_equal(found.low, [np.nan, np.nan, 1.0, 3.0])


def test_a_histogram_is_drawn_as_stairs_as_far_as_it_is_filled() -> None:
    group = curve([0.0, 3.0, 0.0, 0.0, 0.0])
    found = points_of(group, np.array([5.0, 15.0, 25.0, 35.0, 45.0]), is_histogram=True)
    assert found.x.tolist() == [0, 10, 10, 20, 20, 30]
    assert found.y.tolist() == [0, 0, 3, 3, 0, 0]
    logarithmic = points_of(group, np.array([5.0, 15, 25, 35, 45]), is_histogram=True, is_log=True)
    assert logarithmic.y.min() == 0.5


def test_an_axis_of_text_is_drawn_by_its_index() -> None:
    axis = Quantity("sample", np.array(["empty", "LaB6"]))
    assert numbers(axis).tolist() == [0, 1]
    assert texts(axis) == {0: "empty", 1: "LaB6"}
    assert texts(Quantity("motor", np.array([1.0]))) == {}


@given(st.integers(0, 60_000), st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_left_out_is_neither_the_lowest_nor_the_highest(
    n: int, seed: int, is_zoomed: bool
) -> None:
    y = np.random.default_rng(seed).normal(size=n)
    x = np.arange(n, dtype=float)
    kept = seen(x, y, (0.4 * n, 0.6 * n) if is_zoomed else None)
    assert len(kept) <= 3 * N_COLUMNS + 10
    assert (np.diff(kept) > 0).all()
    if n:
        assert {0, n - 1, int(y.argmin()), int(y.argmax())} <= set(kept.tolist())


def test_a_part_that_is_looked_at_is_drawn_finer() -> None:
    n = 100_000
    x, y = np.arange(n, dtype=float), np.random.default_rng(1).normal(size=n)
    coarse, fine = seen(x, y), seen(x, y, (50_000, 50_500))
    inside = lambda kept: int(((kept >= 50_000) & (kept <= 50_500)).sum())  # noqa: E731
    assert inside(coarse) < 20
    assert inside(fine) == 501


def test_points_without_an_order_are_all_drawn() -> None:
    x = np.random.default_rng(0).permutation(5000).astype(float)
    assert len(seen(x, x)) == 5000


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_what_is_missing_makes_no_extreme(missing: float) -> None:
    y = np.zeros(50_000)
    y[:40_000] = missing
    y[45_001] = -2.0
    group = curve(y.tolist())
    found = points_of(group, numbers(group.axes[0]))
    assert np.nanmin(found.y) == -2.0
    assert len(found.x) < found.n_all == 50_000
