"""Photon files of parts: what a replay writes, however the runs were cut."""

from __future__ import annotations

import dataclasses

import h5py
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.files import xye
from femto_bluesky.reprocess import photon_parts, reprocess
from femto_bluesky.reprocess.photon_parts import PhotonParts
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources.replay import replay
from femto_bluesky.testing.documents import difference
from tests.reprocess.made_runs import a_run

SHAPE = (64, 72)
BALOR = "andor3_balor1"


def camera_runs(folder, n_runs=2):
    """Delay scans with photons on a Balor; each shot has a label, the laser."""
    frames = BalorFrames(BalorSettings(shape=SHAPE, n_photons=12, n_hot_pixels=1))
    runs = []
    for number in range(n_runs):
        runs.append(list(a_run(folder, number, shape=SHAPE, detectors=(BALOR,))))
        with h5py.File(folder / f"{number:04d}_{BALOR}.h5", "r+") as file:
            for index in range(len(file["data"])):
                file["data"][index] = frames(100 * number + index)
    return runs


def started(run):
    return {"scan_id": run[0][1]["scan_id"], "original_time": run[0][1]["time"]}


def as_dict(path):
    return {field.name: getattr(found, field.name)
            for found in [xye.contents(path)] for field in dataclasses.fields(found)}  # fmt: skip


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """Two runs, and their photon files as a replay leaves them."""
    folder = tmp_path_factory.mktemp("camera")
    runs = camera_runs(folder)
    out = folder / "replayed"
    for run in runs:
        replay(run, LiveAnalysis(directory=out))
    paths = sorted(out.glob("*_xye.h5"))
    assert len(paths) == 2
    assert len(xye.read(paths[0])) > 100
    return runs, paths


@pytest.mark.parametrize(("group_by", "frames_per_piece"), [("laser", 2), ("delay", 3), (None, 7)])
def test_joined_files_hold_what_a_replay_writes(replayed, tmp_path, group_by, frames_per_piece):
    runs, expected = replayed
    parts = PhotonParts(tmp_path / "parts")
    done = reprocess(
        runs, LiveAnalysis(photon_files=False), workers=1, group_by=group_by, parts=parts,
        frames_per_piece=frames_per_piece,
    )  # fmt: skip
    assert not done.broken
    assert len(list(parts.path.glob("*/*/*.part.npz"))) > 4
    for run, path in zip(runs, expected, strict=True):
        (joined,) = parts.join(run[0][1]["uid"], started(run), tmp_path)
        assert joined == tmp_path / path.name
        assert difference(as_dict(path), as_dict(joined)) is None
        with h5py.File(joined) as file:
            assert file.attrs["file_name"] == path.name
            assert file["entry/scan_id"][()] == run[0][1]["scan_id"]
            assert file["entry/raw"].shape == (15, *SHAPE), "the link to the raw frames is broken"


def test_parts_may_overlap_and_come_in_any_order(replayed, tmp_path):
    runs, expected = replayed
    parts = PhotonParts(tmp_path / "parts")
    for frames_per_piece in (4, 3):  # broken off, and gone on with another number of workers
        reprocess(
            runs[:1], LiveAnalysis(photon_files=False), workers=1, parts=parts,
            frames_per_piece=frames_per_piece,
        )  # fmt: skip
    (joined,) = parts.join(runs[0][0][1]["uid"], started(runs[0]), tmp_path)
    assert difference(as_dict(expected[0]), as_dict(joined)) is None


def test_what_was_joined_is_not_joined_again(replayed, tmp_path):
    runs, _ = replayed
    parts = PhotonParts(tmp_path / "parts")
    reprocess(runs[:1], LiveAnalysis(photon_files=False), workers=1, parts=parts)
    uid = runs[0][0][1]["uid"]
    first = parts.join(uid, started(runs[0]), tmp_path)
    was = first[0].stat()
    assert parts.join(uid, started(runs[0]), tmp_path) == first == parts.joined()
    assert first[0].stat() == was
    assert parts.join("another", {}, tmp_path) == []
    parts.remove()
    assert not parts.path.exists()
    assert first[0].exists()


def test_nothing_is_left_of_a_join_that_fails(replayed, tmp_path, monkeypatch):
    runs, expected = replayed
    parts = PhotonParts(tmp_path / "parts")
    reprocess(runs[:1], LiveAnalysis(photon_files=False), workers=1, parts=parts)
    uid = runs[0][0][1]["uid"]
    with monkeypatch.context() as patch:
        patch.setattr(photon_parts.PhotonFile, "close", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            parts.join(uid, started(runs[0]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
    (joined,) = parts.join(uid, started(runs[0]), tmp_path)
    assert difference(as_dict(expected[0]), as_dict(joined)) is None


def test_much_is_written_before_the_end_of_a_piece(replayed, tmp_path, monkeypatch):
    monkeypatch.setattr(photon_parts, "PART_BYTES", 1000)
    runs, expected = replayed
    parts = PhotonParts(tmp_path / "parts")
    reprocess(runs[:1], LiveAnalysis(photon_files=False), workers=1, parts=parts)
    assert len(list(parts.path.glob("*/*/*.part.npz"))) > 1
    (joined,) = parts.join(runs[0][0][1]["uid"], started(runs[0]), tmp_path)
    assert difference(as_dict(expected[0]), as_dict(joined)) is None
