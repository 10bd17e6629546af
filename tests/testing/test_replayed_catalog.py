"""What `merged_order` makes is what a Tiled catalog gives back. Needs Tiled's server."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.testing.documents import cut, difference
from femto_bluesky.testing.replayed import NotStorableError, merged_order
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import embedded_catalog, need_a_catalog

need_a_catalog()

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

CASES = {
    "normal": {},
    "rewind": {"pause_after_save": [1]},
    "lost burst": {"pause_before_read": [1]},
    "short": {"n_frames": [3, 2, 4]},
    "reconfigured": {"n_frames": [3, 2, 4], "reconfigure": True},
}


def source(index, position):
    return np.random.default_rng([0, index]).poisson(1 + position, (8, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    with embedded_catalog(folder) as client:
        yield client, folder


def take(folder, style, **settings):
    motor = SimulatedMotor(name="stage_x")
    detector = SimulatedDetector(
        name="pilatus", source=source, style=style, directory=folder, num_images=3, motor=motor
    )
    return run_plan(burst_scan([detector], motor, [1.0, 2.0, 3.0], **settings))


def stored(client, docs, batch_size=10000):
    from bluesky_tiled_plugins import TiledWriter

    writer = TiledWriter(client, batch_size=batch_size)
    for name, doc in docs:
        writer(name, copy.deepcopy(doc))
    return list(client[docs[0][1]["uid"]].documents())


def assert_same(expected, found):
    expected, found = (json.loads(json.dumps(list(docs))) for docs in (expected, found))
    assert [name for name, _ in expected] == [name for name, _ in found]
    for (name, made), (_, real) in zip(expected, found, strict=True):
        assert difference(real, made) is None, name


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("style", ["inline", "datum", "stream", "tiff"])
def test_the_catalog_agrees(catalog, style, case):
    client, folder = catalog
    docs = take(folder, style, **CASES[case])
    try:
        expected = list(merged_order(docs))
    except NotStorableError:
        with pytest.raises(Exception, match=r"broadcast|UNIQUE|500"):
            stored(client, docs)
    else:
        assert_same(expected, stored(client, docs))


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("style", ["inline", "datum", "stream", "tiff"])
def test_the_catalog_agrees_on_a_run_that_never_stops(catalog, style, batched):
    client, folder = catalog
    docs = list(cut(take(folder, style)))
    found = stored(client, docs, batch_size=10000 if batched else 1)
    assert_same(merged_order(docs, batched=batched), found)
