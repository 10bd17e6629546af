"""Catalogs are opened by what they are called, and runs are found in them."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pytest

from femto_bluesky.sources import jsonl, open_catalog
from femto_bluesky.sources.catalogs import CatalogError, Run, RunNotFoundError
from femto_bluesky.sources.catalogs.as_datums import as_datums
from femto_bluesky.sources.catalogs.opening import default_directory
from tests.catalogs import need_a_catalog
from tests.sources.test_catalog_writer import feed, run

# Tiled, databroker and what they stand on warn about each other; that is theirs.
quiet = pytest.mark.filterwarnings("ignore")
SAMPLES = ["LaB6", "Cu", "LaB6", "air", "Cu"]


def fill(catalog):
    """Five raw runs, the third with a derived one; scan_id 4 is there twice."""
    for number, sample in enumerate(SAMPLES):
        details = {"sample": {"name": sample}, "plan_name": "scan"}
        scan_id = min(number + 1, 4)
        feed(catalog.writer, run(uid(number), scan_id=scan_id, time=100.0 * number, **details))
    details = {"original_run_uid": uid(2), "purpose": "derived"}
    feed(catalog.writer, run("derived0-1", scan_id=3, time=999.0, **details))


def uid(number):
    return f"{number}{number}{number}{number}{number}-raw"


def uids(runs):
    return [run.uid for run in runs]


@pytest.fixture(scope="module", params=["lines", "embedded", "broker"])
def catalog(request, tmp_path_factory):
    if request.param != "lines":
        need_a_catalog()
    if request.param == "broker":
        pytest.importorskip("mongomock", reason="a databroker needs databroker[all]")
    folder = tmp_path_factory.mktemp(request.param)
    where = {"lines": f"lines:{folder}", "embedded": None, "broker": "broker:temp"}[request.param]
    with open_catalog(where, folder) as opened:
        fill(opened)
        yield opened


@quiet
def test_runs_are_found(catalog):
    raw = [uid(number) for number in range(5)]
    assert uids(catalog) == raw
    assert len(catalog) == 5
    assert catalog[-1].uid == raw[4]  # not the derived run, which is newer
    assert catalog[-5].uid == raw[0]
    assert catalog[2].uid == raw[1]
    assert catalog[4].uid == raw[4]  # the newest with this scan_id
    assert catalog["11111"].uid == raw[1]
    assert catalog["derived0"].is_derived
    assert catalog[raw[3]].start["sample"] == {"name": "air"}
    assert catalog[-1].stop["exit_status"] == "success"
    assert isinstance(catalog[-1], Run)


@quiet
def test_searches_and_ranges(catalog):
    raw = [uid(number) for number in range(5)]
    assert uids(catalog.search(**{"sample.name": "LaB6"})) == [raw[0], raw[2]]
    assert uids(catalog.search(plan_name="scan", scan_id=range(2, 4))) == raw[1:3]
    assert uids(catalog.search(scan_id=(4, None))) == raw[3:]
    assert uids(catalog.search(scan_id=(None, 2))) == raw[:2]
    assert uids(catalog.search(since=100.0, until=300.0)) == raw[1:4]
    assert uids(catalog.search(since="1970-01-01T00:04:00+00:00")) == [*raw[3:], "derived0-1"]
    assert uids(catalog.search(purpose="derived")) == ["derived0-1"]
    assert catalog.search(plan_name="count") == []


@quiet
def test_derived_runs_are_found_from_the_raw_one(catalog):
    (derived,) = catalog.derived_of(catalog[3])
    assert derived.uid == "derived0-1"
    assert catalog.derived_of(3) == catalog[3].derived() == [derived]
    assert catalog.derived_of(uid(0)) == []
    assert catalog[3].photon_files() == {}
    with pytest.raises(RunNotFoundError, match="found 0 photon files, expected one; there are non"):
        catalog[3].photons()


@quiet
def test_what_is_not_there_is_said(catalog):
    with pytest.raises(RunNotFoundError, match="it has fewer than 6 raw runs"):
        catalog[-6]
    with pytest.raises(RunNotFoundError, match="no raw run has the scan_id 99"):
        catalog[99]
    with pytest.raises(RunNotFoundError, match="found no run whose uid begins with 'abcdef'"):
        catalog["abcdef"]
    with pytest.raises(RunNotFoundError, match="give 5 letters or more"):
        catalog["abc"]
    with pytest.raises(ValueError, match="steps of 1"):
        catalog.search(scan_id=range(1, 9, 2))
    with pytest.raises(ValueError, match="two limits"):
        catalog.search(scan_id=(1, 2, 3))


@quiet
def test_an_embedded_catalog_is_opened_again_by_its_path(tmp_path):
    need_a_catalog()
    with open_catalog(None, tmp_path) as catalog:
        feed(catalog.writer, run("run-1"))
    for where in (tmp_path, str(tmp_path), f"catalog:{tmp_path}"):
        with open_catalog(where) as again:
            assert uids(again) == ["run-1"]
            assert "the catalog in" in again[-1].where


@quiet
def test_a_databroker_is_taken_as_it_is(tmp_path):
    pytest.importorskip("mongomock", reason="a databroker needs databroker[all]")
    import databroker
    import databroker.v2

    for broker in (databroker.Broker.named("temp"), databroker.v2.temp()):
        with open_catalog(broker, tmp_path) as catalog:
            feed(catalog.writer, run("run-1"))
            assert uids(catalog) == ["run-1"]
            assert "databroker" in catalog[-1].where
        getattr(broker, "v2", broker).context.close()


def test_a_directory_of_lines(tmp_path, caplog):
    both = [*run("run-1"), *run("run-2", scan_id=2, time=9.0)]
    jsonl.write(both, tmp_path / "both.jsonl")
    (tmp_path / "more.jsonl.gz").write_bytes(
        gzip.compress("".join(jsonl.line(*pair) for pair in run("run-3", time=10.0)).encode())
    )
    (tmp_path / "settings.jsonl").write_text("{}\n")
    with open_catalog(tmp_path) as catalog:
        assert uids(catalog) == ["run-1", "run-2", "run-3"]
        assert list(catalog["run-2"].documents()) == both[6:]
        assert "settings.jsonl is left out: no run starts in it" in caplog.text
        jsonl.write(run("run-4", time=11.0), tmp_path / "new.jsonl")
        assert catalog[-1].uid == "run-4"


def test_names_that_mean_nothing_are_refused(tmp_path, monkeypatch):
    with pytest.raises(CatalogError, match=r"there is no directory .*lines:"):
        open_catalog(tmp_path / "nowhere")
    with pytest.raises(CatalogError, match="a int is no catalog; give a path"):
        open_catalog(5)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == Path(tmp_path, "femto-bluesky", "catalog")


@quiet
def test_servers_that_are_not_there_are_named(tmp_path):
    need_a_catalog()
    with pytest.raises(CatalogError, match="neither a directory nor a URL nor a Tiled profile"):
        open_catalog("no-such-profile", tmp_path)
    with pytest.raises(CatalogError, match=r"no Tiled catalog at http://127.0.0.1:9: .*TILED_API"):
        open_catalog("http://127.0.0.1:9", tmp_path)


def test_mongodb_cannot_hold_what_has_no_event():
    documents = [
        ("descriptor", {"uid": "d", "data_keys": {"y": {"external": "STREAM:", "shape": [1]}}}),
        ("stream_resource", {"uid": "s", "data_key": "y", "mimetype": "application/x-hdf5"}),
        ("stream_datum", {"stream_resource": "s", "descriptor": "d"}),
    ]
    with pytest.raises(CatalogError, match="Use a Tiled catalog for such runs"):
        list(as_datums(documents))
    with pytest.raises(CatalogError, match="found image/tiff behind a stream"):
        list(as_datums([("stream_resource", {"uid": "s", "mimetype": "image/tiff"})]))


def test_the_log_names_what_is_stored_where(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with open_catalog(f"lines:{tmp_path}") as catalog:
        assert repr(catalog) == f"<Catalog: the JSON lines in {tmp_path}>"
