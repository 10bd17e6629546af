"""Every door holds the law for hostile input: see femto_bluesky.testing.hostile."""

from __future__ import annotations

import logging
import os
import pickle
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyFAI.io.ponifile  # noqa: F401 - it takes long to import, and no input is to wait for it
import pytest

from femto_bluesky.testing import hostile
from femto_bluesky.testing.hostile import DOORS, Door, LawBrokenError, Row, passed, table, tried

QUICK = {
    "documents": 20, "replayed documents": 10, "websocket messages": 15, "JSON lines": 40,
    "0MQ": 60, "Kafka": 50, "POST bodies": 40, "HTTP connections": 30, "websocket connections": 15,
}  # fmt: skip
"""How many inputs the quick run gives to each door, where it is not 120."""

LONG = 10_000

ROWS: list[Row] = []


@pytest.fixture(autouse=True)
def _no_flood(caplog: pytest.LogCaptureFixture) -> Any:
    """Nobody reads thousands of refusals."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# sockets and files of what was refused are left to the garbage collector
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS)
def test_a_door_holds(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # whether it is a second depends on the machine: that is for the long run, on a quiet one
    monkeypatch.setattr("femto_bluesky.testing.hostile.law.LONGEST_S", 10.0)
    n = QUICK.get(door, 120)
    row = tried(door, range(n), tmp_path / "a")
    assert row.inputs == n
    assert row.refused > 0
    assert row.taken > 0


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS)
def test_a_door_holds_for_long(door: str, tmp_path: Path) -> None:
    row = tried(door, range(LONG), tmp_path / "a")
    assert row.inputs == LONG
    ROWS.append(row)
    print(table([row]))


def law_of(enter: Any, *refusals: type[Exception]) -> Door:
    return Door("tried", lambda rng, number, folder: number, enter, refusals)


def test_the_law_is_held(tmp_path: Path) -> None:
    """The helper itself sees what must not be."""

    def broken(words: str, enter: Any, *refusals: type[Exception]) -> None:
        with pytest.raises(LawBrokenError, match=f"door 'tried', input 3: it {words}"):
            passed(law_of(enter, *refusals), 3, tmp_path / "a")

    def raises(number: int, folder: Path) -> None:
        raise KeyError("a")

    def silent(number: int, folder: Path) -> None:
        raise ValueError("")

    def wordy(number: int, folder: Path) -> str:
        return "x" * 50_000

    def large(number: int, folder: Path) -> None:
        np.empty(10**10, np.uint8)  # none of it is used

    def writes(number: int, folder: Path) -> None:
        (folder / "out" / "mine").write_text("a")
        (folder.parent / "marker").write_text("a")

    def runs(number: int, folder: Path) -> None:
        pickle.loads(b"cposix\nsystem\n(X\x04\0\0\0truetR.")

    def slow(number: int, folder: Path) -> None:
        end = time.process_time() + 1.1
        while time.process_time() < end:
            pass

    broken("raised KeyError", raises)
    broken("was refused without a word", silent, ValueError)
    broken("was refused in 50000 characters", wordy)
    broken("took 10000 MB", large)
    broken(r"did \['open .*marker'\]", writes)
    broken("did .*os.system", runs)
    broken("took 1.* s", slow)
    found = passed(law_of(lambda number, folder: f"no: {number}"), 3, tmp_path / "a")
    assert found.refused == "no: 3"


@pytest.mark.parametrize("door", DOORS)
def test_an_input_is_always_the_same(door: str, tmp_path: Path) -> None:
    for number in (0, 77):
        made = [DOORS[door].make(Random(f"{door} {number}"), number, tmp_path) for _ in range(2)]
        if isinstance(made[0], Path):
            assert made[0] == made[1]
            assert os.path.lexists(made[0])
        else:
            assert repr(made[0])[:1000] == repr(made[1])[:1000]
        for one in made:
            getattr(one, "close", bool)()  # connections


def test_rows_make_a_table() -> None:
    assert hostile.table(ROWS).startswith("| door | inputs |")
