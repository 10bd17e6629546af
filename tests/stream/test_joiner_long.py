"""Runs of many events, documents of runs that are not analysed, and numbers that are too large."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from femto_bluesky.stream import joiner as module
from femto_bluesky.stream import referred
from femto_bluesky.stream.events import JoinedEvent, JoinError
from femto_bluesky.stream.joiner import Joiner

IMAGE = {"dtype": "array", "dtype_numpy": "<u2", "shape": [1, 4, 6], "source": "s"}
NUMBER = {"dtype": "number", "shape": [], "source": "s"}


def frames_file(path, n_frames):
    with h5py.File(path, "x") as file:
        file["data"] = np.arange(n_frames, dtype="u2")[:, None, None] + np.zeros((4, 6), "u2")
    return path


def opening(path, *, has_motor=True, has_report=True):
    """The documents before the first event of a run whose detector announces its frames."""
    keys = {"cam_image": IMAGE | {"external": "STREAM:"}}
    if has_report:
        keys |= {"cam_first_frame": NUMBER, "cam_n_frames": NUMBER}
    if has_motor:
        keys["m"] = NUMBER
    yield "start", {"uid": "r", "time": 0.0, "scan_id": 1}
    yield "descriptor", {"uid": "d", "run_start": "r", "name": "primary", "time": 0.0,
                         "data_keys": keys, "object_keys": {"cam": [k for k in keys if k != "m"]},
                         "configuration": {}}  # fmt: skip
    yield "stream_resource", {"uid": "s", "run_start": "r", "data_key": "cam_image",
                              "mimetype": "application/x-hdf5", "uri": path.as_uri(),
                              "parameters": {"dataset": "data"}}  # fmt: skip


def announced(first, last, index):
    return "stream_datum", {"uid": f"s/{index}", "stream_resource": "s", "descriptor": "d",
                            "indices": {"start": index, "stop": index + last - first},
                            "seq_nums": {"start": first, "stop": last}}  # fmt: skip


def event(seq_num, first_frame=None):
    data = {"m": 1.0}
    if first_frame is not None:
        data |= {"cam_first_frame": first_frame, "cam_n_frames": 1}
    return "event", {"uid": f"e{seq_num}", "descriptor": "d", "seq_num": seq_num, "time": 1.0,
                     "data": data, "timestamps": dict.fromkeys(data, 1.0)}  # fmt: skip


STOP = ("stop", {"uid": "x", "run_start": "r", "time": 9.0, "exit_status": "success"})


def read(joiner, docs):
    return [
        (joined.seq_num, [int(frame[0, 0]) for frame in joined.bursts["cam"].frames()])
        for name, doc in docs
        for joined in joiner.receive(name, doc)
        if isinstance(joined, JoinedEvent)
    ]


def test_a_long_run_does_not_keep_what_was_announced(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HISTORY", 5)
    path, joiner, n = frames_file(tmp_path / "f.h5", 100), Joiner(), 100
    found = read(joiner, opening(path))
    for i in range(n):
        found += read(joiner, [announced(i + 1, i + 2, i), event(i + 1, i)])
    (run,) = joiner._runs.values()
    assert len(list(run.ranges["cam_image"])) == 5
    assert sum(map(len, run.given._spans.values())) == 5
    assert not run.order
    found += read(joiner, [STOP])
    assert found == [(i + 1, [i]) for i in range(n)]


def test_what_is_held_keeps_all_that_was_announced(tmp_path, monkeypatch):
    """A file that is ahead of events that do not say where their frames are: a replay."""
    monkeypatch.setattr(module, "HISTORY", 5)
    path, joiner, n = frames_file(tmp_path / "f.h5", 100), Joiner(), 100
    found = read(joiner, opening(path, has_report=False))
    for i in range(n):
        found += read(joiner, [announced(i + 1, i + 2, i), event(i + 1)])
    (run,) = joiner._runs.values()
    assert found == []
    assert len(list(run.ranges["cam_image"])) == n
    found += read(joiner, [STOP])
    assert found == [(i + 1, [i]) for i in range(n)]


def test_the_work_at_an_event_does_not_grow_with_the_run(tmp_path, monkeypatch):
    """Counted, not timed: how many other ranges are looked at, for the last of many events."""
    looked_at = []

    class Counted(module.FrameRange):
        @property
        def first(self):
            looked_at.append(self)
            return self._first

        @first.setter
        def first(self, value):
            self._first = value

    monkeypatch.setattr(module, "FrameRange", Counted)
    path, joiner, n = frames_file(tmp_path / "f.h5", 500), Joiner(), 500
    read(joiner, opening(path))
    for i in range(n):
        looked_at.clear()
        read(joiner, [announced(i + 1, i + 2, i), event(i + 1, i)])
        assert len({id(one) for one in looked_at}) <= 2


HUGE = 10**12


def test_a_range_without_measure_costs_nothing_where_events_come(tmp_path):
    path, joiner = frames_file(tmp_path / "f.h5", 3), Joiner()
    docs = [*opening(path), announced(1, HUGE, 0), *(event(i + 1, i) for i in range(3)), STOP]
    assert read(joiner, docs) == [(1, [0]), (2, [1]), (3, [2])]


def test_lost_events_of_a_range_without_measure_are_named_in_part(tmp_path):
    path, joiner = frames_file(tmp_path / "f.h5", 9), Joiner()
    docs = [*opening(path, has_report=False), announced(1, HUGE, 0), event(1), event(2)]
    assert read(joiner, docs) == []
    words = r"names the events \[3, 4, 5, 6, 7, 8, 9, 10, 11, 12\] and more, found 2 others"
    with pytest.raises(JoinError, match=words):
        read(joiner, [STOP])


def test_a_flying_scan_without_measure_is_refused(tmp_path):
    path, joiner = frames_file(tmp_path / "f.h5", 3), Joiner()
    docs = [*opening(path, has_report=False, has_motor=False), announced(1, HUGE, 0)]
    words = r"found a stream_datum of 999999999999 events .* expected 10000000 or fewer; correct"
    with pytest.raises(JoinError, match=words):
        read(joiner, docs)


def test_late_events_of_a_flying_scan_say_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HISTORY", 5)
    path, joiner, n = frames_file(tmp_path / "f.h5", 20), Joiner(), 20
    found = read(joiner, opening(path, has_report=False, has_motor=False))
    found += read(joiner, [announced(1, n + 1, 0)])
    empty = {"data": {}, "timestamps": {}}
    found += read(joiner, [("event", event(i + 1)[1] | empty) for i in range(n)] + [STOP])
    assert found == [(i + 1, [i]) for i in range(n)]


# --- datums and resources: classic ophyd -------------------------------------------------------


def resource(uid, path, **run_start):
    return "resource", {"uid": uid, "spec": "AD_HDF5", "root": "/", **run_start,
                        "resource_path": str(path)[1:],
                        "resource_kwargs": {"dataset": "data", "frame_per_point": 1}}  # fmt: skip


def datum(uid, index):
    return "datum", {"datum_id": f"{uid}/{index}", "resource": uid,
                     "datum_kwargs": {"point_number": index}}  # fmt: skip


def run_of_datums(run, uid, indices, *before):
    yield "start", {"uid": run, "time": 0.0}
    yield "descriptor", {"uid": f"{run}-d", "run_start": run, "name": "primary", "time": 0.0,
                         "data_keys": {"cam_image": IMAGE | {"external": "FILESTORE:"}},
                         "object_keys": {"cam": ["cam_image"]}, "configuration": {}}  # fmt: skip
    yield from before
    for seq_num, index in enumerate(indices, start=1):
        yield datum(uid, index)
        yield "event", {"uid": f"{run}-{index}", "descriptor": f"{run}-d", "seq_num": seq_num,
                        "time": 1.0, "data": {"cam_image": f"{uid}/{index}"},
                        "timestamps": {"cam_image": 1.0}}  # fmt: skip
    yield "stop", {"uid": f"{run}-x", "run_start": run, "time": 9.0, "exit_status": "abort"}


@pytest.mark.parametrize("is_named", [True, False])
def test_a_detector_staged_around_two_runs_names_its_file_once(tmp_path, is_named):
    path, joiner = frames_file(tmp_path / "f.h5", 4), Joiner()
    once = resource("f", path, **({"run_start": "r1"} if is_named else {}))
    assert read(joiner, list(run_of_datums("r1", "f", [0, 1, 2], once))[:-1]) == []
    assert read(joiner, [("stop", {"run_start": "r1", "exit_status": "abort"})]) == [
        (1, [0]), (2, [1]), (3, [2])]  # fmt: skip
    assert read(joiner, run_of_datums("r2", "f", [3])) == [(1, [3])]
    assert not joiner._referred.datums


def test_datums_of_runs_that_are_not_seen_are_left_out(tmp_path, monkeypatch):
    joiner = Joiner()
    unseen = [datum("unknown", i) for i in range(50)]
    page = {"resource": "unknown", "datum_id": ["unknown/a", "unknown/b"],
            "datum_kwargs": {"point_number": [0, 1]}}  # fmt: skip
    assert read(joiner, [*unseen, ("datum_page", page)]) == []
    assert not joiner._referred.datums
    read(joiner, [resource("known", tmp_path), *(datum("known", i) for i in range(50))])
    assert not joiner._referred.datums, "no run is open"
    read(joiner, list(run_of_datums("r", "known", []))[:1])
    read(joiner, unseen)
    assert not joiner._referred.datums
    monkeypatch.setattr(referred, "MAX_DATUMS", 10)
    read(joiner, [datum("known", i) for i in range(50)])
    assert list(joiner._referred.datums) == [f"known/{i}" for i in range(40, 50)]
    joiner.forget("r")
    assert not joiner._referred.datums


def test_only_the_last_resources_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(referred, "MAX_RESOURCES", 3)
    joiner = Joiner()
    read(joiner, [resource(f"early{i}", tmp_path) for i in range(9)])
    assert list(joiner._referred.resources) == ["early6", "early7", "early8"]
    path = frames_file(tmp_path / "f.h5", 2)
    own = [resource(f"own{i}", path, run_start="r") for i in range(5)]
    docs = list(run_of_datums("r", "own0", [0, 1], *own))
    read(joiner, docs[:-1])
    assert len(joiner._referred.resources) == 8, "those of an open run stay"
    assert read(joiner, docs[-1:]) == [(1, [0]), (2, [1])]
    assert list(joiner._referred.resources) == ["own2", "own3", "own4"]
