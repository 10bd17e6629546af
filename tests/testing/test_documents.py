from __future__ import annotations

import copy

import numpy as np
import pytest
from bluesky import plans as bp
from event_model import (
    DocumentNames,
    schema_validators,
    unpack_datum_page,
    unpack_event_page,
)
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.testing.documents import (
    Recorder,
    as_pages,
    cut,
    difference,
    interleave,
    split_runs,
)
from femto_bluesky.testing.runs import burst_scan, run_plan


def source(index, position):
    return np.full((4, 5), index, np.float32)


def scan(folder, style, n_events=5):
    detector = SimulatedDetector(
        name="pilatus", source=source, style=style, directory=folder, num_images=2
    )
    motor = SimulatedMotor(name="stage_x")
    return run_plan(burst_scan([detector], motor, np.arange(n_events).tolist()))


def names(docs):
    return [name for name, _ in docs]


def test_a_recorder_notices_a_change(tmp_path):
    recorder = Recorder()
    for name, doc in scan(tmp_path, "inline", 1):
        recorder(name, doc)
    recorder.assert_unchanged()
    assert recorder.names == ["start", "descriptor", "event", "stop"]
    (event,) = recorder.of("event")
    event["data"]["pilatus_image"][1, 2, 3] += 1
    with pytest.raises(AssertionError, match=r"document 2 \('event'\).*'pilatus_image'.*a copy"):
        recorder.assert_unchanged()
    event["data"]["pilatus_image"][1, 2, 3] -= 1
    recorder.assert_unchanged()
    recorder.of("start")[0]["mine"] = 1
    with pytest.raises(AssertionError, match=r"document 0 \('start'\) .* has .*'mine'"):
        recorder.assert_unchanged()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(JSON)
def test_a_copy_does_not_differ(value):
    assert difference(value, copy.deepcopy(value)) is None


@pytest.mark.parametrize(
    ("was", "is_now", "words"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}, r"\['a'\]\[1\] was 2, is 3"),
        ({"a": 1}, {"a": 1.0}, "was a int, is a float"),
        ({"a": [1]}, {"a": [1, 2]}, "had 1 items, has 2"),
        (np.zeros(2), np.zeros(3), "other values, shape or dtype"),
        (np.zeros(2, "f4"), np.zeros(2, "f8"), "other values, shape or dtype"),
        (np.array([1.0, np.nan]), np.array([2.0, np.nan]), "other values"),
    ],
)
def test_a_difference_says_where(was, is_now, words):
    assert difference(was, was) is None
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(difference(was, is_now))


@pytest.mark.parametrize("style", ["inline", "datum", "stream"])
def test_runs_that_were_mixed_are_split_again(tmp_path, style):
    runs = [scan(tmp_path, style, n) for n in (3, 1, 2)]
    mixed = list(interleave(*runs))
    assert names(mixed)[:3] == ["start", "start", "start"]
    assert len(mixed) == sum(map(len, runs))
    assert split_runs(mixed) == runs


def test_a_document_of_no_run_is_refused(tmp_path):
    docs = scan(tmp_path, "datum", 1)
    with pytest.raises(ValueError, match=r"a 'descriptor' document refers to run_start .* start"):
        split_runs(docs[1:])


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("style", ["inline", "datum", "stream"])
def test_pages_hold_the_same_documents(tmp_path, style, size):
    docs = scan(tmp_path, style)
    pages = list(as_pages(docs, size))
    for name, doc in pages:
        schema_validators[DocumentNames[name]].validate(doc)
    assert not {"event", "datum"} & set(names(pages))
    assert names(pages)[0] == "start"
    assert names(pages)[-1] == "stop"
    assert names(pages).count("event_page") == -(-5 // size)
    unpacked = {"event": [], "datum": [], "other": []}
    for name, doc in pages:
        if name == "event_page":
            unpacked["event"] += [("event", dict(e)) for e in unpack_event_page(doc)]
        elif name == "datum_page":
            unpacked["datum"] += [("datum", dict(d)) for d in unpack_datum_page(doc)]
        else:
            unpacked["other"].append((name, doc))
    for kind in ("event", "datum"):
        same = [d for d in docs if d[0] == kind]
        assert difference([doc for _, doc in same], [doc for _, doc in unpacked[kind]]) is None
    assert unpacked["other"] == [d for d in docs if d[0] not in {"event", "datum"}]


def test_a_datum_page_comes_before_the_events_that_refer_to_it(tmp_path):
    known = set()
    for name, doc in as_pages(scan(tmp_path, "datum"), 2):
        if name == "datum_page":
            known |= set(doc["datum_id"])
        if name == "event_page":
            assert set(doc["data"]["pilatus_image"]) <= known


def test_making_pages_changes_nothing(tmp_path):
    recorder = Recorder()
    for name, doc in scan(tmp_path, "inline"):
        recorder(name, doc)
    list(as_pages(recorder.documents))
    recorder.assert_unchanged()


def test_a_cut_run_never_stops(tmp_path):
    docs = scan(tmp_path, "datum", 3)
    assert names(cut(docs)) == names(docs)[:-1]
    assert names(cut(docs, 1)) == ["start", "descriptor", "resource", "datum", "event"]
    with pytest.raises(ValueError, match="after 1 event or more, not after 0"):
        list(cut(docs, 0))


def test_a_run_of_frames_alone():
    detector = SimulatedDetector(name="cam", source=source, style="inline")
    assert names(run_plan(bp.count([detector], 1))) == ["start", "descriptor", "event", "stop"]
