"""Settings that change, are wrong or come from another thread, while frames are integrated."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from femto_bluesky.callbacks import AzimuthalIntegration, LiveAnalysis
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.callbacks.azimuthal import (
    GEOMETRY,
    MOVED,
    RINGS,
    SHAPE,
    frame,
    of_stream,
    same,
    scanned,
    seen,
)
from tests.stream.scans import assert_valid


def test_merging_a_shot_twice_is_refused_under_two_geometries():
    one, other = (
        seen(LiveAnalysis(geometries=g, accumulate=False), [frame(0)]) for g in (GEOMETRY, MOVED)
    )
    with pytest.raises(ValueError, match="shot 0 of run run is in both parts"):
        one.diffraction.merge(other.diffraction)


def test_what_does_not_fit_one_readout_region_may_fit_the_next(tmp_path):
    np.save(tmp_path / "mask.npy", np.zeros(SHAPE, bool))
    found = AzimuthalIntegration(GEOMETRY, mask_files={"": tmp_path / "mask.npy"})
    cropped = {"pixels": RINGS.frame(0)[10:50, 20:70], "origin": (10, 20), "run": "cropped"}
    seen(found, [frame(0, **cropped)])
    assert "the mask has the shape (60, 80), the frames (40, 50)" in found.problems["pilatus"]
    seen(found, [frame(index, run="whole") for index in range(2)])
    assert found.problems == {}
    assert found.result("whole")["pilatus"].n_frames == 2


@pytest.mark.parametrize("is_told", [False, True])
def test_shots_are_taken_back_with_the_mask_that_they_were_counted_with(tmp_path, is_told):
    path, mask = tmp_path / "mask.npy", np.zeros(SHAPE, bool)
    np.save(path, mask)
    shots = [frame(index, step=index) for index in range(4)]
    found = seen(AzimuthalIntegration(GEOMETRY, n_bins=20, mask_files={"": path}), shots)
    expected = seen(AzimuthalIntegration(GEOMETRY, n_bins=20, mask_files={"": path}), shots[1:])
    mask[:, 40:] = True
    np.save(path, mask)
    if is_told:
        found.configure({"mask_files": {"": path}})
        assert found.accumulated().signal.sum() < expected.accumulated().signal.sum()
    else:
        path.unlink()  # frames go on coming, and need it no more
    found.retract(shots[0])
    assert found.problems == {}
    assert same(found.result(), expected.result())
    seen(found, [frame(4, step=4)])
    assert found.result()["pilatus"].n_frames == (1 if is_told else 4)


def test_a_geometry_that_is_deleted_in_a_run_ends_its_events(tmp_path):
    live = LiveAnalysis(geometries=GEOMETRY, azimuthal={"n_bins": 20})

    def delete(name, doc):
        live.wait()
        if name == "event" and doc["seq_num"] == 2:
            live.configure({"geometries": {}})

    detector = SimulatedDetector(name="pilatus", source=RINGS, directory=tmp_path)
    derived = Recorder()
    live.subscribe(derived)
    run_plan(burst_scan([detector], SimulatedMotor(name="stage"), [1, 2, 3, 4]), live, delete)
    assert_valid(derived.documents)
    assert [event["data"]["step"] for event in of_stream(derived)] == [0], "1 was not whole"
    assert len([d for d in derived.of("descriptor") if d["name"] == "azimuthal"]) == 1


def test_a_detector_that_cannot_be_integrated_has_no_frames_in_the_events(tmp_path):
    far = GEOMETRY.model_copy(update={"x0_px": 1e7})
    live = LiveAnalysis(geometries={"pilatus": GEOMETRY, "other": far}, azimuthal={"n_bins": 20})
    detectors = [
        SimulatedDetector(name=name, source=RINGS, directory=tmp_path)
        for name in ("pilatus", "other")
    ]
    derived = Recorder()
    live.subscribe(derived)
    run_plan(burst_scan(detectors, SimulatedMotor(name="stage"), [1, 2]), live)
    assert_valid(derived.documents)
    for event in of_stream(derived):
        assert event["data"]["pilatus_n_frames"] > 0
        assert event["data"]["other_n_frames"] == 0
        assert event["data"]["other_intensity"] == [0.0] * 20


def test_settings_change_while_another_thread_integrates(tmp_path):
    live = LiveAnalysis(geometries=GEOMETRY, azimuthal={"n_bins": 20})
    is_over, failures = threading.Event(), []

    def change():
        x0 = 20
        while not is_over.is_set():
            try:
                live.configure({"geometries": GEOMETRY.model_copy(update={"x0_px": x0 % 7})})
            except Exception as error:
                failures.append(error)
            x0 += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        _, derived = scanned(tmp_path, live, n_steps=6)
    finally:
        is_over.set()
        thread.join()
    assert (failures, live.failures, live.diffraction.problems) == ([], [], {})
    assert_valid(derived.documents)
    assert live.diffraction.accumulated().n_frames == 12


def test_a_new_geometry_is_made_ready_before_the_next_frame():
    live = seen(LiveAnalysis(geometries=GEOMETRY, azimuthal={"n_azimuth": 4}), [frame(0)])
    live.groups()
    live.configure({"geometries": MOVED})
    made = {bins.geometry: one for bins, one in live.diffraction._binnings._made.items()}
    assert MOVED in made
    assert (made[GEOMETRY]._cake, made[GEOMETRY]._spare_q) == (None, None), "only to take back with"


def test_pixels_of_another_size_than_the_geometrys_are_told_once(caplog):
    found = AzimuthalIntegration(GEOMETRY, n_bins=20)
    seen(found, [frame(index, pixel_size_m=(172e-6, 172e-6)) for index in range(2)])
    assert not caplog.records
    seen(found, [frame(index, "other", pixel_size_m=(344e-6, 344e-6)) for index in range(2)])
    (told,) = caplog.records
    assert told.getMessage().startswith(
        "frames of 'other' have pixels of 344 x 344 um, its geometry of 172 x 172 um: binned, or"
    )
