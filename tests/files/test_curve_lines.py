"""Lines of a calibrant on a curve, and a curve on a logarithmic axis: drawn and kept."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np

from femto_bluesky.files.pictures import draw
from femto_bluesky.files.results import write_results
from tests.files.drawn import curve

LINES = {"1 0 0": 1.5, "1 1 0": 2.1, "1 1 1": 2.11}


def test_lines_stand_at_their_places_with_names_where_there_is_room(axes):
    draw(replace(curve([1, 2, 3], [3, 4, 5]), lines=LINES), axes)
    upright = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert upright == [1.5, 2.1, 2.11]
    assert [text.get_text() for text in axes.texts] == ["1 0 0", "1 1 0"]


def test_a_curve_may_ask_for_a_logarithmic_axis(axes):
    x = np.arange(300.0)
    y = 2 + np.cos(x)
    y[:2] = 5000, 0
    draw(replace(curve(x, y, np.ones(300)), attributes={"scale": "log"}), axes)
    assert axes.get_yscale() == "log"
    lowest, highest = axes.get_ylim()
    assert 0.4 < lowest < 1
    assert highest > 5000


def test_nothing_above_zero_has_no_logarithm(axes):
    draw(replace(curve([1, 2], [0, -1]), attributes={"scale": "log"}), axes)
    assert axes.get_yscale() == "linear"


def test_lines_are_kept_with_the_curve(tmp_path):
    write_results(
        tmp_path / "scan.h5",
        [replace(curve([1, 2, 3], [3, 4, 5]), lines=LINES)],
        title="",
        start={},
    )
    with h5py.File(tmp_path / "scan.h5") as file:
        assert json.loads(file["entry/step_means/ROI_2/lines"][()]) == LINES
