"""The recorded scans give the numbers that are known of them, whatever way they come."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.fluorescence_map import FluorescenceMap
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.sources import jsonl, recordings
from femto_bluesky.sources.settings import read_settings

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LAB6, FLUORESCENCE = DATA / "lab6", DATA / "fluorescence"

pytestmark = pytest.mark.skipif(
    not LAB6.is_dir(), reason=f"the recordings are not there: put them into {DATA}"
)

# From the README beside the recording: ROI x 600..700, y 220..400, step by step.
POSITIONS = [1.0, 1.25, 1.5, 1.75, 2.0]
MEANS = [0.0667569, 0.0645572, 0.0615973, 0.0588731, 0.0654475]
STDS = [0.0053861, 0.0051566, 0.0056049, 0.0042370, 0.0089057]
ROI = {"ROI 2": Roi(x0=600, y0=220, x1=700, y1=400)}
COUNTS = [1, 2, 1, 3, 4, 2, 2, 2, 3, 1, 5, 1, 1, 4, 3, 4, 2, 1, 2, 3]


def scan(sardana: str) -> list[Path]:
    return [LAB6 / "pilatus.cbors.gz", LAB6 / sardana]


@pytest.mark.parametrize("sardana", ["sardana.cbors", "sardana.pkls"])
@pytest.mark.parametrize("settings", ["params.json", "params.pkl"])
@pytest.mark.parametrize("converted", [False, True], ids=["as it is", "converted"])
def test_lab6(sardana: str, settings: str, converted: bool, tmp_path: Path) -> None:
    source: list[Path] = scan(sardana)
    if converted:
        jsonl.write(recordings.read(source), tmp_path / "run.jsonl")
        source = [tmp_path / "run.jsonl"]
    live = LiveAnalysis(**read_settings(LAB6 / settings))
    replay(source, live)
    steps = live.result().steps
    assert steps["dummy_mot_01"].tolist() == POSITIONS
    assert steps["n_shots"].tolist() == [6] * 5
    # the README gives seven decimals
    np.testing.assert_allclose(steps["pilatus_ROI_2_mean"], MEANS, rtol=1e-6)
    np.testing.assert_allclose(steps["pilatus_ROI_2_std"], STDS, atol=6e-8)
    found = live.accumulation().result()
    assert found is not None
    assert found.n_frames == 30
    assert found.hottest == pytest.approx(3841.6, rel=1e-6)
    assert found.pixel_size_m == (172e-6, 172e-6)


def test_lab6_sums_of_raw_and_of_valid_pixels() -> None:
    # Raw: the flags are added too. One pixel is flagged (-2) in 6 of the 30 frames and counts in
    # the others: raw sums have it 12 too low, and that is the README's 1555483.6.
    raw = LiveAnalysis(detectors={"pilatus": DetectorSettings(mask_negative=False)})
    valid = LiveAnalysis()
    replay(scan("sardana.cbors"), raw, valid)
    of_raw, of_valid = raw.accumulation().result(), valid.accumulation().result()
    assert of_raw is not None
    assert of_valid is not None
    assert of_raw.total == pytest.approx(-1701250.4, rel=1e-6)
    assert of_raw.image[of_raw.image >= 0].sum() == pytest.approx(1555483.6, rel=1e-6)
    assert of_valid.total == pytest.approx(1555483.6 + 6 * 2, rel=1e-6)
    assert of_valid.n_valid is not None
    partly = (of_valid.n_valid > 0) & (of_valid.n_valid < 30)
    assert of_valid.n_valid[partly].tolist() == [24]
    assert (of_valid.image[partly] - of_raw.image[partly]).tolist() == [12.0]


def test_every_way_gives_the_same_bits(tmp_path: Path) -> None:
    results = []
    jsonl.write(recordings.read(scan("sardana.cbors")), tmp_path / "run.jsonl")
    for source in (scan("sardana.cbors"), scan("sardana.pkls"), [tmp_path / "run.jsonl"]):
        live = LiveAnalysis(ROI)
        replay(source, live)
        results.append(live.result())
    first, *others = results
    for other in others:
        for name, column in first.steps.items():
            assert np.array_equal(column, other.steps[name])
        assert np.array_equal(
            first.accumulated["pilatus"].image, other.accumulated["pilatus"].image
        )


def test_fluorescence_counts_and_map(tmp_path: Path) -> None:
    picture = FluorescenceMap(directory=tmp_path)
    replay(sorted(FLUORESCENCE.glob("*.pkls")), picture)
    assert picture.counts == COUNTS
    assert picture.image().tolist() == np.reshape(COUNTS, (4, 5)).tolist()
    group = picture.group()
    assert [axis.name for axis in group.axes] == ["sx", "sy"]
    assert group.axes[0].values[[0, -1]] == pytest.approx([-2, 2], abs=1e-3)
    assert [path.name for path in picture.paths] == ["scan_2_fluorescence.png"]


def test_fluorescence_window_is_half_open() -> None:
    whole, left, right = FluorescenceMap(), FluorescenceMap(0, 2), FluorescenceMap(2)
    replay(sorted(FLUORESCENCE.glob("*.pkls")), whole, left, right)
    assert np.add(left.counts, right.counts).tolist() == whole.counts
    assert (sum(left.counts), sum(right.counts)) == (24, 23)


def test_the_derived_run_of_a_recording_is_linked_to_it() -> None:
    derived: list[tuple[str, dict[str, object]]] = []
    live = LiveAnalysis(ROI)
    live.subscribe(lambda name, doc: derived.append((name, doc)))
    raw = [start for name, start in recordings.read(scan("sardana.cbors")) if name == "start"]
    replay(scan("sardana.cbors"), live)
    start = derived[0][1]
    assert start["original_run_uid"] == raw[0]["uid"]
    assert start["scan_id"] == 123374
    assert json.dumps(derived, allow_nan=False)
    assert derived[-1][1]["exit_status"] == "success"
    assert derived[-1][1]["num_events"] == {"shots": 30, "primary": 5, "accumulated": 1}


def test_convert_keeps_frames_and_readings(tmp_path: Path) -> None:
    jsonl.write(recordings.read(scan("sardana.cbors")), tmp_path / "run.jsonl")
    with h5py.File(tmp_path / "run.h5") as file:
        stacks: list[h5py.Dataset] = []
        file.visititems(lambda _, item: stacks.append(item) if hasattr(item, "shape") else None)
        images = [stack for stack in stacks if stack.ndim == 3]
        assert [(stack.shape, stack.dtype) for stack in images] == [
            ((30, 831, 1475), np.dtype("<f4"))
        ]
        assert float(images[0][:].astype(np.float64).sum()) == pytest.approx(-1701250.4, rel=1e-6)
