"""An embedded catalog: quick to open and list, for one process at a time. Needs Tiled's server."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs import CatalogError
from femto_bluesky.sources.catalogs.embedded import DATABASE, LOCK, TABLES
from femto_bluesky.sources.catalogs.locks import process_with_record_lock
from femto_bluesky.sources.catalogs.runs import Condition
from femto_bluesky.sources.catalogs.tiled_store import TiledStore
from tests.catalogs import need_a_catalog
from tests.sources.test_catalog_writer import feed, run

need_a_catalog()

# Tiled and what it stands on warn about each other; that is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

OPEN = (
    "import sys; from femto_bluesky.sources import open_catalog\n"
    "try: catalog = open_catalog(sys.argv[1])\n"
    "except RuntimeError as error: sys.exit(f'{type(error).__name__}: {error}')\n"
    "print([run.uid for run in catalog], 'tiled.server.app' in sys.modules)\n"
)
HOLD = (
    "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX)\n"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The directory of a catalog with three runs, which nobody has open."""
    folder = tmp_path_factory.mktemp("embedded")
    with open_catalog(None, folder) as catalog:
        for number in range(3):
            uid = f"run_{number}-abc"
            feed(catalog.writer, run(uid, scan_id=number, time=19.0 - number, kind="a"))
        feed(catalog.writer, run("made-of-0", time=20.0, original_run_uid="run_0-abc"))
    return folder


def opened_elsewhere(folder, code=OPEN):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_opening_and_listing_do_without_tiled(kept):
    found, told = opened_elsewhere(kept)
    assert found == "['run_2-abc', 'run_1-abc', 'run_0-abc'] False\n", told


def test_the_database_says_what_tiled_says(kept):
    with open_catalog(kept) as catalog:
        asked = [
            [], [Condition("scan_id", equals=1)], [Condition("time", low=18.0, high=19.0)],
            [Condition("original_run_uid", equals="run_0-abc")], [Condition("none", equals=1)],
        ]  # fmt: skip
        ours, tiled = catalog.store, TiledStore(catalog.store._connect, catalog.where)
        for conditions in asked:
            for newest_first in (False, True):
                expected = list(tiled.find(conditions, newest_first=newest_first))
                assert list(ours.find(conditions, newest_first=newest_first)) == expected
        for uid in ("run_0-abc", "run_", "run_1", "runx", "made"):
            key = lambda run: run.uid  # noqa: E731
            expected = sorted(tiled.with_uid(uid), key=key)
            assert len(ours.with_uid(uid)) == len(expected)
            if len(expected) < 2:
                assert ours.with_uid(uid) == expected
        assert list(catalog["run_1"].documents()) == list(tiled.with_uid("run_1")[0].documents())


def test_a_database_of_another_version_is_listed_by_tiled(kept, monkeypatch):
    monkeypatch.setattr(
        "femto_bluesky.sources.catalogs.embedded_store._RUNS", "SELECT id FROM nothing_here node"
    )
    with open_catalog(kept) as catalog:
        assert [found.uid for found in catalog][-1] == "run_0-abc"
        assert catalog["run_2"].uid == "run_2-abc"


def test_a_process_that_ends_with_its_first_run_has_stored_it(kept, tmp_path):
    copied = shutil.copytree(kept, tmp_path / "catalog")
    code = OPEN + (
        "from tests.sources.test_catalog_writer import feed, run\n"
        "feed(catalog.writer, run('the-only-one', time=1.0))\n"
    )
    _, told = opened_elsewhere(copied, code)
    assert "did not take" not in told
    assert list((copied / "waiting").iterdir()) == []
    with open_catalog(copied) as catalog:
        assert next(iter(catalog)).uid == "the-only-one"


def test_a_second_process_is_told_which_one_has_the_catalog(kept):
    with open_catalog(kept):
        found, told = opened_elsewhere(kept)
        assert found == ""
        assert f"CatalogError: the catalog in {kept} is open in process" in told
        assert "on " in told
        assert "since 20" in told
        assert "(catalog.close())" in told
        assert "`tiled serve`" in told
        assert "open_catalog('lines:DIRECTORY')" in told
    assert opened_elsewhere(kept)[1] == ""


def test_a_process_that_died_holds_nothing(kept):
    code = OPEN + "import os; os.kill(os.getpid(), 9)"
    opened_elsewhere(kept, code)
    assert (kept / LOCK).read_text() != ""
    with open_catalog(kept) as catalog:
        assert len(catalog) == 3


def test_a_server_that_has_the_tables_is_named(kept):
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            HOLD,
            str(kept / TABLES),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CatalogError, match=rf"is open in process {holder.pid} \(.*python"):
            open_catalog(kept)
    finally:
        holder.communicate(timeout=30)
    open_catalog(kept).close()


def test_several_catalogs_in_one_process_do_not_lock_each_other_out(kept, tmp_path):
    copied = shutil.copytree(kept, tmp_path / "catalog")
    with open_catalog(kept) as one, open_catalog(copied) as other, open_catalog(copied) as again:
        for catalog in (one, other, again, one):
            assert len(list(catalog["run_0"].documents())) == 6
        feed(again.writer, run("new-1", time=30.0))
        assert again.writer.wait()
        assert again.writer.failures == []
        assert other[-1].uid == "new-1"
        assert len(list(other[-1].documents())) == 6
        assert one[-1].uid == "run_0-abc"


def test_a_catalog_that_was_moved_says_what_to_do(kept, tmp_path, caplog):
    copied = shutil.copytree(kept, tmp_path / "moved")
    open_catalog(copied).close()
    assert f"{copied} was at {kept} when its runs were stored" in caplog.text
    assert f"move it back to {kept}, or make a link there, and open it by that path" in caplog.text
    caplog.clear()
    open_catalog(kept).close()
    assert caplog.text == ""


@pytest.mark.long
def test_the_lock_that_a_database_takes_is_seen(kept):
    code = OPEN + "list(catalog[-1].documents()); print('read', flush=True); sys.stdin.read()"
    reader = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, str(kept)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert b"run_0" in reader.stdout.readline()
        assert reader.stdout.readline() == b"read\n"
        assert process_with_record_lock(kept / TABLES) == reader.pid
    finally:
        reader.communicate(timeout=60)
    assert process_with_record_lock(kept / TABLES) is None


def test_what_is_no_catalog_is_refused_at_once(tmp_path):
    (tmp_path / DATABASE).write_text("not a database, but long enough to be looked at" * 9)
    with pytest.raises(CatalogError, match=r"is no database of a Tiled catalog \(file is not a"):
        open_catalog(None, tmp_path)
    (tmp_path / DATABASE).unlink()
    sqlite3.connect(tmp_path / DATABASE).close()
    (tmp_path / DATABASE).touch()
    with pytest.raises(CatalogError, match="no such table: alembic_version"):
        open_catalog(None, tmp_path)


def test_a_catalog_that_was_closed_says_so(kept):
    catalog = open_catalog(kept)
    found = catalog[-1]
    catalog.close()
    with pytest.raises(CatalogError, match="is closed; open it again"):
        list(found.documents())


def test_a_place_where_nothing_can_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match="no catalog can be made in"):
        open_catalog(None, tmp_path / "file" / "catalog")


def test_ctrl_c_while_tiled_is_imported_breaks_off_nothing(kept, monkeypatch):
    asked, may_go, closed = [], threading.Event(), []

    def connect(directory):
        asked.append(directory)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert may_go.wait(30)
        return SimpleNamespace(close=lambda: closed.append(1)), "the client"

    monkeypatch.setattr("femto_bluesky.sources.catalogs.embedded._connect", connect)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with open_catalog(kept) as catalog:
            with pytest.raises(KeyboardInterrupt):
                catalog.store._connect()
            may_go.set()
            assert catalog.store._connect() == "the client"
            assert (len(asked), closed) == (1, [])
    finally:
        signal.signal(signal.SIGINT, before)
    assert closed == [1]


def test_a_run_that_was_killed_is_taken_in(tmp_path, caplog):
    with open_catalog(None, tmp_path) as catalog:
        feed(catalog.writer, list(run())[:-1])
    with open_catalog(tmp_path) as catalog:
        assert catalog["run-1"].stop["exit_status"] == "fail"
        assert catalog.take_in(60)
        assert list(catalog.writer.waiting.iterdir()) == []
        found = catalog[-1]
        assert (found.uid, found.where) == ("run-1", catalog.where)
        assert found.stop["exit_status"] == "fail"
        assert found.stop["num_events"] == {"primary": 3}
        assert [name for name, _ in found.documents()].count("event") == 3
        assert catalog.writer.failures == []
