"""A law: a frame is given to no other event than its own, or `JoinError` is raised.

Documents are made here, without a RunEngine, from whatever a detector may do: bursts of any
length, lost ones, events taken again. They come in any order and form that a source may have.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from femto_bluesky.stream.events import JoinedEvent, JoinError
from femto_bluesky.stream.joiner import Joiner
from femto_bluesky.testing.documents import as_pages, difference, interleave
from femto_bluesky.testing.replayed import NotStorableError, merged_order

SHAPE = (4, 6)
DATASET = "/entry/data/data"


def burst_frames(first, n):
    return np.arange(first, first + n, dtype=np.uint16)[:, None, None] + np.zeros(SHAPE, np.uint16)


@dataclass(frozen=True)
class Taken:
    """One trigger: its seq_num, its length, and whether an event came of it."""

    seq_num: int
    n_frames: int
    is_read: bool


@st.composite
def takings(draw, declared):
    """What a detector takes in a run: events one after the other, some again, some lost."""
    same = draw(st.booleans())
    lengths = st.just(declared) if same else st.integers(1, declared + 1)
    taken, seq_num = [], 0
    for action in draw(st.lists(st.sampled_from("ttttrrl"), min_size=1, max_size=9)):
        if action == "r" and seq_num:
            seq_num -= draw(st.integers(1, min(seq_num, 3)))
        is_read = action != "l"
        taken.append(Taken(seq_num + 1, draw(lengths), is_read))
        seq_num += is_read
    return taken


class Run:
    """The documents of one run, whose file grows as they are handed out."""

    def __init__(self, path, uid, taken, declared, style, has_first, has_n, has_motor):
        self.path, self.uid, self.taken, self.style = path, uid, taken, style
        self.declared, self.has_motor = declared, has_motor
        self.scalars = [
            key for key, has in (("det_first_frame", has_first), ("det_n_frames", has_n)) if has
        ]
        self.own = {}  # the frames of each event, by its uid
        self.last = {}  # the frames of the last event of each seq_num

    @property
    def is_flown(self):
        """Whether an event would hold nothing, so that a stream_datum is as good as one."""
        return self.style == "stream" and not self.scalars and not self.has_motor

    def file(self):
        if self.style == "inline":
            return
        with h5py.File(self.path, "x") as file:
            n = sum(burst.n_frames for burst in self.taken)
            file[DATASET] = burst_frames(0, n)

    def __iter__(self):
        """The documents in the order of a live run. `grown` is how far the file is by then."""
        d = f"{self.uid}-descriptor"
        image = {"dtype": "array", "dtype_numpy": "<u2", "shape": [self.declared, *SHAPE],
                 "source": "here"}  # fmt: skip
        if self.style != "inline":
            image["external"] = "STREAM:" if self.style == "stream" else "FILESTORE:"
        number = {"dtype": "number", "shape": [], "source": "here"}
        keys = {"det_image": image} | {key: number | {"dtype": "integer"} for key in self.scalars}
        owners = {"det": list(keys)}
        if self.has_motor:
            keys["m"], owners["m"] = number, ["m"]
        self.grown = first = 0
        yield "start", {"uid": self.uid, "time": 0.0, "scan_id": 1}
        yield "descriptor", {"uid": d, "run_start": self.uid, "name": "primary", "time": 0.5,
                             "data_keys": keys, "object_keys": owners, "configuration": {},
                             "hints": {}}  # fmt: skip
        resource = f"{self.uid}-resource"
        if self.style == "stream":
            yield "stream_resource", {
                "uid": resource, "run_start": self.uid, "data_key": "det_image",
                "mimetype": "application/x-hdf5", "uri": self.path.as_uri(),
                "parameters": {"dataset": DATASET, "chunk_shape": [1, *SHAPE]},
            }  # fmt: skip
        if self.style == "datum":
            yield "resource", {
                "uid": resource, "run_start": self.uid, "spec": "AD_HDF5", "root": "/",
                "resource_path": str(self.path)[1:],
                "resource_kwargs": {"frame_per_point": self.declared},
            }  # fmt: skip
        for index, burst in enumerate(self.taken):
            self.grown = first + burst.n_frames
            if self.style == "stream":
                yield "stream_datum", {
                    "uid": f"{resource}/{index}", "stream_resource": resource, "descriptor": d,
                    "indices": {"start": index, "stop": index + 1},
                    "seq_nums": {"start": burst.seq_num, "stop": burst.seq_num + 1},
                }  # fmt: skip
                if self.is_flown:
                    frames = list(range(first, self.grown))
                    self.own[f"{resource}/{index}"] = self.last[burst.seq_num] = frames
            if self.style == "datum":
                yield "datum", {"resource": resource, "datum_id": f"{resource}/{index}",
                                "datum_kwargs": {"point_number": index}}  # fmt: skip
            if burst.is_read:
                yield "event", self._event(d, resource, index, burst, first)
            first = self.grown
        seen = len({burst.seq_num for burst in self.taken if burst.is_read})
        yield "stop", {"uid": f"{self.uid}-stop", "run_start": self.uid, "time": 1e3,
                       "exit_status": "success", "num_events": {"primary": seen}}  # fmt: skip

    def _event(self, descriptor, resource, index, burst, first):
        uid = f"{self.uid}-event-{index}"
        frames = list(range(first, first + burst.n_frames))
        self.own[uid] = self.last[burst.seq_num] = frames
        data = {"m": 1.0 * burst.seq_num} if self.has_motor else {}
        for key, value in (("det_first_frame", first), ("det_n_frames", burst.n_frames)):
            if key in self.scalars:
                data[key] = value
        if self.style == "inline":
            data["det_image"] = burst_frames(first, burst.n_frames)
        if self.style == "datum":
            data["det_image"] = f"{resource}/{index}"
        return {"uid": uid, "descriptor": descriptor, "seq_num": burst.seq_num,
                "time": 1.0 + index, "data": data, "timestamps": dict.fromkeys(data, 1.0 + index),
                "filled": {}}  # fmt: skip

    def is_knowable(self, form):
        """Whether documents and files hold what tells a right from a wrong answer."""
        lengths = [burst.n_frames for burst in self.taken]
        odd = any(n != self.declared for n in lengths)
        if self.style == "inline":
            again = len(self.own) != len(self.last)
            return form != "merged" or "det_first_frame" in self.scalars or not again
        if len(self.scalars) == 2 or not odd:
            return True
        if self.is_flown and self.declared == 1:
            return False  # that the file of a flying scan is ahead says nothing
        # other lengths, of which the documents say nothing: the total tells, or nothing does
        if form != "live":
            return False
        # live, a short burst is seen at once: the file has not grown as far as it should
        first = next(burst for burst in self.taken if burst.n_frames != self.declared)
        return first.is_read and first.n_frames < self.declared


FORMS = ["live", "list", "json", "pages", "merged"]


def in_form(run, form, size):
    docs = list(run)
    if form == "json":
        return json.loads(json.dumps(docs, default=lambda array: array.tolist()))
    if form == "pages":
        return list(as_pages(docs, size))
    return list(merged_order(docs)) if form == "merged" else docs


def given_out(joiner, docs):
    """Each event's frames as they are handed out: (run, uid, seq_num, first pixels)."""
    for name, doc in docs:
        for joined in joiner.receive(name, doc):
            if isinstance(joined, JoinedEvent):
                frames = [int(pixels[0, 0]) for pixels in joined.bursts["det"].frames()]
                yield joined.start["uid"], joined.doc["uid"], joined.seq_num, frames


runs = st.integers(1, 3).flatmap(
    lambda declared: st.tuples(
        takings(declared), st.just(declared), st.sampled_from(["inline", "datum", "stream"]),
        st.booleans(), st.booleans(), st.booleans(),
    )
)  # fmt: skip
few = settings(max_examples=400, suppress_health_check=list(HealthCheck))


@few
@given(parts=runs, form=st.sampled_from(FORMS), size=st.integers(1, 4))
def test_a_frame_is_given_to_its_own_event_or_to_none(tmp_path_factory, parts, form, size):
    folder = tmp_path_factory.mktemp("law")
    run = Run(folder / "frames.h5", "run", *parts)
    if form == "live":
        check_live(run)
        return
    run.file()
    try:
        docs = in_form(run, form, size)
    except NotStorableError:
        return
    if not run.is_knowable(form):
        event("unknowable")
        return
    before = copy.deepcopy(docs)
    final, failure = {}, None
    try:
        for _, uid, seq_num, frames in given_out(Joiner(), docs):
            final[seq_num] = frames
            if uid in run.own:
                assert frames == run.own[uid]
            elif form == "merged":
                assert frames == run.last[seq_num]
    except JoinError as error:
        failure = error
    assert difference(before, docs) is None
    if failure is None:
        assert final == run.last
        event(f"{form}: joined")
    else:
        event(f"{form}: refused")
        check_words(failure)
        assert form == "merged" or not {"det_first_frame", "det_n_frames"} <= set(run.scalars)
        if form != "merged" and all(b.n_frames == run.declared for b in run.taken):
            # as they came, and each as declared: only bursts without an event are in doubt
            assert not all(burst.is_read for burst in run.taken)


def check_live(run):
    """Document by document, while the file grows."""
    if run.style != "inline":
        with h5py.File(run.path, "x", libver="latest") as file:
            data = file.create_dataset(
                DATASET, (0, *SHAPE), "u2", maxshape=(None, *SHAPE), chunks=(1, *SHAPE)
            )
            file.swmr_mode = True
            play(run, data)
    else:
        play(run, None)


def play(run, data):
    joiner, final = Joiner(), {}
    try:
        for named in run:
            if data is not None and len(data) < run.grown:
                n = len(data)
                data.resize(run.grown, axis=0)
                data[n:] = burst_frames(n, run.grown - n)
                data.flush()
            for _, uid, seq_num, frames in given_out(joiner, [named]):
                final[seq_num] = frames
                if uid in run.own and run.is_knowable("live"):
                    assert frames == run.own[uid]
    except JoinError as error:
        check_words(error)
        assert not {"det_first_frame", "det_n_frames"} <= set(run.scalars)
        assert any(burst.n_frames != run.declared for burst in run.taken)
        joiner.forget("run")
        event("live: refused")
        return
    if run.is_knowable("live"):
        assert final == run.last
        event("live: joined")


def check_words(error):
    words = str(error)
    assert "run run (scan 1), stream 'primary', key 'det_image': " in words
    assert "expected" in words
    assert "; " in words


@few
@given(parts=st.lists(runs, min_size=2, max_size=3), form=st.sampled_from(["list", "pages"]))
def test_runs_that_are_interleaved_do_not_touch_each_other(tmp_path_factory, parts, form):
    folder = tmp_path_factory.mktemp("law")
    many = [Run(folder / f"{i}.h5", f"run{i}", *part) for i, part in enumerate(parts)]
    alone, together = {}, {}
    docs = []
    for run in many:
        run.file()
        docs.append(in_form(run, form, 2))
        alone[run.uid] = joined_until_refused(Joiner(), docs[-1]).get(run.uid, [])
    joined = joined_until_refused(Joiner(), list(interleave(*docs)))
    together = {run.uid: joined.get(run.uid, []) for run in many}
    assert together == alone


def joined_until_refused(joiner, docs):
    """What each run gave; after a refusal its run is forgotten, as the shell does it."""
    found = {}
    for name, doc in docs:
        uid = joiner.run_of(name, doc)
        try:
            for run, *rest in given_out(joiner, [(name, doc)]):
                found.setdefault(run, []).append(rest)
        except JoinError as error:
            found.setdefault(uid, []).append(str(error))
            joiner.forget(uid)
    return found


@pytest.mark.parametrize("style", ["inline", "datum", "stream"])
def test_the_law_sees_what_it_is_meant_to_see(tmp_path, style):
    """A joiner that gives each event the frames before its own must break the law."""
    taken = [Taken(1, 2, True), Taken(2, 2, True)]
    run = Run(tmp_path / "frames.h5", "run", taken, 2, style, True, True, True)
    run.file()
    docs = in_form(run, "json", 1)
    for name, doc in docs:
        if name == "event" and doc["seq_num"] == 2:
            doc["data"]["det_first_frame"] = 1
            if style == "inline":
                doc["data"]["det_image"] = burst_frames(1, 2)
    if style == "inline":
        assert next(f for _, _, n, f in given_out(Joiner(), docs) if n == 2) != run.last[2]
    else:
        with pytest.raises(JoinError, match=r"claims the frames 1 to 2, but event 1 has 0 to 1"):
            list(given_out(Joiner(), docs))
