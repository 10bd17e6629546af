"""Axes to draw on, without a display."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


@pytest.fixture
def axes():
    figure = Figure(figsize=(8, 6))
    FigureCanvasAgg(figure)
    return figure.add_subplot()
