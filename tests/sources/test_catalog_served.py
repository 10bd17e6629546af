"""Frames out of reach are fetched through a Tiled server, as the last resort. Needs Tiled."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import pytest

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import Accumulation, RoiMeans
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs.runs import path_of
from femto_bluesky.stream.frames import FrameError, Hdf5Frames
from femto_bluesky.stream.served import ServedFrames
from femto_bluesky.testing.documents import difference
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import need_a_catalog, tiled_server

need_a_catalog()

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

ROIS = {"a": Roi(x0=0, y0=0, x1=5, y1=4), "b": Roi(x0=3, y0=2, x1=12, y1=8)}


def source(index, position):
    return np.random.default_rng([0, index]).poisson(1 + position, (8, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILED_API_KEY", "secret")
        (folder / "server").mkdir()
        with (
            tiled_server(folder / "server") as url,
            open_catalog(url, folder / "beside") as opened,
        ):
            yield opened


@pytest.fixture
def take(catalog):
    """Takes a run into the catalog; gives it, and a map to where its frames are not."""
    raw = catalog.directory.parent / "raw"  # the server may read what is beside its own folder
    raw.mkdir(exist_ok=True)

    def taken(style, **settings):
        motor = SimulatedMotor(name="stage_x")
        detector = SimulatedDetector(
            name="pilatus", source=source, style=style, directory=raw, num_images=3, motor=motor
        )  # fmt: skip
        plan = burst_scan([detector], motor, [1.0, 2.0, 3.0], **settings)
        docs = run_plan(plan, catalog.writer)
        assert catalog.writer.wait()
        folder = catalog.directory / "frames" if style == "inline" else raw
        return catalog[docs[0][1]["uid"]], {str(folder): "/nowhere"}

    return taken


@pytest.fixture
def reads(monkeypatch):
    """Which source read how many frames."""
    counted = {"server": 0, "file": 0}
    for name, kind in (("server", ServedFrames), ("file", Hdf5Frames)):

        def read(self, index, read=kind.read, name=name):
            counted[name] += 1
            return read(self, index)

        monkeypatch.setattr(kind, "read", read)
    return counted


def analysed(run, path_map=None):
    means, sums = RoiMeans(ROIS), Accumulation()
    replay(run, means, sums, path_map=path_map)
    return means.result(), asdict(sums.result())


@pytest.mark.parametrize(
    ("style", "settings"),
    [
        ("stream", {}), ("datum", {}), ("inline", {}), ("stream", {"pause_after_save": [1]}),
        ("stream", {"n_frames": [3, 2, 4]}),
    ],
)  # fmt: skip
def test_frames_from_the_server_are_those_of_the_file(take, reads, caplog, style, settings):
    run, elsewhere = take(style, **settings)
    from_file = analysed(run)
    assert reads["server"] == 0
    assert "fetched from the server" not in caplog.text
    n_read = reads["file"]
    from_server = analysed(run, elsewhere)
    assert reads == {"server": n_read, "file": n_read}
    assert difference(from_file, from_server) is None
    (told,) = [r.message for r in caplog.records if "fetched from the server" in r.message]
    assert re.search(r"there is no file /nowhere/\S+\.h5 here", told)
    assert "some 10 times slower" in told
    assert 'replay(..., path_map={"/nowhere": NEW}), or --path-map /nowhere=NEW' in told


@pytest.mark.parametrize("settings", [{"n_frames": [3, 2, 3]}, {"n_frames": [3, 4, 3]}])
def test_an_array_that_cannot_be_right_is_refused(take, settings):
    run, elsewhere = take("stream", **settings)
    assert len(analysed(run)[0]["n_shots"]) == 3  # the file itself can be read
    with pytest.raises(
        FrameError, match=r"a burst was short.*can be read: copy it and name its folder with path"
    ):
        analysed(run, elsewhere)


def test_a_file_that_the_server_does_not_have_either_is_named(take):
    run, elsewhere = take("stream")
    resource = dict(run.documents())["stream_resource"]
    path_of(resource["uri"]).unlink()
    with pytest.raises(
        FrameError, match=r"does not give frame 0 \(\d+: .*must be there on the serv"
    ):
        analysed(run, elsewhere)


def test_a_key_that_is_wrong_is_named(take, monkeypatch):
    run, elsewhere = take("stream")
    monkeypatch.setenv("TILED_API_KEY", "wrong")
    with pytest.raises(FrameError, match=r"TILED_API_KEY holds its key"):
        analysed(run, elsewhere)
