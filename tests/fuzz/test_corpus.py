"""The kept corpus holds the law, and so does what is near to it; `make fuzz` looks further."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from femto_bluesky.testing.hostile import Door, LawBrokenError
from femto_bluesky.testing.hostile.law import let_in
from tests.fuzz.__main__ import CORPUS, LARGEST_B, kept
from tests.fuzz.arcs import chosen
from tests.fuzz.chance import Bytes
from tests.fuzz.targets import TARGETS, measured, one_input, warm

pytestmark = pytest.mark.filterwarnings("ignore")

NEAR = {"joiner": 10}
"""How many inputs hypothesis makes of the kept ones, where it is not 25."""


@pytest.fixture(autouse=True)
def _no_flood() -> Iterator[None]:
    """Nobody reads hundreds of refusals."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_corpus_holds_the_law(target: str, tmp_path: Path) -> None:
    assert len(kept(target)) >= 20
    for path in kept(target):
        data = path.read_bytes()
        assert len(data) <= LARGEST_B, path
        one_input(target, data)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_corpus_is_quick_and_small(target: str, tmp_path: Path) -> None:
    warm(target)
    for path in kept(target):
        measured(target, path.read_bytes(), tmp_path / "a")


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_near_the_corpus_holds_the_law(target: str) -> None:
    known = st.sampled_from([path.read_bytes() for path in kept(target)])

    @settings(
        max_examples=NEAR.get(target, 25), deadline=None, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(known, known, st.binary(max_size=24), st.integers(0, LARGEST_B), st.integers(0, 24))
    def near(one: bytes, other: bytes, new: bytes, at: int, n_gone: int) -> None:
        at %= len(one) + 1
        one_input(target, one[:at] + new + other[at + n_gone :])

    near()


def test_no_corpus_is_without_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_a_finding_is_one() -> None:
    """The fuzzer sees what must not be, byte by byte."""

    def enter(data: bytes, folder: Path) -> None:
        if data.startswith(b"ab"):
            raise KeyError(data)

    door = Door("tried", lambda rng, number, folder: rng.randbytes(2), enter)
    with TemporaryDirectory() as folder:
        let_in(door, 0, Path(folder) / "a", Bytes(b"a?"))
        with pytest.raises(LawBrokenError, match="door 'tried', input 0: it raised KeyError"):
            let_in(door, 0, Path(folder) / "a", Bytes(b"abc"))


def test_bytes_are_chance_that_can_be_chosen() -> None:
    chance = Bytes(bytes([3, 0, 1, 255, 5]) + b"rest")
    assert chance.randrange(10) == 3
    assert chance.choice("abc") == "a"
    assert chance.randbytes(2) == b"\x01\xff"
    assert chance.random() == 5 / 256
    assert chance.rest() == b"rest"
    assert [chance.randrange(7), chance.random(), chance.rest()] == [0, 0, b""]
    assert Bytes(b"").sample("abc", 3) == ["a", "c", "b"]
    assert isinstance(chance, Random)


def test_the_shortest_that_goes_somewhere_is_kept() -> None:
    one_input("parameters", b"\0")

    def run(data: bytes) -> None:
        one_input("parameters", data)

    number, long_number, region = b"\x0212.5", b"\x02  12.5  ", b"\x01[]"
    found, n_ways = chosen([long_number, number, region], run, [b"\0"], 48)
    assert found[0] == b"\0"
    assert set(found[1:]) == {number, region}
    assert chosen([number, region], run, [b"\0"], 2)[0] == found[:2]
    assert n_ways > 20
