from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.stream import steps as module
from femto_bluesky.stream.events import Burst, ImageKey, JoinedEvent
from femto_bluesky.stream.frames import FrameError
from femto_bluesky.stream.steps import FRAME_AXIS, Steps, motor_fields

DESCRIPTOR = {
    "data_keys": {key: {"dtype": "number"} for key in ("x", "x_setpoint", "y", "det_image")},
    "object_keys": {"x": ["x", "x_setpoint"], "y": ["y"], "det": ["det_image"]},
    "hints": {"x": {"fields": ["x"]}},
}


def joined(seq_num, n_frames=1, *, declared=1, again=None, **data):
    image = ImageKey("det_image", "det", declared, None, None, False)
    bursts = {"det": Burst(image, None, 0, n_frames)}
    return JoinedEvent({"uid": "r"}, DESCRIPTOR, {"seq_num": seq_num, "data": data}, bursts, again)


# --- motor fields -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "fields"),
    [
        ({}, []),
        ({"motors": ()}, []),
        ({"hints": {"dimensions": [[range(10**12), "primary"]]}}, []),
        ({"hints": {"dimensions": [[["x"], np.broadcast_to(1.0, (10**6, 10**6))]]}}, []),
        ({"motors": None}, []),
        ({"motors": ["x"]}, ["x"]),  # by the hints of the object
        ({"motors": ["y"]}, ["y"]),  # by its keys
        ({"motors": ("y", "x")}, ["y", "x"]),
        ({"hints": {"dimensions": [[["x"], "primary"], [["y"], "primary"]]}}, ["x", "y"]),
        ({"hints": {"dimensions": [[["x", "y"], "primary"]]}, "motors": ["x"]}, ["x", "y"]),
        ({"hints": {"dimensions": [[["time"], "primary"]]}}, []),
        ({"hints": {"dimensions": [[["x"], "baseline"]]}}, []),
        ({"hints": {"dimensions": [[["time"], "primary"]]}, "motors": ["x"]}, ["x"]),
    ],
)
def test_what_is_scanned_stands_in_the_start_document(start, fields):
    assert motor_fields(start | {"uid": "r"}, DESCRIPTOR, "primary") == fields


def test_a_motor_that_is_not_read_is_named():
    start = {"uid": "r7", "motors": ["x", "theta"]}
    with pytest.raises(FrameError) as caught:
        motor_fields(start, DESCRIPTOR, "primary")
    words = str(caught.value)
    assert words.startswith("run r7, stream 'primary': the start document says that ['theta'] are")
    assert "found only ['det_image', 'x', 'x_setpoint', 'y']; read the motors" in words


# --- places -----------------------------------------------------------------------------------


def test_a_burst_is_a_step_and_shots_are_counted_on():
    steps = Steps()
    found = [
        steps.place(joined(i, n, declared=3, x=1.0), ["x"]) for i, n in ((1, 3), (2, 1), (3, 4))
    ]
    assert [(s.number, s.first_shot, s.n_shots, s.is_whole) for s in found] == [
        (0, 0, 3, True), (1, 3, 1, True), (2, 4, 4, True),
    ]  # fmt: skip
    assert steps.of(2) == found[1]
    assert steps.n_shots(2) == 4


def test_single_frames_at_one_place_are_one_step():
    steps = Steps()
    found = [steps.place(joined(i, x=x), ["x"]) for i, x in enumerate([1.0, 1.0, 2.0, 1.0], 1)]
    assert [(s.number, s.first_shot, s.is_whole) for s in found] == [
        (0, 0, False), (0, 1, False), (1, 2, False), (2, 3, False),
    ]  # fmt: skip
    assert [steps.n_shots(number) for number in range(3)] == [2, 1, 1]


def test_without_a_motor_every_event_is_a_step_at_its_first_frame():
    steps = Steps()
    found = [steps.place(joined(i, 2, declared=2), []) for i in (1, 2, 3)]
    assert [(s.number, s.position) for s in found] == [
        (0, {FRAME_AXIS: 0}), (1, {FRAME_AXIS: 2}), (2, {FRAME_AXIS: 4}),
    ]  # fmt: skip
    found = [Steps().place(joined(1), [])]
    assert found[0].is_whole


@pytest.mark.parametrize(
    ("reading", "position"),
    [
        (np.float32(1.5), 1.5), ([2], 2.0), (np.array(3), 3.0), (True, 1.0), ("in", "in"),
        (math.inf, math.inf),
    ],
)  # fmt: skip
def test_what_a_motor_reads_becomes_plain(reading, position):
    step = Steps().place(joined(1, x=reading), ["x"])
    assert step.position == {"x": position}
    assert type(step.position["x"]) is type(position)


@pytest.mark.parametrize("reading", [[1, 2], {}, 1j, []])
def test_what_is_no_reading_is_refused(reading):
    with pytest.raises(FrameError, match="expected one number or a text; scan a field"):
        Steps().place(joined(1, x=reading), ["x"])


@pytest.mark.parametrize("reading", [None, math.nan, np.nan])
def test_a_motor_that_reads_no_number_is_somewhere_else_each_time(reading):
    steps = Steps()
    found = [steps.place(joined(number, x=reading), ["x"]) for number in (1, 2)]
    assert all(math.isnan(step.position["x"]) for step in found)
    assert [step.number for step in found] == [0, 1]


def test_an_event_that_is_taken_again_has_its_place():
    steps = Steps()
    for number in (1, 2, 3):
        steps.place(joined(number, 3, declared=3, x=float(number)), ["x"])
    again = steps.place(joined(2, 3, declared=3, x=2.0), ["x"])
    assert (again.number, again.first_shot, steps.n_shots(1)) == (1, 3, 3)
    longer = steps.place(joined(2, 5, declared=3, x=2.0), ["x"])
    assert (longer.number, longer.first_shot, steps.n_shots(1)) == (1, 9, 5), (
        "a longer burst has no room at its old place"
    )
    shorter = steps.place(joined(3, 1, declared=3, x=3.0), ["x"])
    assert (shorter.number, shorter.first_shot, steps.n_shots(2)) == (2, 6, 1)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([1.0, 2.0])), min_size=1, max_size=12
    ),
    st.booleans(),
)  # fmt: skip
def test_shots_never_share_a_number_and_steps_are_what_is_left(moves, is_burst):
    """`moves`: how many events to go back, and where the motor stands then."""
    steps, last, seq_num = Steps(), {}, 0
    for back, x in moves:
        seq_num = max(1, seq_num + 1 - back)
        n = 2 if is_burst else 1
        last[seq_num] = (x, steps.place(joined(seq_num, n, declared=n, x=x), ["x"]))
    placed = [last[number] for number in sorted(last)]
    shots = [n for _, s in placed for n in range(s.first_shot, s.first_shot + s.n_shots)]
    assert sorted(shots) == list(range(len(shots)))
    for number in {step.number for _, step in placed}:
        of_it = [(x, step) for x, step in placed if step.number == number]
        assert len({x for x, _ in of_it}) == 1, "a step is at one place"
        assert steps.n_shots(number) == sum(step.n_shots for _, step in of_it)


def test_only_so_many_events_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "HISTORY", 3)
    steps = Steps()
    for number in range(1, 10):
        steps.place(joined(number, 2, declared=2, x=1.0), ["x"])
    assert steps.of(9).number == 8
    with pytest.raises(KeyError):
        steps.of(6)
