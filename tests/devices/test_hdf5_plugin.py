from __future__ import annotations

import numpy as np
import pytest

from femto_bluesky.devices import hdf5_plugin
from femto_bluesky.devices.hdf5_plugin import DetectorError
from femto_bluesky.devices.twins import simulated_zyla


@pytest.fixture
def camera(tmp_path):
    def frame(index, position):
        return np.full((6, 9), index, np.uint16)

    return simulated_zyla("cam", directory=tmp_path, source=frame)


def test_frames_of_another_shape_than_the_file_would_have_are_refused(camera):
    camera.cam.array_size.array_size_x.sim_put(4)
    with pytest.raises(DetectorError, match=r"seen frames of \(6, 9\).*takes \(6, 4\).*warmup"):
        camera.stage()
    camera.cam.array_size.array_size_x.sim_put(9)
    camera.stage()
    camera.unstage()
    # behind another plugin frames may have any shape
    camera.cam.array_size.array_size_x.sim_put(4)
    camera.hdf5.nd_array_port.sim_put("HDF5")
    camera.hdf5._check_shape()


def test_a_frame_is_shown_to_the_plugin(camera, monkeypatch):
    camera.hdf5.height.sim_put(4)
    camera.num_images.set(5).wait()
    camera.cam.trigger_mode.set("External").wait()
    with pytest.raises(DetectorError, match="warmup"):
        camera.stage()
    camera.hdf5.warmup()
    assert camera.num_images.get() == 5
    assert camera.cam.trigger_mode.get(as_string=True) == "External"
    assert len(camera.ioc.bursts) == 1
    camera.stage()
    camera.unstage()
    monkeypatch.setattr(hdf5_plugin, "WARMUP_S", 0.2)
    camera.ioc.loses[1] = 1
    with pytest.raises(DetectorError, match="no frame came to the HDF5 plugin"):
        camera.hdf5.warmup()
    assert camera.num_images.get() == 5


def test_a_plugin_that_has_seen_no_frame_is_refused(camera):
    for name in ("height", "width"):
        getattr(camera.hdf5.array_size, name).sim_put(0)
        getattr(camera.hdf5, name).sim_put(0)
        getattr(camera.cam.array_size, f"array_size_{'y' if name == 'height' else 'x'}").sim_put(0)
    with pytest.raises(Exception, match="has not been primed"):
        camera.stage()


def test_a_file_without_swmr_is_refused(camera, monkeypatch):
    monkeypatch.setattr(hdf5_plugin, "SETTLE_S", 0.1)
    was = camera.ioc._put_capture

    def without(value):
        was(value)
        camera.hdf5.swmr_active.sim_put("Off")

    camera.hdf5.capture.sim_set_putter(without)
    with pytest.raises(DetectorError, match=r"is not written with SWMR.*ADCore 3.4 or newer"):
        camera.stage()
    assert camera.hdf5.capture.get() == 0


def test_what_would_change_or_lose_frames_is_off_for_the_run(camera):
    found = {camera.hdf5.num_extra_dims: 2, camera.hdf5.min_callback_time: 0.5,
             camera.hdf5.num_frames_chunks: 16, camera.cam.array_callbacks: 0}  # fmt: skip
    for signal, value in found.items():
        signal.put(value)
    camera.stage()
    assert [signal.get() for signal in found] == [0, 0, 1, 1]
    camera.unstage()
    assert {signal: signal.get() for signal in found} == found


def test_a_type_that_is_none_is_refused(camera):
    camera.hdf5.data_type.sim_put("Unknown")
    with pytest.raises(DetectorError, match=r"pixels are 'unknown'.*warmup"):
        camera.describe()


def test_each_staging_has_a_file_of_its_own(camera):
    files = []
    for _ in range(2):
        camera.stage()
        files.append(camera.hdf5.file)
        assert [name for name, _ in camera.collect_asset_docs()] == ["stream_resource"]
        camera.unstage()
    assert files[0] != files[1]
    assert all(file.name.startswith("cam_") and file.is_file() for file in files)
