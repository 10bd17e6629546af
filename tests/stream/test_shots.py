from __future__ import annotations

import math

import numpy as np
import pytest

from femto_bluesky.model.detectors import DETECTORS, DetectorSettings
from femto_bluesky.stream.events import JoinedEvent, image_keys
from femto_bluesky.stream.frames import FrameError, InlineFrames
from femto_bluesky.stream.shots import ShotMaker, label_columns, label_keys
from femto_bluesky.stream.steps import Steps


def event_of(pixels, *, detector="cam", labels=None, configuration=None, dtypes=None):
    pixels = np.asarray(pixels)
    keys = {
        f"{detector}_image": {"dtype": "array", "shape": list(pixels.shape), "source": "s"},
        f"{detector}_first_frame": {"dtype": "integer", "shape": [], "source": "s"},
        f"{detector}_n_frames": {"dtype": "integer", "shape": [], "source": "s"},
        "x": {"dtype": "number", "shape": [], "source": "s"},
    }
    labels = labels or {}
    for name, value in labels.items():
        shape = list(np.shape(value))
        dtype = (dtypes or {}).get(name, "array" if shape else "number")
        keys[name] = {"dtype": dtype, "shape": shape, "source": "s"}
    descriptor = {
        "data_keys": keys,
        "object_keys": {detector: [key for key in keys if key.startswith(detector)], "x": ["x"]},
        "configuration": {detector: {"data": configuration or {}}},
    }
    doc = {"seq_num": 1, "time": 12.5, "data": {"x": 1.0, **labels}}
    from femto_bluesky.stream.events import Burst

    source = InlineFrames(pixels, None, "here")
    (image,) = image_keys(descriptor)
    return JoinedEvent(
        {"uid": "r"}, descriptor, doc, {detector: Burst(image, source, 0, len(source))}
    )


def shots_of(event, detectors=DETECTORS, maker=None):
    step = Steps().place(event, ["x"])
    return list((maker or ShotMaker(detectors)).shots(event, step))


def masks_of(event, detectors=DETECTORS):
    step = Steps().place(event, ["x"])
    masks = []
    for shot in ShotMaker(detectors).shots(event, step):
        mask = shot.frame.mask
        masks.append(None if mask is None else mask.tolist())
    return masks


def test_a_shot_says_all_that_is_known_of_it():
    (shot, second) = shots_of(event_of(np.ones((2, 2, 3), "u2")))
    assert (shot.run, shot.step, shot.number, second.number) == ("r", 0, 0, 1)
    assert (shot.detector, shot.time, shot.position) == ("cam", 12.5, {"x": 1.0})
    assert shot.frame.shape == (2, 3)
    assert shot.known == DetectorSettings()


def test_flags_of_a_pilatus_are_masked_and_nan_of_any():
    frames = np.array([[[0, -1.0], [2, np.nan]], [[0, 1], [2, 3]]], np.float32)
    assert masks_of(event_of(frames, detector="pilatus")) == [[[False, True], [False, True]], None]
    assert masks_of(event_of(frames, detector="other")) == [[[False, False], [False, True]], None]
    signed = np.array([[[0, -1], [-2, 5]]], np.int32)
    assert masks_of(event_of(signed, detector="pilatus")) == [[[False, True], [True, False]]]
    assert masks_of(event_of(signed, detector="other")) == [None]
    assert masks_of(event_of(np.ones((1, 2, 2), "u2"), detector="pilatus")) == [None]


def test_a_mask_of_one_frame_does_not_reach_the_next():
    frames = np.array([[[np.nan, 1.0]], [[1.0, np.nan]]], np.float32)
    assert masks_of(event_of(frames)) == [[[True, False]], [[False, True]]]


def test_a_mask_from_a_file_is_joined_with_the_flags(tmp_path):
    path = tmp_path / "mask.npy"
    np.save(path, np.array([[0, 7], [0, 0]]))
    cam = {"cam": DetectorSettings(mask_file=path, mask_negative=True)}
    frames = np.array([[[0, 1], [-1, 2]]], np.float32)
    assert masks_of(event_of(frames), cam) == [[[False, True], [True, False]]]
    assert (
        masks_of(event_of(np.ones((2, 2, 2), "u2")), cam) == [[[False, True], [False, False]]] * 2
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file, expected a mask of 'cam'"),
        (b"text", "not readable as a mask of 'cam'"),
        (np.zeros((3, 2)), r"shape \(3, 2\), the frames of 'cam' have \(2, 2\); make a mask"),
        (np.array([{}]), "not readable as a mask of 'cam'"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(tmp_path, content, words):
    path = tmp_path / "mask.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(FrameError, match=words) as caught:
        shots_of(event_of(np.ones((1, 2, 2))), {"cam": DetectorSettings(mask_file=path)})
    assert str(path) in str(caught.value)


def test_labels_are_of_the_burst_or_of_each_shot():
    labels = {"energy": 9.5, "delay": [1.0, 2.0, 3.0], "flag": True, "wrong": [1.0, 2.0],
              "name": "gold"}  # fmt: skip
    event = event_of(
        np.ones((3, 2, 2)), labels=labels, dtypes={"flag": "boolean", "name": "string"}
    )
    shots = shots_of(event)
    assert [shot.labels for shot in shots] == [
        {"energy": 9.5, "flag": 1.0, "delay": delay} for delay in (1.0, 2.0, 3.0)
    ]
    assert "name" not in label_keys(event.descriptor)
    assert not any(key.endswith(("_first_frame", "_n_frames")) for key in shots[0].labels)


def test_a_label_that_is_no_number_labels_nothing():
    event = event_of(np.ones((2, 2, 2)), labels={"a": 1.0, "b": 2.0, "c": [1.0, 2.0]})
    event.doc["data"]["a"] = None
    event.doc["data"]["b"] = "text"
    event.doc["data"]["c"] = [[1.0], [2.0, 3.0]]
    columns = label_columns(event, Steps().place(event, ["x"]))
    assert math.isnan(columns["a"][0])
    assert columns.keys() == {"a"}


@pytest.mark.parametrize(
    ("configuration", "size"),
    [
        ({}, (172e-6, 172e-6)),
        ({"pilatus_pixel_size_m": 1e-4}, (1e-4, 1e-4)),
        ({"pilatus_pixel_size_m": [1e-4, 2e-4]}, (1e-4, 2e-4)),
    ],
)
def test_the_pixel_size_is_the_runs_or_the_tables(configuration, size):
    event = event_of(np.ones((1, 2, 2)), detector="pilatus", configuration=configuration)
    assert shots_of(event)[0].pixel_size_m == size
    assert shots_of(event_of(np.ones((1, 2, 2))))[0].pixel_size_m is None


def test_the_origin_of_the_readout_region():
    found = {"cam_cam_min_x": 7, "cam_cam_min_y": 3}
    assert shots_of(event_of(np.ones((1, 2, 2)), configuration=found))[0].origin == (3, 7)
    assert shots_of(event_of(np.ones((1, 2, 2))))[0].origin == (0, 0)


def test_the_buffer_of_the_mask_is_filled_again():
    frames = np.full((3, 4, 4), np.nan)
    maker = ShotMaker({})
    first, *others = shots_of(event_of(frames), maker=maker)
    assert all(other.frame.mask is first.frame.mask for other in others)
