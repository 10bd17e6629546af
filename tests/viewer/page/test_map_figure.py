"""Axes of figures: even numbers, or names of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.viewer.page.curve_figure import CurveFigure
from femto_bluesky.viewer.page.curve_plans import (
    Choices,
    CurvePlan,
    Found,
    MapPlan,
    Surroundings,
    planned,
)
from femto_bluesky.viewer.page.map_figure import MapFigure, extent


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0], (0.5, 3.0, {})),
        ([3, 1], (4.0, -4.0, {})),
        ([7.0], (6.5, 1.0, {})),
        ([2.0, 2.0], (-0.5, 2.0, {0: "2", 1: "2"})),
        ([1.0, np.nan], (-0.5, 2.0, {0: "1", 1: "nan"})),
        ([False, True], (-0.5, 2.0, {0: "False", 1: "True"})),
        (["in", "out"], (-0.5, 2.0, {0: "in", 1: "out"})),
    ],
)
def test_where_cells_begin(values: Sequence[Any], expected: Any) -> None:
    assert extent(Quantity("motor", np.array(values)), len(values)) == expected


def test_places_with_names_have_no_ticks_between_them() -> None:
    names = Quantity("where", np.array(["in", "out"]))
    curve = DataGroup("step_means/a", "A", Quantity("mean", np.array([1.0, 2.0])), (names,))
    [plan] = planned("Step means", Found([curve]), [], Choices(), Surroundings())
    assert isinstance(plan, CurvePlan)
    drawn = CurveFigure("steps-0")
    drawn.show(plan, "scan")
    axis = drawn.figure.xaxis[0]
    assert (axis.ticker.min_interval, axis.major_label_overrides) == (1, {0: "in", 1: "out"})
    q = Quantity("q", np.array([0.1, 0.2]))
    image = DataGroup("cake/a", "A", Quantity("I", np.ones((2, 2))), (names, q))
    shown = MapFigure("map-0")
    shown.show(MapPlan("a", "a", image, is_log=False), "scan")
    assert (shown.figure.yaxis[0].ticker.min_interval, shown.figure.xaxis[0].ticker.min_interval)\
        == (1, 0)  # fmt: skip
