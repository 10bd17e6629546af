from __future__ import annotations

import json
import math

import h5py
import numpy as np
import pytest
from bluesky import plan_stubs as bps
from bluesky import plans as bp

from femto_bluesky.callbacks import Accumulation, LiveAnalysis, RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.model.rois import Roi
from femto_bluesky.stream.derived import DerivedRun, plain
from femto_bluesky.stream.frames import open_resource
from femto_bluesky.testing.documents import Recorder, difference, split_runs
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.stream.scans import Seen, assert_valid, numbered, primary_rows, run_scan

ALL = {"all": Roi(x0=0, y0=0, x1=6, y1=4)}


def recorded(analysis):
    recorder = Recorder()
    analysis.subscribe(recorder)
    return recorder


def described(recorder, stream):
    return [doc for doc in recorder.of("descriptor") if doc["name"] == stream]


@pytest.mark.parametrize(
    ("value", "strict"),
    [
        (np.float32(1.5), 1.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(math.nan), None),
        (np.array([math.nan, 1]), [None, 1.0]),
        (math.inf, None),
        ({1: (np.True_, math.nan)}, {"1": [True, None]}),
        ("text", "text"),
        (None, None),
        (Roi, str(Roi)),
    ],
)
def test_plain_values_are_strict_json(value, strict):
    assert plain(value) == strict
    json.dumps(plain(value), allow_nan=False)


def test_the_start_document_is_linked_to_the_raw_run():
    raw = {
        "uid": "raw", "time": 0.0, "scan_id": np.int64(7), "plan_name": "scan", "plan_type": "g",
        "motors": ("x",), "num_points": 3, "title": "LaB6", "secret": "kept out",
        "hints": {"dimensions": [(["x"], "primary")]},
    }  # fmt: skip
    docs = []
    DerivedRun(raw, "RoiMeans", {"a.b": {"c/d": math.nan}}, lambda *pair: docs.append(pair), None)
    assert_valid(docs)
    ((_, start),) = docs
    assert start["original_run_uid"] == "raw"
    assert start["parent_uids"] == ["raw"]
    assert start["purpose"] == "derived"
    assert start["analysis"]["name"] == "RoiMeans"
    assert start["analysis"]["settings"] == {"a_b": {"c_d": None}}
    assert (start["scan_id"], start["motors"], start["title"]) == (7, ["x"], "LaB6")
    assert start["hints"] == {"dimensions": [[["x"], "primary"]]}
    assert "secret" not in start
    assert start["uid"] != "raw"


def test_a_whole_derived_run_reads_as_the_design_says(tmp_path):
    live = LiveAnalysis(ALL, directory=tmp_path)
    recorder = recorded(live)
    scan = run_scan("two detectors", "stream", tmp_path / "frames", live=live)
    assert live.failures == []
    assert_valid(recorder.documents)
    (primary,) = described(recorder, "primary")
    assert {"stage_x", "n_shots", "pilatus_all_mean", "camera_all_sem"} <= set(primary["data_keys"])
    assert primary["object_keys"]["stage_x"] == ["stage_x"]
    assert all("fields" in primary["hints"][name] for name in primary["object_keys"])
    assert primary["data_keys"]["pilatus_all_mean"]["roi"] == "all"
    rows = primary_rows(recorder.documents)
    ((_, steps),) = scan.truth().items()
    assert [row["stage_x"] for row in rows] == [position["stage_x"] for position, _ in steps]
    for row, (_, frames) in zip(rows, steps, strict=True):
        means = [np.mean(frame) for frame in frames["camera"]]
        assert row["camera_all_mean"] == pytest.approx(np.mean(means), rel=1e-15)
        assert row["camera_all_std"] == pytest.approx(np.std(means), rel=1e-12)
    (stop,) = recorder.of("stop")
    assert stop["num_events"] == {"primary": 3, "shots": 9, "accumulated": 1}
    pages = recorder.of("event_page")
    assert sum(len(page["seq_num"]) for page in pages) == 12, "one burst was taken again"
    last = {}
    for page in pages:
        for i, number in enumerate(page["seq_num"]):
            last[number] = {key: column[i] for key, column in page["data"].items()}
    assert [last[n]["shot"] for n in sorted(last)] == list(range(9))
    assert [last[n]["step"] for n in sorted(last)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # the second detector has two frames where the first has three
    assert [last[n]["camera_all"] is None for n in sorted(last)] == [False, False, True] * 3


def test_the_image_of_a_derived_run_is_read_by_whoever_reads_the_documents(tmp_path):
    live = Accumulation().read_as(directory=tmp_path)
    recorder = recorded(live)
    run_scan("rewind", "stream", tmp_path / "frames", live=live)
    found = live.result()
    (resource,) = recorder.of("stream_resource")
    (datum,) = recorder.of("stream_datum")
    assert datum["indices"] == {"start": 0, "stop": 1}
    assert datum["seq_nums"] == {"start": 1, "stop": 2}
    assert datum["stream_resource"] == resource["uid"]
    source = open_resource(resource)
    assert len(source) == 1
    np.testing.assert_array_equal(source.read(0), found.image)
    source.close()
    path = resource["uri"].removeprefix("file://localhost")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file[resource["parameters"]["dataset"]][0], found.image)
    before = recorder.names.index("stream_datum")
    assert recorder.names[before + 1] == "event"


def test_without_a_directory_there_are_numbers_only():
    live = Accumulation()
    recorder = recorded(live)
    run_scan("normal", "inline", None, live=live)
    (accumulated,) = described(recorder, "accumulated")
    assert not any("external" in key for key in accumulated["data_keys"].values())
    assert "stream_resource" not in recorder.names


def test_a_sum_that_is_reset_at_the_end_leaves_the_others(tmp_path):
    """Of two detectors one has no image when the run ends."""
    live = LiveAnalysis(directory=tmp_path)
    recorder = recorded(live)

    def reset(name, doc):
        live(name, doc)
        live.wait()
        if name == "event" and doc["seq_num"] == 3:
            live.accumulation("camera").reset()

    run_scan("two detectors", "stream", tmp_path / "frames", live=reset)
    assert live.failures == []
    assert_valid(recorder.documents)
    (row,) = [
        doc["data"] for doc in recorder.of("event")
        if doc["descriptor"] == described(recorder, "accumulated")[0]["uid"]
    ]  # fmt: skip
    assert row["pilatus_n_accumulated"] == 9
    assert row["camera_n_accumulated"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_motor_that_reads_no_number_leaves_valid_documents(value, tmp_path):
    motor = SimulatedMotor(name="stage_x")
    detector = SimulatedDetector(name="cam", source=lambda i, x: numbered(i, 0), num_images=2,
                                 style="inline", motor=motor)  # fmt: skip
    live = LiveAnalysis(ALL)
    recorder = recorded(live)
    run_plan(burst_scan([detector], motor, [1.0, value]), live)
    assert live.failures == []
    assert_valid(recorder.documents)
    assert [row["stage_x"] for row in primary_rows(recorder.documents)] == [1.0, None]


def test_a_region_without_a_valid_pixel_is_missing_not_zero(tmp_path):
    detector = SimulatedDetector(name="pilatus", num_images=2, style="inline",
                                 source=lambda i, x: np.full((4, 6), -1, np.int32))  # fmt: skip
    live = LiveAnalysis(ALL, directory=tmp_path)
    recorder = recorded(live)
    run_plan(bp.count([detector], 2), live)
    assert live.failures == []
    assert_valid(recorder.documents)
    for row in primary_rows(recorder.documents):
        assert row["pilatus_all_mean"] is None
        assert row["pilatus_all_std"] is None
        assert (row["pilatus_all_n"], row["n_shots"]) == (0, 2)


def test_new_settings_bring_a_new_descriptor(tmp_path):
    live = LiveAnalysis(ALL)
    recorder = recorded(live)

    def configure(name, doc):
        live(name, doc)
        live.wait()
        if name == "event" and doc["seq_num"] == 2:
            live.configure({"rois": ALL | {"new one": Roi(x0=0, y0=0, x1=2, y1=2)}})

    run_scan("normal", "stream", tmp_path, live=configure)
    assert live.failures == []
    assert_valid(recorder.documents)
    first, second = described(recorder, "primary")
    assert "pilatus_new_one_mean" not in first["data_keys"]
    assert second["data_keys"]["pilatus_new_one_mean"]["roi"] == "new one"
    settings = [
        json.loads(doc["configuration"]["LiveAnalysis"]["data"]["settings"])
        for doc in (first, second)
    ]
    assert [list(found["rois"]) for found in settings] == [["all"], ["all", "new one"]]
    rows = primary_rows_of(recorder, [first["uid"], second["uid"]])
    assert ["pilatus_new_one_mean" in row for row in rows] == [False, False, True]
    (stop,) = recorder.of("stop")
    assert stop["num_events"]["primary"] == 3


def primary_rows_of(recorder, uids):
    return [doc["data"] for doc in recorder.of("event") if doc["descriptor"] in uids]


def test_the_same_settings_are_not_described_again(tmp_path):
    recorder = recorded(live := RoiMeans(ALL))
    run_scan("reconfigured", "stream", tmp_path, live=live)
    assert_valid(recorder.documents)
    assert len(described(recorder, "primary")) == 3, "one for each raw descriptor"
    recorder = recorded(live := RoiMeans(ALL))
    run_scan("rewind", "stream", tmp_path, live=live)
    assert len(described(recorder, "primary")) == 1


def test_live_and_replayed_derived_runs_are_the_same_but_for_names(tmp_path):
    def anonymous(documents):
        names = {}

        def known(value):
            if isinstance(value, dict):
                times = ("time", "timestamps")
                return {key: known(item) for key, item in value.items() if key not in times}
            if isinstance(value, list):
                return [known(item) for item in value]
            if isinstance(value, str) and len(value) >= 36:
                return names.setdefault(value, f"name {len(names)}")
            return value

        return [(name, known(doc))
                for name, doc in documents]  # fmt: skip

    live = LiveAnalysis(ALL)
    recorder = recorded(live)
    scan = run_scan("rewind", "stream", tmp_path, live=live)
    again = LiveAnalysis(ALL)
    replayed = recorded(again)
    for name, doc in scan.documents:
        again(name, doc)
    assert difference(anonymous(recorder.documents), anonymous(replayed.documents)) is None


def test_interleaved_runs_have_a_derived_run_each(tmp_path):
    recorder = recorded(seen := Seen())
    scan = run_scan("interleaved", "stream", tmp_path, seen=seen)
    runs = split_runs(recorder.documents)
    assert {run[0][1]["original_run_uid"] for run in runs} == set(scan.truth())
    for run in runs:
        assert_valid(run)
        assert run[-1][0] == "stop"


# --- BestEffortCallback -----------------------------------------------------------------------


@pytest.fixture
def best_effort():
    """What it draws, without a display; figures are closed again."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    plt.close("all")  # another test's
    from bluesky.callbacks.best_effort import BestEffortCallback

    callback = BestEffortCallback()
    callback.disable_table()
    yield callback, plt
    plt.close("all")


def detector_and_motor(name="stage_x", n=3):
    motor = SimulatedMotor(name=name)
    return motor, SimulatedDetector(
        name="pilatus", source=numbered, style="inline", num_images=n, motor=motor
    )


def test_best_effort_draws_the_step_means_against_the_motor(best_effort, capsys):
    callback, plt = best_effort
    motor, detector = detector_and_motor()
    live = LiveAnalysis(ALL)
    live.subscribe(callback)
    run_plan(burst_scan([detector], motor, [1.0, 1.5, 2.0]), live)
    (figure,) = [plt.figure(number) for number in plt.get_fignums()]
    (axes,) = figure.axes
    (line,) = axes.lines
    assert axes.get_xlabel() == "stage_x"
    assert axes.get_ylabel() == "pilatus_all_mean"
    x, y = line.get_data()
    found = live.result().steps
    assert list(x) == [1.0, 1.5, 2.0]
    assert list(y) == found["pilatus_all_mean"].tolist()


def test_best_effort_draws_a_run_without_motor_against_the_frame_number(best_effort, capsys):
    callback, plt = best_effort
    _, detector = detector_and_motor()
    live = RoiMeans(ALL)
    live.subscribe(callback)
    run_plan(bp.count([detector], 4), live)
    (figure,) = [plt.figure(number) for number in plt.get_fignums()]
    (axes,) = figure.axes
    (line,) = axes.lines
    assert axes.get_xlabel() == "frame"
    assert list(line.get_xdata()) == [0, 3, 6, 9]
    assert list(line.get_ydata()) == live.result()["pilatus_all_mean"].tolist()


def test_best_effort_draws_a_grid(best_effort, capsys):
    callback, plt = best_effort
    y, detector = detector_and_motor("stage_y")
    x = SimulatedMotor(name="stage_x")
    live = LiveAnalysis(ALL)
    live.subscribe(callback)
    run_plan(bp.grid_scan([detector], y, 0, 1, 2, x, 0, 2, 3, snake_axes=True), live)
    assert live.failures == []
    (figure,) = [plt.figure(number) for number in plt.get_fignums()]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("stage_x", "stage_y")
    (image,) = axes.images
    means = live.result().steps["pilatus_all_mean"].reshape(2, 3)
    means[1] = means[1, ::-1]  # the second row was scanned backwards
    np.testing.assert_array_equal(np.asarray(image.get_array()), means)


def test_a_step_that_is_taken_again_moves_nothing_else(best_effort, capsys):
    callback, plt = best_effort
    motor, detector = detector_and_motor()
    live = LiveAnalysis(ALL)
    live.subscribe(callback)
    plan = burst_scan([detector], motor, [1.0, 1.5, 2.0], pause_after_save=[1])
    run_plan(plan, live)
    (figure,) = [plt.figure(number) for number in plt.get_fignums()]
    x, y = figure.axes[0].lines[0].get_data()
    last = dict(zip(x, y, strict=True))  # BestEffortCallback keeps both; the last is right
    assert last == dict(
        zip([1.0, 1.5, 2.0], live.result().steps["pilatus_all_mean"].tolist(), strict=True)
    )


def test_single_frames_at_one_place_are_one_point(tmp_path):
    motor, detector = detector_and_motor(n=1)
    live = RoiMeans(ALL)
    recorder = recorded(live)

    def plan():
        yield from bps.open_run(
            md={"motors": ["stage_x"], "hints": {"dimensions": [[["stage_x"], "primary"]]}}
        )
        yield from bps.stage(detector)
        for position in (1.0, 1.0, 1.0, 2.0, 2.0):
            yield from bps.mv(motor, position)
            yield from bps.trigger_and_read([detector, motor])
        yield from bps.unstage(detector)
        yield from bps.close_run()

    run_plan(plan(), live)
    rows = primary_rows(recorder.documents)
    assert [(row["stage_x"], row["n_shots"]) for row in rows] == [(1.0, 3), (2.0, 2)]
    assert rows[0]["pilatus_all_std"] > 0


def test_settings_that_change_while_the_first_event_is_analysed_are_told(tmp_path):
    class Changed(RoiMeans):
        def update(self, shot):
            if shot.number == 0:  # as from another thread, between two shots
                self.configure({"rois": {"all": Roi(x0=0, y0=0, x1=2, y1=2)}})
            return super().update(shot)

    changed, derived = Changed(), Recorder()
    changed.subscribe(derived)
    camera = SimulatedDetector(name="pilatus", source=numbered, style="inline")
    run_plan(burst_scan([camera], SimulatedMotor(name="x"), [1, 2]), changed)
    told = [
        json.loads(doc["configuration"]["Changed"]["data"]["settings"])["rois"].keys()
        for doc in derived.of("descriptor")
        if doc["name"] == "primary"
    ]
    assert told[-1] == {"all"}
