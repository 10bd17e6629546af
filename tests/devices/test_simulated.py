from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky import preprocessors as bpp
from event_model import DocumentNames, schema_validators

from femto_bluesky.devices.simulated import (
    SimulatedDetector,
    SimulatedDetectorError,
    SimulatedMotor,
)
from femto_bluesky.testing.runs import burst_scan, interleaved, run_plan
from tests.devices.bursts import POSITIONS, named, source

STYLES = ["inline", "datum", "stream", "tiff"]


@pytest.fixture
def make(tmp_path, motor):
    def make(style="stream", name="pilatus", **settings):
        settings = {"num_images": 3, "motor": motor} | settings
        return SimulatedDetector(
            name=name, source=source, style=style, directory=tmp_path / "frames", **settings
        )

    return make


def events(docs):
    return [doc for name, doc in docs if name == "event"]


def image_of(docs, event, key="pilatus_image"):
    """A reader of its own, after the event-model alone: what the last documents before it say."""
    n = next(d for d in named(docs, "descriptor") if d["uid"] == event["descriptor"])["data_keys"][
        key
    ]["shape"][0]
    if key not in event["data"]:
        resources = {d["uid"]: d for d in named(docs, "stream_resource") if d["data_key"] == key}
        datum = [
            d
            for d in named(docs, "stream_datum")
            if d["stream_resource"] in resources
            and d["descriptor"] == event["descriptor"]
            and d["seq_nums"]["start"] == event["seq_num"]
        ][-1]
        resource = resources[datum["stream_resource"]]
        path = resource["uri"].removeprefix("file://localhost")
        first = datum["indices"]["start"] * n
        with h5py.File(path) as file:
            return file[resource["parameters"]["dataset"]][first : first + n]
    value = event["data"][key]
    if isinstance(value, np.ndarray):
        return value
    datum = next(d for d in named(docs, "datum") if d["datum_id"] == value)
    resource = next(d for d in named(docs, "resource") if d["uid"] == datum["resource"])
    path = Path(resource["root"]) / resource["resource_path"]
    per_point = resource["resource_kwargs"]["frame_per_point"]
    first = datum["datum_kwargs"]["point_number"] * per_point
    if resource["spec"] == "AD_HDF5_SWMR":
        with h5py.File(path) as file:
            return file["/entry/data/data"][first : first + per_point]
    kwargs = resource["resource_kwargs"]
    return np.stack(
        [
            tifffile.imread(kwargs["template"] % (f"{path}/", kwargs["filename"], number))
            for number in range(first, first + per_point)
        ]
    )


@pytest.mark.parametrize("report_frames", [True, False])
@pytest.mark.parametrize("style", STYLES)
def test_a_scan_hands_out_the_frames_that_the_source_made(make, motor, style, report_frames):
    detector = make(style, report_frames=report_frames)
    docs = run_plan(burst_scan([detector], motor, POSITIONS))
    for name, doc in docs:
        schema_validators[DocumentNames[name]].validate(doc)
    assert len(events(docs)) == 3
    for number, event in enumerate(events(docs)):
        assert event["data"]["stage_x"] == POSITIONS[number]
        truth = np.stack([source(3 * number + i, POSITIONS[number]) for i in range(3)])
        image = image_of(docs, event)
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image, truth)
        np.testing.assert_array_equal(detector.truth(detector.bursts[number]), truth)
        if report_frames:
            assert event["data"]["pilatus_first_frame"] == 3 * number
            assert event["data"]["pilatus_n_frames"] == 3
        else:
            assert not {"pilatus_first_frame", "pilatus_n_frames"} & set(event["data"])


@pytest.mark.parametrize("style", STYLES)
def test_what_the_descriptor_says(make, motor, style):
    (descriptor,) = named(run_plan(bp.scan([make(style)], motor, 0, 1, 2)), "descriptor")
    key = descriptor["data_keys"]["pilatus_image"]
    assert key["shape"] == [3, 6, 9]
    assert key["dtype_numpy"] == "<u2"
    assert key["dims"] == ["frame", "y", "x"]
    external = {"datum": "FILESTORE:", "tiff": "FILESTORE:", "stream": "STREAM:"}
    assert key.get("external") == external.get(style)
    assert set(descriptor["object_keys"]["pilatus"]) == {
        "pilatus_image",
        "pilatus_first_frame",
        "pilatus_n_frames",
    }
    configured = descriptor["configuration"]["pilatus"]["data"]
    assert configured == {
        "pilatus_num_images": 3,
        "pilatus_exposure_s": 0.05,
        "pilatus_pixel_size_m": [1.72e-4, 1.72e-4],
    }


@pytest.mark.parametrize("when", ["pause_before_read", "pause_after_save"])
@pytest.mark.parametrize("style", STYLES)
def test_a_rewound_step_goes_on_in_the_same_file(make, motor, style, when):
    detector = make(style)
    docs = run_plan(burst_scan([detector], motor, POSITIONS, **{when: [1]}))
    again = when == "pause_after_save"
    assert [e["seq_num"] for e in events(docs)] == ([1, 2, 2, 3] if again else [1, 2, 3])
    first = [e["data"]["pilatus_first_frame"] for e in events(docs)]
    assert first == ([0, 3, 6, 9] if again else [0, 6, 9])
    assert [b.first_frame for b in detector.bursts] == [0, 3, 6, 9]
    assert [b.position for b in detector.bursts] == [1.0, 1.5, 1.5, 2.0]
    assert len(named(docs, "resource") + named(docs, "stream_resource")) == (style != "inline")
    for event in events(docs):
        # Where one seq_num has two stream_datums, the last is the one that counts.
        if style == "stream" and again and event is events(docs)[1]:
            continue
        burst = next(
            b for b in detector.bursts if b.first_frame == event["data"]["pilatus_first_frame"]
        )
        np.testing.assert_array_equal(image_of(docs, event), detector.truth(burst))


@pytest.mark.parametrize("answer", ["stop", "abort", "halt"])
@pytest.mark.parametrize("style", ["datum", "stream"])
def test_the_file_is_closed_however_the_run_ends(make, motor, style, answer):
    detector = make(style)
    plan = burst_scan([detector], motor, POSITIONS, pause_after_save=[1])
    docs = run_plan(plan, on_pause=answer)
    assert len(events(docs)) == 2
    assert docs[-1][1]["exit_status"] == ("success" if answer == "stop" else "abort")
    if answer == "halt":  # RE.halt cleans nothing up, by design
        detector.unstage()
    with h5py.File(detector.bursts[0].path, "r+") as file:  # refused while somebody writes
        assert file["/entry/data/data"].shape == (6, 6, 9)
    assert detector.stage()
    detector.unstage()


def test_the_file_is_closed_when_the_source_fails(make, motor):
    detector = make()

    def failing(index, position):
        if index >= 3:
            raise RuntimeError("the lens cap is on")
        return source(index, position)

    detector.source = failing
    with pytest.raises(Exception, match="lens cap"):
        run_plan(burst_scan([detector], motor, POSITIONS))
    with h5py.File(detector.bursts[0].path, "r+") as file:
        assert len(file["/entry/data/data"]) == 3


@pytest.mark.parametrize("reconfigure", [False, True])
@pytest.mark.parametrize("style", STYLES)
def test_bursts_may_change_their_length(make, motor, style, reconfigure):
    detector = make(style)
    docs = run_plan(
        burst_scan([detector], motor, POSITIONS, n_frames=[3, 2, 4], reconfigure=reconfigure)
    )
    assert [e["data"]["pilatus_n_frames"] for e in events(docs)] == [3, 2, 4]
    assert [e["data"]["pilatus_first_frame"] for e in events(docs)] == [0, 3, 5]
    # The RunEngine describes a detector once a run: a new descriptor repeats the first shape, and
    # only its configuration knows better.
    descriptors = named(docs, "descriptor")
    assert {d["data_keys"]["pilatus_image"]["shape"][0] for d in descriptors} == {3}
    lengths = [d["configuration"]["pilatus"]["data"]["pilatus_num_images"] for d in descriptors]
    assert lengths == ([3, 2, 4] if reconfigure else [3])
    if style in {"datum", "stream"}:
        with h5py.File(detector.bursts[0].path) as file:
            stack = file["/entry/data/data"][:]
        np.testing.assert_array_equal(
            stack, np.concatenate([detector.truth(burst) for burst in detector.bursts])
        )


def test_two_detectors_in_one_scan(make, motor):
    detectors = [make("stream", "pilatus"), make("datum", "zyla", num_images=2)]
    docs = run_plan(burst_scan(detectors, motor, POSITIONS))
    for number, event in enumerate(events(docs)):
        for detector, n in zip(detectors, (3, 2), strict=True):
            truth = np.stack([source(n * number + i, POSITIONS[number]) for i in range(n)])
            np.testing.assert_array_equal(image_of(docs, event, f"{detector.name}_image"), truth)


def test_a_second_staging_writes_a_new_file_with_new_noise(make):
    detector = make(motor=None)
    first, second = (run_plan(bp.count([detector], 2)) for _ in range(2))
    assert [b.first_frame for b in detector.bursts] == [0, 3, 0, 3]
    assert [b.source_index for b in detector.bursts] == [0, 3, 6, 9]
    assert detector.bursts[0].path != detector.bursts[2].path
    np.testing.assert_array_equal(
        image_of(second, events(second)[0]), np.stack([source(i, 0.0) for i in (6, 7, 8)])
    )
    np.testing.assert_array_equal(
        image_of(first, events(first)[0]), np.stack([source(i, 0.0) for i in (0, 1, 2)])
    )


def test_interleaved_runs_keep_their_frames(make, motor):
    other = SimulatedMotor(name="stage_y")
    one, two = make("stream", "pilatus"), make("stream", "zyla", motor=other)
    docs = run_plan(
        interleaved(burst_scan([one], motor, POSITIONS), burst_scan([two], other, [5.0, 6.0]))
    )
    starts = [doc["uid"] for doc in named(docs, "start")]
    of_run = {d["uid"]: starts.index(d["run_start"]) for d in named(docs, "descriptor")}
    assert [of_run[e["descriptor"]] for e in events(docs)] == [0, 1, 0, 1, 0]
    for event in events(docs):
        key = ("pilatus_image", "zyla_image")[of_run[event["descriptor"]]]
        detector = (one, two)[of_run[event["descriptor"]]]
        burst = detector.bursts[event["seq_num"] - 1]
        np.testing.assert_array_equal(image_of(docs, event, key), detector.truth(burst))


def test_a_motor_may_be_monitored_meanwhile(make, motor):
    docs = run_plan(
        bpp.monitor_during_wrapper(burst_scan([make()], motor, POSITIONS), [motor.readback])
    )
    names = {d["uid"]: d["name"] for d in named(docs, "descriptor")}
    streams = [names[e["descriptor"]] for e in events(docs)]
    assert streams.count("primary") == 3
    assert len(streams) > 3


def test_a_burst_is_on_disk_for_other_processes_before_the_run_ends(make):
    detector = make(motor=None)
    reader = (
        "import h5py, hdf5plugin, sys\n"
        "with h5py.File(sys.argv[1], 'r', swmr=True) as f:\n"
        "    d = f['/entry/data/data']; sys.stdout.write(f'{d.shape} {d[:].sum()}')\n"
    )
    seen = []

    def read_elsewhere(name, doc):
        if name == "event":
            command = [sys.executable, "-c", reader, str(detector.bursts[-1].path)]
            seen.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    run_plan(bp.count([detector], 2), read_elsewhere)
    sums = [int(detector.truth(burst).sum()) for burst in detector.bursts]
    assert seen == [f"(3, 6, 9) {sums[0]}", f"(6, 6, 9) {sum(sums)}"]


def test_what_cannot_be_is_refused(make, tmp_path):
    with pytest.raises(ValueError, match="one of inline, datum, stream, tiff; not 'kafka'"):
        make("kafka")
    with pytest.raises(ValueError, match=r"cam: the style 'stream' writes files; .*directory="):
        SimulatedDetector(name="cam", source=source)
    with pytest.raises(SimulatedDetectorError, match=r"pilatus was triggered but is not staged"):
        make().trigger()
    detector = make(num_images=0)
    detector.stage()
    with pytest.raises(SimulatedDetectorError, match=r"burst of 0 frames; set pilatus.num_images"):
        detector.trigger()
    detector.unstage()
    # Without a directory, frames in events are taken all the same.
    inline = SimulatedDetector(name="cam", source=source, style="inline")
    assert len(events(run_plan(bp.count([inline], 2)))) == 2


def test_a_motor_is_where_it_was_sent(motor):
    docs = run_plan(bpp.run_wrapper(bpp.pchain(bps.mv(motor, 3.5), bps.trigger_and_read([motor]))))
    (event,) = events(docs)
    assert event["data"] == {"stage_x": 3.5, "stage_x_setpoint": 3.5}
