"""A law: what is converted and then replayed joins as what was not converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import event_model
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from femto_bluesky.sources import jsonl
from femto_bluesky.sources.documents import detector_names
from femto_bluesky.stream.events import JoinedEvent, image_keys
from femto_bluesky.stream.joiner import Joiner
from tests.sources.documents import Documents, of

IMAGE = {"source": "x", "dtype": "array", "dtype_numpy": "<u2", "shape": [5, 4, 6]}
MOTOR = {"source": "x", "dtype": "number", "shape": []}


def made(
    bursts: list[tuple[int, int]], *, has_objects: bool, images: list[str], others: dict[str, Any]
) -> Documents:
    """A run of inline images: for each burst the seq_num and how many frames it has."""
    bundle = event_model.compose_run(time=1.0)
    keys = {"m": MOTOR, **dict.fromkeys(images, IMAGE), **others}
    objects = {"m": ["m"], "cam": [*images, *others]} if has_objects else {}
    described = bundle.compose_descriptor(name="primary", data_keys=keys, object_keys=objects)
    documents: Documents = [
        ("start", dict(bundle.start_doc)),
        ("descriptor", dict(described.descriptor_doc)),
    ]
    for number, (seq_num, n) in enumerate(bursts):
        data: dict[str, Any] = {"m": float(seq_num)} | {
            key: np.full((n, 4, 6), 10 * number + k, np.uint16) for k, key in enumerate(images)
        }
        data |= {key: np.ones(described["shape"]) for key, described in others.items()}
        event = {
            "uid": f"event {number}", "descriptor": described.descriptor_doc["uid"],
            "seq_num": seq_num, "time": 2.0, "data": data, "timestamps": dict.fromkeys(data, 2.0),
            "filled": {},
        }  # fmt: skip
        documents.append(("event", event))
    documents.append(("stop", dict(bundle.compose_stop())))
    return documents


def joined(documents: Documents) -> list[Any]:
    """Each event as it is handed out: its seq_num, and the frames of each detector."""
    joiner = Joiner()
    return [
        (
            one.seq_num,
            {
                detector: [frame.tolist() for frame in burst.frames()]
                for detector, burst in one.bursts.items()
            },
        )
        for name, document in documents
        for one in joiner.receive(name, document)
        if isinstance(one, JoinedEvent)
    ]


lengths = st.integers(1, 7)
TAKEN = st.one_of(
    st.lists(lengths, min_size=1, max_size=4).map(lambda ns: list(enumerate(ns, start=1))),
    st.tuples(lengths, lengths, lengths).map(lambda n: [(1, n[0]), (2, n[1]), (2, n[2]), (3, 5)]),
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    bursts=TAKEN,
    has_objects=st.booleans(),
    images=st.sampled_from(
        [["cam_image"], ["cam_image", "cam_dark"], ["pixels"], ["cam", "cam_image"]]
    ),
)
def test_converted_is_as_good_as_not(
    tmp_path_factory: pytest.TempPathFactory,
    bursts: list[tuple[int, int]],
    has_objects: bool,
    images: list[str],
) -> None:
    path = tmp_path_factory.mktemp("law") / "run.jsonl"
    documents = made(bursts, has_objects=has_objects, images=images, others={})
    jsonl.write(documents, path)
    assert joined(list(jsonl.read(path))) == joined(documents)


@pytest.mark.parametrize("has_objects", [True, False])
@pytest.mark.parametrize("n_images", [1, 2])
@pytest.mark.parametrize("bursts", [[(1, 3), (2, 7), (3, 5)], [(1, 3), (2, 7), (2, 4), (3, 5)]])
def test_short_and_repeated_bursts_keep_their_events(
    tmp_path: Path, bursts: list[tuple[int, int]], n_images: int, has_objects: bool
) -> None:
    images = ["cam_image", "cam_dark"][:n_images]
    documents = made(bursts, has_objects=has_objects, images=images, others={})
    jsonl.write(documents, tmp_path / "run.jsonl")
    found = joined(list(jsonl.read(tmp_path / "run.jsonl")))
    assert found == joined(documents)
    for (seq_num, n), (number, detectors) in zip(bursts, found, strict=True):
        assert number == seq_num
        assert {len(frames) for frames in detectors.values()} == {n}


def test_the_scalars_have_the_detectors_name(tmp_path: Path) -> None:
    """Also of an image that stands beside one that is not moved."""
    spectra = {"cam_mca": IMAGE | {"dims": ["channel", "y", "x"], "dtype_numpy": "<f8"}}
    text = {"cam_text": IMAGE | {"dtype_numpy": "<U4"}}
    for others, name in ((spectra, "cam"), (text, "cam_image")):
        documents = made([], has_objects=True, images=["cam_image"], others=others)
        (before,) = of("descriptor", documents)
        assert detector_names(before)["cam_image"] == name
        path = tmp_path / f"{name}.jsonl"
        jsonl.write(documents, path)
        (after,) = of("descriptor", list(jsonl.read(path)))
        assert {f"{name}_first_frame", f"{name}_n_frames"} <= set(after["data_keys"])
        assert {i.key: i.detector for i in image_keys(after)} == detector_names(before)
