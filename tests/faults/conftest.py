"""The table of faults in the documentation, made of what the tests in this folder have seen.

A test takes the fixture `fault`, calls it once with what it has measured, and fails where a promise
is broken. `make faults` runs them all and writes their rows into the table; the rows of tests that
did not get so far stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
PAGE = HOUSE / "docs" / "explanations" / "faults.md"
HEAD = (
    "| fault | how it was injected | promised | what happened | shots taken / analysed / "
    "reported missing | bytes lost | recovered in | proof |\n|---|---|---|---|---|---|---|---|\n"
)
ROWS = re.compile(r"(?<=<!-- rows -->\n).*?(?=<!-- end of rows -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; a number that has no meaning for a fault is None."""

    fault: str
    injected: str
    promised: str
    happened: str
    taken: int | None
    analysed: int | None
    missing: int | None
    bytes_lost: int | None
    recovery_s: float | None
    proof: str

    def __str__(self) -> str:
        shots = [_number(n) for n in (self.taken, self.analysed, self.missing)]
        told = "-" if set(shots) == {"-"} else " / ".join(shots)
        recovery = "-" if self.recovery_s is None else f"{self.recovery_s:.2g} s"
        cells = (self.fault, self.injected, self.promised, self.happened, told,
                 _number(self.bytes_lost), recovery, f"`{self.proof}`")  # fmt: skip
        return f"| {' | '.join(cells)} |"


def _number(n: int | None) -> str:
    return "-" if n is None else f"{n:,}".replace(",", " ")


def rows_of(page: str) -> dict[str, str]:
    """The lines of the table by their proofs, in its order."""
    found = ROWS.search(page)
    assert found is not None, f"{PAGE} has no place for rows"
    lines = [line for line in found.group().splitlines() if line.endswith("` |")]
    return {line.rpartition(" | `")[2].removesuffix("` |"): line for line in lines}


def with_rows(page: str, rows: dict[str, str]) -> str:
    """The page with these lines, sorted by their proofs."""
    lines = [rows[proof] for proof in sorted(rows)]
    table = HEAD + "".join(f"{line}\n" for line in lines) if lines else ""
    return ROWS.sub(lambda _: f"\n{table}\n", page)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--faults-table`: write what the tests have seen into the page."""
    parser.addoption("--faults-table", action="store_true", help="write the table of faults")


@pytest.fixture(scope="session")
def _seen(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    seen: list[Row] = []
    yield seen
    if seen and request.config.getoption("--faults-table", default=False):
        page = PAGE.read_text()
        rows = rows_of(page) | {row.proof: str(row) for row in seen}
        PAGE.write_text(with_rows(page, rows))


@pytest.fixture
def fault(request: pytest.FixtureRequest, _seen: list[Row]) -> Iterator[Callable[..., None]]:
    """Say what a fault did: once in a test, after all was checked.

    `fault(name, injected=..., promised=..., happened=..., taken=..., analysed=..., missing=...,
    bytes_lost=..., recovery_s=...)`; the numbers may be left out.
    """
    said: list[Row] = []
    proof = request.node.nodeid.partition("[")[0]

    def say(
        name: str,
        *,
        injected: str,
        promised: str,
        happened: str,
        taken: int | None = None,
        analysed: int | None = None,
        missing: int | None = None,
        bytes_lost: int | None = None,
        recovery_s: float | None = None,
    ) -> None:
        if taken is not None and analysed is not None:
            assert taken == analysed + (missing or 0), "shots are not accounted for"
        said.append(Row(name, injected, promised, happened, taken, analysed, missing, bytes_lost,
                        recovery_s, proof))  # fmt: skip

    yield say
    _seen += said
