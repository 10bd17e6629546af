"""The rules of the house that no other tool holds: the doorway, the face, sizes, skips."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import femto_bluesky

HOUSE = Path(__file__).parents[1]
PACKAGE = HOUSE / "femto_bluesky"
LONGEST_FILE = 400
"""Lines. A file beyond this holds two things."""

OUR_FILES = sorted(
    path
    for folder in ("femto_bluesky", "tests", "benchmarks", "profiles", "docs")
    for path in (HOUSE / folder).rglob("*.py")
)
OUR_MODULES = [path for path in OUR_FILES if path.is_relative_to(PACKAGE)]


def name_of(path: Path) -> str:
    return str(path.relative_to(HOUSE))


def project_file() -> dict[str, Any]:
    return tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))


def modules_after(statement: str) -> set[str]:
    """The names of the modules that a fresh interpreter holds after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    # Anything printed before would be work done, and would make this fail to parse.
    return set(json.loads(run.stdout))


def test_the_doorway_leads_to_the_callbacks() -> None:
    door = HOUSE / "callbacks"
    assert door.is_symlink(), (
        f"{door} is not a link; git made a file of it if core.symlinks was off: "
        "git config core.symlinks true && git checkout callbacks"
    )
    assert not door.readlink().is_absolute(), "the link must survive a clone to another place"
    assert door.resolve() == (PACKAGE / "callbacks").resolve()


def test_the_doorway_is_not_installed() -> None:
    """A package called `callbacks` in everybody's site-packages would be in everybody's way."""
    find = project_file()["tool"]["setuptools"]["packages"]["find"]
    assert find == {"include": ["femto_bluesky*"]}


@pytest.mark.parametrize("path", OUR_FILES, ids=name_of)
def test_a_file_is_short(path: Path) -> None:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= LONGEST_FILE, (
        f"{name_of(path)} has {n_lines} lines, at most {LONGEST_FILE} are allowed: "
        "it is two things, split it"
    )


@pytest.mark.parametrize("path", OUR_MODULES, ids=name_of)
def test_a_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, f"{name_of(path)} has no docstring: let its first line say what it is"


@pytest.mark.parametrize("path", OUR_FILES, ids=name_of)
def test_a_comment_does_not_switch_a_whole_file_off(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        for switch in ("ruff: noqa", "mypy: ignore-errors", "flake8: noqa"):
            assert not line.lstrip().startswith(f"# {switch}"), (
                f"{name_of(path)}: {line.strip()!r} switches a check off for a whole file; "
                "ignore one rule on one line, and say why"
            )


def test_the_face_is_light() -> None:
    """What is optional, or slow, or opens a display is loaded by who needs it."""
    heavy = {
        *("bokeh", "dask", "databroker", "fastapi", "panel", "pyFAI", "tiled", "tkinter"),
        *("IPython", "matplotlib.pyplot", "hypothesis", "pytest", "femto_bluesky.testing"),
    }
    assert not modules_after("import femto_bluesky") & heavy


def test_an_import_leaves_no_trace() -> None:
    """No thread is started, no handler set, nothing printed, no variable changed by an import."""
    code = """
import logging, os, threading
before = (os.getcwd(), list(logging.root.handlers), dict(os.environ))
import femto_bluesky
after = (os.getcwd(), list(logging.root.handlers), dict(os.environ))
ours = [name for name in logging.root.manager.loggerDict if name.startswith("femto_bluesky")]
assert threading.active_count() == 1, threading.enumerate()
assert before == after, (before, after)
assert not any(logging.getLogger(name).handlers for name in ours), ours
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_version_is_the_same_everywhere() -> None:
    version = project_file()["project"]["version"]
    assert femto_bluesky.__version__ == version
    assert f"## {version}" in (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")


SKIPPING_TESTS = """
import pytest

def test_runs(): pass

def test_wants_data(): pytest.skip("shared/data is not there")

@pytest.mark.skipif(True, reason="not on this machine")
def test_marked(): pass

@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False

def undocumented():
    '''
    >>> 1 + 1  # doctest: +SKIP
    3
    '''
"""


@pytest.fixture
def house_of_skips(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((HOUSE / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(test_some=SKIPPING_TESTS)
    return pytester


def run_in(house: pytest.Pytester) -> pytest.RunResult:
    return house.runpytest_subprocess("-p", "no:cacheprovider", "--doctest-modules")


def test_a_skip_fails_in_ci(
    house_of_skips: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    result = run_in(house_of_skips)
    result.assert_outcomes(passed=1, failed=2, errors=1, xfailed=1)
    result.stdout.fnmatch_lines_random(
        ["*test_wants_data was skipped, and with CI=true*", "*shared/data is not there*"]
    )


def test_a_skipped_file_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest((HOUSE / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile("import pytest\npytest.importorskip('there_is_no_such_package')")
    result = run_in(pytester)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*could not import 'there_is_no_such_package'*"])


def test_a_skip_is_a_skip_elsewhere(
    house_of_skips: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    run_in(house_of_skips).assert_outcomes(passed=1, skipped=3, xfailed=1)
