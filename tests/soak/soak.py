"""Frames at full rate for minutes while all goes wrong; afterwards every shot is accounted for.

The soak takes rounds of some hundred frames. In a round, settings change, browsers come and go, and
faults are injected, all at random moments. After it the documents and raw files are replayed, in a
process in which nothing goes wrong, and the results are compared to the last bit. Then the raw
files are deleted, so that a soak of any length needs the disk of one round.
"""

from __future__ import annotations

import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.beamline import Beamline, Round, Taken, beamline_in, recorded
from tests.soak.catalogs import SoakedCatalog
from tests.soak.faults import Faults
from tests.soak.meddling import Diary, Gate, Meddler, meddling
from tests.soak.memory import MemoryWatch, resident_mb, slope_mb_a_minute
from tests.soak.replaying import Compared, compare, derived_rows
from tests.soak.settings import Changes

HOUSE = Path(__file__).parents[2]
BALOR = (4104, 4128)


@dataclass(frozen=True)
class Plan:
    """What is to be soaked; `seconds` are those in which frames are taken."""

    seconds: float
    seed: int = 1
    shape: tuple[int, int] = BALOR
    n_photons: float = 1000.0
    frames_a_round: int = 200
    round_s: float = 45.0
    """A round begins no further run after so many seconds."""
    is_served: bool = True
    has_browsers: bool = True
    has_faults: bool = True
    is_own_process: bool = True
    """Whether the clean replay is made in a process of its own."""
    scale: float = 1.0
    """Of the length of faults, and of the pauses between them."""
    warm_up_s: float = 120.0


@dataclass
class Accounts:
    """Where all shots are: taken = analysed + reported missing, if all is well."""

    taken: int = 0
    analysed: int = 0
    missing: int = 0
    unaccounted: list[str] = field(default_factory=list)
    of_no_event: int = 0
    n_runs: int = 0
    n_cut: int = 0


@dataclass
class Report:
    """What came of a soak."""

    accounts: Accounts = field(default_factory=Accounts)
    compared: Compared = field(default_factory=Compared)
    taking_s: float = 0.0
    analysing_s: float = 0.0
    slope_mb_a_minute: float = 0.0
    slope_error: float = 0.0
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    """Seconds in which frames were taken, and the memory of the process, before each round."""
    peak_mb: float = 0.0
    deeds: dict[str, int] = field(default_factory=dict)
    failed_deeds: list[str] = field(default_factory=list)
    diary: list[tuple[float, str, float]] = field(default_factory=list)
    not_in_catalog: list[str] = field(default_factory=list)
    n_uploaded: int = 0
    n_visits: int = 0
    n_seen_live: int = 0
    n_checkpoints: int = 0

    seconds_a_frame: list[float] = field(default_factory=list)

    @property
    def rate_hz(self) -> float:
        """Frames a second, pauses and faults and all."""
        return self.accounts.taken / self.taking_s

    @property
    def free_rate_hz(self) -> float:
        """Frames a second while nothing held up the camera: of half of them the rate was higher."""
        return 1 / statistics.median(self.seconds_a_frame)

    def problems(self, most_mb_a_minute: float = 1.0) -> list[str]:
        """What was not as promised."""
        found = [*self.accounts.unaccounted, *self.compared.differences[:20]]
        found += [f"the catalog lacks {run}" for run in self.not_in_catalog]
        if self.compared.n_untold:
            found.append(f"{self.compared.n_untold} shots have other settings than their run says")
        # sums, copies of them and frames are there or not there at rest: twice its error is chance
        if self.slope_mb_a_minute - 2 * self.slope_error > most_mb_a_minute:
            slope = f"{self.slope_mb_a_minute:.2f} +- {self.slope_error:.2f}"
            found.append(f"memory grows by {slope} MB a minute")
        return found


def soak(plan: Plan, folder: Path, tell: Callable[[str], object] = print) -> Report:
    """Do it all, in a new folder."""
    report, diary, gate = Report(), Diary(), Gate()
    with ExitStack() as stack:
        beamline = stack.enter_context(beamline_in(folder, plan.shape, plan.n_photons, plan.seed))
        catalog = SoakedCatalog(beamline, gate, is_served=plan.is_served)
        stack.callback(catalog.close)
        browsers = None
        if plan.has_browsers:
            from tests.soak.browsers import Browsers  # needs playwright and a Chromium

            browsers = Browsers(beamline, gate)
            stack.callback(browsers.close)
        memory = stack.enter_context(MemoryWatch(min(1.0, plan.seconds / 20)))
        who = {"settings": (Changes(beamline).actions, (0.5, 4.0))}
        if plan.has_faults:
            faults = Faults(beamline, gate, plan.scale).actions
            who["faults"] = ([*faults, *catalog.faults], (4.0, 12.0))
        if browsers is not None:
            who["browsers"] = (browsers.actions, (2.0, 8.0))
            who["page"] = (browsers.faults, (20.0, 60.0))
        meddlers = [
            Meddler(name, gate, diary, actions, (least * plan.scale, most * plan.scale), plan.seed)
            for name, (actions, (least, most)) in who.items()
        ]
        stack.enter_context(meddling(gate, meddlers))
        rng = random.Random(plan.seed)
        runs = []
        while report.taking_s < plan.seconds:
            _rest(beamline, browsers, report)
            with recorded(beamline, len(runs)) as found:
                _take(beamline, plan, rng, gate, memory, report, found)
            catalog.settle()
            runs += [taken.run for taken in found.runs]
            _look_at(beamline, plan, found, report)
            tell(_words(report))
        _rest(beamline, browsers, report)
        report.not_in_catalog = catalog.missing(runs)
        report.n_uploaded = catalog.n_uploaded
        report.n_checkpoints = beamline.keeper.n_written
        if browsers is not None:
            report.n_visits, report.n_seen_live = browsers.n_visits, browsers.n_seen_live
    report.peak_mb = memory.peak_mb
    after = [rest for rest in report.memory_mb if rest[0] >= plan.warm_up_s]
    report.slope_mb_a_minute, report.slope_error = slope_mb_a_minute(after)
    report.deeds = diary.counts()
    report.diary = [(deed.at_s, deed.name, deed.lasted_s) for deed in diary.deeds]
    report.failed_deeds = [f"{d.name}: {d.failure}" for d in diary.deeds if d.failure]
    return report


def _rest(beamline: Beamline, browsers: Any, report: Report) -> None:
    """Measure what stays in memory: nothing is in the sum, no page is there, nothing waits."""
    beamline.rest()
    if browsers is not None:
        browsers.rest()
    gc.collect()
    report.memory_mb.append((report.taking_s, resident_mb()))
    if browsers is not None:
        browsers.serve()


def _take(
    beamline: Beamline, plan: Plan, rng: random.Random, gate: Gate, memory: MemoryWatch,
    report: Report, found: Round,
) -> None:  # fmt: skip
    """Take the frames of a round, and wait until they are analysed."""
    begun = time.monotonic()
    memory.is_taking = True
    gate.open()
    for frames_per_event, n_events in _runs(plan, rng):
        found.runs.append(beamline.run(frames_per_event, n_events))
        if time.monotonic() - begun > plan.round_s:
            break
    gate.close()
    report.taking_s += time.monotonic() - begun
    beamline.live.wait()
    memory.is_taking = False
    report.analysing_s += time.monotonic() - begun


def _runs(plan: Plan, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Runs of one round: frames an event, and events."""
    left = plan.frames_a_round
    while left > 0:
        frames_per_event = rng.choice([1, 1, 1, 2, 5])
        n_frames = min(left, rng.randrange(plan.frames_a_round // 8, plan.frames_a_round // 2))
        yield frames_per_event, max(1, n_frames // frames_per_event)
        left -= n_frames


def _look_at(beamline: Beamline, plan: Plan, found: Round, report: Report) -> None:
    """Account for the shots of a round, replay it, and delete it."""
    derived = derived_rows(_lines(found.folder / "derived.jsonl"))
    cut = []
    for taken in found.runs:
        run = derived[taken.run]
        if run.exit_status == "fail" and taken.exit_status != "fail":
            cut.append(taken.run)
        report.seconds_a_frame += taken.seconds_a_frame
        _account(taken, run.n_shots, run.reason if taken.run in cut else "", report.accounts)
    report.accounts.n_cut += len(cut)
    found.write(beamline, cut)
    compared = _compared(found.folder, plan)
    for name, value in vars(compared).items():
        setattr(report.compared, name, getattr(report.compared, name) + value)
    if not compared.differences:
        found.delete(beamline)


def _account(taken: Taken, n_analysed: int, why_cut: str, accounts: Accounts) -> None:
    accounts.n_runs += 1
    accounts.taken += taken.n_named
    accounts.analysed += n_analysed
    accounts.of_no_event += taken.n_recorded - taken.n_named
    missing = taken.n_named - n_analysed
    if missing and not why_cut:
        accounts.unaccounted.append(f"run {taken.run}: {missing} shots of {taken.n_named}")
    else:
        accounts.missing += missing


def _compared(folder: Path, plan: Plan) -> Compared:
    if not plan.is_own_process:
        return compare(folder, folder / "clean")
    command = [sys.executable, "-m", "tests.soak.replaying", str(folder)]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    if done.returncode:
        return Compared(differences=[f"the clean replay of {folder} has failed: {done.stderr}"])
    return Compared(**json.loads(done.stdout.splitlines()[-1]))


def _lines(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    for line in path.read_text().splitlines():
        name, doc = json.loads(line)
        yield name, doc


def _words(report: Report) -> str:
    accounts, compared = report.accounts, report.compared
    return (
        f"{report.taking_s:5.0f} s: {accounts.taken} shots taken in {accounts.n_runs} runs "
        f"({report.rate_hz:.1f} Hz), {accounts.analysed} analysed, {accounts.missing} reported "
        f"missing, {len(accounts.unaccounted)} runs not accounted for; {compared.n_rows} rows and "
        f"{compared.n_photons} photons compared, {len(compared.differences)} differences, "
        f"{compared.n_raced} raced"
    )
