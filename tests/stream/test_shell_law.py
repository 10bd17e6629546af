"""A law: whatever is taken again, the derived rows (the last of each seq_num) say what counts."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from femto_bluesky.testing.documents import Recorder
from tests.stream.scans import Seen, assert_valid, primary_rows, true_rows


def documents(moves, n_frames, has_motor):
    """`moves`: how many events to go back, and where the motor stands then.

    One event back at most: the images stand in the events, which are not kept longer.
    """
    image = {"dtype": "array", "dtype_numpy": "<u2", "shape": [n_frames, 4, 6], "source": "s"}
    motor = {"dtype": "number", "shape": [], "source": "s"}
    hints = {"dimensions": [[["x"], "primary"]]} if has_motor else {}
    yield "start", {"uid": "r", "time": 0.0, "hints": hints}
    yield "descriptor", {"uid": "d", "run_start": "r", "name": "primary", "time": 1.0,
                         "data_keys": {"i": image, "x": motor},
                         "object_keys": {"det": ["i"], "x": ["x"]}}  # fmt: skip
    seq_num = 0
    for index, (back, x) in enumerate(moves):
        seq_num = max(1, seq_num + 1 - back)
        frames = np.full((n_frames, 4, 6), index, "u2")
        yield "event", {"uid": str(index), "descriptor": "d", "seq_num": seq_num,
                        "time": 2.0 + index, "timestamps": {"i": 0.0, "x": 0.0},
                        "data": {"i": frames, "x": x}}  # fmt: skip
    yield "stop", {"uid": "e", "run_start": "r", "time": 9e9, "exit_status": "success"}


moves = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([1.0, 2.0])), min_size=1, max_size=9)


@settings(max_examples=200)
@given(moves=moves, n_frames=st.integers(1, 2), has_motor=st.booleans())
@example(moves=[(0, 1.0), (0, 1.0), (1, 2.0)], n_frames=1, has_motor=True)
@example(moves=[(0, 1.0), (0, 2.0), (1, 1.0)], n_frames=1, has_motor=True)
def test_rows_say_what_counts(moves, n_frames, has_motor):
    seen, recorder = Seen(), Recorder()
    seen.subscribe(recorder)
    for name, doc in documents(moves, n_frames, has_motor):
        seen(name, doc)
    assert seen.failures == []
    assert_valid(recorder.documents)
    (steps,) = seen.result().values()
    # a step whose every event was taken again somewhere else is left with no shot
    rows = [row for row in primary_rows(recorder.documents) if row["n_shots"]]
    assert rows == true_rows(steps)
    last = {}
    seq_num = 0
    for index, (back, x) in enumerate(moves):
        seq_num = max(1, seq_num + 1 - back)
        last[seq_num] = (index, x)
    frames = [frame for _, frames in steps for frame in frames["det"]]
    counted = [last[number][0] for number in sorted(last) for _ in range(n_frames)]
    assert [frame[0][0] for frame in frames] == counted
    if has_motor:
        assert [position["x"] for position, f in steps for _ in f["det"]] == [
            last[number][1] for number in sorted(last) for _ in range(n_frames)
        ]
