"""What is sent to a worker: references to frames, and no more of them than a piece needs."""

from __future__ import annotations

import gc
import gzip
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
import tifffile

from femto_bluesky.reprocess.folding import Folder
from femto_bluesky.reprocess.group_by import GroupBy
from femto_bluesky.reprocess.pieces import PlanFile, Span
from femto_bluesky.reprocess.planning import Planner
from femto_bluesky.sources import recordings
from femto_bluesky.sources.moved import ServedUrl
from femto_bluesky.stream.frames import DeletedFrames, Hdf5Frames, InlineFrames, open_resource
from femto_bluesky.stream.served import ServedFrames
from femto_bluesky.stream.shots import ShotMaker
from tests.reprocess.made_runs import a_run, frames_of, pipeline
from tests.sources.documents import of
from tests.sources.recorder import FRAMES, two_files


def sent(value):
    return pickle.loads(pickle.dumps(value))


def test_files_are_sent_by_name_also_while_they_are_open(tmp_path, monkeypatch):
    list(a_run(tmp_path))
    monkeypatch.chdir(tmp_path)
    source = Hdf5Frames(Path("0000_pilatus.h5"), "data", is_mapped=True)
    source.read(3)
    content = pickle.dumps(source)
    assert len(content) < 300
    monkeypatch.chdir("/")
    found = pickle.loads(content)
    assert (found.file, found.is_mapped) == ((tmp_path / "0000_pilatus.h5", "data"), True)
    for index in (2, 14):
        np.testing.assert_array_equal(found.read(index), frames_of(0, 15)[index])
    found.close()
    source.close()


def test_numbered_files_servers_and_deleted_frames_are_sent(tmp_path):
    for number, frame in enumerate(FRAMES):
        tifffile.imwrite(tmp_path / f"img_{number:03d}.tiff", frame)
    for template in ("%s%s_%3.3d.tiff", "img_{:03d}.tiff"):
        source = open_resource(
            {"spec": "AD_TIFF", "root": str(tmp_path), "resource_path": "",
             "resource_kwargs": {"template": template, "filename": "img"}}
        )  # fmt: skip
        found = sent(source)
        assert len(found) == len(FRAMES)
        np.testing.assert_array_equal(found.read(1), FRAMES[1])
    served = ServedFrames(ServedUrl("http://localhost/api/v1/metadata/a"))
    served._node = lambda: "a connection, which cannot be sent"
    assert sent(served).uri == served.uri
    assert len(sent(DeletedFrames())) == len(DeletedFrames())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("held_bytes", [0, 10**6])
def test_recordings_are_sent_by_their_places(tmp_path, packed, held_bytes):
    paths = two_files(tmp_path)
    if packed:
        for number, path in enumerate(paths):
            paths[number] = path.with_name(path.name + ".gz")
            paths[number].write_bytes(gzip.compress(path.read_bytes()))
    documents = recordings.read(paths, held_bytes=held_bytes)
    burst = of("event", list(documents))[1]["data"]["cam_image"]
    found = sent(InlineFrames(burst, None, "here").part(1, 2))
    np.testing.assert_array_equal(found.read(0), FRAMES[3])
    assert len(found) == 1
    # of a plain file its place is enough; what has to be unpacked is sent, if it is there
    is_there = FRAMES[3].tobytes() in pickle.dumps(burst)
    assert is_there == (packed and held_bytes > 0)


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("group_by", [None, "delay", "laser"])
def test_pieces_put_together_are_the_run(tmp_path, inline, group_by):
    planner = Planner(GroupBy.parse(group_by), "primary", PlanFile())
    planner.add(list(a_run(tmp_path, inline=inline, burst=6, detectors=("a", "b"))), None)
    plan = planner.plan()
    stacks = {"a": frames_of(0, 18), "b": frames_of(1, 18)}
    for size in (1, 4, 5, 100):
        seen = {}
        for number, group in enumerate(plan.groups):
            (share,) = group.shares.values()
            in_group = []
            for first in range(0, share.n_shots, size):
                span = Span(number, share.run, first, min(first + size, share.n_shots))
                piece = sent(plan.file.piece(share, span))
                # with frames in documents, also those between the ones that are meant
                n_frames = 2 * min(2 * size, share.n_shots) + 12 if inline else 0
                assert len(pickle.dumps(piece)) < 4000 + 1600 * n_frames
                for event, step, parts in piece.events():
                    for shot in ShotMaker({}).shots(event, step, parts):
                        assert (shot.detector, shot.number) not in seen
                        seen[shot.detector, shot.number] = shot.labels["laser"]
                        pixels = stacks[shot.detector][shot.number]
                        np.testing.assert_array_equal(shot.frame.dense(), pixels)
                        assert shot.position == {"delay": 0.5 * (shot.number // 6)}
                        in_group.append(shot.number)
                piece.close()
            assert sorted({*in_group}) == list(share.shot_numbers())
        assert seen == {(d, n): float((n // 6 + n) % 2) for d in "ab" for n in range(18)}


def test_a_state_is_freed_when_nobody_has_it(tmp_path):
    planner = Planner(GroupBy(), "primary", PlanFile())
    planner.add(list(a_run(tmp_path)), None)
    plan = planner.plan()
    share = plan.groups[0].shares["0000-run"]
    folder = Folder(pipeline())
    states = [
        folder.fold(plan.file.piece(share, Span(0, "0000-run", first, first + 5)))
        for first in (0, 5)
    ]
    states.append(folder.merge(states))
    held = [weakref.ref(state.analysis.accumulation()) for state in states]
    gc.disable()
    try:
        states.clear()
        assert [state() for state in held] == [None, None, None]
    finally:
        gc.enable()
