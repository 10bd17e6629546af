from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from femto_bluesky.callbacks import (
    Accumulation,
    CmosCleaning,
    LiveAnalysis,
    RoiMeans,
)
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.rois import Roi, RoiError
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.laws import plain_parts
from femto_bluesky.testing.shots import make_shots

ROIS = {"ROI 2": Roi(x0=1, y0=2, x1=5, y1=6), "ö": Roi(x0=0, y0=0, x1=16, y1=12)}
SHOTS = make_shots(("pilatus", "andor3_zyla12"), n_frames=3)


def seen(live, shots=SHOTS):
    for shot in shots:
        live.update(shot)
    return live


def assert_same(expected, found):
    where = difference(plain_parts(expected), plain_parts(found))
    assert where is None, where


def test_it_is_its_parts_in_a_row():
    live = seen(LiveAnalysis(ROIS))
    cleaning, rois = CmosCleaning(), RoiMeans(ROIS)
    sums = {name: Accumulation(detector=name) for name in ("pilatus", "andor3_zyla12")}
    for shot in SHOTS:
        clean = rois.update(cleaning.update(shot))
        sums[shot.detector].update(clean)
    found = live.result()
    assert_same(rois.result(), found.steps)
    assert_same({name: a.result() for name, a in sums.items()}, found.accumulated)


def test_each_detector_is_cleaned_in_its_own_way():
    found = seen(LiveAnalysis(ROIS)).result().accumulated
    raw = {n: [s.frame for s in SHOTS if s.detector == n] for n in found}
    above = np.array([frame.pixels.astype(int) - 100 for frame in raw["andor3_zyla12"]])
    clean = np.where(above >= 12, above, 0)
    np.testing.assert_array_equal(found["andor3_zyla12"].image, clean.sum(axis=0))
    counts = np.array([np.where(f.mask, 0, f.pixels.astype(float)) for f in raw["pilatus"]])
    np.testing.assert_array_equal(found["pilatus"].image, counts.sum(axis=0))


def test_region_means_are_of_clean_frames():
    live = seen(LiveAnalysis(ROIS))
    for shot in SHOTS:
        if shot.detector == "andor3_zyla12":
            above = shot.frame.pixels[2:6, 1:5].astype(int) - 100
            row = live.shot_row(shot.run, shot.number)
            assert row["andor3_zyla12_ROI_2"] == np.where(above >= 12, above, 0).mean()


def test_two_detectors_in_one_row():
    live = seen(LiveAnalysis(ROIS))
    row = live.step_row("run-1", 0)
    assert {name.split("_ROI")[0] for name in row if "_ROI_2_mean" in name} == {
        "pilatus",
        "andor3_zyla12",
    }
    accumulated = live.run_rows("run-1")["accumulated"]
    assert {"pilatus_image", "andor3_zyla12_image"} <= accumulated.keys()
    assert accumulated["pilatus_n_accumulated"] == accumulated["andor3_zyla12_n_accumulated"] == 9


def test_a_cleaning_of_ones_own():
    shots = make_shots(("andor3_zyla12",))
    found = seen(LiveAnalysis(cmos={"dark_adu": 0, "threshold_adu": 0}), shots).result()
    raw = sum(shot.frame.pixels.astype(int) for shot in shots)
    np.testing.assert_array_equal(found.accumulated["andor3_zyla12"].image, raw)


def test_accumulations_are_had_by_name():
    live = LiveAnalysis(ROIS)
    live.accumulation().stop()  # before the first shot: what is set up for all to come
    live.accumulation().start()
    seen(live)
    with pytest.raises(KeyError, match="name one of them") as error:
        live.accumulation()
    assert "'andor3_zyla12', 'pilatus'" in str(error.value)
    with pytest.raises(KeyError, match="no detector 'cam'"):
        live.accumulation("cam")
    live.accumulation("pilatus").reset()
    assert list(live.result().accumulated) == ["andor3_zyla12"]
    live.accumulation("pilatus").undo_reset()
    assert live.result().accumulated["pilatus"].n_frames == 9
    only = seen(LiveAnalysis(), [shot for shot in SHOTS if shot.detector == "pilatus"])
    assert only.accumulation().result().n_frames == 9


def test_not_accumulating_the_newest_is_shown():
    live = seen(LiveAnalysis(accumulate=False))
    found = live.result().accumulated["pilatus"]
    newest = [shot.frame for shot in SHOTS if shot.detector == "pilatus"][-1]
    np.testing.assert_array_equal(found.image, np.where(newest.mask, 0, newest.pixels))
    assert found.is_sum is False


def test_settings_can_change_while_it_runs():
    live = seen(LiveAnalysis({"a": ROIS["ö"]}), SHOTS[:6])
    live.configure(
        {"rois": {"b": ROIS["ROI 2"]}, "cmos": {"dark_adu": 0, "threshold_adu": 0},
         "accumulate": False}
    )  # fmt: skip
    seen(live, SHOTS[6:12])
    assert live.shot_row("run-1", 0)["pilatus_b"] is None
    row = live.shot_row("run-1", 3)
    zyla = next(s for s in SHOTS if s.number == 3 and s.detector == "andor3_zyla12")
    assert row["andor3_zyla12_b"] == zyla.frame.pixels[2:6, 1:5].mean()
    assert live.result().accumulated["pilatus"].is_sum is False
    record = live.settings_record()
    assert list(record["rois"]) == ["b"]
    assert record["cmos"]["dark_adu"] == 0
    assert record["accumulate"] is False
    live.configure({"accumulate": True})
    assert live.result().accumulated["pilatus"].n_frames == 3
    assert list(live.settings_record()["rois"]) == ["b"], "what is not named stays"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"accumulate": "perhaps"}, ValidationError),
        ({"roi": {}}, ValidationError),
        ({"cmos": {"dark_adu": -1}}, ValidationError),
        ({"rois": {"a b": ROIS["ö"], "a-b": ROIS["ö"]}, "accumulate": False}, RoiError),
    ],
)
def test_settings_that_make_no_sense_change_nothing(changes, error):
    live = LiveAnalysis(ROIS)
    before = live.settings_record()
    with pytest.raises(error):
        live.configure(changes)
    assert live.settings_record() == before


def test_settings_of_a_part_that_was_changed_on_its_own_are_kept():
    live = LiveAnalysis(ROIS)
    live.rois.configure({"rois": {"b": ROIS["ö"]}})
    live.cleaning.configure({"dark_adu": 7})
    live.accumulations.configure({"accumulating": False})
    record = live.settings_record()
    assert list(record["rois"]) == ["b"]
    assert (record["cmos"]["dark_adu"], record["accumulate"]) == (7, False)
    assert live.fresh().settings_record() == record
    live.configure({"cmos": {"dark_adu": 8}})
    assert list(live.rois.settings.rois) == ["b"]
    assert live.settings_record()["accumulate"] is False


def test_an_accumulation_that_was_stopped_on_its_own_stays_stopped():
    live = seen(LiveAnalysis(ROIS), SHOTS[:6])
    live.accumulation("pilatus").stop()
    live.configure({"rois": {"b": ROIS["ö"]}})
    found = seen(live, SHOTS[6:12]).result().accumulated
    assert (found["pilatus"].is_sum, found["andor3_zyla12"].is_sum) == (False, True)
    live.configure({"accumulate": True})
    assert live.result().accumulated["pilatus"].n_frames == 3


def test_the_record_is_plain_and_whole():
    table = {"cam": DetectorSettings(dark_adu=5)}
    live = LiveAnalysis(ROIS, cmos={"threshold_adu": 3}, detectors=table, stream="fly")
    record = live.settings_record()
    assert set(record) == {
        "rois", "accumulate", "photons", "cmos", "geometries", "azimuthal", "detectors", "stream"
    }  # fmt: skip
    assert record["detectors"]["cam"]["dark_adu"] == 5
    assert record["cmos"]["threshold_adu"] == 3
    again = LiveAnalysis(**record)
    assert again.settings_record() == record
    assert again.settings == live.settings


def test_the_groups_have_the_regions_on_the_images():
    rois = ROIS | {"zyla only": Roi(x0=0, y0=0, x1=2, y1=2, detector="andor3_zyla12")}
    groups = {group.path: group for group in seen(LiveAnalysis(rois)).groups()}
    for group in groups.values():
        group.check()
    assert set(groups["accumulated/pilatus"].rois) == set(ROIS)
    assert set(groups["accumulated/andor3_zyla12"].rois) == set(rois)
    assert "step_means/pilatus_ROI_2" in groups
    assert "step_means/pilatus_zyla_only" not in groups


@pytest.mark.parametrize("changes", [{"stream": "dark"}, {"detectors": {}}])
def test_how_documents_are_read_cannot_be_changed(changes: dict[str, object]) -> None:
    live = LiveAnalysis()
    with pytest.raises(ValueError, match="make a new LiveAnalysis"):
        live.configure(changes)


def test_a_region_that_cannot_be_is_refused_at_the_console_and_changes_nothing():
    live = LiveAnalysis(ROIS)
    seen(live, make_shots(("pilatus",)))
    before = live.settings_record()
    for rois in ({"wide": Roi(x0=0, y0=0, x1=17, y1=3)}, {"a b": ROIS["ö"], "a_b": ROIS["ö"]}):
        with pytest.raises(RoiError):
            live.configure({"rois": rois, "cmos": {"dark_adu": 5}})
        assert live.settings_record() == before


def test_a_stopped_accumulation_is_on_record():
    live = LiveAnalysis()
    seen(live, make_shots(("pilatus",)))
    live.accumulation().stop()
    assert live.settings_record()["accumulate"] is False
    assert live.fresh().accumulation().settings.accumulating is False


def test_a_shot_is_taken_back_as_it_was_cleaned():
    shots = make_shots(("andor3_zyla12",), n_steps=1, n_frames=3)
    live = LiveAnalysis()
    seen(live, shots[:2])
    live.configure({"cmos": {"dark_adu": 0, "threshold_adu": 0}})
    live.retract(shots[1])
    live.update(shots[2])
    straight = LiveAnalysis()
    seen(straight, shots[:1])
    straight.configure({"cmos": {"dark_adu": 0, "threshold_adu": 0}})
    straight.update(shots[2])
    found, expected = (one.accumulation().result() for one in (live, straight))
    assert np.array_equal(found.image, expected.image)


def test_groups_are_of_the_run_that_is_named():
    live = LiveAnalysis(ROIS)
    seen(live, make_shots(("pilatus",), runs=("run-1", "run-2")))
    paths = {run: [group.path for group in live.groups(run)] for run in ("run-1", "run-2", "run-3")}
    assert paths["run-1"] == paths["run-2"] != []
    assert paths["run-3"] == []
    one, two = (live.groups(run)[-1].axes[0].values for run in ("run-1", "run-2"))
    assert len(one) == len(two)
