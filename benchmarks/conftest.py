"""How speed is told: as a ratio to something measured beside it, in the same run.

Seconds depend on the machine and on what else runs there; a ratio of two things that take turns
does so much less. Nothing is asserted: `make bench` prints, and a reader judges.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

Ratio = Callable[..., float]
LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Collect the ratios for the summary."""
    config.stash[LINES] = []


@pytest.fixture
def ratio(benchmark: Any, request: pytest.FixtureRequest) -> Ratio:
    """A function that measures ours against a reference, and keeps a line for the summary.

    `ratio(ours, reference, goal=0.5, than="np.add")` calls the two in turn, `rounds` times after
    one call of each that compiles and warms up, and returns the ratio of their medians. The
    ratio is also kept with what pytest-benchmark stores (--benchmark-json).
    """

    def measure(
        ours: Callable[[], object],
        reference: Callable[[], object],
        *,
        goal: float | None,
        than: str,
        rounds: int = 30,
    ) -> float:
        ours(), reference()
        pairs = [(seconds(ours), seconds(reference)) for _ in range(rounds)]
        mine, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        benchmark.extra_info.update(ratio=mine / theirs, goal=goal, than=than)
        benchmark.pedantic(ours, rounds=rounds)
        request.config.stash[LINES].append(
            f"{request.node.name}: {mine / theirs:.2f} x {than} "
            f"({'no goal' if goal is None else f'goal: at most {goal:.2f}'}); "
            f"{mine * 1e3:.3g} ms against {theirs * 1e3:.3g} ms"
        )
        return mine / theirs

    return measure


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that keeps a line for the summary: of what is no ratio of two functions."""
    return request.config.stash[LINES].append


def seconds(call: Callable[[], object]) -> float:
    """The time one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the ratios, and on what they were measured."""
    if lines := config.stash[LINES]:
        terminalreporter.section(f"ratios, measured in this run on {os.cpu_count()} processors")
        for line in lines:
            terminalreporter.write_line(line)
