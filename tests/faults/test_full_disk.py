"""Disks that become full, read-only or forbidden while a run is analysed."""

from __future__ import annotations

import json
import resource
import shutil
import time

import numpy as np
import pytest
from bluesky import plans as bp

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.files import opening, photon_header
from femto_bluesky.files.checkpoints import read_checkpoint
from femto_bluesky.stream.frames import path_of_uri
from femto_bluesky.testing.documents import Recorder
from femto_bluesky.testing.runs import run_plan
from tests.disks import plain_user, size_limit, small_disk
from tests.faults.analysed import (
    BALOR,
    FRAMES,
    MOTOR,
    N_FRAMES,
    N_SHOTS,
    N_STEPS,
    OF_PHOTON,
    Analysed,
    analysed,
    assert_files_are_whole,
    assert_numbers_are_complete,
    assert_same_file,
    bytes_lost,
    detector_of,
)

LIMIT = "a limit on the size of files (RLIMIT_FSIZE)"
PROMISED = (
    "one message; the numbers in memory are complete; what waits is written when there is room"
)
PROMISED_NEVER = (
    "the photon file is readable to the last flush; the derived run says what is missing"
)


@pytest.fixture(scope="module")
def documents():
    """A scan whose frames stand in its documents, so that no disk has a part in it."""
    return run_plan(bp.scan([detector_of(None, "inline")], MOTOR, 0, 1, N_STEPS))


@pytest.fixture(scope="module")
def whole(documents, tmp_path_factory):
    """What comes out where nothing is in the way."""
    done = analysed(documents, tmp_path_factory.mktemp("whole"))
    assert done.shots == list(range(N_SHOTS))
    return done


@pytest.fixture
def small_chunks(monkeypatch):
    """Files that grow with nearly every event."""
    monkeypatch.setattr(photon_header, "PHOTON_ROWS", 256)
    monkeypatch.setattr(photon_header, "FRAME_ROWS", 4)
    monkeypatch.setattr(opening, "TABLE_BYTES", 2**16)
    monkeypatch.setattr(opening, "NEW_FILE_BYTES", 2**16)


# --- quick ones ---------------------------------------------------------------------------------


def test_a_limit_on_the_size_of_files(documents, whole, tmp_path, small_chunks, caplog, fault):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    at = {4: 0, len(documents) // 3: before[0], len(documents) // 2: 200_000,
          len(documents) - 4: before[0]}  # fmt: skip
    moments = []

    def limit(number):
        if number in at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (at[number], before[1]))
        if number >= max(at):
            moments.append(time.perf_counter())

    try:
        done = analysed(documents, tmp_path / "results", limit, has_files=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    recovery = moments[1] - moments[0]  # until the next event had been analysed
    assert any("File too large" in problem for problem in done.problems)
    assert_numbers_are_complete(done, whole)
    assert_same_file(done, whole)
    assert_files_are_whole(done)
    assert caplog.text.count("photons wait in memory until they can be written") == 2
    assert done.stop["exit_status"] == "success"
    fault(
        "a quota, twice in a run",
        injected=f"{LIMIT} from the first event on, lifted, set again, lifted before the end",
        promised=PROMISED,
        happened=f"2 messages; {len(done.problems)} of {len(documents)} documents came while "
        "photons waited; the photon file is that of an undisturbed run",
        taken=N_SHOTS, analysed=len(done.shots), missing=done.n_missing, bytes_lost=0,
        recovery_s=recovery,
    )  # fmt: skip


def test_a_limit_on_the_size_of_files_that_stays(documents, whole, tmp_path, small_chunks, fault):
    """HDF5 would leave a file that is cut off, or end the process."""
    n_found = n_missing = n_lost = 0
    limits = range(150_000, 500_000, 100_000)
    for limit in limits:
        with size_limit(limit):
            done = analysed(documents, tmp_path / str(limit))
        assert_numbers_are_complete(done, whole)
        n_lost += bytes_lost(done, whole)
        assert len(done.shots) + done.n_missing == N_SHOTS
        n_found, n_missing = n_found + len(done.shots), n_missing + done.n_missing
    assert n_found > N_SHOTS
    assert n_missing > N_SHOTS
    fault(
        "a quota that stays",
        injected=f"{LIMIT} of {limits[0]} to {limits[-1]} bytes in {len(limits)} runs",
        promised=PROMISED_NEVER,
        happened="each photon file was closed and holds every event up to the last flush",
        taken=len(limits) * N_SHOTS, analysed=n_found, missing=n_missing, bytes_lost=n_lost,
    )  # fmt: skip


def test_a_directory_that_is_forbidden_for_a_while(documents, whole, caplog, fault):
    """While a file is open, whose writing needs no permission any more, and before it is."""
    with plain_user() as folder:
        results = folder / "results"
        results.mkdir()
        rights = {0: 0o500, len(documents) // 2: 0o700}
        early = analysed(
            documents, results, lambda n: results.chmod(rights[n]) if n in rights else None
        )
        assert any("Permission denied" in problem for problem in early.problems)
        n_messages = caplog.text.count("photons wait in memory until they can be written")
        late = analysed(
            documents, results,
            lambda n: results.chmod(0o000) if n == len(documents) // 2 else None,
        )  # fmt: skip
        results.chmod(0o700)
        for done in (early, late):
            assert_numbers_are_complete(done, whole)
            assert_same_file(done, whole)
        assert late.problems == []
        # of the second run only the image of the sum was to be begun when nothing could be
        assert late.stop["reason"].startswith("accumulated andor3_balor_image was not written: ")
        assert (early.stop["exit_status"], late.stop["exit_status"]) == ("success", "fail")
        assert late.live.failures == []
        n_found = len(early.shots) + len(late.shots)
    assert n_messages == 1
    fault(
        "the rights of the directory change",
        injected="chmod 500 before a run until its middle; chmod 000 from the middle of another on",
        promised=PROMISED,
        happened=f"{n_messages} message in the first run, none for photons in the second: its file "
        "was open; both photon files are those of an undisturbed run",
        taken=2 * N_SHOTS, analysed=n_found, missing=early.n_missing + late.n_missing, bytes_lost=0,
    )  # fmt: skip


def test_a_directory_that_is_deleted(documents, whole, tmp_path, caplog, fault):
    results = tmp_path / "results"

    def delete(number):
        if number == len(documents) // 2:
            shutil.rmtree(results)

    done = analysed(documents, results, delete)
    assert_numbers_are_complete(done, whole)
    assert done.shots == list(range(N_SHOTS - len(done.shots), N_SHOTS))
    n_lost = (len(whole.contents[0].photons) - len(done.contents[0].photons)) * OF_PHOTON
    assert "was deleted while it was written" in done.stop["reason"]
    fault(
        "the directory is deleted in the middle of a run",
        injected="its files and it are removed after half of the documents",
        promised="the numbers in memory are complete; another photon file is begun; the derived "
        "run says what went with the first",
        happened=f"the derived run says: {done.stop['reason'].split(': ')[1]}",
        taken=N_SHOTS, analysed=len(done.shots), missing=done.n_missing,
        bytes_lost=n_lost,
    )  # fmt: skip


# --- with a disk of their own -------------------------------------------------------------------


@pytest.mark.long
def test_a_disk_that_fills_at_random_and_gets_room_again(
    documents, whole, tmp_path, small_chunks, monkeypatch, caplog, fault
):
    """The kernel says that it is full where nothing is kept spare, `check_room` where it is."""
    n_seeds, n_found, n_missing, n_waited, n_kept, recovery = 40, 0, 0, 0, 0, []
    with small_disk(tmp_path / "disk", 40) as disk:
        for seed in range(n_seeds):
            rng = np.random.default_rng(seed)
            spare = 0 if seed % 2 else opening.SPARE_BYTES
            monkeypatch.setattr(opening, "SPARE_BYTES", spare)
            caplog.clear()
            freed = []

            def at_random(number, seed=seed, rng=rng, freed=freed):
                # before the last event, or the stop document
                if number >= len(documents) - 1 - seed // 2 % 2:
                    disk.free()
                    freed.append(time.perf_counter())
                elif rng.random() < 0.2:
                    if rng.random() < 0.5:
                        disk.fill(leave=int(rng.choice([0, 5_000, 100_000, 400_000])))
                    else:
                        disk.free()

            folder = disk.path / f"{seed}"
            done = analysed(documents, folder, at_random, sums=folder / "sums", has_files=seed < 10)
            recovery += np.diff(freed).tolist()
            assert done.live.failures == []
            assert done.stop["exit_status"] == "success"
            assert_numbers_are_complete(done, whole)
            assert_same_file(done, whole)
            if done.files is not None:
                assert_files_are_whole(done)
            done.kept.look()
            assert done.kept.problem == ""
            _, kept = read_checkpoint(done.kept.path(BALOR))
            n_kept += kept.total.n_frames
            done.kept.close()
            n_found, n_missing = n_found + len(done.shots), n_missing + done.n_missing
            n_waited += bool(done.problems)
            began = caplog.text.count("photons wait in memory until they can be written")
            assert began == caplog.text.count("photons are written again, and those that waited")
            shutil.rmtree(folder)
    assert n_kept == n_seeds * N_SHOTS
    assert n_waited > n_seeds / 2
    fault(
        "a disk that is full at random moments",
        injected=f"a tmpfs filled and freed at random in {n_seeds} runs; room at the end",
        promised=PROMISED,
        happened=f"photons waited in {n_waited} runs; all photon files are those of an undisturbed "
        "run, and so are the running sums that are kept, and lines, results and pictures",
        taken=n_seeds * N_SHOTS, analysed=n_found, missing=n_missing, bytes_lost=0,
        recovery_s=max(recovery),
    )  # fmt: skip


@pytest.mark.long
def test_a_disk_that_stays_full(documents, whole, tmp_path, small_chunks, monkeypatch, fault):
    n_seeds, n_found, n_missing, n_lost = 40, 0, 0, 0
    with small_disk(tmp_path / "disk", 40) as disk:
        for seed in range(n_seeds):
            rng = np.random.default_rng(seed)
            monkeypatch.setattr(opening, "SPARE_BYTES", 0 if seed % 2 else 4 * 2**20)
            moment = int(rng.integers(8, len(documents)))
            leave = int(rng.choice([0, 5_000, 100_000]))

            def fill(number, moment=moment, leave=leave):
                if number == moment:
                    disk.fill(leave)

            done = analysed(documents, disk.path / f"{seed}", fill, has_files=seed < 10)
            assert not list(done.directory.glob(".*")), "nothing half is left"
            for lines in done.directory.glob("*.jsonl"):
                assert all(json.loads(line) for line in lines.read_text().splitlines())
            assert_numbers_are_complete(done, whole)
            n_lost += bytes_lost(done, whole)
            missing = N_SHOTS - len(done.shots)
            assert done.n_missing == missing
            if missing:
                assert f"(shots {len(done.shots)} to {N_SHOTS - 1})" in done.stop["reason"]
                assert done.stop["exit_status"] == "fail"
            n_found, n_missing = n_found + len(done.shots), n_missing + done.n_missing
            disk.free()
            shutil.rmtree(disk.path / f"{seed}")
    assert n_missing > N_SHOTS
    fault(
        "a disk that becomes full and stays so",
        injected=f"a tmpfs filled at a random moment of {n_seeds} runs",
        promised=PROMISED_NEVER,
        happened="each photon file was closed and holds every event up to the last flush",
        taken=n_seeds * N_SHOTS, analysed=n_found, missing=n_missing, bytes_lost=n_lost,
    )  # fmt: skip


@pytest.mark.long
def test_a_disk_that_is_read_only_for_a_while(documents, whole, tmp_path, caplog, fault):
    with small_disk(tmp_path / "disk", 40) as disk:
        assert disk.remount("ro")

        def again(number):
            if number == len(documents) // 2:
                assert disk.remount("rw")
            elif number == len(documents) // 2 + 8:
                # the kernel refuses while a file is open for writing
                assert not disk.remount("ro")

        done = analysed(documents, disk.path / "results", again)
        assert any("Read-only file system" in problem for problem in done.problems)
        assert_numbers_are_complete(done, whole)
        assert_same_file(done, whole)
        n_found = len(done.shots)
    n_messages = caplog.text.count("photons wait in memory until they can be written")
    assert n_messages == 1
    fault(
        "a disk that is read-only",
        injected="a tmpfs mounted read-only until the middle of the run",
        promised=PROMISED,
        happened=f"{n_messages} message; the photon file is that of an undisturbed run",
        taken=N_SHOTS, analysed=n_found, missing=done.n_missing, bytes_lost=0,
    )  # fmt: skip


@pytest.mark.long
def test_a_disk_that_is_full_of_raw_frames(tmp_path, fault):
    """The scan stops, for the detector says so; what was taken is analysed."""
    with small_disk(tmp_path / "disk", 40) as disk:
        detector = detector_of(disk.path / "raw", "stream")
        live, derived = LiveAnalysis(), Recorder()
        live.read_as(directory=tmp_path / "results").subscribe(derived)
        raw = Recorder()

        def fill(name, doc):
            live.wait()
            if name == "event" and doc["seq_num"] == N_STEPS // 2:
                disk.fill()

        with pytest.raises(Exception, match=r"the disk is full: .* make room on it"):
            run_plan(bp.scan([detector], MOTOR, 0, 1, N_STEPS), raw, live, fill)
        live.wait()
        done = Analysed(live, derived, tmp_path / "results")
        n_events = len(raw.of("event"))
        (path,) = [path_of_uri(doc["uri"]) for doc in raw.of("stream_resource")]
        with opening.open_hdf5(path) as file:
            frames = file["/entry/data/data"]
            n_frames = len(frames)
            np.testing.assert_array_equal(
                frames[n_events * N_FRAMES - 1], FRAMES(n_frames - 1, 0.0)
            )
    assert raw.of("stop")[0]["exit_status"] == "fail"
    assert n_events == N_STEPS // 2
    assert n_frames >= n_events * N_FRAMES
    assert done.live.accumulations.result()[BALOR].n_frames == n_events * N_FRAMES
    fault(
        "the disk of the raw frames is full",
        injected="a tmpfs filled in the middle of a scan of the simulated camera",
        promised="the scan ends with the reason; every event before is there and analysed",
        happened=f"the run failed at step {n_events}: {raw.of('stop')[0]['reason'][-40:]}",
        taken=n_events * N_FRAMES, analysed=len(done.shots), missing=done.n_missing, bytes_lost=0,
    )  # fmt: skip
