"""The table of faults names each test of this folder, and no test that is gone."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.faults.conftest import HOUSE, PAGE, Row, rows_of, with_rows


def proofs() -> set[str]:
    """The tests of this folder that take the fixture `fault`."""
    found = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            if "fault" in {argument.arg for argument in node.args.args}:
                found.add(f"{path.relative_to(HOUSE).as_posix()}::{node.name}")
    return found


def test_each_fault_has_its_row() -> None:
    assert set(rows_of(PAGE.read_text())) == proofs(), "run `make faults`"


def test_rows_are_written_sorted_and_kept() -> None:
    page = "a\n<!-- rows -->\n<!-- end of rows -->\nb\n"
    one = Row("a", "b", "c", "d", 12345, 12344, 1, None, 0.5, "tests/b.py::test_b")
    page = with_rows(page, {one.proof: str(one)})
    assert "| a | b | c | d | 12 345 / 12 344 / 1 | - | 0.5 s | `tests/b.py::test_b` |\n" in page
    other = Row("a", "b", "c", "d", None, None, None, 0, None, "tests/a.py::test_a")
    page = with_rows(page, {**rows_of(page), other.proof: str(other)})
    assert list(rows_of(page)) == [other.proof, one.proof]
    assert "| - | 0 | - | `tests/a.py::test_a` |\n" in page
