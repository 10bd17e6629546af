"""Photon files on disks that are full for a while or for good, read-only, deleted or moved."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest
from bluesky import plans as bp

from femto_bluesky.callbacks import PhotonDetection
from femto_bluesky.devices.simulated import SimulatedMotor
from femto_bluesky.files import opening, photon_header, xye
from femto_bluesky.stream import photon_files as written
from femto_bluesky.stream.photon_files import in_words
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_plan
from tests.stream.scans import SITUATIONS, assert_valid, primary_rows
from tests.stream.test_photon_files import BALOR, balor, columns_of, photon_files

LONG = pytest.mark.long


@pytest.fixture
def disk(monkeypatch):
    """A disk that is full when it is told so; chunks are small, so that files grow at each event.

    What is in `disk` says whether it is: call `disk.append("full")`, `disk.clear()`.
    """
    monkeypatch.setattr(photon_header, "PHOTON_ROWS", 8)
    monkeypatch.setattr(photon_header, "FRAME_ROWS", 2)
    monkeypatch.setattr(photon_header, "SETTINGS_BYTES", 1024)
    monkeypatch.setattr(opening, "TABLE_BYTES", 0)
    monkeypatch.setattr(opening, "NEW_FILE_BYTES", 1000)
    state = []
    allocate = os.posix_fallocate

    def full(*place):
        if state:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(*place)

    monkeypatch.setattr(os, "posix_fallocate", full)
    return state


def taken_while(plan, detection, at_event):
    """The derived documents of a plan; before each event's analysis `at_event(n)` is called."""
    derived, numbers = Recorder(), iter(range(100))
    detection.subscribe(derived)

    def look(name, _):
        if name == "event":
            detection.wait()
            at_event(next(numbers) + 1)  # what it does holds for the next event

    at_event(0)
    run_plan(plan, detection, look)
    return derived


def scan_of(tmp_path, n_steps=6, n_events=1, num_images=3):
    motor = SimulatedMotor(name="stage_x")
    detector = balor(None, style="inline", motor=motor, num_images=num_images)
    return bp.list_scan([detector], motor, [n for n in range(n_steps) for _ in range(n_events)])


def shot_rows(derived):
    """What the stream `shots` says of each shot in the end."""
    uids = {doc["uid"] for doc in derived.of("descriptor") if doc["name"] == "shots"}
    rows = {}
    for page in derived.of("event_page"):
        if page["descriptor"] in uids:
            for index, shot in enumerate(page["data"]["shot"]):
                rows[shot] = {key: values[index] for key, values in page["data"].items()}
    return rows


def assert_told_photons_are_in_the_files(derived):
    """What documents say of photons is so; of some steps they do not say where photons are."""
    first, n = f"{BALOR}_first_photon", f"{BALOR}_n_photons"
    shots = shot_rows(derived)
    for row in shots.values():
        if row[first] is not None:
            energies = [photon["energy"] for photon in columns_of(derived, row[first], row[n])]
            assert max(energies) == row[f"{BALOR}_photon_energy_max"]
    for number, row in enumerate(primary_rows(derived.documents)):
        if row[first] is not None:
            of_step = [shots[shot] for shot in sorted(shots) if shots[shot]["step"] == number]
            assert row[first] == of_step[0][first]
            assert row[n] == sum(shot[n] for shot in of_step)
            assert of_step[-1][first] + of_step[-1][n] == row[first] + row[n]


@pytest.mark.parametrize("full_at", [{1, 3, 4}, pytest.param(set(range(6)), marks=LONG)])
def test_what_waits_is_written_when_there_is_room(tmp_path, disk, caplog, full_at):
    whole = PhotonDetection().read_as(directory=tmp_path / "whole")
    (expected,) = photon_files(taken_while(scan_of(tmp_path), whole, lambda _: None))
    detection = PhotonDetection().read_as(directory=tmp_path / "full")
    problems = []

    def fill(number):
        disk[:] = ["full"] if number in full_at else []
        problems.extend(detection.status().problems)

    derived = taken_while(scan_of(tmp_path), detection, fill)
    assert_valid(derived.documents)
    assert derived.of("stop")[0]["exit_status"] == "success"
    assert detection.failures == []
    (path,) = photon_files(derived)
    found, truth = xye.contents(path), xye.contents(expected)
    np.testing.assert_array_equal(found.photons, truth.photons)
    np.testing.assert_array_equal(found.histogram, truth.histogram)
    for name in truth.frames.keys() - {"time"}:
        np.testing.assert_array_equal(found.frames[name], truth.frames[name])
    assert_told_photons_are_in_the_files(derived)
    n_told = sum(
        row[f"{BALOR}_first_photon"] is not None for row in primary_rows(derived.documents)
    )
    assert n_told == 6 - len(full_at)
    times = len([n for n in full_at if n - 1 not in full_at])
    assert caplog.text.count("photons wait in memory until they can be written") == times
    assert caplog.text.count("No space left on device; make room on the disk") == times
    assert caplog.text.count("photons are written again, and those that waited are") == times
    assert any("No space left" in problem for problem in problems)


def test_what_is_never_written_is_told_and_the_file_is_good_to_the_last_flush(
    tmp_path, disk, caplog
):
    detection = PhotonDetection().read_as(directory=tmp_path)
    derived = taken_while(
        scan_of(tmp_path), detection, lambda n: disk.append("full") if n == 3 else None
    )
    (path,) = photon_files(derived)
    assert xye.contents(path).frames["shot"].tolist() == list(range(9))
    assert len(primary_rows(derived.documents)) == 6
    stop = derived.of("stop")[0]
    assert stop["exit_status"] == "fail"
    assert stop["reason"].startswith(
        f"photons were not written: those of 9 frames (shots 9 to 17): {path}: no room for "
    )
    assert caplog.text.count("photons wait in memory") == 1
    assert caplog.text.count("photons were not written: those of 9 frames") == 1
    assert len(detection.failures) == 1
    assert len(detection.table.rows(detection.table.runs[0])[f"{BALOR}_n_photons"]) == 18
    assert_told_photons_are_in_the_files(derived)


def test_a_disk_that_is_full_gets_no_empty_file(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(opening.shutil, "disk_usage", lambda path: usage)
    detection = PhotonDetection().read_as(directory=tmp_path)
    derived = taken_while(scan_of(tmp_path, 2), detection, lambda _: None)
    assert "the disk is full: 0.0 MB are free, 8.4 MB are" in derived.of("stop")[0]["reason"]
    assert photon_files(derived) == []
    assert not list(tmp_path.iterdir())


def test_photons_are_left_out_when_there_is_no_memory_for_them(tmp_path, disk, monkeypatch, caplog):
    """Steps are of two shots, and of the third one the first is left out and the second not."""
    monkeypatch.setattr(written, "WAITING_BYTES", 2000)  # of two frames
    detection = PhotonDetection().read_as(directory=tmp_path)
    derived = taken_while(
        scan_of(tmp_path, n_steps=4, n_events=2, num_images=1),
        detection,
        lambda n: disk.__setitem__(slice(None), ["full"] * (n < 4)),
    )
    (path,) = photon_files(derived)
    # that there is room is found out when the fifth shot has come
    assert xye.contents(path).frames["shot"].tolist() == [0, 1, 5, 6, 7]
    assert derived.of("stop")[0]["reason"].startswith(
        "photons were not written: those of 3 frames (shots 2 to 4): "
    )
    assert caplog.text.count("of photons wait in memory for a disk; those of the frames that") == 1
    assert_told_photons_are_in_the_files(derived)
    rows = primary_rows(derived.documents)
    assert [row[f"{BALOR}_first_photon"] is None for row in rows] == [True, True, True, False]
    assert_valid(derived.documents)


@pytest.mark.parametrize(
    ("situation", "seed"),
    [
        pytest.param(situation, seed, marks=[LONG] if seed > (situation == "rewind") else [])
        for situation in ("normal", "rewind", "changing bursts")
        for seed in range(20)
    ],
)
def test_whenever_the_disk_is_full_every_shot_is_written_or_told(
    tmp_path, disk, monkeypatch, situation, seed
):
    """Also of events that are taken again, and where there is no room at the end."""
    rng = np.random.default_rng([seed, *situation.encode()])
    if seed % 2 == 0:
        monkeypatch.setattr(written, "WAITING_BYTES", 0)
    make_plan, on_pause, (length, *_) = SITUATIONS[situation]
    motor = SimulatedMotor(name="stage_x")
    detector = balor(None, style="inline", num_images=length, motor=motor)
    detection, derived = PhotonDetection().read_as(directory=tmp_path), Recorder()
    detection.subscribe(derived)

    def fill(name, _):
        detection.wait()
        disk[:] = ["full"] * int(rng.integers(2))

    run_plan(make_plan([detector], motor), fill, detection, on_pause=on_pause)
    run = detection.table.runs[0]
    n_shots = len(detection.table.rows(run)[f"{BALOR}_n_photons"])
    stop = derived.of("stop")[0]
    files = photon_files(derived)
    found = xye.contents(files[0]).frames["shot"].tolist() if files else []
    missing = sorted(set(range(n_shots)) - set(found))
    assert found == sorted(set(found))
    assert (stop["exit_status"] == "fail") == bool(missing)
    if missing:
        told = f"those of {len(missing)} frames ({in_words(set(missing))})"
        assert told in stop["reason"]
    assert_valid(derived.documents)
    assert_told_photons_are_in_the_files(derived)


def test_a_directory_in_which_nothing_can_be_made_for_a_while(tmp_path, caplog):
    (tmp_path / "process").write_text("in the way")
    motor = SimulatedMotor(name="stage_x")
    detector = balor(tmp_path / "raw", motor=motor)
    detection = PhotonDetection()
    derived = taken_while(
        bp.scan([detector], motor, 0, 1, 4), detection,
        lambda n: (tmp_path / "process").unlink() if n == 2 else None,
    )  # fmt: skip
    (path,) = photon_files(derived)
    assert xye.contents(path).frames["shot"].tolist() == list(range(12))
    assert derived.of("stop")[0]["exit_status"] == "success"
    assert caplog.text.count("cannot make the folder") == 1
    assert caplog.text.count("photons are written again") == 1


def test_a_name_that_is_taken_while_it_is_waited_for_is_not_taken_away(tmp_path, disk, caplog):
    detection = PhotonDetection().read_as(directory=tmp_path)
    name = f"scan_1_{BALOR}_xye.h5"
    (tmp_path / name).write_text("mine")

    def fill(number):
        disk[:] = ["full"] * (number < 3)
        if number == 2:
            (tmp_path / name.replace(".h5", "_2.h5")).write_text("mine, too")

    derived = taken_while(scan_of(tmp_path), detection, fill)
    assert [p.name for p in photon_files(derived)] == [name.replace(".h5", "_3.h5")]
    assert caplog.text.count(f"{name} exists already and is kept") == 2, "not with each event"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_is_deleted_while_it_is_written(tmp_path, caplog):
    detection = PhotonDetection().read_as(directory=tmp_path / "here")
    derived = taken_while(
        scan_of(tmp_path), detection,
        lambda n: shutil.rmtree(tmp_path / "here") if n == 2 else None,
    )  # fmt: skip
    gone, path = photon_files(derived)
    assert (gone.exists(), path.name) == (False, f"scan_1_{BALOR}_xye_again.h5")
    assert xye.contents(path).frames["shot"].tolist() == list(range(6, 18))
    assert derived.of("stop")[0]["reason"] == (
        f"photons were not written: those of 6 frames (shots 0 to 5): {gone} was deleted while it "
        "was written, with the photons of 6 frames; look who does so"
    )
    assert caplog.text.count("was deleted while it was written") == 2  # then, and at the end
    assert_valid(derived.documents)


def test_a_file_that_is_moved_goes_on_where_it_is(tmp_path, caplog):
    detection = PhotonDetection().read_as(directory=tmp_path / "here")
    derived = taken_while(
        scan_of(tmp_path), detection,
        lambda n: (tmp_path / "here").rename(tmp_path / "there") if n == 2 else None,
    )  # fmt: skip
    (path,) = (tmp_path / "there").iterdir()
    assert xye.contents(path).frames["shot"].tolist() == list(range(18))
    assert derived.of("stop")[0]["exit_status"] == "success"
    assert "photons" not in caplog.text


def test_what_goes_wrong_otherwise_ends_the_file_and_is_told(tmp_path, monkeypatch, caplog):
    detection = PhotonDetection().read_as(directory=tmp_path)

    def fail(*_):
        raise RuntimeError("a bug")

    derived = taken_while(
        scan_of(tmp_path), detection,
        lambda n: n == 4 and monkeypatch.setattr(written.PatientFile, "append", fail),
    )  # fmt: skip
    (path,) = photon_files(derived)
    assert xye.contents(path).frames["shot"].tolist() == list(range(12))
    assert derived.of("stop")[0]["reason"] == (
        "photons were not written: those of 6 frames (shots 12 to 17): a bug"
    )
    assert caplog.text.count("photons are not written any more in this run") == 1
    assert len(primary_rows(derived.documents)) == 6


def test_shots_in_words():
    assert in_words({7}) == "shots 7"
    assert in_words({0, 1, 2, 5, 6}) == "shots 0 to 2, 5 to 6"
    assert in_words(set(range(0, 40, 2))) == "shots 0, 2, 4, 6, and others up to 38"
