"""Files that were moved are found where they are now."""

from __future__ import annotations

import copy
import shutil

import numpy as np
import pytest

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.sources.moved import moved
from femto_bluesky.stream.frames import FrameError
from femto_bluesky.testing.runs import burst_scan, run_plan

ROIS = {"a": Roi(x0=0, y0=0, x1=5, y1=4)}


def source(index, position):
    return np.random.default_rng(index).poisson(position, (8, 12)).astype(np.uint16)


@pytest.mark.parametrize("style", ["datum", "stream", "tiff"])
def test_a_replay_reads_moved_files(tmp_path, style, caplog):
    motor = SimulatedMotor(name="x")
    detector = SimulatedDetector(
        name="camera", source=source, style=style, directory=tmp_path / "a" / "raw", num_images=2,
        motor=motor,
    )  # fmt: skip
    (tmp_path / "a" / "raw").mkdir(parents=True)
    live = RoiMeans(ROIS)
    documents = run_plan(burst_scan([detector], motor, [1.0, 2.0]), live)
    shutil.move(tmp_path / "a", tmp_path / "b")
    before = copy.deepcopy(documents)
    with pytest.raises(FrameError, match=r"no such file|found 0 in the file"):
        replay(documents, RoiMeans(ROIS))
    if style != "tiff":
        assert f"--path-map {tmp_path / 'a' / 'raw'}=NEW" in caplog.text
        assert caplog.text.count("there is no such file. If it was moved") == 1
    again = RoiMeans(ROIS)
    where = {str(tmp_path): "/nowhere", str(tmp_path / "a"): str(tmp_path / "b")}
    replay(documents, again, path_map=where)
    for name, column in live.result().items():
        np.testing.assert_array_equal(again.result()[name], column)
    assert documents == before


def test_only_whole_folders_count():
    documents = [("stream_resource", {"uri": "file://localhost/data/run%201.h5", "uid": "a"})]
    assert list(moved(documents, {"/dat": "/other"})) == documents
    ((_, document),) = moved(documents, {"/data": "/other"})
    assert document == {"uri": "file://localhost/other/run%201.h5", "uid": "a"}


def test_what_is_no_file_stays():
    documents = [
        ("stream_resource", {"uri": "https://server/data/run.h5", "uid": "a"}),
        ("start", {"uid": "r"}),
    ]
    assert list(moved(documents, {"/data": "/other"})) == documents


def test_a_name_that_no_file_can_have_is_missing(caplog):
    resource = {"uid": "r", "spec": "AD_HDF5", "root": "/", "resource_path": "x" * 5000,
                "resource_kwargs": {}, "mimetype": "application/x-hdf5"}  # fmt: skip
    stream = {"uid": "r", "uri": f"file://localhost/{'x' * 5000}", "mimetype": "application/x-hdf5",
              "data_key": "a", "parameters": {}}  # fmt: skip
    given = [("resource", resource), ("stream_resource", stream)]
    assert list(moved(given, {})) == given
    assert "there is no such file" in caplog.text
