from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.viewer.views import LARGEST_CANVAS, View, Window, view_of

BALOR = (4104, 4128)
sizes = st.integers(1, 5000)
ends = st.floats(-1e4, 1e4, allow_nan=False)


def test_the_whole_image_at_the_resolution_of_the_screen():
    view = view_of(Window(910, 950), BALOR)
    assert view == View(0, 4104, 0, 4128, 5, 5 * 910 / 4104)
    assert view.shape == (821, 826)
    assert view.is_all(BALOR)


def test_a_part_is_in_blocks_that_stay_where_they_are_when_it_is_moved():
    wide = Window(500, 500, (100, 1100), (203, 1203))
    view = view_of(wide, BALOR)
    assert (view.factor, view.box) == (2, (100, 1100, 202, 1204))
    moved = view_of(Window(500, 500, (101, 1101), (204, 1204)), BALOR)
    assert (moved.y0 % 2, moved.x0 % 2, moved.factor) == (0, 0, 2)
    assert not view.is_all(BALOR)


def test_a_pixel_reaches_to_where_the_next_one_begins():
    view = view_of(Window(400, 400, (10, 14), (20, 24)), BALOR)
    assert (view.box, view.factor, view.screen_px) == ((10, 14, 20, 24), 1, 100)


def test_an_axis_may_run_downwards():
    down = Window(400, 400, (14, 10), (20, 24))
    assert view_of(down, BALOR) == view_of(Window(400, 400, (10, 14), (20, 24)), BALOR)


@pytest.mark.parametrize("y", [(-100, -50), (4104, 5000)])
def test_beside_the_image_there_is_nothing(y):
    assert view_of(Window(400, 400, y, (0, 10)), BALOR) is None


@pytest.mark.parametrize("x", [(math.nan, 1), (0, math.inf), (5, 5)])
def test_what_is_no_range_is_the_whole_image(x):
    assert view_of(Window(400, 400, None, x), (40, 50)).box == (0, 40, 0, 50)


def test_a_screen_is_not_without_bounds():
    view = view_of(Window(1e9, 1e9), (100_000, 90_000))
    assert max(view.shape) <= LARGEST_CANVAS
    assert view_of(Window(0, -3), BALOR).factor == 258


@given(sizes, sizes, st.tuples(ends, ends), st.tuples(ends, ends), sizes, sizes)
def test_what_is_in_sight_is_in_the_view_and_never_finer_than_the_screen(
    rows, columns, y, x, height, width
):
    view = view_of(Window(height, width, y, x), (rows, columns))
    first_y, last_y = (min(y), max(y)) if y[0] != y[1] else (0, rows)
    first_x, last_x = (min(x), max(x)) if x[0] != x[1] else (0, columns)
    is_in_sight = last_y > 0 and first_y < rows and last_x > 0 and first_x < columns
    if view is None:
        assert not is_in_sight
        return
    assert 0 <= view.y0 < view.y1 <= rows
    assert 0 <= view.x0 < view.x1 <= columns
    assert view.y0 <= max(first_y, 0)
    assert view.y1 >= min(last_y, rows)
    assert view.x0 <= max(first_x, 0)
    assert view.x1 >= min(last_x, columns)
    # pixels at the edges are seen in part
    assert view.shape[0] <= max(height, 16) * 1.02 + 2
    assert view.shape[1] <= max(width, 16) * 1.02 + 2
