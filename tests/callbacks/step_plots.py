"""What the tests of the plot of step means scan, and what they read off it."""

from __future__ import annotations

import numpy as np

from femto_bluesky import Roi
from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.plans import burst_scan
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_plan

ROIS = {"ROI 2": Roi(x0=1, y0=1, x1=4, y1=3), "all": Roi(x0=0, y0=0, x1=6, y1=4)}


def noisy(index, position):
    return np.random.default_rng(index).poisson(5 + position, (4, 6)).astype(np.uint16)


def drawn(axes):
    """For each curve: label, points, and bars as (x, low, high)."""
    found = {}
    lines = axes.get_lines()
    for bars, line in zip(lines[::2], lines[1::2], strict=True):
        (x, y), (along, up) = line.get_data(), bars.get_data()
        spans = [(along[i], up[i], up[i + 1]) for i in range(0, len(along), 3)]
        found[line.get_label()] = np.column_stack([x, y]), spans
    return found


def titles(plot):
    return [axes.get_title() for axes in plot.figure.axes]


def expected(result, column, x="stage_x", errors="std"):
    y, error = result[f"{column}_mean"], result[f"{column}_{errors}"]
    points = np.column_stack([result[x], y])
    return points, list(zip(result[x], y - error, y + error, strict=True))


def assert_drawn(axes, label, truth):
    points, bars = drawn(axes)[label]
    np.testing.assert_array_equal(points, truth[0])
    np.testing.assert_allclose(bars, truth[1], rtol=1e-12)


def subscribed(plot, rois=ROIS):
    means = RoiMeans(rois)
    means.subscribe(plot)
    return means


def docs_of(camera, motor, **given):
    """The documents of a derived run of three steps."""
    means, derived = RoiMeans(ROIS), Recorder()
    means.subscribe(derived)
    run_plan(burst_scan([camera], motor, 0, 2, 3, 5, **given), means)
    return derived.documents, means.result()
