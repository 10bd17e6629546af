"""Disks that become full under whatever else is written: conversions, exports, catalogs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from bluesky import plans as bp
from typer.testing import CliRunner

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.cli import app
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import opening, photon_header, xye
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import jsonl, open_catalog
from femto_bluesky.sources.catalogs import Catalog
from femto_bluesky.sources.catalogs.lines import LinesStore
from femto_bluesky.testing.runs import run_plan
from femto_bluesky.viewer import serve
from tests.catalogs import need_a_catalog
from tests.disks import size_limit, small_disk
from tests.offline import raw
from tests.viewer.shown import ask

N_STEPS, N_FRAMES = 8, 3
FRAMES = BalorFrames(BalorSettings(shape=(128, 160), n_photons=120, n_hot_pixels=2))
LIMIT = "a limit on the size of files (RLIMIT_FSIZE)"
NOTHING_HALF = "it fails in words, and nothing half is left"


def scan(directory: Path | None, style: str) -> list:
    motor = SimulatedMotor(name="delay")
    detector = SimulatedDetector(
        name="andor3_balor", source=FRAMES, directory=directory, style=style,
        num_images=N_FRAMES, motor=motor,
    )  # fmt: skip
    return run_plan(bp.scan([detector], motor, 0, 1, N_STEPS))


@pytest.fixture(scope="module")
def documents():
    """A scan whose frames stand in its documents."""
    return scan(None, "inline")


def run(*given: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, given)])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def small_chunks(monkeypatch):
    """HDF5 files that begin small and grow often."""
    monkeypatch.setattr(photon_header, "PHOTON_ROWS", 256)
    monkeypatch.setattr(opening, "TABLE_BYTES", 2**16)
    monkeypatch.setattr(opening, "NEW_FILE_BYTES", 2**16)


def test_convert(documents, tmp_path, small_chunks, fault):
    """When the file of the frames is made, in the middle of the frames, and in the lines."""
    source, out = tmp_path / "scan.jsonl", tmp_path / "out"
    out.mkdir()
    source.write_text("".join(jsonl.line(*pair) for pair in documents))
    words = []
    for limit in (1000, 400_000):
        with size_limit(limit):
            code, said = run("convert", source, "--to", out / "scan.jsonl")
        assert code == 1
        assert "File too large; make room on the disk" in said
        assert "Traceback" not in said
        assert not list(out.iterdir())
        words.append(said)
    assert run("convert", source, "--to", out / "scan.jsonl")[0] == 0
    with size_limit(1000):
        code, said = run("convert", out / "scan.jsonl", "--to", out / "again.jsonl.gz")
    assert (code, len(list(out.iterdir()))) == (1, 2)
    assert "cannot write" in said
    fault(
        "no room while recordings are converted",
        injected=f"{LIMIT}, reached in the frames and in the lines",
        promised=NOTHING_HALF, happened=f"exit code 1: {words[0].rpartition(': ')[2]}",
    )  # fmt: skip


def test_photons_of_raw_files(tmp_path, small_chunks, fault):
    data = raw.frames(120)
    file = raw.write(tmp_path / "a.h5", data)
    with size_limit(1000):
        code, said = run("photons", file, "--out", tmp_path / "none", "--processes", 1)
    assert code == 1
    assert "make room on the disk" in said
    assert not list((tmp_path / "none").iterdir())
    with size_limit(250_000):
        code, said = run("photons", file, "--out", tmp_path / "some", "--processes", 1)
    (path,) = (tmp_path / "some").iterdir()
    found = xye.contents(path).frames["shot"]
    assert code == 1
    assert f"make room on the disk; {len(found)} of 120 frames of {file} are in {path}" in said
    assert found.tolist() == list(range(len(found)))
    fault(
        "no room for the photons of a raw file",
        injected=f"{LIMIT}, before `femto-bluesky photons --out` begins and in its middle",
        promised="it fails in words, which say how many frames are in the photon file",
        happened=f"exit code 1, {len(found)} frames are there and the words say so",
        taken=120, analysed=len(found), missing=120 - len(found),
    )  # fmt: skip


@pytest.mark.long
def test_exports_of_the_page(documents, tmp_path, monkeypatch, fault):
    folder = tmp_path / "tmp"
    folder.mkdir()
    live = LiveAnalysis(photon_files=False)
    with serve(live) as server:
        for name, doc in documents:
            live(name, doc)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        paths = ("results.h5", "steps.csv", "csv/accumulated/andor3_balor.csv",
                 "png/accumulated/andor3_balor.png")  # fmt: skip
        with size_limit(300):
            replies = [ask(server.address, f"/export/{path}") for path in paths]
        assert [reply.status for reply in replies] == [422] * len(paths)
        for reply in replies:
            assert "File too large" in reply.words
        assert not list(folder.iterdir())
        assert [ask(server.address, f"/export/{path}").status for path in paths] == [200] * 4
    fault(
        "no room for an export of the page",
        injected=f"{LIMIT} while each kind of file is asked for",
        promised=NOTHING_HALF + "; the page goes on",
        happened=f"{len(paths)} of {len(paths)} were answered with the reason, and afterwards made",
    )  # fmt: skip


def test_lines_of_a_catalog(tmp_path, caplog, fault):
    """Raw runs on their way into a catalog, and in a directory of JSON lines."""
    documents = scan(tmp_path / "raw", "stream")
    with Catalog(LinesStore(tmp_path / "store"), tmp_path / "here") as catalog:
        for number, (name, doc) in enumerate(documents):
            if number in range(5, len(documents) - 2):
                with size_limit(1500):
                    catalog.writer(name, doc)
            else:
                lifted = time.perf_counter()
                catalog.writer(name, doc)
        recovery = time.perf_counter() - lifted
        assert catalog.writer.wait()
        assert catalog.writer.failures == []
        (kept,) = catalog
        assert [name for name, _ in kept.read()] == [name for name, _ in documents]
        n_kept = sum(name == "event" for name, _ in kept.read())
        assert caplog.text.count("documents wait in memory until they can be written") == 1
        assert caplog.text.count("documents are written again, and those that waited are") == 1

        # and where the catalog itself has no room, it has no part of the run, which waits
        other = [(n, dict(d)) for n, d in scan(tmp_path / "raw", "stream")]
        for name, doc in other[:-1]:
            catalog.writer(name, doc)
        store = sorted((tmp_path / "store").iterdir())
        waiting = next((tmp_path / "here" / "waiting").glob("*.jsonl"))
        with size_limit(500), pytest.raises(OSError, match="File too large"):
            LinesStore(tmp_path / "store").insert(waiting)
        assert sorted((tmp_path / "store").iterdir()) == store
        catalog.writer(*other[-1])
    fault(
        "no room for the documents of a raw run",
        injected=f"{LIMIT} for most of a run that is written into a catalog of JSON lines",
        promised="one message; documents wait in memory and are written when there is room",
        happened=f"{n_kept} of {N_STEPS} events are in the catalog",
        taken=N_STEPS * N_FRAMES, analysed=n_kept * N_FRAMES, missing=0, bytes_lost=0,
        recovery_s=recovery,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_an_embedded_catalog(tmp_path, caplog, fault):
    """Full while a run is taken, and while it is stored: the scan goes on, nothing is lost."""
    need_a_catalog()
    runs = [scan(tmp_path / "raw", "stream") for _ in range(4)]
    with small_disk(tmp_path / "disk", 60) as disk:
        with open_catalog(None, disk.path / "catalog") as catalog:
            for number, documents in enumerate(runs):
                for place, (name, doc) in enumerate(documents):
                    if number == 1 and place == 3:
                        disk.fill()
                    elif (number == 1 and place == len(documents) - 3) or (number, place) == (3, 3):
                        disk.free()
                    elif number == 2 and name == "stop":
                        disk.fill()
                    catalog.writer(name, doc)
                catalog.writer.wait()
            n_waiting = len(list((disk.path / "catalog").rglob("waiting/*.jsonl")))
            n_failures = len(catalog.writer.failures)
        began = time.perf_counter()
        with open_catalog(None, disk.path / "catalog") as catalog:
            assert catalog.writer.take_in(60)
            recovery = time.perf_counter() - began
            uids = {run.uid for run in catalog}
            assert uids == {documents[0][1]["uid"] for documents in runs}
            for run_of in catalog:
                events = [doc for name, doc in run_of.read() if name == "event"]
                assert len(events) == N_STEPS
                assert np.isfinite([event["data"]["delay"] for event in events]).all()
    fault(
        "the disk of an embedded catalog is full",
        injected="a tmpfs filled while a run is taken, and while another is stored",
        promised="the scan goes on; what cannot be stored waits beside the catalog",
        happened=f"{n_failures} failures told, {n_waiting} runs waited and were taken in at the "
        f"next start; {len(uids)} of {len(runs)} runs are there whole",
        taken=len(runs) * N_STEPS * N_FRAMES, analysed=len(uids) * N_STEPS * N_FRAMES, missing=0,
        bytes_lost=0, recovery_s=recovery,
    )  # fmt: skip
