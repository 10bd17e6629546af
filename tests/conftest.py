"""What holds for every test: no display, no chance, and nothing skipped where it counts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from femto_bluesky.sources.catalogs import embedded

# Before anything imports matplotlib: a test must not open windows on a developer's desk.
os.environ["MPLBACKEND"] = "Agg"

# A test that fails must fail for everyone: the same examples each time, however slow the machine.
# HYPOTHESIS_PROFILE=explore looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


class SkippedIsFailed:
    """Turns each skip into a failure that repeats the reason.

    A test that nobody runs proves nothing, and a check that skips looks like one that passes.
    An expected failure (xfail) has run, and stays what it is.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A test, or its set-up, that skips."""
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            _fail(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """A whole file that skips, as `pytest.importorskip` at its top does."""
        report = yield
        if report.skipped:
            _fail(report)
        return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was skipped, and with CI=true nothing may be.\n{reason}\n"
        "Give the test what it asks for, or unset CI to let it skip."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where CI is set, as .ci/run does, no test may skip: not in tests/, nor in a doctest."""
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        config.pluginmanager.register(SkippedIsFailed())


@pytest.fixture(scope="session", autouse=True)
def empty_databases_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of the first one: Tiled takes seconds to make an empty database, and each is as the other.

    Those that are made in processes of their own are made by Tiled.
    """
    template = tmp_path_factory.mktemp("template") / embedded.DATABASE
    connect = embedded._connect

    def connect_to_copy(directory: Path) -> Any:
        if not (directory / embedded.DATABASE).exists():
            if not template.exists():
                connect(template.parent)[0].close()
            shutil.copyfile(template, directory / embedded.DATABASE)
        return connect(directory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_connect", connect_to_copy)
        yield
