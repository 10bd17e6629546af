"""Every type that settings have is typed as text, and the text means the value again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from femto_bluesky.callbacks.live_analysis import LiveAnalysisSettings
from femto_bluesky.model.rois import Roi
from femto_bluesky.viewer.page.fields import codec_of, fields_of


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


names = st.text("abcdefgh_0123", min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**53), 2**53)
paths = names.map(lambda name: Path("/data") / name)

TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (int, whole),
    (float, numbers),
    (int | float, numbers),
    (str, names),
    (Path, paths),
    (Annotated[float, Field(ge=0)], st.floats(0, 1e9)),
    (Literal["log", "sqrt", 3], st.sampled_from(["log", "sqrt", 3])),
    (Mode, st.sampled_from(Mode)),
    (tuple[float, float], st.tuples(numbers, numbers)),
    (tuple[int, ...], st.lists(whole, max_size=4).map(tuple)),
    (tuple[int, float, str], st.tuples(whole, numbers, names)),
    (list[str], st.lists(names, max_size=4)),
    (Sequence[float], st.lists(numbers, max_size=4)),
    (frozenset[int], st.frozensets(whole, max_size=4)),
    (Mapping[str, Path], st.dictionaries(names, paths, max_size=3)),
    (dict[str, float], st.dictionaries(names, numbers, max_size=3)),
    (dict[int, tuple[float, float]], st.dictionaries(whole, st.tuples(numbers, numbers))),
]


@pytest.mark.parametrize("annotation", [t for t, _ in TYPES], ids=[str(t) for t, _ in TYPES])
@settings(max_examples=30)
@given(data=st.data())
def test_the_value_of_the_text_of_a_value_is_the_value(
    annotation: Any, data: st.DataObject
) -> None:
    value = data.draw({str(t): s for t, s in TYPES}[str(annotation)])
    codec = codec_of(annotation)
    assert codec is not None
    text = codec.text(value)
    assert TypeAdapter(annotation).validate_python(codec.value(text)) == value
    assert not codec.options or text in codec.options


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (float, " 1e3 ", 1000.0),
        (int, "1e3", 1000),
        (int, "12.0", 12),
        (int, "12.5", "12.5"),
        (float, "seven", "seven"),
        (bool, "perhaps", "perhaps"),
        (tuple[float, float], "0.5 3", [0.5, 3.0]),
        (tuple[float, float], "(0.5; 3)", [0.5, 3.0]),
        (tuple[float, float], "1,2,3", [1.0, 2.0, 3.0]),
        (Mapping[str, Path], "zyla=/a.npy\n\n balor = /b.npy", {"zyla": Path("/a.npy"),
                                                                 "balor": Path("/b.npy")}),
        (Mapping[str, Path], "zyla /a.npy", "zyla /a.npy"),
        (Mode, "slow", "slow"),
    ],
)  # fmt: skip
def test_what_people_type(annotation: Any, text: str, value: Any) -> None:
    codec = codec_of(annotation)
    assert codec is not None
    found = codec.value(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "annotation", [Mapping[str, Roi], dict[str, dict[str, float]], int | str, list[Roi], object]
)
def test_what_a_form_cannot_edit_has_no_codec(annotation: Any) -> None:
    assert codec_of(annotation) is None


class Inner(BaseModel):
    width_px: int = Field(ge=1, description="how wide")
    is_on: bool = True


class Outer(BaseModel):
    level_kev: float | None = Field(default=None, ge=0, lt=50, description="where it begins")
    n_bins: int = Field(default=100, gt=0, description="bins")
    q_range: tuple[float, float] | None = Field(default=None, description="from and to in 1/A")
    mode: Mode = Field(default=Mode.FAST, description="how")
    inner: Inner | None = Field(default=None, description="more")
    tables: Mapping[str, Inner] = Field(default={}, description="of each")


def test_fields_have_labels_with_units_and_tips_with_limits() -> None:
    found = {field.css_name: field for field in fields_of(Outer)}
    assert {name: field.label for name, field in found.items()} == {
        "level-kev": "Level [keV]", "n-bins": "n bins", "q-range": "q range [1/Å]", "mode": "Mode",
        "inner-width-px": "Inner width [px]", "inner-is-on": "Inner is on", "tables": "Tables",
    }  # fmt: skip
    assert found["level-kev"].tip == "where it begins; at least 0 and below 50; empty: None"
    assert found["n-bins"].tip == "bins; above 0; by default 100"
    assert found["mode"].tip == "how; by default fast"
    assert found["inner-width-px"].groups == (("inner",),)
    assert found["tables"].codec is None
    assert found["tables"].text(Outer(tables={"a": Inner(width_px=3)})) == "a: width_px 3"


def test_every_setting_of_the_analysis_is_shown_and_means_itself() -> None:
    now = LiveAnalysisSettings.model_validate(
        {
            "photons": {"dark_adu": 99.5, "roi": {"x0": 0, "y0": 0, "x1": 5, "y1": 5},
                        "dark_files": {"balor": "/d.npy"}, "counting": False},
            "azimuthal": {"q_range": [0.5, 3], "calibrant": "LaB6"},
        }
    )  # fmt: skip
    names = set()
    for field in fields_of(LiveAnalysisSettings):
        names.add(field.place[0])
        text = field.text(now)
        if field.codec is None:
            assert text, f"{field.place} is left out silently"
            continue
        value: Any = now
        for name in field.place:
            value = None if value is None else getattr(value, name)
        found = field.value(text)
        assert (tuple(found) if isinstance(found, list) else found) == value, field.place
    assert names == set(LiveAnalysisSettings.model_fields)
