from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.testing.documents import Recorder, as_pages, cut, interleave, split_runs
from femto_bluesky.testing.replayed import NotStorableError, merged_order, template_of
from femto_bluesky.testing.runs import burst_scan, run_plan

STYLES = ["inline", "datum", "stream", "tiff"]
POSITIONS = [1.0, 2.0, 3.0]


def source(index, position):
    return np.full((4, 5), index, np.float32)


def scan(folder, style, **settings):
    detector = SimulatedDetector(
        name="pilatus", source=source, style=style, directory=folder, num_images=2
    )
    motor = SimulatedMotor(name="stage_x")
    return run_plan(burst_scan([detector], motor, POSITIONS, **settings))


def of(docs, name):
    return [doc for kind, doc in docs if kind == name]


@pytest.mark.parametrize("style", STYLES)
def test_order_and_form(tmp_path, style):
    recorder = Recorder()
    for name, doc in scan(tmp_path, style):
        recorder(name, doc)
    docs = list(merged_order(recorder.documents))
    recorder.assert_unchanged()
    assert json.loads(json.dumps(docs)) == [list(pair) for pair in docs]
    external = ["stream_resource", "stream_datum"] if style != "inline" else []
    assert [name for name, _ in docs] == [
        *("start", "descriptor", "event", "event", "event"),
        *external,
        "stop",
    ]
    (live,) = recorder.of("descriptor")
    (descriptor,) = of(docs, "descriptor")
    assert descriptor["uid"] == live["uid"]
    assert of(docs, "start")[0]["uid"] == recorder.of("start")[0]["uid"]
    for before, after in zip(recorder.of("event"), of(docs, "event"), strict=True):
        assert after["uid"] != before["uid"]
        assert "filled" not in after
        for key in ("seq_num", "time", "descriptor"):
            assert after[key] == before[key]
        for key in ("stage_x", "pilatus_first_frame", "pilatus_n_frames"):
            assert after["data"][key] == before["data"][key]
        if style == "inline":
            image = after["data"]["pilatus_image"]
            assert isinstance(image[0][0], list)
            assert image == before["data"]["pilatus_image"].tolist()
        else:
            assert "pilatus_image" not in after["data"]


@pytest.mark.parametrize("style", ["datum", "stream"])
def test_one_range_covers_all_rows(tmp_path, style):
    docs = list(merged_order(scan(tmp_path, style)))
    (resource,) = of(docs, "stream_resource")
    (datum,) = of(docs, "stream_datum")
    assert resource["data_key"] == "pilatus_image"
    assert datum["stream_resource"] == resource["uid"]
    assert datum["indices"] == {"start": 0, "stop": 3}
    assert datum["seq_nums"] == {"start": 1, "stop": 4}
    assert "frame_per_point" not in resource["parameters"]
    assert "chunk_shape" not in resource["parameters"]
    path = resource["uri"].removeprefix("file://localhost")
    with h5py.File(path) as file:
        assert len(file[resource["parameters"]["dataset"]]) == 6


@pytest.mark.parametrize("style", ["datum", "stream"])
def test_after_a_rewind_rows_and_events_no_longer_agree(tmp_path, style):
    docs = list(merged_order(scan(tmp_path, style, pause_after_save=[1])))
    events = of(docs, "event")
    assert [e["seq_num"] for e in events] == [1, 2, 3]
    assert [e["data"]["pilatus_first_frame"] for e in events] == [0, 4, 6]
    (datum,) = of(docs, "stream_datum")
    assert datum["indices"] == {"start": 0, "stop": 4}


def test_after_a_rewind_inline_frames_stand_at_the_wrong_event(tmp_path):
    docs = list(merged_order(scan(tmp_path, "inline", pause_after_save=[1])))
    events = of(docs, "event")
    assert [e["data"]["pilatus_first_frame"] for e in events] == [0, 4, 6]
    # Frame numbers 0, 4 and 6 would be right; number 2 is that of the burst that was taken back.
    assert [e["data"]["pilatus_image"][0][0][0] for e in events] == [0, 2, 4]


def test_a_second_descriptor_repeats_the_first_but_for_its_configuration(tmp_path):
    docs = list(merged_order(scan(tmp_path, "stream", n_frames=[2, 3, 3], reconfigure=True)))
    descriptors = of(docs, "descriptor")
    assert len(descriptors) == 3
    assert descriptors[0]["data_keys"] == descriptors[1]["data_keys"]
    configured = [d["configuration"]["pilatus"]["data"]["pilatus_num_images"] for d in descriptors]
    assert configured == [2, 3, 3]
    assert [e["descriptor"] for e in of(docs, "event")] == [d["uid"] for d in descriptors]


@pytest.mark.parametrize("style", STYLES)
def test_a_run_that_never_stopped(tmp_path, style):
    docs = list(cut(scan(tmp_path, style)))
    assert [name for name, _ in merged_order(docs)] == ["start", "descriptor", "stop"]
    replayed = list(merged_order(docs, batched=False))
    assert [e["seq_num"] for e in of(replayed, "event")] == [1, 2, 3]
    assert replayed[-1] == ("stop", {})


@pytest.mark.parametrize("style", STYLES)
def test_runs_come_one_after_another(tmp_path, style):
    runs = [scan(tmp_path, style), scan(tmp_path, style)]
    replayed = list(merged_order(interleave(*runs)))
    assert replayed == [*merged_order(runs[0]), *merged_order(runs[1])]
    assert len(split_runs(replayed)) == 2


def test_what_a_catalog_cannot_hold_is_refused(tmp_path):
    with pytest.raises(NotStorableError, match=r"'pilatus_image' has the shape \[1, 4, 5\] in "):
        list(merged_order(scan(tmp_path, "inline", n_frames=[2, 1, 2])))
    with pytest.raises(NotStorableError, match="TIFF files, and its stream has a second"):
        list(merged_order(scan(tmp_path, "tiff", n_frames=[2, 1, 2], reconfigure=True)))
    with pytest.raises(NotStorableError, match="single events and datums, not datum_page, event_p"):
        list(merged_order(as_pages(scan(tmp_path, "datum"))))


def test_the_template_of_a_folder_needs_the_number_to_come_first():
    plain = [f"file:///data/frame_{number:06d}.tiff" for number in (3, 4, 5)]
    assert template_of(plain) == ("file:///data/", "frame_%06d.tiff", 3)
    dated = [f"file:///data/scan7_{number:06d}.tiff" for number in (3, 4)]
    assert template_of(dated) == (dated[0], None, 0)
    assert template_of(["file:///data/letters.tiff", "file:///data/others.tiff"])[1] is None
    assert template_of(plain[:1]) == (plain[0], "", 0)
