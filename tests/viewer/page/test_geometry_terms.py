"""A geometry as text: nothing is lost on the way into fields and back, and slips are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.geometry import Geometry
from femto_bluesky.viewer.page.geometry_terms import (
    TypedError,
    geometry_of,
    q_lines_of,
    q_text,
    texts_of,
)

TYPED = {
    "energy_kev": "13.5", "distance_m": "0.131", "x0_px": "210", "y0_px": "373", "tilt_deg": "0",
    "rotation_deg": "0", "pixel_size_m": "172",
}  # fmt: skip

GEOMETRY = Geometry(
    energy_kev=13.5, distance_m=0.131, x0_px=210, y0_px=373, pixel_size_m=(172e-6, 172e-6)
)

some = st.floats(1e-3, 1e3)


def test_what_was_typed_is_the_geometry() -> None:
    assert geometry_of(TYPED) == GEOMETRY
    assert texts_of(GEOMETRY) == TYPED
    assert texts_of(None, (6.5e-6, 6.5e-6))["pixel_size_m"] == "6.5"
    assert geometry_of(TYPED | {"energy_kev": " 13,5 "}) == GEOMETRY
    sides = geometry_of(TYPED | {"pixel_size_m": "172 x 86"})
    assert sides.pixel_size_m == (172e-6, 86e-6)
    assert texts_of(sides)["pixel_size_m"] == "172 x 86"


@given(some, some, some, some, st.floats(-80, 80), some, st.none() | some)
def test_fields_that_were_not_typed_in_lose_no_digit(
    energy: float, distance: float, x0: float, y0: float, tilt: float, size: float,
    rot3: float | None,
) -> None:  # fmt: skip
    base = Geometry(
        energy_kev=energy, distance_m=distance, x0_px=x0, y0_px=y0, tilt_deg=tilt,
        rot3_deg=rot3, pixel_size_m=(size * 1e-6, 2 * size * 1e-6),
    )  # fmt: skip
    assert geometry_of(texts_of(base), base) == base
    moved = geometry_of(texts_of(base) | {"x0_px": "12.25"}, base)
    assert moved == base.model_copy(update={"x0_px": 12.25})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("energy_kev", "", r"still to be given: Energy \[keV\]"),
        ("energy_kev", "13.5 keV", r"Energy \[keV\]: '13.5 keV' is not a number"),
        ("energy_kev", "-1", r"Energy \[keV\]: Input should be greater than 0 \(found -1.0\)"),
        ("tilt_deg", "90", r"Tilt \[deg\]: Input should be less than 90"),
        ("x0_px", "nan", r"x0 \[px\]: Input should be a finite number"),
        ("pixel_size_m", "1x2x3", "has 3 sides, expected 2"),
    ],
)
def test_slips_are_told(name: str, text: str, words: str) -> None:
    with pytest.raises(TypedError, match=words):
        geometry_of(TYPED | {name: text})


def test_a_list_of_q() -> None:
    assert q_lines_of("1.51, 2.14; 2.62  3.02,1.51,") == (1.51, 2.14, 2.62, 3.02)
    assert q_lines_of(" ") == ()
    assert q_text((1.51, 2.0)) == "1.51, 2"
    for text, words in {"1.5, x": "'x' is not a number", "-1": "q = -1 1/A: it must be above 0",
                        "1e999": "it must be above 0"}.items():  # fmt: skip
        with pytest.raises(TypedError, match=words):
            q_lines_of(text)
