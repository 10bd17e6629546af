"""What goes into a catalog: no scan stops, nothing is lost, and what was refused comes later."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest

from femto_bluesky.sources import jsonl, open_catalog
from femto_bluesky.sources.catalogs import Catalog, CatalogError, CatalogWriter, upload
from femto_bluesky.sources.catalogs.lines import LinesStore
from femto_bluesky.testing.documents import difference, interleave
from tests.sources.documents import of


def run(uid="run-1", *, n_events=3, scan_id=1, image=None, time=0.0, **start):
    keys = {"x": {"dtype": "number", "dtype_numpy": "<f8", "shape": [], "source": "s"}}
    data = [{"x": float(number)} for number in range(n_events)]
    if image is not None:
        keys["image"] = {
            "dtype": "array", "dtype_numpy": image.dtype.str, "shape": list(image.shape),
            "source": "s", "dims": ["frame", "y", "x"],
        }  # fmt: skip
        data = [row | {"image": image + number} for number, row in enumerate(data)]
    descriptor_uid = str(uuid.uuid5(uuid.NAMESPACE_OID, uid))
    descriptor = {
        "uid": descriptor_uid, "run_start": uid, "name": "primary", "time": time + 1, "hints": {},
        "data_keys": keys, "object_keys": {k: [k] for k in keys}, "configuration": {},
    }  # fmt: skip
    yield "start", {"uid": uid, "time": time, "scan_id": scan_id, **start}
    yield "descriptor", descriptor
    for number, row in enumerate(data, start=1):
        yield (
            "event",
            {
                "uid": f"{uid} {number}", "descriptor": descriptor_uid, "seq_num": number,
                "time": time + 1 + number, "data": row, "timestamps": dict.fromkeys(row, time),
                "filled": {},
            },
        )  # fmt: skip
    yield (
        "stop",
        {
            "uid": f"{uid} e", "run_start": uid, "time": time + 99, "exit_status": "success",
            "num_events": {"primary": n_events},
        },
    )  # fmt: skip


def feed(writer, documents):
    for name, doc in documents:
        writer(name, doc)


class Refusing(LinesStore):
    """A catalog that is out of order until it is mended."""

    is_mended = False

    def insert(self, path):
        if not self.is_mended:
            raise CatalogError("the disk of the server is full")
        super().insert(path)


@pytest.fixture
def refusing(tmp_path):
    store = Refusing(tmp_path / "store")
    with Catalog(store, tmp_path / "here") as catalog:
        yield catalog, store


def test_runs_are_stored_when_they_have_stopped(tmp_path):
    with open_catalog(f"lines:{tmp_path}") as catalog:
        documents = list(run())
        feed(catalog.writer, documents[:-1])
        assert len(catalog) == 0
        assert (tmp_path / "waiting" / "run-1.jsonl").read_text().count("\n") == 5
        feed(catalog.writer, documents[-1:])
        assert list(catalog[-1].documents()) == documents
        assert list((tmp_path / "waiting").iterdir()) == []
        assert catalog.writer.failures == []


def test_interleaved_runs_are_told_apart(tmp_path):
    one, other = list(run()), list(run("run-2", scan_id=2, time=0.5))
    with open_catalog(f"lines:{tmp_path}") as catalog:
        feed(catalog.writer, interleave(one, other))
        assert list(catalog["run-1"].documents()) == one
        assert list(catalog["run-2"].documents()) == other


def test_images_go_into_a_file_and_documents_stay_as_they_are(tmp_path):
    image = np.arange(24, dtype="u2").reshape(2, 3, 4)
    documents, expected = list(run(image=image)), list(run(image=image))
    with open_catalog(f"lines:{tmp_path}") as catalog:
        feed(catalog.writer, documents)
        assert difference(expected, documents) is None
        found = list(catalog[1].documents())
    (resource,) = of("stream_resource", found)
    assert resource["uri"].endswith("run-1.h5")
    assert [event["data"]["image_first_frame"] for event in of("event", found)] == [0, 2, 4]


def test_a_catalog_that_fails_is_told_of_once_and_what_it_missed_is_read_from_disk(
    refusing, caplog
):
    catalog, store = refusing
    for number in range(3):
        feed(catalog.writer, run(f"run-{number}", scan_id=number, time=float(number)))
    assert catalog.writer.wait()
    (told,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert "did not take a run (CatalogError: the disk of the server is full)" in told.message
    assert f"femto-bluesky upload {catalog.writer.waiting} --to CATALOG" in told.message
    assert len(catalog.writer.failures) == 3
    assert [found.uid for found in catalog] == ["run-0", "run-1", "run-2"]
    assert list(catalog[-1].documents()) == list(run("run-2", scan_id=2, time=2.0))
    store.is_mended = True
    done = upload(catalog.writer.waiting, catalog)
    assert [path.stem for path in done.stored] == ["run-0", "run-1", "run-2"]
    assert len(list(store.find([]))) == len(catalog) == 3
    assert not list(catalog.writer.waiting.iterdir())
    again = upload(catalog.writer.waiting, catalog)
    assert (again.existing, again.stored, again.failed) == ([], [], {})


def test_a_catalog_that_blocks_holds_nothing_up(tmp_path, caplog):
    entered, may_go = threading.Event(), threading.Event()

    def insert(path):
        entered.set()
        assert may_go.wait(30)

    writer = CatalogWriter(insert, tmp_path / "w", tmp_path / "f", "the catalog", slow_s=0.0)
    feed(writer, run("run-1"))
    assert entered.wait(30)
    feed(writer, run("run-2"))
    feed(writer, run("run-3"))
    assert sorted(path.stem for path in writer.waiting.iterdir()) == ["run-1", "run-2", "run-3"]
    assert not writer.wait(0.01)
    slow = [r.message for r in caplog.records if "has been storing a run" in r.message]
    assert len(slow) == 1
    assert "The scan goes on" in slow[0]
    may_go.set()
    assert writer.wait(30)
    writer.close()
    assert list(writer.waiting.iterdir()) == []


def test_a_catalog_is_opened_while_the_first_run_goes_on(tmp_path):
    opened, fed = threading.Event(), threading.Event()

    def prepare():
        assert fed.wait(30)
        opened.set()
        raise CatalogError("not yet")

    def insert(path):
        assert opened.is_set()

    writer = CatalogWriter(insert, tmp_path / "w", tmp_path / "f", "it", prepare=prepare)
    documents = list(run())
    feed(writer, documents[:-1])
    assert not opened.is_set()  # nothing waits for it
    fed.set()
    feed(writer, documents[-1:])
    assert opened.is_set()
    writer.close()
    assert (writer.failures, list(writer.waiting.iterdir())) == ([], [])


def test_a_disk_that_fails_does_not_stop_the_scan(tmp_path, caplog):
    (tmp_path / "waiting").write_text("in the way")
    with open_catalog(f"lines:{tmp_path}") as catalog:
        feed(catalog.writer, run())
        assert isinstance(catalog.writer.failures[0], OSError)
    assert "run run-1 is not kept" in caplog.text
    assert "The scan goes on" in caplog.text


def test_a_document_that_is_no_json_ends_the_lines_and_not_the_scan(tmp_path, caplog):
    documents = list(run())
    documents[3][1]["data"] = {"x": object()}
    with open_catalog(f"lines:{tmp_path}") as catalog:
        feed(catalog.writer, documents)
        feed(catalog.writer, run("run-2"))
        assert [found.uid for found in catalog] == ["run-1", "run-2"]
        assert catalog["run-1"].stop["exit_status"] == "fail"  # as far as it was written
    assert caplog.text.count("is not kept") == 1


def test_a_run_in_the_middle_is_left_out(tmp_path):
    with open_catalog(f"lines:{tmp_path}") as catalog:
        feed(catalog.writer, list(run())[1:])
        assert len(catalog) == 0
        assert catalog.writer.failures == []


def test_a_run_that_was_killed_is_uploaded_with_a_stop_that_says_so(tmp_path):
    killed = tmp_path / "killed"
    with open_catalog(f"lines:{killed}") as catalog:
        feed(catalog.writer, list(run())[:-1])
    with open_catalog(f"lines:{tmp_path / 'good'}") as catalog:
        upload(killed / "waiting", catalog)
        found = catalog["run-1"]
        assert found.stop["exit_status"] == "fail"
        name, stop = list(found.documents())[-1]
        assert (name, stop["exit_status"]) == ("stop", "fail")


def test_upload_says_what_it_could_not_store(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "bad.jsonl").write_text(json.dumps(["event", {}]) + "\n")
    jsonl.write(run(), tmp_path / "from" / "good.jsonl")
    with open_catalog(f"lines:{tmp_path / 'to'}") as catalog:
        done = upload(tmp_path / "from", catalog)
        assert [path.name for path in done.stored] == ["good.jsonl"]
        ((path, failure),) = done.failed.items()
        assert (path.name, "no run starts in it" in str(failure)) == ("bad.jsonl", True)
        with pytest.raises(FileNotFoundError, match="there are no files"):
            upload(Path(tmp_path / "nowhere"), catalog)


def test_an_upload_leaves_a_run_that_is_being_written_alone(tmp_path, caplog):
    documents = list(run())
    with open_catalog(f"lines:{tmp_path / 'here'}") as catalog:
        feed(catalog.writer, documents[:4])
        with open_catalog(f"lines:{tmp_path / 'there'}") as other:
            done = upload(catalog.writer.waiting, other)
            assert [path.name for path in done.growing] == ["run-1.jsonl"]
            assert (done.stored, done.failed, len(other)) == ([], {}, 0)
        with open_catalog(f"lines:{tmp_path / 'here'}") as beside:
            assert beside.take_in(30)
            assert (len(beside), list(beside.store.find([]))) == (0, [])
        feed(catalog.writer, documents[4:])
        assert list(catalog[-1].documents()) == documents


def test_lines_that_the_catalog_is_taking_are_not_uploaded_as_well(tmp_path):
    entered, may_go = threading.Event(), threading.Event()

    def insert(path):
        entered.set()
        assert may_go.wait(30)
        raise CatalogError("no")

    writer = CatalogWriter(insert, tmp_path / "w", tmp_path / "f", "the catalog")
    feed(writer, run())
    assert entered.wait(30)
    with open_catalog(f"lines:{tmp_path / 'to'}") as other:
        assert len(upload(writer.waiting, other).growing) == 1
        may_go.set()
        assert writer.wait(30)
        writer.close()
        assert len(upload(writer.waiting, other).stored) == 1


def kill_in_a_run(where, documents):
    """Write the documents in a process that is killed after the last one."""
    code = (
        "import os, sys, json; from femto_bluesky.sources import open_catalog;"
        "catalog = open_catalog(sys.argv[1]);"
        "[catalog.writer(*pair) for pair in json.load(sys.stdin)]; print('ready', flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(where)]
    subprocess.run(command, input=json.dumps(documents), text=True, check=False)


def test_a_run_of_a_process_that_was_killed_is_found_and_taken_in(tmp_path, caplog):
    documents = list(run())
    kill_in_a_run(f"lines:{tmp_path}", documents[:-1])
    empty = tmp_path / "waiting" / "empty.jsonl"
    empty.touch()  # killed sooner still, or just begun
    with open_catalog(f"lines:{tmp_path}") as catalog:
        found = catalog[-1]
        assert (found.uid, found.stop["exit_status"]) == ("run-1", "fail")
        assert found.stop["num_events"] == {"primary": 3}
        assert caplog.text == ""
        assert list(found.documents())[:-1] == documents[:-1]
        assert catalog[1].uid == catalog["run-1"].uid == "run-1"
        assert catalog.take_in(30)
        assert list(catalog.writer.waiting.iterdir()) == [empty]
        assert len(catalog) == 1
        assert next(catalog.store.find([])).stop["exit_status"] == "fail"
        assert list(found.documents()) == list(catalog[-1].documents())  # though its lines are gone
    with open_catalog(f"lines:{tmp_path}") as catalog:
        assert catalog.take_in(30)
        assert catalog.writer.failures == []


def test_what_was_left_is_taken_in_by_the_first_run_too(refusing, tmp_path):
    catalog, _ = refusing
    feed(catalog.writer, run())
    assert catalog.writer.wait()
    catalog.writer.close()
    with Catalog(LinesStore(tmp_path / "other"), tmp_path / "here") as again:
        assert again[-1].uid == "run-1"
        feed(again.writer, run("run-2", time=5.0))
        assert again.take_in(30)
        assert [found.uid for found in again.store.find([])] == ["run-1", "run-2"]


def test_what_the_catalog_has_already_is_only_removed(tmp_path):
    with open_catalog(f"lines:{tmp_path}") as catalog:
        feed(catalog.writer, run())
        assert catalog.writer.wait()
        (lines,) = tmp_path.glob("*.jsonl")
        shutil.copyfile(lines, catalog.writer.waiting / "run-1.jsonl")
    with open_catalog(f"lines:{tmp_path}") as catalog:
        assert catalog.take_in(30)
        assert list(catalog.writer.waiting.iterdir()) == []
        assert len(list(catalog.store.find([]))) == 1


@pytest.mark.parametrize("n_lines", [2, 5])
def test_lines_go_only_when_the_catalog_has_the_run_whole(tmp_path, caplog, n_lines):
    documents = list(run())[:-1]
    (tmp_path / "waiting").mkdir()
    for path, n in ((tmp_path / "a.jsonl", n_lines), (tmp_path / "waiting" / "a.jsonl", 5)):
        path.write_text("".join(jsonl.line(*pair) for pair in documents[:n]))
    with open_catalog(f"lines:{tmp_path}") as catalog:
        assert catalog.take_in(30)
        assert (catalog.writer.waiting / "a.jsonl").exists() == (n_lines < 5)
        assert ("is in" in caplog.text and "but cut off" in caplog.text) == (n_lines < 5)
        assert len(list(catalog[-1].documents())) == 6


def test_what_cannot_be_taken_in_stays_and_is_told_of_once(refusing, tmp_path, caplog):
    catalog, store = refusing
    for number in range(3):
        feed(catalog.writer, run(f"run-{number}", time=float(number)))
    assert catalog.writer.wait()
    catalog.writer.close()
    caplog.clear()
    with Catalog(store, tmp_path / "here") as again:
        assert again.take_in(30)
        assert len(list(again.writer.waiting.iterdir())) == len(again) == 3
        (told,) = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
        assert "does not take it (CatalogError: the disk of the server is full)" in told
