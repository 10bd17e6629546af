"""Curves: whole, at the right place, with their errors, and gaps where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.files.pictures import draw, draw_curves
from femto_bluesky.model.results import DataGroupError
from tests.files.drawn import curve, image, places, read


def test_a_curve_goes_against_its_motor_with_error_bars(axes):
    draw(curve([1.0, 1.25, 1.5], [3.0, 4.0, 5.0], [0.1, 0.2, 0.3]), axes)
    line, _, (bars,) = axes.containers[0].lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 3], [1.25, 4], [1.5, 5]])
    lengths = [np.ptp(segment[:, 1]) for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, [0.2, 0.4, 0.6])
    assert axes.get_xlabel() == "motor [mm]"
    assert axes.get_ylabel() == "mean of ROI 2 [counts]\n(error bars: std)"
    assert axes.get_title() == "ROI 2"


def test_errors_that_are_none_are_not_drawn(axes):
    draw(curve([1, 2, 3], [3, 4, 5], [np.nan, -1, np.inf]), axes)
    assert axes.get_ylabel() == "mean of ROI 2 [counts]"


def test_a_missing_step_is_a_gap(axes):
    draw(curve([1, 2, 3], [3, np.nan, 5], [0.1, np.nan, 0.1]), axes)
    assert np.isnan(axes.containers[0].lines[0].get_ydata()).tolist() == [False, True, False]


def test_positions_that_come_again_are_not_joined(axes):
    draw(curve([1, 2, 2, 1], [1, 2, 3, 4]), axes)
    assert axes.lines[0].get_linestyle() == "None"
    draw(curve([3, 2, 1], [1, 2, 3]), axes)
    assert axes.lines[-1].get_linestyle() == "-"


def test_many_points_become_a_band(axes):
    y = np.ones(1000)
    y[[3, 5]] = np.nan
    draw(curve(np.arange(1000), y, np.full(1000, 0.1)), axes)
    assert not axes.containers
    assert axes.lines[0].get_markevery().tolist() == [4]
    assert "(band: std)" in axes.get_ylabel()


def test_text_along_x_is_written(axes):
    draw(curve(["LaB6", "Si"], [1, 2]), axes)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["LaB6", "Si"]
    draw(curve([f"sample {i}" for i in range(500)], np.ones(500)), axes)
    assert 2 <= len(axes.get_xticklabels()) < 30


@pytest.mark.parametrize(("x", "y"), [([], []), ([1], [np.nan]), ([np.nan], [1])])
def test_a_curve_without_values_says_so(axes, x, y):
    draw(curve(np.array(x, float), np.array(y, float)), axes)
    assert axes.texts[0].get_text() == "no values"


def test_one_point_is_drawn(tmp_path):
    draw(curve([1.0], [2.0], [0.5]), tmp_path / "a.png")
    assert len(places(read(tmp_path / "a.png"), (31, 95, 168))) > 10


@pytest.mark.parametrize("n", [1, 3, 5, 16])
def test_each_roi_has_its_panel(tmp_path, n):
    groups = [curve([1, 2, 3], [1, 2, 3 + i], [0.1] * 3, f"ROI {i}") for i in range(n)]
    draw_curves(groups, tmp_path / "a.png", title="scan 7")
    height, width, _ = read(tmp_path / "a.png").shape
    assert 400 < height < 2500
    assert 600 < width < 2500


def test_what_is_no_curve_is_refused(tmp_path):
    with pytest.raises(DataGroupError, match="'image' is an image; draw it with draw"):
        draw_curves([image(np.ones((2, 2)))], tmp_path / "a.png")
    with pytest.raises(DataGroupError, match="there is no curve to draw"):
        draw_curves([], tmp_path / "a.png")
