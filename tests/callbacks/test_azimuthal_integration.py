from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from bluesky import plans as bp
from pydantic import ValidationError

from femto_bluesky import replay
from femto_bluesky.callbacks import AzimuthalIntegration, LiveAnalysis, PhotonDetection
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files.geometries import read_geometry
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.photons import PhotonFrame
from femto_bluesky.stream.analysis import Pipeline
from femto_bluesky.testing.documents import Recorder, difference
from femto_bluesky.testing.replayed import merged_order
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.callbacks.azimuthal import (
    GEOMETRY,
    MOVED,
    RINGS,
    SHAPE,
    frame,
    of_stream,
    pyfai,
    same,
    scanned,
    seen,
)
from tests.stream.scans import assert_valid


def test_each_step_and_the_run_are_what_pyfai_gives():
    found = seen(
        AzimuthalIntegration(GEOMETRY, n_bins=50, polarisation=0.95),
        [frame(index, step=index // 3) for index in range(9)],
    )
    for numbers, ours in (
        (range(3, 6), found.step("run", 1, "pilatus")),
        (range(9), found.result()["pilatus"]),
        (range(9), found.accumulated()),
    ):
        total = np.sum([RINGS.frame(number).astype(float) for number in numbers], axis=0)
        theirs = pyfai(total, polarization_factor=0.95)
        np.testing.assert_array_equal(ours.signal, theirs.sum_signal)
        np.testing.assert_array_equal(ours.norm, len(numbers) * theirs.sum_normalization)
        assert ours.n_frames == len(numbers)
        assert ours.signal.sum() == total[total >= 0].sum()
    assert found.step("run", 7, "pilatus") is None
    # a Pilatus with time over threshold counts keV
    photons = ours.signal / 13.5
    there = ours.norm > 0
    np.testing.assert_allclose(
        ours.sigma[there], 13.5 * np.sqrt(np.maximum(photons, 1))[there] / ours.norm[there]
    )


def test_a_changed_geometry_counts_for_the_whole_sum_and_for_steps_to_come():
    shots = [frame(index, step=index // 2) for index in range(8)]
    found = seen(AzimuthalIntegration({"pil": GEOMETRY}, n_bins=50), shots[:5])
    before = found.step("run", 0, "pilatus")
    found.configure({"geometries": {"pil": MOVED}})
    seen(found, shots[5:])
    fresh = seen(AzimuthalIntegration(MOVED, n_bins=50), shots)
    assert same(found.accumulated(), fresh.accumulated())
    assert found.accumulated().n_frames == 8
    assert same(found.step("run", 3, "pilatus"), fresh.step("run", 3, "pilatus"))
    assert found.step("run", 2, "pilatus").n_frames == 1, "the other one is in other bins"
    np.testing.assert_array_equal(found.step("run", 0, "pilatus").q, before.q)
    assert found.result()["pilatus"].n_frames == 3
    assert {g.path for g in found.groups()} >= {"azimuthal/pilatus_accumulated"}
    # taken back as it was counted, in the bins of then
    found.retract(shots[0])
    assert found.step("run", 0, "pilatus").n_frames == 1
    pixels = shots[1].frame.pixels
    np.testing.assert_array_equal(found.step("run", 0, "pilatus").signal, pyfai(pixels).sum_signal)
    assert found.accumulated().n_frames == 7


def test_photons_are_counted_as_they_come():
    rng = np.random.default_rng(0)

    def camera(index):
        pixels = np.full((64, 72), 100, np.uint16)
        y, x = rng.integers(2, 62, 12), rng.integers(2, 70, 12)
        pixels[y, x] += 900
        pixels[y, x + 1] += 320
        return frame(index, "andor3_balor1", pixels=pixels)

    geometry = GEOMETRY.model_copy(update={"pixel_size_m": (12e-6, 12e-6), "distance_m": 1e-3})
    azimuthal = AzimuthalIntegration(geometry, n_bins=20)
    chain = Pipeline(PhotonDetection(hot_share=1), azimuthal)
    shots = [camera(index) for index in range(6)]
    clean = [chain.update(shot).frame for shot in shots]
    assert all(isinstance(one, PhotonFrame) for one in clean)
    ours, whole = azimuthal.result()["andor3_balor1"], azimuthal.accumulated()
    total = sum(one.dense().astype(float) for one in clean)
    assert ours.signal.sum() == whole.signal.sum() == total.sum() > 0
    np.testing.assert_array_equal(whole.signal, pyfai(total, geometry, 20).sum_signal)
    assert ours.norm.sum() == pytest.approx(whole.norm.sum())
    assert (ours.signal != whole.signal).any(), "their positions are finer than pixels"
    many = whole.norm > 600
    np.testing.assert_allclose(ours.norm[many], whole.norm[many], rtol=0.2)
    # the error of one photon is its energy by the table: 1200 ADU
    np.testing.assert_allclose(
        ours.sigma, np.sqrt(1200 * np.maximum(ours.signal, 1200)) / ours.norm
    )
    chain.retract(shots[2])
    assert azimuthal.result()["andor3_balor1"].n_frames == 5


def test_a_region_that_is_read_out_has_the_q_of_its_place():
    origin = (10, 20)
    pixels = RINGS.frame(0)[10:50, 20:70]
    found = seen(
        AzimuthalIntegration(GEOMETRY, n_bins=30), [frame(0, pixels=pixels, origin=origin)]
    )
    theirs = pyfai(pixels, GEOMETRY.for_region(origin), 30)
    for ours in (found.result()["pilatus"], found.accumulated()):
        np.testing.assert_array_equal(ours.signal, theirs.sum_signal)
        assert ours.q[0] == pytest.approx(theirs.radial[0])


def test_a_shot_that_is_seen_twice_counts_once():
    shots = [frame(index, step=index // 2) for index in range(4)]
    found = seen(AzimuthalIntegration(GEOMETRY, n_bins=20), [*shots, *shots[2:], *shots])
    once = seen(AzimuthalIntegration(GEOMETRY, n_bins=20), shots)
    assert same(found.result(), once.result())


def test_a_run_that_scans_nothing_is_one_step(tmp_path):
    azimuthal, derived = AzimuthalIntegration(GEOMETRY, n_bins=20), Recorder()
    azimuthal.subscribe(derived)
    detector = SimulatedDetector(name="pilatus", source=RINGS, directory=tmp_path, num_images=2)
    run_plan(bp.count([detector], 3), azimuthal)
    (event,) = of_stream(derived)
    assert (event["data"]["step"], event["data"]["pilatus_n_frames"]) == (-1, 6)
    assert [group.path for group in azimuthal.groups()] == ["azimuthal/pilatus"]


def test_the_stream_of_the_derived_run(tmp_path):
    live = LiveAnalysis(geometries=GEOMETRY, azimuthal={"n_bins": 400}, directory=tmp_path)
    docs, derived = scanned(tmp_path, live)
    assert live.failures == []
    assert_valid(derived.documents)
    events = of_stream(derived)
    assert [(e["seq_num"], e["data"]["step"]) for e in events] == [(1, 0), (2, 1), (3, 2), (4, -1)]
    assert [e["data"]["pilatus_n_frames"] for e in events] == [2, 2, 2, 6]
    (descriptor,) = [d for d in derived.of("descriptor") if d["name"] == "azimuthal"]
    for name in ("q", "intensity", "sigma", "norm"):
        entry = descriptor["data_keys"][f"pilatus_{name}"]
        assert (entry["dtype"], entry["shape"], entry["dtype_numpy"]) == ("array", [400], "<f8")
    assert not any(hint["fields"] for hint in descriptor["hints"].values())
    data = events[-1]["data"]
    assert json.dumps(data, allow_nan=False)
    total = live.accumulation().result().image
    found = np.array(data["pilatus_intensity"]) * data["pilatus_norm"]
    assert found.sum() == pytest.approx(total.sum())
    assert 0 in data["pilatus_norm"], "a bin that has no pixel: 0, for null is no number"
    again, other = live.fresh(), Recorder()
    again.subscribe(other)
    replay(list(merged_order(docs)), again)
    stored = [[e["data"] for e in of_stream(one)] for one in (derived, other)]
    assert difference(*stored) is None


def test_an_event_that_is_taken_again_counts_as_the_last_time(tmp_path):
    azimuthal = AzimuthalIntegration(GEOMETRY, n_bins=20)
    docs, derived = scanned(tmp_path, azimuthal, pause_after_save=[1])
    assert [e["data"]["step"] for e in of_stream(derived)] == [0, 1, 1, 2, -1]
    assert [e["seq_num"] for e in of_stream(derived)] == [1, 2, 2, 3, 4]
    again = azimuthal.fresh()
    replay(list(merged_order(docs)), again)
    assert same(again.result(), azimuthal.result())
    assert azimuthal.result()["pilatus"].n_frames == 6


def test_settings_that_change_make_a_new_descriptor_and_a_new_poni(tmp_path):
    live = LiveAnalysis(geometries=GEOMETRY, azimuthal={"n_bins": 40}, directory=tmp_path)

    def change(name, doc):
        live.wait()
        if name == "event" and doc["seq_num"] == 1:
            live.configure({"geometries": {"pilatus": MOVED}, "azimuthal": {"n_bins": 30}})

    detector = SimulatedDetector(name="pilatus", source=RINGS, directory=tmp_path / "raw")
    derived = Recorder()
    live.subscribe(derived)
    run_plan(burst_scan([detector], SimulatedMotor(name="stage"), [1, 2, 3]), live, change)
    assert_valid(derived.documents)
    described = [d for d in derived.of("descriptor") if d["name"] == "azimuthal"]
    assert [d["data_keys"]["pilatus_q"]["shape"] for d in described] == [[40], [30]]
    record = json.loads(described[1]["configuration"]["LiveAnalysis"]["data"]["settings"])
    assert record["geometries"]["pilatus"]["x0_px"] == 22
    assert record["azimuthal"]["n_bins"] == 30
    ponis = sorted(path.name for path in tmp_path.glob("*.poni"))
    assert ponis == ["pilatus.poni", "pilatus_2.poni"]
    assert read_geometry(tmp_path / "pilatus_2.poni").x0_px == pytest.approx(22)
    assert live.diffraction.accumulated().n_frames == live.accumulation().result().n_frames
    live.accumulation().reset()
    with pytest.raises(ValueError, match="n_bins"):
        live.configure({"azimuthal": {"n_bins": 0}})
    assert live.diffraction.accumulated() is None
    assert live.fresh().settings_record() == live.settings_record()


def test_groups_of_a_run_and_of_all(tmp_path):
    live = LiveAnalysis(
        geometries=GEOMETRY, azimuthal={"n_bins": 40, "calibrant": "LaB6", "n_azimuth": 12}
    )
    for run in ("one", "two"):
        seen(live, [frame(i, step=i // 2, run=run) for i in range(4)])
    groups = {group.path: group for group in live.groups("two")}
    for group in groups.values():
        group.check()
    assert set(groups) == {
        "accumulated/pilatus", "azimuthal/pilatus", "azimuthal/pilatus_accumulated",
        "azimuthal_of_steps/pilatus", "cake/pilatus",
    }  # fmt: skip
    image = groups["accumulated/pilatus"]
    assert image.attributes["calibrant"] == "LaB6"
    y, x = image.rings["1 1 0"]
    np.testing.assert_allclose(GEOMETRY.q(y, x)[np.isfinite(y)], 2.1376, rtol=1e-4)
    curve, whole = groups["azimuthal/pilatus"], groups["azimuthal/pilatus_accumulated"]
    assert (curve.attributes["n_frames"], whole.attributes["n_frames"]) == (4, 8)
    assert curve.lines["1 1 0"] == pytest.approx(2.1376, rel=1e-4)
    assert (curve.axes[0].name, curve.axes[0].units) == ("q", "1/angstrom")
    steps = groups["azimuthal_of_steps/pilatus"]
    assert steps.signal.values.shape == (2, 40)
    np.testing.assert_array_equal(steps.axes[0].values, [0, 0.5])
    assert groups["cake/pilatus"].signal.values.shape == (12, 40)
    live.configure({"azimuthal": {"calibrant": None, "n_azimuth": 0}})
    bare = {group.path: group for group in live.groups("two")}
    assert bare.keys() == groups.keys() - {"cake/pilatus"}
    assert not bare["accumulated/pilatus"].rings


def test_the_newest_run_is_that_of_all_detectors():
    live = LiveAnalysis(geometries={"pilatus": GEOMETRY}, azimuthal={"n_bins": 30})
    seen(live, [frame(index, run="one") for index in range(4)])
    assert [group.path for group in live.diffraction.groups()] == ["azimuthal/pilatus"]
    other = [frame(index, "balor", run="two") for index in (8, 9)]
    seen(live, other)
    found = live.diffraction.groups()
    assert [group.title for group in found] == ["I(q) on pilatus, 4 frames of the running sum"]
    assert live.diffraction.result() == {}
    for shot in other:
        live.retract(shot)
    assert [group.path for group in live.diffraction.groups()] == ["azimuthal/pilatus"]


def test_the_newest_frame_is_not_called_a_sum():
    live = LiveAnalysis(geometries=GEOMETRY, azimuthal={"n_bins": 30})
    seen(live, [frame(index) for index in range(4)])
    live.accumulation().stop()
    seen(live, [frame(4)])
    titles = {group.path: group.title for group in live.diffraction.groups()}
    assert titles == {
        "azimuthal/pilatus": "I(q) on pilatus, 5 frames of the run",
        "azimuthal/pilatus_accumulated": "I(q) on pilatus, the newest frame",
    }


def test_a_geometry_that_comes_late_is_good_for_the_sum():
    live = seen(LiveAnalysis(), [frame(index) for index in range(4)])
    assert [group.path for group in live.groups()] == ["accumulated/pilatus"]
    live.configure({"geometries": GEOMETRY, "azimuthal": {"n_bins": 30}})
    assert "azimuthal/pilatus_accumulated" in [group.path for group in live.groups()]
    assert live.diffraction.accumulated().n_frames == 4


def test_a_geometry_that_comes_after_the_last_frame_is_kept_at_once(tmp_path):
    live = seen(LiveAnalysis(directory=tmp_path, photon_files=False), [frame(0)])
    live.configure({"geometries": GEOMETRY, "azimuthal": {"calibrant": "LaB6"}})
    assert live.diffraction.poni_files == {"pilatus": tmp_path / "pilatus.poni"}
    assert "# Calibrant: LaB6" in (tmp_path / "pilatus.poni").read_text()
    live.configure({"azimuthal": {"n_bins": 30}})  # no other geometry, no other file
    assert len(list(tmp_path.glob("*.poni"))) == 1


def test_lines_at_any_q_are_drawn_beside_those_of_a_calibrant():
    live = seen(LiveAnalysis(geometries=GEOMETRY), [frame(0)])
    live.configure({"azimuthal": {"q_lines": [2.5, 1.75, 2.5], "n_bins": 40}})
    assert live.diffraction.settings.q_lines == (2.5, 1.75)
    groups = {group.path: group for group in live.groups()}
    assert groups["azimuthal/pilatus"].lines == {"1.75": 1.75, "2.5": 2.5}
    image = groups["accumulated/pilatus"]
    assert "calibrant" not in image.attributes
    y, x = image.rings["1.75"]
    np.testing.assert_allclose(GEOMETRY.q(y, x)[np.isfinite(y)], 1.75, rtol=1e-6)
    live.configure({"azimuthal": {"calibrant": "LaB6"}})
    image = live.groups()[0]
    assert {"1 1 0", "1.75"} <= set(image.rings)
    assert image.attributes["calibrant"] == "LaB6"
    assert live.fresh().settings_record() == live.settings_record()
    with pytest.raises(ValueError, match="a line at q = -1 1/A: it must be above 0"):
        live.configure({"azimuthal": {"q_lines": [-1]}})


def test_what_fails_stops_nothing_else(tmp_path, caplog):
    path = tmp_path / "mask.npy"
    np.save(path, np.ones(SHAPE, bool))
    far = GEOMETRY.model_copy(update={"x0_px": 1e6})
    for broken, words in (
        ({"geometries": GEOMETRY, "azimuthal": {"mask_files": {"pil": path}}}, "all are masked"),
        ({"geometries": far}, "px outside a frame of 60 rows and 80 columns"),
    ):
        caplog.clear()
        live = LiveAnalysis({"all": {"x0": 0, "y0": 0, "x1": 9, "y1": 9}}, **broken)
        _, derived = scanned(tmp_path, live)
        assert live.failures == []
        assert derived.of("stop")[0]["exit_status"] == "success"
        assert live.accumulation().result().n_frames == 6
        assert live.result().steps["pilatus_all_mean"].shape == (3,)
        assert live.result().azimuthal == {}
        assert words in live.diffraction.problems["pilatus"]
        (told,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert told.getMessage().startswith(
            "no I(q) of 'pilatus' until settings or frames change: "
        )
        live.configure({"geometries": GEOMETRY, "azimuthal": {"mask_files": {}, "n_bins": 20}})
        assert live.diffraction.problems == {}
        assert live.diffraction.accumulated().n_frames == 6


def test_a_mask_of_a_file_leaves_pixels_out(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 50:] = 1
    np.save(tmp_path / "mask.npy", mask)
    found = AzimuthalIntegration(GEOMETRY, n_bins=20, mask_files={"pilatus": tmp_path / "mask.npy"})
    seen(found, [frame(0)])
    pixels = RINGS.frame(0).astype(float)
    kept = (pixels >= 0) & (mask == 0)
    assert found.result()["pilatus"].signal.sum() == pixels[kept].sum()
    assert found.accumulated().signal.sum() == pixels[kept].sum()
    with pytest.raises(ValueError, match=r"nothing.npy: no such file, expected a mask"):
        found.configure({"mask_files": {"": tmp_path / "nothing.npy"}})
    assert list(found.settings.mask_files) == ["pilatus"]


def test_detectors_without_a_geometry_are_passed_by(caplog):
    with caplog.at_level(logging.INFO):
        found = AzimuthalIntegration({"pilatus": GEOMETRY}, n_bins=20)
        shots = [frame(index, "zyla") for index in range(3)]
        assert [found.update(shot) for shot in shots] == shots
    ours = [record for record in caplog.records if record.name.startswith("femto_bluesky")]
    assert [record.getMessage() for record in ours] == [
        "no I(q) of 'zyla': geometries are known of detectors that begin with ['pilatus']"
    ]
    assert (found.result(), found.groups(), found.outputs({"zyla": settings_of("zyla")})) == (
        {}, [], [],
    )  # fmt: skip
    with pytest.raises(KeyError, match="no geometry is known of 'zyla'; give one in geometries"):
        found.integrate(seen(LiveAnalysis(), shots).accumulation().result())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"q_range": (3, 2)}, "must be 0 or more and below the last"),
        ({"polarisation": 1.5}, "less than or equal to 1"),
        ({"calibrant": "LaB7"}, "did you mean LaB6"),
        ({"n_bins": 1}, "greater than or equal to 2"),
        ({"counts_per_photon": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(ValidationError, match=words):
        AzimuthalIntegration(GEOMETRY, **settings)


def test_merging_a_shot_twice_is_refused():
    one, other = (seen(AzimuthalIntegration(GEOMETRY, n_bins=20), [frame(0)]) for _ in range(2))
    with pytest.raises(ValueError, match="shot 0 of run run is in both parts"):
        one.merge(other)
