from __future__ import annotations

import gc
import logging
import tracemalloc
import weakref

import numpy as np
import pytest
from bluesky import plans as bp

from femto_bluesky.callbacks import Accumulation, LiveAnalysis, RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.rois import Roi
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings, Pipeline
from femto_bluesky.testing.documents import Recorder, interleave
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.stream.scans import Seen, assert_valid, numbered, run_scan


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return run_scan("rewind", "stream", tmp_path_factory.mktemp("frames"))


def feed(analysis, docs):
    recorder = Recorder()
    analysis.subscribe(recorder)
    for name, doc in docs:
        analysis(name, doc)
    return recorder


class Broken(Seen):
    """Raises in one method, from its third call on."""

    def __init__(self, where, error=None):
        super().__init__()
        self.where, self.calls = where, 0
        self.error = error or ValueError("nothing works")

    def _maybe(self, where):
        if where == self.where:
            self.calls += 1
            if self.calls > 2 or where in ("outputs", "run_rows", "settings_record", "retract"):
                raise self.error

    def update(self, shot):
        self._maybe("update")
        return super().update(shot)

    def retract(self, shot):
        self._maybe("retract")
        return super().retract(shot)

    def outputs(self, detectors):
        self._maybe("outputs")
        return super().outputs(detectors)

    def shot_row(self, run, number):
        self._maybe("shot_row")
        return super().shot_row(run, number)

    def step_row(self, run, step):
        self._maybe("step_row")
        return super().step_row(run, step)

    def run_rows(self, run):
        self._maybe("run_rows")
        return super().run_rows(run)

    def settings_record(self):
        self._maybe("settings_record")
        return super().settings_record()


METHODS = ["update", "retract", "outputs", "shot_row", "step_row", "run_rows"]


@pytest.mark.parametrize("where", METHODS)
def test_an_analysis_that_raises_ends_in_the_derived_stop_the_log_and_failures(where, scan, caplog):
    broken = Broken(where)
    with caplog.at_level(logging.ERROR):
        recorder = feed(broken, scan.documents)
    assert [str(failure) for failure in broken.failures] == ["nothing works"]
    (stop,) = recorder.of("stop")
    assert stop["exit_status"] == "fail"
    assert stop["reason"] == "Broken: ValueError: nothing works"
    assert_valid(recorder.documents)
    assert len(caplog.records) == 1, "said once, not with every document"
    assert "nothing works" in caplog.text
    assert scan.documents[0][1]["uid"] in caplog.text


def test_an_analysis_that_cannot_even_begin_stops_nothing(scan, caplog):
    broken = Broken("settings_record")
    with caplog.at_level(logging.ERROR):
        recorder = feed(broken, scan.documents)
    assert recorder.documents == []
    assert len(broken.failures) == 1
    broken.where = ""
    feed(broken, scan.documents)
    assert broken.result() == scan.truth(), "the next run is analysed again"


def test_the_run_engine_never_sees_an_exception(tmp_path, caplog):
    analyses = [Broken(where) for where in [*METHODS, "settings_record"]]
    seen = Seen()
    scan = run_scan("rewind", "stream", tmp_path, **{str(i): a for i, a in enumerate(analyses)},
                    last=seen)  # fmt: skip
    (stop,) = [doc for name, doc in scan.documents if name == "stop"]
    assert stop["exit_status"] == "success"
    assert all(len(analysis.failures) == 1 for analysis in analyses)
    assert seen.result() == scan.truth()


def test_a_failed_run_holds_no_file_and_takes_no_more_shots(scan, caplog):
    broken = Broken("update")
    docs = list(scan.documents)
    for name, doc in docs[:-1]:
        broken(name, doc)
    assert len(broken.failures) == 1
    assert not broken.shell._joiner._runs
    assert broken.calls == 3
    broken(*docs[-1])
    assert broken.calls == 3
    assert not broken.shell._runs


def test_a_run_that_is_held_and_then_refused_gives_nothing_at_its_stop(tmp_path, caplog):
    from tests.stream.scans import without_report

    scan = run_scan("short burst", "stream", tmp_path)
    seen = Seen()
    recorder = feed(seen, [(name, without_report(name, doc)) for name, doc in scan.documents])
    assert len(seen.failures) == 1
    assert seen.shots == {}
    (stop,) = recorder.of("stop")
    assert "found 8 frames in the file, expected 9" in stop["reason"]
    assert stop["num_events"] == {}


@pytest.mark.parametrize(
    "document",
    [
        ("start", {}),
        ("event", {"descriptor": ["unhashable"]}),
        ("stop", {}),
        ("stop", {"run_start": "never seen", "exit_status": "success"}),
        ("event", {"descriptor": "never seen", "seq_num": 1}),
        ("event_page", {}),
        ("stream_datum", {"descriptor": "never seen"}),
        ("datum", {}),
        ("resource", {}),
        ("bulk_events", {"never seen": []}),
        ("no such name", {}),
        ("descriptor", {"run_start": "never seen", "uid": "d"}),
        ("event", None),
        ("resource", {"uid": "r", "run_start": np.zeros(2), "resource_path": "a"}),
        ("resource", {"uid": "r", "run_start": [], "resource_path": "a"}),
    ],
)
def test_no_document_however_broken_raises(document, scan, caplog):
    seen = Seen()
    seen(*document)
    feed(seen, scan.documents)
    assert seen.result() == scan.truth()


def test_a_subscriber_in_the_middle_of_a_run_begins_with_the_next(scan):
    seen = Seen()
    for cut in range(1, len(scan.documents)):
        recorder = feed(seen, scan.documents[cut:])
        assert recorder.documents == []
    assert seen.failures == []
    feed(seen, scan.documents)
    assert seen.result() == scan.truth()


def test_other_streams_are_left_alone(tmp_path):
    motor = SimulatedMotor(name="stage_x")
    detector = SimulatedDetector(
        name="pilatus", source=numbered, directory=tmp_path, num_images=2, motor=motor
    )
    from bluesky import preprocessors as bpp

    seen, other = Seen(), Seen().read_as(stream="baseline")
    plan = bpp.baseline_wrapper(burst_scan([detector], motor, [1.0, 2.0]), [motor])
    docs = run_plan(plan, seen, other)
    assert {doc["name"] for name, doc in docs if name == "descriptor"} == {"primary", "baseline"}
    assert seen.failures == []
    assert len(next(iter(seen.result().values()))) == 2
    assert other.result() == {}


def test_documents_of_another_stream_with_frames_can_be_read(tmp_path):
    detector = SimulatedDetector(name="pilatus", source=numbered, directory=tmp_path, num_images=2)
    docs = run_plan(bp.count([detector], 2))
    renamed = [(n, d | {"name": "monitor"} if n == "descriptor" else d) for n, d in docs]
    seen = Seen()
    feed(seen, renamed)
    assert seen.result() == {}
    feed(seen.read_as(stream="monitor"), renamed)
    assert len(next(iter(seen.result().values()))) == 2


def test_no_document_is_changed(tmp_path):
    for style in ("inline", "stream"):
        raw, derived = Recorder(), Recorder()
        live = LiveAnalysis({"all": Roi(x0=0, y0=0, x1=6, y1=4)}, directory=tmp_path)
        live.subscribe(derived)
        run_scan("two detectors", style, tmp_path / style, raw=raw, live=live)
        assert live.failures == []
        raw.assert_unchanged()
        derived.assert_unchanged()


def test_a_run_without_a_stop_document_is_not_lost(scan, caplog):
    for end, status, words in [
        ([], None, ""),
        ([("stop", {})], "fail", "the run has not stopped: its stop document is missing"),
    ]:
        seen = Seen()
        recorder = feed(seen, scan.documents[:-1] + end)
        assert seen.result() == scan.truth()
        assert [doc["exit_status"] for doc in recorder.of("stop")] == ([status] if status else [])
        assert [doc["reason"] for doc in recorder.of("stop")] == ([words] if words else [])


def test_a_run_that_begins_again_ends_what_was_there(scan):
    seen = Seen()
    recorder = feed(seen, scan.documents[:3])
    assert recorder.names == ["start"]
    for name, doc in scan.documents:
        seen(name, doc)
    first, second = recorder.of("stop")
    assert (first["exit_status"], second["exit_status"]) == ("fail", "success")
    assert "begun again before it had stopped" in first["reason"]
    assert seen.result() == scan.truth()


def test_a_failing_run_leaves_the_one_beside_it_alone(tmp_path, caplog):
    good = run_scan("rewind", "stream", tmp_path)
    bad = run_scan("normal", "stream", tmp_path)
    docs = [(n, {k: v for k, v in d.items() if k != "indices"} if n == "stream_datum" else d)
            for n, d in bad.documents]  # fmt: skip
    seen = Seen()
    feed(seen, interleave(good.documents, docs))
    assert len(seen.failures) == 1
    assert seen.result() == good.truth()


# --- memory -----------------------------------------------------------------------------------


class Watching(Analysis):
    """Notes where the pixels of each shot lie, and how many frames are alive."""

    def __init__(self):
        super().__init__(AnalysisSettings())
        self.addresses, self.alive, self.most = set(), weakref.WeakSet(), 0

    def update(self, shot):
        pixels = shot.frame.dense()
        self.addresses.add(pixels.__array_interface__["data"][0])
        return shot

    def merge(self, other): ...

    def clear(self): ...

    def result(self): ...


def test_frames_of_a_file_are_read_into_one_buffer(tmp_path):
    for style in ("stream", "datum"):
        watching = Watching()
        scan = run_scan("rewind", style, tmp_path / style, watching=watching)
        assert watching.failures == []
        assert len(watching.addresses) == 1
        again = Watching()
        feed(again, scan.documents)
        assert len(again.addresses) == 1


@pytest.mark.parametrize("analysis", [RoiMeans, Accumulation, LiveAnalysis, Watching])
@pytest.mark.parametrize("style", ["inline", "stream"])
def test_memory_stays_at_a_few_frames(style, analysis, tmp_path):
    """20 bursts of 4 frames of 0.1 MB: they must not add up."""
    run_scan("normal", style, tmp_path / "warm", first=analysis())  # compiles the kernels

    def big(index, position):
        return np.full((256, 256), index % 100, np.uint16)

    detector = SimulatedDetector(
        name="cam", source=big, directory=tmp_path, style=style, num_images=4
    )
    docs = run_plan(bp.count([detector], 20))
    callback, held = analysis(), []
    tracemalloc.start()
    try:
        for name, doc in docs:
            if name == "event":  # with an image of its own, that would show if it were kept
                data = {key: np.copy(v) if np.ndim(v) else v for key, v in doc["data"].items()}
                callback(name, doc | {"data": data})
                del data
                held.append(tracemalloc.get_traced_memory()[0])
            else:
                callback(name, doc)
    finally:
        tracemalloc.stop()
    assert callback.failures == []
    assert len(held) == 20
    assert held[-1] - held[4] < 0.5e6, "one burst has 0.5 MB, and there were 15"


def test_an_inline_image_is_let_go_of_after_the_next_event():
    class Image(np.ndarray):
        """An array that can be watched."""

    images = []

    def docs():
        key = {"dtype": "array", "shape": [2, 4, 6], "source": "s", "dtype_numpy": "<u2"}
        yield "start", {"uid": "r", "time": 0.0}
        yield "descriptor", {"uid": "d", "run_start": "r", "name": "primary", "time": 0.0,
                             "data_keys": {"i": key}, "object_keys": {"cam": ["i"]}}  # fmt: skip
        for number in range(1, 6):
            image = np.ones((2, 4, 6), "u2").view(Image)
            images.append(weakref.ref(image))
            yield "event", {"uid": str(number), "descriptor": "d", "seq_num": number, "time": 1.0,
                            "data": {"i": image}, "timestamps": {"i": 1.0}}  # fmt: skip
            del image

    seen = Pipeline(Watching())
    for name, doc in docs():
        seen(name, doc)
    del doc
    gc.collect()
    assert seen.failures == []
    assert [ref() is not None for ref in images] == [False, False, False, False, True]
