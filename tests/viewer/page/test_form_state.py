"""What is typed and what the analysis has: neither is lost to the other."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from femto_bluesky.viewer.page.fields import fields_of
from femto_bluesky.viewer.page.form_state import Entry, FormState


class Box(BaseModel):
    x0: int = Field(ge=0)
    x1: int = Field(ge=0)
    is_round: bool = False


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    low_adu: float | None = Field(default=None, ge=0)
    high_adu: float = 10.0
    name: str | None = None
    box: Box | None = None
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _is_in_order(self) -> Settings:
        if self.low_adu is not None and self.low_adu >= self.high_adu:
            raise ValueError("low_adu must be below high_adu")
        return self


@pytest.fixture
def form() -> FormState:
    return FormState(fields_of(Settings), Settings())


def entry(form: FormState, *place: str) -> Entry:
    return form.entries[place]


def test_nothing_is_to_be_changed_before_something_is_typed(form: FormState) -> None:
    assert (form.unsaved, form.checked()) == ([], {})
    entry(form, "high_adu").type("11")
    assert form.checked() == {"high_adu": 11.0}
    entry(form, "high_adu").type("10")
    assert form.checked() == {}


def test_what_the_console_sets_is_shown_where_nothing_is_typed(form: FormState) -> None:
    form.read(Settings(low_adu=3, name="sum"))
    assert (entry(form, "low_adu").typed, entry(form, "name").typed) == ("3", "sum")
    assert form.unsaved == []


def test_a_field_that_is_typed_into_stays_and_is_marked(form: FormState) -> None:
    low = entry(form, "low_adu")
    low.type("4")
    form.read(Settings(low_adu=3))
    assert (low.typed, low.shown, low.is_elsewhere, low.is_unsaved) == ("4", "3", True, True)
    form.read(Settings(low_adu=3, name="other"))
    assert low.is_elsewhere
    # both have come to the same
    form.read(Settings(low_adu=4))
    assert (low.is_elsewhere, low.is_unsaved) == (False, False)


def test_a_change_elsewhere_of_another_field_marks_nothing(form: FormState) -> None:
    entry(form, "low_adu").type("4")
    form.read(Settings(name="sum"))
    assert not entry(form, "low_adu").is_elsewhere


def test_typing_back_or_reverting_clears_the_marks(form: FormState) -> None:
    low = entry(form, "low_adu")
    low.type("4")
    form.read(Settings(low_adu=3))
    low.type("3")
    assert not low.is_elsewhere
    low.type("9")
    form.revert()
    assert (low.typed, form.unsaved) == ("3", [])


def test_wrong_values_are_told_at_their_fields_in_the_words_of_the_model(form: FormState) -> None:
    entry(form, "low_adu").type("-1")
    entry(form, "high_adu").type("many")
    with pytest.raises(ValueError, match=r"^$"):
        form.checked()
    assert entry(form, "low_adu").wrong == (
        "Input should be greater than or equal to 0 (found -1.0)"
    )
    assert "unable to parse string as a number (found 'many')" in entry(form, "high_adu").wrong
    entry(form, "high_adu").type("11")
    assert entry(form, "high_adu").wrong == ""


def test_what_is_wrong_with_several_fields_is_told_by_the_form(form: FormState) -> None:
    entry(form, "low_adu").type("20")
    with pytest.raises(ValueError, match="low_adu must be below high_adu"):
        form.checked()


def test_a_model_within_is_given_as_a_whole_or_not_at_all(form: FormState) -> None:
    entry(form, "box", "x0").type("1")
    with pytest.raises(ValueError, match=r"^$"):
        form.checked()
    assert entry(form, "box", "x1").wrong == "Field required"
    entry(form, "box", "x1").type("5")
    assert form.checked() == {"box": {"x0": 1, "x1": 5}}
    form.read(Settings(box=Box(x0=1, x1=5)))
    assert form.unsaved == []
    for name in ("x0", "x1"):
        entry(form, "box", name).type("")
    assert form.checked() == {"box": None}


def test_what_is_applied_is_shown_as_the_model_writes_it(form: FormState) -> None:
    entry(form, "low_adu").type("4e0")
    entry(form, "name").type("a")
    applied = {("low_adu",): "4e0", ("name",): "a"}
    entry(form, "name").type("ab")  # the fingers were quicker
    form.accept(applied, Settings(low_adu=4, name="a"))
    low, name = entry(form, "low_adu"), entry(form, "name")
    assert (low.typed, low.is_unsaved) == ("4", False)
    assert (name.typed, name.shown, name.is_elsewhere) == ("ab", "a", True)


def test_errors_of_places_that_no_field_has_are_left(form: FormState) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"nothing": 1, "files": {"a": 3}})
    assert form.blame(caught.value) == "nothing: Extra inputs are not permitted (found 1)"
    assert entry(form, "files").wrong == "Input should be a valid string (found 3)"
