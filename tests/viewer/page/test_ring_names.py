"""Names of rings: where they can be read, and none over another."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.results import Curve
from femto_bluesky.viewer.page.ring_names import LETTER_PX, LINE_PX, places


def circle(radius: float, y: float = 50.0, x: float = 50.0) -> Curve:
    chi = np.linspace(0, 2 * np.pi, 181)
    return y + radius * np.sin(chi), x + radius * np.cos(chi)


def test_a_ring_in_sight_has_its_name_on_it() -> None:
    found = places({"1 1 0": circle(30)}, (0, 100), (100, 0))
    (y, x) = found["1 1 0"]
    assert np.hypot(y - 50, x - 50) == 30
    assert np.isclose(y, 50)  # beside the beam
    # out of sight
    assert places({"1 1 0": circle(30)}, (45, 55), (55, 45)) == {}
    assert places({"1 1 0": circle(30)}, (0, 0), (0, 0)) == {}
    assert places({"none": (np.empty(0), np.empty(0))}, (0, 100), (100, 0)) == {}


def test_a_cut_ring_has_its_name_on_its_longest_piece() -> None:
    # the left of it is out of sight
    y, x = places({"q": circle(45)}, (40, 140), (100, 0))["q"]
    assert np.allclose((y, x), (50, 95))
    # two pieces, with NaN between them
    along = np.r_[np.linspace(10, 20, 11), np.nan, np.linspace(40, 90, 51)]
    assert places({"q": (along, np.full(63, 30.0))}, (0, 100), (100, 0))["q"] == (65, 30)


@given(
    st.lists(st.floats(1, 80), min_size=1, max_size=12),
    st.floats(0, 40),
    st.floats(5, 100),
)
def test_no_name_covers_another_or_leaves_the_view(
    radii: list[float], start: float, width: float
) -> None:
    rings = {f"{i} 0 0": circle(radius) for i, radius in enumerate(radii)}
    x_range, y_range = (start, start + width), (start + width, start)
    found = places(rings, x_range, y_range, (300, 200))
    half = {name: LETTER_PX * (len(name) + 1) * width / 300 for name in found}
    line = LINE_PX * width / 200
    for name, (y, x) in found.items():
        assert start + half[name] <= x <= start + width - half[name]
        assert start + line <= y <= start + width - line
        for other, (other_y, other_x) in found.items():
            is_apart = (
                abs(x - other_x) > half[name] + half[other] - 1e-9
                or abs(y - other_y) > 2 * line - 1e-9
            )
            assert is_apart or other == name
