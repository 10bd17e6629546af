"""Pictures of an analysis that goes on: consistent, fresh when it rests, and not too often."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from event_model import compose_run

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.model.rois import Roi
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.laws import plain_parts
from femto_bluesky.viewer.published import published
from femto_bluesky.viewer.snapshots import Snapshots
from femto_bluesky.viewer.tree import Dataset, walk
from tests.viewer.shown import ROIS, seen


class Clock:
    """A time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def n_frames(snapshots: Snapshots) -> int:
    tree = snapshots.tree()
    return int(tree["/accumulated_number"].values) if "image" in tree.root.members else 0


def test_a_picture_is_used_for_a_moment(live: LiveAnalysis, clock: Clock) -> None:
    snapshots = Snapshots(live, clock=clock)
    first = snapshots.tree()
    seen(live)
    clock.now = 0.09
    assert snapshots.tree() is first
    clock.now = 0.1
    assert n_frames(snapshots) == 6


def test_pictures_take_a_small_share_of_a_run(live: LiveAnalysis, clock: Clock) -> None:
    slow = live.rois.groups

    def groups(run: str | None = None) -> list:
        clock.now += 0.5
        return slow(run)

    live.rois.groups = groups
    snapshots = Snapshots(live, clock=clock, share=0.05)
    live.shell.subscribers.send("start", {"uid": "a"})
    first = snapshots.tree()
    clock.now += 9.9
    assert snapshots.tree() is first
    clock.now += 0.2
    second = snapshots.tree()
    assert second is not first
    # at rest nobody has to wait, and what a run has left is shown at once
    live.shell.subscribers.send("stop", {"run_start": "a"})
    third = snapshots.tree()
    assert third is not second
    clock.now += 0.2
    assert snapshots.tree() is not third


def test_settings_are_seen_at_once(live: LiveAnalysis, clock: Clock) -> None:
    snapshots = Snapshots(live, clock=clock)
    seen(live)
    snapshots.tree()
    snapshots.configure({"accumulate": False})
    seen(live, runs=["run-2"], n_steps=1)
    assert n_frames(snapshots) == 1
    with pytest.raises(ValueError, match="extra"):
        snapshots.configure({"nonsense": 1})


def test_a_picture_does_not_change(live: LiveAnalysis, clock: Clock) -> None:
    snapshots = Snapshots(live, clock=clock)
    seen(live)
    tree = snapshots.tree()
    before = {path: tree[path].values.copy() for path in ("/image", "/step_means/ROI 2/y")}
    seen(live, runs=["run-2"], seed=1)
    for path, values in before.items():
        np.testing.assert_array_equal(tree[path].values, values)
        with pytest.raises(ValueError, match="read-only"):
            tree[path].values[0] = 0


def test_what_cannot_be_shown_is_told(
    live: LiveAnalysis, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = Snapshots(live, clock=clock)
    seen(live)
    before = snapshots.tree()
    working = live.rois.groups
    live.rois.groups = lambda run=None: 1 / 0
    for _ in range(3):
        clock.now += 1
        with caplog.at_level(logging.ERROR):
            assert snapshots.tree() is before
    assert snapshots.problem == "division by zero"
    assert len(caplog.records) == 1
    live.rois.groups = working
    clock.now += 1
    assert snapshots.tree() is not before
    assert snapshots.problem == ""


def scan(n_events: int, n_frames: int, shape: tuple[int, int]) -> Iterator[tuple[str, dict]]:
    """Documents with their frames in the events: pixels are whole numbers, so sums are exact."""
    rng = np.random.default_rng(0)
    run = compose_run(metadata={"motors": ["stage_x"]})
    yield "start", run.start_doc
    keys = {
        "camera_image": {
            "source": "test", "dtype": "array", "shape": [n_frames, *shape],
            "dtype_numpy": "<u2", "dims": ["frame", "y", "x"],
        },
        "stage_x": {"source": "test", "dtype": "number", "shape": []},
    }  # fmt: skip
    stream = run.compose_descriptor(
        name="primary", data_keys=keys,
        object_keys={"camera": ["camera_image"], "stage_x": ["stage_x"]},
    )  # fmt: skip
    yield "descriptor", stream.descriptor_doc
    for step in range(n_events):
        frames = rng.integers(0, 9, (n_frames, *shape), np.uint16)
        data = {"camera_image": frames, "stage_x": float(step)}
        event = {**stream.compose_event(data={**data, "camera_image": frames[:, 0, 0]},
                 timestamps=dict.fromkeys(data, 0.0), validate=False)}  # fmt: skip
        yield "event", event | {"data": data}
    yield "stop", run.compose_stop()


def test_pictures_are_consistent_while_shots_come() -> None:
    """In every picture, image and means are of the same frames."""
    shape = (300, 400)
    live = LiveAnalysis({"all": Roi(x0=0, y0=0, x1=shape[1], y1=shape[0])})
    snapshots = Snapshots(live, share=1e9, max_age_s=0)
    thread = threading.Thread(target=lambda: [live(*pair) for pair in scan(40, 5, shape)])
    sizes = set()
    thread.start()
    is_over = False
    while not is_over:
        is_over = not thread.is_alive()  # asked first, so that the last picture is of the end
        tree = snapshots.tree()
        if "image" in tree.root.members:
            n = int(tree["/accumulated_number"].values)
            means = tree["/roi_means/all"].values
            assert len(means) == n
            total = means.sum() * shape[0] * shape[1]
            assert tree["/image"].values.sum() == pytest.approx(total, rel=1e-12)
            assert tree["/image"].attributes["total"] == tree["/image"].values.sum()
            sizes.add(n)
    assert not live.failures
    assert snapshots.problem == ""
    # who looks on changes nothing
    alone = LiveAnalysis(live.rois.settings.rois)
    for pair in scan(40, 5, shape):
        alone(*pair)
    expected, found = alone.result(), live.result()
    assert difference(plain_parts(expected.steps), plain_parts(found.steps)) is None
    np.testing.assert_array_equal(
        expected.accumulated["camera"].image, found.accumulated["camera"].image
    )
    assert snapshots.n_open_runs == 0
    assert max(sizes) == 200
    assert len(sizes) > 3


@pytest.mark.parametrize("is_accumulating", [True, False])
def test_a_picture_is_what_the_analysis_shows(is_accumulating: bool, clock: Clock) -> None:
    live = LiveAnalysis(ROIS, accumulate=is_accumulating)
    seen(live, ("pilatus", "andor3_zyla12"))
    live.accumulation("pilatus").reset()
    seen(live, ("pilatus",), runs=["run-2"], n_steps=1)
    expected = published(live.groups(), ROIS)
    found = Snapshots(live, clock=clock).tree()
    nodes = dict(walk(expected.root))
    assert nodes.keys() == dict(walk(found.root)).keys()
    for path, node in nodes.items():
        assert plain_parts(found[path].attributes) == plain_parts(node.attributes), path
        if isinstance(node, Dataset):
            np.testing.assert_array_equal(found[path].values, node.values)
    assert found["/detectors/pilatus/image"].attributes["why_reset"] == "reset by the user"
