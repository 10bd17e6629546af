"""What the joiner says where it refuses, and the sources that are rare."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest

from femto_bluesky.stream import joiner as module
from femto_bluesky.stream.events import JoinedEvent, JoinError, RunStopped, image_keys
from femto_bluesky.stream.joiner import Joiner
from tests.stream.scans import run_scan, without_report

WHERE = r"run .* \(scan 1\), stream 'primary', key 'pilatus_image': "


@pytest.fixture(scope="module", params=["datum", "stream"])
def scan(request, tmp_path_factory):
    return run_scan("normal", request.param, tmp_path_factory.mktemp("frames"))


def read(docs, joiner=None):
    """{seq_num: index of the first frame of each event, as it is written in the frame}."""
    joiner, found = joiner or Joiner(), {}
    for name, doc in docs:
        for joined in joiner.receive(name, doc):
            if isinstance(joined, JoinedEvent):
                joined.bursts["pilatus"].check()
                frames = [int(pixels[0, 1]) // 100 for pixels in joined.bursts["pilatus"].frames()]
                found[joined.seq_num] = frames
    return found


TRUTH = {1: [0, 1, 2], 2: [3, 4, 5], 3: [6, 7, 8]}


def changed(scan, name, change, *, reported=True):
    docs = []
    for kind, doc in scan.documents:
        if not reported:
            doc = without_report(kind, doc)
        if kind == name:
            doc = copy.deepcopy(doc)
            change(doc)
        docs.append((kind, doc))
    return docs


def test_what_has_not_come_is_named(scan):
    def left_out(*names):
        return [(name, doc) for name, doc in scan.documents if name not in names]

    is_datum = any(name == "datum" for name, _ in scan.documents)
    with pytest.raises(JoinError, match=r"has not come.*replay the run with all its documents"):
        read(left_out("resource", "stream_resource"))
    words = r"which \(or whose resource\) has not come" if is_datum else r"event 1 has no frames"
    with pytest.raises(JoinError, match=WHERE + ".*" + words):
        read(left_out("datum", "stream_datum"))


def test_a_datum_without_a_number_is_named(scan):
    if all(name != "datum" for name, _ in scan.documents):
        assert read(scan.documents) == TRUTH
        return
    docs = changed(scan, "datum", lambda doc: doc.update(datum_kwargs={"frame": 1}))
    with pytest.raises(JoinError, match=WHERE + r".*only \['frame'\], expected point_number; corr"):
        read(docs)
    docs = changed(
        scan,
        "datum",
        lambda d: d.update(datum_kwargs={"image_num": d["datum_kwargs"].popitem()[1]}),
    )
    assert read(docs) == TRUTH


def test_one_of_the_two_scalars_alone_is_counted(scan):
    for scalar in ("pilatus_first_frame", "pilatus_n_frames"):
        docs = changed(scan, "event", lambda doc, key=scalar: doc["data"].pop(key))
        assert read(docs) == TRUTH

    def longer(doc):
        doc["data"].pop("pilatus_first_frame")
        doc["data"]["pilatus_n_frames"] = {1: 4, 2: 2, 3: 3}[doc["seq_num"]]

    with pytest.raises(JoinError, match=WHERE + "event 1 has 4 frames, expected 3 as declared"):
        read(changed(scan, "event", longer))


def test_a_file_that_is_gone_or_has_lost_frames_is_named(tmp_path):
    scan = run_scan("normal", "stream", tmp_path)
    path = scan.detectors["pilatus"].bursts[0].path
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(JoinError, match=WHERE + ".*no such file.*Mount the disk"):
        read(scan.documents)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file["entry/data/data"].resize(8, axis=0)
    joiner = Joiner()
    words = "event 3 needs the frames 6 to 8, found 8 in the file, expected 9 or more.*copy the"
    with pytest.raises(JoinError, match=WHERE + words):
        read(scan.documents, joiner)
    joiner.forget(scan.documents[0][1]["uid"])
    reduced = [(name, without_report(name, doc)) for name, doc in scan.documents]
    words = r"found 8 frames in the file, expected 9 \(3 events of 3 frames\)"
    with pytest.raises(JoinError, match=WHERE + words):
        read(reduced)


def test_another_shape_than_declared_is_named(scan):
    docs = changed(
        scan, "descriptor", lambda d: d["data_keys"]["pilatus_image"]["shape"].__setitem__(2, 7)
    )
    with pytest.raises(
        JoinError, match=r"frame 0 has shape \(4, 6\), its descriptor says \(4, 7\)"
    ):
        read(docs)
    docs = changed(
        scan, "descriptor", lambda d: d["data_keys"]["pilatus_image"]["shape"].__setitem__(2, None)
    )
    assert read(docs) == TRUTH, "what is not declared is not checked"


def test_an_event_that_says_another_length_than_its_image_is_named(tmp_path):
    scan = run_scan("normal", "inline", tmp_path)
    docs = changed(scan, "event", lambda doc: doc["data"].update(pilatus_n_frames=2))
    with pytest.raises(JoinError, match=WHERE + "event 1 holds 3 frames, expected 2 as it says"):
        read(docs)


def test_an_empty_stop_ends_the_only_open_run(scan):
    docs = [(name, without_report(name, doc)) for name, doc in scan.documents[:-1]]
    joiner = Joiner()
    assert read(docs, joiner) == {}, "held, for the file is ahead"
    other = ("start", {"uid": "other", "time": 0.0})
    assert read([other, ("stop", {})], joiner) == {}, "of two runs it says nothing"
    joiner.forget("other")
    ended = list(joiner.receive("stop", {}))
    assert [joined.seq_num for joined in ended[:-1]] == [1, 2, 3]
    assert isinstance(ended[-1], RunStopped)
    assert list(joiner.receive("stop", {})) == []


def test_nothing_is_left_of_a_run_that_has_ended(scan):
    joiner = Joiner()
    read(scan.documents, joiner)
    assert not joiner._runs
    assert not joiner._run_of_descriptor
    assert not joiner._referred.datums


def test_only_so_many_events_are_kept(scan, monkeypatch):
    monkeypatch.setattr(module, "HISTORY", 2)
    joiner = Joiner()
    read(scan.documents[:-1], joiner)
    (run,) = joiner._runs.values()
    assert list(run.delivered) == [2, 3]


# --- flying scans: no event comes, or one that holds nothing ------------------------------------


def flown(path, n_bursts, n_frames, pieces, *, n_in_file=None):
    """Documents of a detector that flies: stream_datums of several bursts, and no event."""
    with h5py.File(path, "x") as file:
        n = n_bursts * n_frames if n_in_file is None else n_in_file
        file["data"] = np.arange(n, dtype="u2")[:, None, None] * 100 + np.arange(24).reshape(4, 6)
    yield "start", {"uid": "r", "time": 0.0, "scan_id": 1}
    key = {"dtype": "array", "shape": [n_frames, 4, 6], "external": "STREAM:", "source": "s"}
    yield "descriptor", {"uid": "d", "run_start": "r", "name": "primary", "time": 1.0,
                         "data_keys": {"pilatus_image": key},
                         "object_keys": {"pilatus": ["pilatus_image"]}}  # fmt: skip
    yield "stream_resource", {"uid": "s", "data_key": "pilatus_image", "uri": path.as_uri(),
                              "mimetype": "application/x-hdf5",
                              "parameters": {"dataset": "data"}}  # fmt: skip
    first = 0
    for size in pieces:
        last = first + size
        yield "stream_datum", {"uid": f"s/{first}", "stream_resource": "s", "descriptor": "d",
                               "indices": {"start": first, "stop": last},
                               "seq_nums": {"start": first + 1, "stop": last + 1}}  # fmt: skip
        first = last
    yield "stop", {"uid": "e", "run_start": "r", "time": 2.0, "exit_status": "success"}


@pytest.mark.parametrize("n_frames", [1, 3])
def test_a_flying_scan_has_no_events(tmp_path, n_frames):
    found = read(flown(tmp_path / "a.h5", 6, n_frames, [1, 3, 2]))
    assert found == {
        i + 1: list(range(i * n_frames, (i + 1) * n_frames)) for i in range(6)
    }  # fmt: skip


def test_a_flying_scan_of_single_frames_is_followed_live(tmp_path):
    docs = list(flown(tmp_path / "a.h5", 6, 1, [1, 3, 2]))
    joiner = Joiner()
    assert [len(read([named], joiner)) for named in docs] == [0, 0, 0, 1, 3, 2, 0]


def test_a_flying_scan_of_short_bursts_is_refused(tmp_path):
    with pytest.raises(JoinError, match=r"found 17 frames in the file, expected 18"):
        read(flown(tmp_path / "a.h5", 6, 3, [6], n_in_file=17))
    with pytest.raises(JoinError, match=r"needs the frames 5 to 5, found 5 in the file"):
        read(flown(tmp_path / "b.h5", 6, 1, [6], n_in_file=5))


# --- what an image is ---------------------------------------------------------------------------


def test_image_keys_are_told_from_spectra_and_labels():
    def array(*shape, **more):
        return {"dtype": "array", "shape": list(shape), "source": "s"} | more

    keys = {
        "a_image": array(5, 4, 6, dtype_numpy="<u2"),
        "b_image": array(4, 6),
        "c_spectra": array(5, 2, 1024, dims=["shot", "element", "channel"]),
        "d_labels": array(5),
        "e": {"dtype": "number", "shape": [], "source": "s"},
        "f_one": array(1, 4, 6),
        "f_two": array(1, 4, 6, external="STREAM:", dtype_numpy=[["x", "<u2"]]),
        "g_unowned": array(1, None, 6),
    }
    owners = {"a": ["a_image"], "b": ["b_image"], "f": ["f_one", "f_two"]}
    found = {image.key: image for image in image_keys({"data_keys": keys, "object_keys": owners})}
    assert list(found) == ["a_image", "b_image", "f_one", "f_two", "g_unowned"]
    assert [image.detector for image in found.values()] == ["a", "b", "f_one", "f_two", "g_unowned"]
    assert (found["a_image"].n_frames, found["b_image"].n_frames) == (5, 1)
    assert (found["a_image"].dtype, found["f_two"].dtype) == ("<u2", None)
    assert (found["a_image"].shape, found["g_unowned"].shape) == ((4, 6), None)
    assert found["f_two"].is_streamed
