from __future__ import annotations

import numpy as np
import pytest
from bluesky import plans as bp
from event_model import DocumentNames, schema_validators

from femto_bluesky import Roi
from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.devices.beam import SimulatedBeam
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedDetectorError
from femto_bluesky.testing.runs import run_plan


def test_intensities_become_labels_of_the_shots(tmp_path):
    beam = SimulatedBeam(missing_share=0.3)
    beam.num_images.put(4)
    camera = SimulatedDetector(
        name="cam",
        source=lambda index, position: np.full((6, 9), index, np.uint16),
        directory=tmp_path,
        num_images=4,
    )
    analysis = RoiMeans({"all": Roi(x0=0, y0=0, x1=9, y1=6)})
    rows = []
    analysis.subscribe(lambda name, doc: rows.append((name, doc)))
    docs = run_plan(bp.count([camera, beam], 3), analysis)
    for name, doc in docs:
        schema_validators[DocumentNames[name]].validate(doc)
    assert not analysis.failures
    counts = [doc["data"]["beam_shot_count"] for name, doc in docs if name == "event"]
    assert counts == [4, 8, 12]
    expected = [beam.intensity(shot) for shot in range(1, 13)]
    assert 0 in expected
    assert len(set(expected)) > 6
    pages = [doc["data"] for name, doc in rows if name == "event_page"]
    pages = [data for data in pages if "beam_i0" in data]
    assert [value for data in pages for value in data["beam_i0"]] == expected


def test_shots_do_not_depend_on_how_they_are_cut():
    whole, cut = SimulatedBeam(seed=3), SimulatedBeam(seed=3)
    whole.num_images.put(6)
    whole.trigger()
    values = []
    for n in (1, 2, 3):
        cut.num_images.put(n)
        cut.trigger()
        values += cut.read()["beam_i0"]["value"]
    assert values == whole.read()["beam_i0"]["value"]
    assert whole.shot_count.get() == cut.shot_count.get() == 6


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"spread and missing_share are -1 and 0.0"):
        SimulatedBeam(spread=-1)
    beam = SimulatedBeam()
    beam.num_images.put(0)
    with pytest.raises(SimulatedDetectorError, match=r"asked for 0 shots; set beam.num_images"):
        beam.trigger()
