"""Minutes at full rate in which all goes wrong at once, at random: see `tests/soak`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.catalogs import need_a_catalog
from tests.soak.memory import slope_mb_a_minute
from tests.soak.soak import Plan, soak
from tests.viewer.browser.chromium import MISSING, executable

HOUSE = Path(__file__).parents[2]
MINUTES = 10


def test_a_small_soak(tmp_path: Path) -> None:
    """Small frames for a second: all that a soak is made of does its work."""
    plan = Plan(
        1.0, seed=3, shape=(160, 200), n_photons=20.0, frames_a_round=60, is_served=False,
        has_browsers=False, is_own_process=False, scale=0.03, warm_up_s=0.0,
    )  # fmt: skip
    report = soak(plan, tmp_path / "beamline", tell=lambda words: None)
    accounts, compared = report.accounts, report.compared
    assert accounts.unaccounted == compared.differences == report.not_in_catalog == []
    assert accounts.taken == accounts.analysed + accounts.missing > 0
    assert compared.n_rows > 0
    assert report.deeds


def test_a_slope_and_its_error() -> None:
    assert slope_mb_a_minute([(60.0 * m, 700.0 + 3 * m) for m in range(9)]) == (
        pytest.approx(3.0), pytest.approx(0.0, abs=1e-9),
    )  # fmt: skip
    slope, error = slope_mb_a_minute([(60.0 * m, 700.0 + 34 * (m % 2)) for m in range(9)])
    assert abs(slope) < 2 * error


@pytest.mark.long
def test_ten_minutes_of_everything(tmp_path: Path, fault: Callable[..., None]) -> None:
    need_a_catalog()
    if executable() is None:
        pytest.skip(MISSING)
    told = tmp_path / "report.json"
    command = [sys.executable, "-m", "tests.soak", "--minutes", str(MINUTES), "--seed", "1",
               "--folder", str(tmp_path), "--json", str(told)]  # fmt: skip
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(told.read_text())
    assert report["taking_s"] >= 60 * MINUTES
    # before all is checked: the table says what happened, also where that was not as promised
    say_what_happened(report, fault)
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["accounts"]["unaccounted"] == []


def say_what_happened(report: dict[str, Any], fault: Callable[..., None]) -> None:
    accounts, compared, deeds = report["accounts"], report["compared"], report["deeds"]
    fault(
        "ten minutes of everything",
        injected=f"{sum(deeds.values())} times something was changed or broken at random while a "
        f"Balor was read without a rest: {', '.join(f'{n} x {what}' for what, n in deeds.items())}",
        promised="every shot is accounted for; results equal those of a clean replay; memory does "
        "not grow by more than 1 MB a minute",
        happened=f"{accounts['taken'] / report['taking_s']:.1f} shots a second, pauses and all; "
        f"{compared['n_rows']} rows, {compared['n_photons']} photons and {compared['n_sums']} sums "
        f"compared, {len(compared['differences'])} differences; memory "
        f"{report['slope_mb_a_minute']:+.2f} +- {report['slope_error']:.2f} MB a minute",
        taken=accounts["taken"],
        analysed=accounts["analysed"],
        missing=accounts["missing"],
        bytes_lost=0,
    )
