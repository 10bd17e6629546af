"""Photons on their way from frames into files and documents, in every kind of scan."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from bluesky import plans as bp

from femto_bluesky import replay
from femto_bluesky.callbacks import LiveAnalysis, PhotonDetection
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import xye
from femto_bluesky.kernels.photons import HOT, find_photons
from femto_bluesky.model.rois import Roi
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.stream.frames import path_of_uri
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.photons import match
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.stream.scans import SITUATIONS, assert_valid, primary_rows

BALOR = "andor3_balor1"
FRAMES = BalorFrames(BalorSettings(shape=(64, 80), n_photons=6, n_hot_pixels=2))


def balor(directory, *, name=BALOR, style="stream", num_images=3, motor=None, source=FRAMES):
    return SimulatedDetector(
        name=name, source=source, directory=directory, style=style, num_images=num_images,
        motor=motor, pixel_size_m=12e-6,
    )  # fmt: skip


def scanned(situation, style, tmp_path):
    """A scan with a Balor, seen live: the detector, what was emitted, the raw documents."""
    raw = tmp_path / "raw" / "today"
    make_plan, on_pause, (length, *_) = SITUATIONS[situation]
    motor = SimulatedMotor(name="stage_x")
    detector = balor(raw, style=style, num_images=length, motor=motor)
    detection, derived = PhotonDetection(), Recorder()
    if style == "inline":
        detection.read_as(directory=tmp_path / "here")
    detection.subscribe(derived)
    docs = run_plan(make_plan([detector], motor), detection, on_pause=on_pause)
    assert detection.failures == []
    return detector, derived, docs


def counting_bursts(detector, docs):
    """The bursts of the events that count: the last of each seq_num."""
    last = {}
    uids = {d["uid"] for n, d in docs if n == "descriptor" and d["name"] == "primary"}
    for name, doc in docs:
        if name == "event" and doc["descriptor"] in uids:
            last[doc["seq_num"]] = doc["data"][f"{detector.name}_first_frame"]
    return [b for n in sorted(last) for b in detector.bursts if b.first_frame == last[n]]


def true_photons(detector, docs):
    """For each frame that counts: its index in the raw file, and its photons."""
    found = []
    for burst in counting_bursts(detector, docs):
        for offset, pixels in enumerate(detector.truth(burst)):
            hits = find_photons(pixels)
            found.append((burst.first_frame + offset, hits[(hits["flags"] & HOT) == 0]))
    return found


def photon_files(derived):
    return list(dict.fromkeys(path_of_uri(d["uri"]) for d in derived.of("stream_resource")))


def columns_of(derived, first, n):
    """Photons by their rows in the stream, as a catalog reads them: from the external files."""
    rows = {}
    resources = {doc["uid"]: doc for doc in derived.of("stream_resource")}
    for datum in derived.of("stream_datum"):
        resource = resources[datum["stream_resource"]]
        column = resource["data_key"].rpartition("_")[2]
        with h5py.File(path_of_uri(resource["uri"]), "r") as file:
            start, stop = datum["indices"]["start"], datum["indices"]["stop"]
            values = file[resource["parameters"]["dataset"]][start:stop]
        for row, value in zip(range(*datum["seq_nums"].values()), values, strict=True):
            rows.setdefault(row - 1, {})[column] = value
    return [rows[row] for row in range(first, first + n)]


CASES = [
    (situation, style)
    for situation in SITUATIONS
    for style in ("stream", "datum")
    if situation != "two detectors"
    # with one length for all bursts, as areaDetector's file plugin has it
    if not (style == "datum" and situation in ("short burst", "changing bursts", "reconfigured"))
]


@pytest.mark.parametrize(("situation", "style"), CASES)
def test_the_file_and_the_documents_hold_the_photons(situation, style, tmp_path):
    detector, derived, docs = scanned(situation, style, tmp_path)
    assert_valid(derived.documents)
    truth = true_photons(detector, docs)
    (path,) = photon_files(derived)
    raw = next((tmp_path / "raw").rglob("*.h5"))
    assert path == tmp_path / "process" / "xye" / "today" / f"{raw.stem}_xye.h5"
    found = xye.read(path)
    for name in ("y", "x", "energy"):
        expected = np.concatenate([photons[name] for _, photons in truth])
        np.testing.assert_array_equal(found[name], expected)
    expected = np.repeat([frame for frame, _ in truth], [len(photons) for _, photons in truth])
    if style == "stream" or situation == "normal":
        np.testing.assert_array_equal(found["frame"], expected)

    # the events say where in the stream the photons of each step and shot are
    photons = iter(truth)
    for row in primary_rows(derived.documents):
        of_step = [next(photons)[1] for _ in range(row["n_shots"])]
        assert row[f"{BALOR}_n_photons"] == sum(map(len, of_step))
        if row[f"{BALOR}_first_photon"] is not None:
            there = columns_of(derived, row[f"{BALOR}_first_photon"], row[f"{BALOR}_n_photons"])
            energies = np.concatenate([p["energy"] for p in of_step])
            assert [photon["energy"] for photon in there] == energies.tolist()
    shots = {}
    uids = {d["uid"] for d in derived.of("descriptor") if d["name"] == "shots"}
    for page in derived.of("event_page"):
        if page["descriptor"] in uids:
            data = page["data"]
            for index, shot in enumerate(data["shot"]):
                shots[shot] = {key: values[index] for key, values in data.items()}
    for number, (_, expected) in enumerate(truth):
        row = shots[number]
        there = columns_of(derived, row[f"{BALOR}_first_photon"], row[f"{BALOR}_n_photons"])
        assert [photon["y"] for photon in there] == expected["y"].tolist()


@pytest.mark.parametrize("style", ["inline", "tiff"])
def test_frames_that_are_in_no_hdf5_file(style, tmp_path):
    detector, derived, docs = scanned("normal", style, tmp_path)
    (path,) = photon_files(derived)
    if style == "inline":
        assert path == tmp_path / "here" / f"scan_1_{BALOR}_xye.h5"
    else:
        assert path.parent == tmp_path / "process" / "xye" / "today"
    truth = true_photons(detector, docs)
    expected = np.concatenate([photons["x"] for _, photons in truth])
    np.testing.assert_array_equal(xye.read(path)["x"], expected)


def test_without_a_file_or_a_directory_none_is_written(tmp_path, caplog):
    motor = SimulatedMotor(name="stage_x")
    detector = balor(None, style="inline", motor=motor)
    detection, derived = PhotonDetection(), Recorder()
    detection.subscribe(derived)
    run_plan(bp.scan([detector], motor, 0, 1, 3), detection)
    assert photon_files(derived) == []
    assert caplog.text.count("the photons of 'andor3_balor1' are not written") == 1
    assert derived.of("stop")[0]["exit_status"] == "success"
    rows = primary_rows(derived.documents)
    assert [row[f"{BALOR}_first_photon"] for row in rows] == [None] * 3
    assert all(row[f"{BALOR}_n_photons"] > 0 for row in rows)


def test_none_is_written_where_none_is_wanted(tmp_path):
    motor = SimulatedMotor(name="stage_x")
    detector = balor(tmp_path / "raw", motor=motor)
    live, derived = LiveAnalysis(photon_files=False), Recorder()
    live.subscribe(derived)
    run_plan(bp.scan([detector], motor, 0, 1, 3), live)
    assert not (tmp_path / "process").exists()
    assert derived.of("stream_resource") == []


@pytest.mark.parametrize("situation", ["normal", "rewind", "changing bursts"])
def test_replay_writes_what_was_written_live(situation, tmp_path):
    _, derived, docs = scanned(situation, "stream", tmp_path)
    (live,) = photon_files(derived)
    again, seen = PhotonDetection().read_as(directory=tmp_path / "again"), Recorder()
    again.subscribe(seen)
    replay(docs, again)
    (path,) = photon_files(seen)
    assert path.parent == tmp_path / "again"
    np.testing.assert_array_equal(xye.read(path), xye.read(live))
    replay(docs, again)
    second = photon_files(seen)[1]
    assert second.name == f"{path.stem}_2.h5", "nothing is overwritten"


def test_what_the_file_says_of_its_frames(tmp_path):
    motor = SimulatedMotor(name="stage_x")
    detector = balor(tmp_path / "raw", motor=motor)
    detection = PhotonDetection(energy_min_adu=700)
    derived = Recorder()
    detection.subscribe(derived)
    docs = run_plan(bp.scan([detector], motor, 0, 1, 3), detection)
    (path,) = photon_files(derived)
    contents = xye.contents(path)
    assert contents.run == docs[0][1]["uid"]
    assert contents.detector == BALOR
    assert contents.shape == (64, 80)
    assert contents.pixel_size_m == (12e-6, 12e-6)
    assert contents.settings[0]["energy_min_adu"] == 700
    assert contents.frames["stage_x"].tolist() == [0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1]
    assert contents.frames["step"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert contents.frames["shot"].tolist() == list(range(9))
    n_photons = detection.table.rows(contents.run)[f"{BALOR}_n_photons"]
    np.testing.assert_array_equal(contents.frames["n_photons"], n_photons)
    np.testing.assert_array_equal(contents.histogram, detection.histogram(BALOR))
    np.testing.assert_array_equal(contents.offsets, detection.offsets(BALOR))
    with h5py.File(path) as file:
        raw = file["entry/raw"]
        assert raw.shape == (9, 64, 80)
        np.testing.assert_array_equal(raw[4], FRAMES(4, 0.0))


def test_settings_that_change_are_in_the_file(tmp_path):
    motor = SimulatedMotor(name="stage_x")
    detector = balor(tmp_path / "raw", motor=motor)
    detection, derived = PhotonDetection(), Recorder()
    detection.subscribe(derived)

    def change(name, doc):
        detection.wait()
        if name == "event" and doc["seq_num"] == 2:
            detection.configure({"energy_min_adu": 1200})

    run_plan(bp.scan([detector], motor, 0, 1, 3), detection, change)
    (path,) = photon_files(derived)
    contents = xye.contents(path)
    assert [record["energy_min_adu"] for record in contents.settings] == [800, 1200]
    assert contents.frames["settings_index"].tolist() == [0] * 6 + [1] * 3
    names = [doc["name"] for doc in derived.of("descriptor")]
    assert names.count("photons") == 2, "a new descriptor tells of the change"
    assert_valid(derived.documents)


def test_two_detectors_have_a_stream_and_a_file_each(tmp_path):
    motor = SimulatedMotor(name="stage_x")
    both = [balor(tmp_path / "raw", name=f"andor3_balor{n}", motor=motor) for n in (1, 2)]
    live, derived = LiveAnalysis(), Recorder()
    live.subscribe(derived)
    run_plan(bp.scan(both, motor, 0, 1, 3), live)
    assert_valid(derived.documents)
    names = {doc["name"] for doc in derived.of("descriptor")}
    assert {"photons_andor3_balor1", "photons_andor3_balor2"} < names
    assert [xye.contents(path).detector for path in photon_files(derived)] == [
        "andor3_balor1", "andor3_balor2",
    ]  # fmt: skip


def test_a_file_that_cannot_be_written_stops_nothing_but_itself(tmp_path, caplog):
    (tmp_path / "process").write_text("in the way")
    motor = SimulatedMotor(name="stage_x")
    detector = balor(tmp_path / "raw", motor=motor)
    detection, derived = PhotonDetection(), Recorder()
    detection.subscribe(derived)
    run_plan(bp.scan([detector], motor, 0, 1, 3), detection)
    assert len(primary_rows(derived.documents)) == 3
    (stop,) = derived.of("stop")
    assert stop["exit_status"] == "fail"
    assert stop["reason"].startswith(
        "photons were not written: those of 9 frames (shots 0 to 8): cannot make the folder "
    )
    assert caplog.text.count("photons wait in memory until they can be written: cannot make") == 1
    assert len(detection.failures) == 1


def test_a_detector_without_a_file_does_not_keep_the_others_from_theirs(tmp_path, caplog):
    motor = SimulatedMotor(name="stage_x")
    inline = balor(None, name="andor3_balor2", style="inline", motor=motor)
    for detectors in ([balor(tmp_path / "raw", motor=motor), inline],
                      [inline, balor(tmp_path / "raw", motor=motor)]):  # fmt: skip
        detection, derived = PhotonDetection(), Recorder()
        detection.subscribe(derived)
        run_plan(bp.scan(detectors, motor, 0, 1, 3), detection)
        (path,) = photon_files(derived)
        assert len(xye.contents(path).frames["shot"]) == 9
    assert caplog.text.count("the photons of 'andor3_balor2' are not written") == 2


def test_another_region_is_another_file(tmp_path):
    motor = SimulatedMotor(name="stage_x")
    detector = balor(tmp_path / "raw", motor=motor)
    roi = Roi(x0=10, y0=10, x1=40, y1=40)
    detection, derived = PhotonDetection(roi=roi), Recorder()
    detection.subscribe(derived)

    def change(name, doc):
        detection.wait()
        if name == "event":
            detection.configure({"roi": None if doc["seq_num"] == 1 else roi})

    run_plan(bp.scan([detector], motor, 0, 1, 3), detection, change)
    assert_valid(derived.documents)
    contents = [xye.contents(path) for path in photon_files(derived)]
    assert [c.roi for c in contents] == [roi, None]
    assert [c.frames["step"].tolist() for c in contents] == [[0] * 3 + [2] * 3, [1] * 3]
    rows = primary_rows(derived.documents)
    for row in rows:
        there = columns_of(derived, row[f"{BALOR}_first_photon"], row[f"{BALOR}_n_photons"])
        assert len(there) == row[f"{BALOR}_n_photons"] > 0


@pytest.mark.long
def test_a_full_scan_of_a_balor_finds_the_truth(tmp_path):
    """5 steps of 10 frames, of the real size, with a spot that comes and goes."""
    settings = BalorSettings(
        n_photons=1000, n_hot_pixels=50, spot_photons=300, spot_y=1500, spot_x=900,
        spot_sigma_px=200,
    )  # fmt: skip
    frames = BalorFrames(settings, scale_at=lambda delay: float(np.exp(-(delay**2))))
    motor = SimulatedMotor(name="delay")
    detector = balor(tmp_path / "raw", num_images=10, motor=motor, source=frames)
    detection, derived = PhotonDetection(), Recorder()
    detection.subscribe(derived)
    run_plan(burst_scan([detector], motor, [-1.0, -0.5, 0.0, 0.5, 1.0]), detection)
    (path,) = photon_files(derived)
    found = xye.read(path)
    n_true = n_found = n_matched = 0
    for burst in detector.bursts:
        for offset in range(burst.n_frames):
            truth = frames.truth(burst.source_index + offset, burst.position)
            of_frame = found[found["frame"] == burst.first_frame + offset]
            matched = match(of_frame, truth)
            n_true, n_found = n_true + len(truth), n_found + len(of_frame)
            n_matched += len(matched.truth)
            assert matched.n_double == 0
    assert n_true > 55_000
    assert n_matched / n_true > 0.995  # the others overlap, in the spot
    assert n_found - n_matched < 5  # two photons that became one, in between
    rows = primary_rows(derived.documents)
    assert sum(row[f"{BALOR}_n_photons"] for row in rows) == n_found
    assert [row["delay"] for row in rows] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    means = [row[f"{BALOR}_n_photons_mean"] for row in rows]
    expected = [1000 + 300 * np.exp(-(delay**2)) for delay in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    np.testing.assert_allclose(means, expected, atol=5 * np.sqrt(1300 / 10))
