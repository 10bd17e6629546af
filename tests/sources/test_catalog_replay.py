"""Replay equals live to the last bit, whichever catalog held the run. Needs Tiled's server."""

from __future__ import annotations

import contextlib
import copy
import itertools
from dataclasses import asdict, dataclass
from typing import Any

import event_model
import numpy as np
import pytest

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor
from femto_bluesky.files import xye
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs import CatalogError
from femto_bluesky.stream.events import JoinError
from femto_bluesky.testing.documents import Recorder, difference
from femto_bluesky.testing.runs import burst_scan, run_plan
from tests.catalogs import need_a_catalog, tiled_server
from tests.sources.test_catalog_writer import run

need_a_catalog()
pytest.importorskip("mongomock", reason="a databroker needs databroker[all]")

# Tiled, databroker and what they stand on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

ROIS = {"a": Roi(x0=0, y0=0, x1=5, y1=4), "b": Roi(x0=3, y0=2, x1=12, y1=8)}
KINDS = ("embedded", "server", "broker", "lines")
STYLES = ("inline", "datum", "stream", "tiff")
SITUATIONS: dict[str, dict[str, Any]] = {
    "normal": {},
    "rewound": {"pause_after_save": [1]},
    "stopped": {"pause_after_save": [1], "on_pause": "stop"},
    "aborted": {"pause_after_save": [1], "on_pause": "abort"},
}


def pilatus(index, position):
    frame = np.random.default_rng([0, index]).poisson(1 + position, (8, 12)).astype(np.float32)
    frame[3, 4] = -1
    return frame


def zyla(index, position):
    rng = np.random.default_rng([1, index])
    return (rng.normal(100, 4, (8, 12)) + 60 * rng.poisson(position / 4, (8, 12))).astype(np.uint16)


SOURCES = {
    "pilatus": pilatus,
    "andor3_zyla12": zyla,
    "andor3_balor1": BalorFrames(BalorSettings(shape=(64, 80), n_photons=8)),
}


@dataclass
class Taken:
    """What was found live, and the uid to find the run by."""

    uid: str
    result: dict[str, Any]
    rows: dict[str, Any]


def found(live, run):
    result = live.result(run)
    return {
        "steps": result.steps,
        "photons": result.photons,
        "accumulated": {k: asdict(v) for k, v in result.accumulated.items()},
    }


def rows_of(documents, *, is_rewound=False):
    """Of each derived stream the rows that count: the last of each seq_num."""
    names, rows = {}, {}
    for name, doc in documents:
        if name == "descriptor":
            names[doc["uid"]] = doc["name"]
        elif name == "event":
            rows[names[doc["descriptor"]], doc["seq_num"]] = doc["data"]
        elif name == "event_page":
            for number, seq_num in enumerate(doc["seq_num"]):
                row = {key: values[number] for key, values in doc["data"].items()}
                rows[names[doc["descriptor"]], seq_num] = row
    # a live run has the photons of the burst that was taken again in its file, a replay has not
    return {
        place: {k: v for k, v in row.items() if not (is_rewound and k.endswith("_first_photon"))}
        for place, row in rows.items()
    }


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogs")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("TILED_API_KEY", "secret")
        (folder / "server").mkdir()
        url = stack.enter_context(tiled_server(folder / "server"))
        yield {
            "embedded": stack.enter_context(open_catalog(None, folder / "embedded")),
            "server": stack.enter_context(open_catalog(url, folder / "beside")),
            "broker": stack.enter_context(open_catalog("broker:temp", folder / "broker")),
            "lines": stack.enter_context(open_catalog(f"lines:{folder / 'lines'}")),
        }


@pytest.fixture(scope="module")
def take(catalogs, tmp_path_factory):
    """Takes a run, once, with a live analysis, into all catalogs."""
    folder = tmp_path_factory.mktemp("raw")
    kept: dict[Any, Taken] = {}

    def taken(name, style, situation, *, report_frames=True):
        place = name, style, situation, report_frames
        if place not in kept:
            settings = dict(SITUATIONS[situation])
            on_pause = settings.pop("on_pause", "resume")
            motor = SimulatedMotor(name="stage_x")
            detector = SimulatedDetector(
                name=name, source=SOURCES[name], style=style, directory=folder, num_images=3,
                motor=motor, report_frames=report_frames,
            )  # fmt: skip
            live, derived = LiveAnalysis(ROIS, directory=folder / "results"), Recorder()
            writers = [catalog.writer for catalog in catalogs.values()]
            live.subscribe(derived)
            if (style, situation) == ("stream", "normal"):
                for writer in writers:
                    live.subscribe(writer)
            docs = run_plan(
                burst_scan([detector], motor, [1.0, 2.0, 3.0], **settings), live, *writers,
                on_pause=on_pause,
            )  # fmt: skip
            uid = docs[0][1]["uid"]
            is_rewound = situation == "rewound"
            rows = rows_of(derived.documents, is_rewound=is_rewound)
            kept[place] = Taken(uid, found(live, uid), rows)
        return kept[place]

    return taken


def cases():
    """All of them with `make long`; those that differ most from each other with every `make test`.

    In the order in which runs are taken once and then replayed from each catalog.
    """
    for kind, name, style, situation in itertools.product(KINDS, SOURCES, STYLES, SITUATIONS):
        is_short = (style == "stream" and situation in ("normal", "rewound")) or (
            name == "andor3_balor1" and situation == "normal"
        )
        marks = [] if is_short else [pytest.mark.long]
        yield pytest.param(kind, name, style, situation, marks=marks)


@pytest.mark.parametrize(("kind", "name", "style", "situation"), list(cases()))
def test_replay_is_live(catalogs, take, tmp_path, kind, name, style, situation):
    taken = take(name, style, situation)
    run = catalogs[kind][taken.uid]
    live, derived = LiveAnalysis(ROIS, directory=tmp_path), Recorder()
    live.subscribe(derived)
    replay(run, live)
    assert difference(taken.result, found(live, taken.uid)) is None
    rows = rows_of(derived.documents, is_rewound=situation == "rewound")
    assert difference(taken.rows, rows) is None
    assert len(taken.rows) > 2
    # what upstream cannot hold is replayed from the lines that were kept
    is_held = not (style == "tiff" and kind in ("embedded", "server"))
    assert ("JSON lines" in run.where) == (kind == "lines" or not is_held)


@pytest.mark.parametrize("kind", KINDS)
def test_the_photons_are_found_from_the_raw_run(catalogs, take, kind):
    taken = take("andor3_balor1", "stream", "normal")
    run = catalogs[kind][taken.uid]
    (derived,) = catalogs[kind].derived_of(run)
    assert derived.start["analysis"]["name"] == "LiveAnalysis"
    assert derived.stop["exit_status"] == "success"
    assert list(run.photon_files()) == ["andor3_balor1"]
    (path,) = run.photon_files()["andor3_balor1"]
    assert len(run.photons()) > 20
    np.testing.assert_array_equal(run.photons(), xye.read(path))
    np.testing.assert_array_equal(derived.photons("andor3_balor1"), xye.read(path))
    # MongoDB cannot hold a stream without events; the catalog finds the run all the same
    assert ("JSON lines" in derived.where) == (kind in ("broker", "lines"))


@pytest.mark.parametrize("kind", ["embedded", "server"])
def test_a_rewound_run_that_does_not_say_where_its_frames_are_is_refused(catalogs, take, kind):
    taken = take("pilatus", "stream", "rewound", report_frames=False)
    assert catalogs[kind].writer.wait()  # until then it is replayed from the lines, which is right
    with pytest.raises(JoinError, match="pilatus_first_frame"):
        replay(catalogs[kind][taken.uid], LiveAnalysis(ROIS))


@pytest.mark.parametrize("kind", ["broker", "lines"])
def test_a_rewound_run_needs_not_say_where_its_frames_are(catalogs, take, kind):
    taken = take("pilatus", "stream", "rewound", report_frames=False)
    live = LiveAnalysis(ROIS)
    replay(catalogs[kind][taken.uid], live)
    assert difference(taken.result, found(live, taken.uid)) is None


def test_what_tiled_loses_is_said(catalogs, take):
    taken = take("pilatus", "tiff", "normal")
    assert catalogs["embedded"].writer.wait()
    path = catalogs["embedded"].writer.waiting / f"{taken.uid}.jsonl"
    failures = [f for f in catalogs["embedded"].writer.failures if taken.uid in str(f)]
    assert path.exists()
    assert isinstance(failures[0], CatalogError)
    assert "has lost the names of the TIFF files of 'pilatus_image'" in str(failures[0])
    assert "keep the JSON lines to replay it, and let the detector write HDF5" in str(failures[0])


@pytest.mark.parametrize("kind", KINDS)
def test_long_arrays_stay_with_their_events_after_a_rewind(catalogs, kind):
    documents = list(run(f"labels in {kind}", n_events=3))
    documents[1][1]["data_keys"]["labels"] = {
        "dtype": "array", "dtype_numpy": "<f8", "shape": [20], "source": "s",
    }  # fmt: skip
    documents[1][1]["object_keys"]["labels"] = ["labels"]
    events = [doc for name, doc in documents if name == "event"]
    for number, event in enumerate(events):
        event["data"]["labels"] = [float(number)] * 20
        event["timestamps"]["labels"] = 0.0
    repeated = copy.deepcopy(events[1])
    repeated["uid"] += " again"
    repeated["data"] = {"x": 1.0, "labels": [9.0] * 20}
    documents.insert(4, ("event", repeated))
    for name, doc in documents:
        catalogs[kind].writer(name, doc)
    last = {}
    for name, doc in as_events(catalogs[kind][f"labels in {kind}"].documents()):
        if name == "event":
            last[doc["seq_num"]] = [float(value) for value in doc["data"]["labels"]]
    assert last == {1: [0.0] * 20, 2: [9.0] * 20, 3: [2.0] * 20}


def as_events(documents):
    for name, doc in documents:
        if name == "event_page":
            yield from (("event", event) for event in event_model.unpack_event_page(doc))
        else:
            yield name, doc
