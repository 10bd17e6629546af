from __future__ import annotations

import fcntl
import logging
import threading

import pytest

from femto_bluesky.console.scan_numbers import ScanNumbers, last_in
from femto_bluesky.sources import open_catalog
from femto_bluesky.testing.runs import run_engine


def take(path, n):
    numbers = ScanNumbers(path)
    return [numbers({}) for _ in range(n)]


def test_numbers_go_on_after_a_restart(tmp_path):
    path = tmp_path / "catalog" / "scan_number"
    assert take(path, 3) == [1, 2, 3]
    assert take(path, 2) == [4, 5]
    # a catalog that came from elsewhere has more
    assert ScanNumbers(path, at_least=90).last == 90
    assert ScanNumbers(path, at_least=90)({}) == 91
    assert ScanNumbers(path).last == 91


def test_two_prompts_never_give_the_same_number(tmp_path):
    path = tmp_path / "scan_number"
    given = []
    thread = threading.Thread(target=lambda: given.append(ScanNumbers(path)({})))
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another prompt is counting
        thread.start()
        thread.join(0.3)
        assert given == []
        file.write("41")
    thread.join(20)
    assert given == [42]


def test_what_is_set_by_hand_is_followed(tmp_path):
    with run_engine() as engine:
        engine.scan_id_source = numbers = ScanNumbers(tmp_path / "scan_number")
        given = []
        for by_hand in (None, None, 99, None, 5, None):
            if by_hand is not None:
                engine.md["scan_id"] = by_hand
            engine.md["scan_id"] = numbers(engine.md)
            given.append(engine.md["scan_id"])
    assert given == [1, 2, 100, 101, 6, 7]


def test_a_disk_that_fails_stops_no_scan(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    numbers = ScanNumbers(tmp_path / "file" / "scan_number", at_least=7)
    with caplog.at_level(logging.WARNING):
        assert [numbers({"scan_id": 7}), numbers({"scan_id": 8}), numbers({})] == [8, 9, 10]
    (told,) = caplog.messages
    assert "scan numbers cannot be kept in" in told
    assert "the next one may give the same numbers again" in told


@pytest.mark.parametrize("text", ["", "rubbish", "12 13", "\xff"])
def test_a_file_that_holds_no_number_counts_as_none(tmp_path, text):
    path = tmp_path / "scan_number"
    path.write_text(text, encoding="latin-1")
    assert ScanNumbers(path, at_least=3)({}) == 4


def test_a_catalog_without_runs_begins_at_none(tmp_path):
    assert last_in(open_catalog(f"lines:{tmp_path}")) == 0
