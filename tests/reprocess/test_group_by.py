"""What shots are put together by."""

from __future__ import annotations

import math

import pytest

from femto_bluesky.reprocess.group_by import GroupBy, GroupByError, Key, sortable


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("delay:0", "found the width '0', expected a number above 0"),
        ("delay:nan", "expected a number above 0"),
        ("delay,,run", "found an empty name"),
        ("start.", "found an empty name"),
        ("delay,delay:2", "a name stands there twice"),
    ],
)
def test_texts_that_say_nothing_are_refused(text, told):
    with pytest.raises(GroupByError, match=told):
        GroupBy.parse(text)


def test_what_is_asked_for():
    assert GroupBy.parse(None) == GroupBy.parse(" ") == GroupBy()
    found = GroupBy.parse(" run , start.sample.name,delay : 0.25 ")
    assert found.keys == (Key("run"), Key("start.sample.name"), Key("delay", 0.25))
    assert str(found) == "run,start.sample.name,delay:0.25"
    assert found.splits_runs
    assert not GroupBy.parse("run,start.x").splits_runs


def test_values_are_rounded_to_multiples_of_the_width():
    key = Key("delay", 0.1)
    assert [key.rounded(value) for value in (0.04, 0.31, -0.26, -0.01)] == [0.0, 0.3, -0.3, 0.0]
    assert str(key.rounded(-0.01)) == "0.0"
    assert Key("delay", 5).rounded(12.4) == 10.0
    assert math.isnan(key.rounded(math.nan))
    assert math.isnan(key.rounded(None))
    assert Key("x").rounded(True) == "True"
    assert Key("x", 2).rounded("in") == "in"


def test_shots_of_an_event_are_parted_by_their_labels():
    by = GroupBy.parse("laser,delay")
    labels = {"laser": [1.0, 1.0, 0.0, 1.0], "i0": [4.0] * 4}
    found = by.of_event({"uid": "a"}, {"delay": 2}, labels, 4)
    assert found == [
        ((1.0, 2.0), range(2)), ((0.0, 2.0), range(2, 3)), ((1.0, 2.0), range(3, 4)),
    ]  # fmt: skip
    assert by.title((1.0, 2.0)) == "laser=1, delay=2"
    assert by.named((1.0, 2.0)) == {"laser": 1.0, "delay": 2.0}
    assert GroupBy().of_event({"uid": "a"}, {}, {}, 3) == [((), range(3))]
    missing = GroupBy.parse("laser").of_event({}, {}, {"laser": [math.nan, math.nan, 1.0]}, 3)
    assert [part for _, part in missing] == [range(2), range(2, 3)]


def test_numbers_stand_before_what_is_missing_and_text():
    values = [("b",), (math.nan,), (10.0,), ("a",), (2.0,)]
    assert [str(v[0]) for v in sorted(values, key=sortable)] == ["2.0", "10.0", "nan", "a", "b"]
