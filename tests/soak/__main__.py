"""`python -m tests.soak --minutes 10 --seed 1`: see `soak`."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.soak.soak import Plan, Report, soak


def main() -> int:
    """Soak, print what came of it, and fail where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="so long frames are taken")
    parser.add_argument("--seed", type=int, default=1, help="what goes wrong, and when")
    parser.add_argument("--folder", type=Path, help="where files go meanwhile (5 GB)")
    parser.add_argument("--json", type=Path, help="write the report here, too")
    parser.add_argument("--no-browsers", action="store_true", help="without a page and Chromium")
    parser.add_argument("--no-faults", action="store_true", help="change settings only")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak_", dir=given.folder))
    logging.basicConfig(filename=folder / "log", level=logging.INFO)
    plan = Plan(
        60 * given.minutes, given.seed, has_browsers=not given.no_browsers,
        has_faults=not given.no_faults, warm_up_s=min(120.0, 60 * given.minutes / 4),
    )  # fmt: skip
    report = soak(plan, folder / "beamline", tell=lambda words: print(words, flush=True))
    print(words_of(report))
    if given.json:
        given.json.write_text(json.dumps(asdict(report)))
    problems = report.problems()
    if problems:
        print("\n".join(["", "NOT AS PROMISED:", *problems, f"kept: {folder}"]))
        return 1
    shutil.rmtree(folder)
    return 0


def words_of(report: Report) -> str:
    """The report as text."""
    accounts, compared = report.accounts, report.compared
    first, last = report.memory_mb[0][1], report.memory_mb[-1][1]
    lines = {
        "shots taken": f"{accounts.taken} in {accounts.n_runs} runs",
        "a second": f"{report.rate_hz:.2f} in {report.taking_s:.0f} s, pauses and faults and all; "
        f"{report.free_rate_hz:.2f} in the median, while the camera was free",
        "analysed": f"{accounts.analysed}, {accounts.analysed / report.analysing_s:.2f} a second",
        "reported missing": f"{accounts.missing}, of {accounts.n_cut} runs whose analysis failed",
        "unaccounted": f"{len(accounts.unaccounted)} runs",
        "of no event": f"{accounts.of_no_event} frames, of bursts broken off by a pause",
        "compared": f"{compared.n_rows} rows, {compared.n_photons} photons, {compared.n_sums} "
        f"sums, {compared.n_frames_known} frames by their stamps: {len(compared.differences)} "
        "differences",
        "settings": f"changed in the middle of the events of {compared.n_raced} shots; "
        f"{compared.n_untold} shots have others than their run says",
        "catalog": f"{len(report.not_in_catalog)} runs missing, {report.n_uploaded} taken after it "
        "had refused them",
        "page": f"{report.n_visits} visits, {report.n_seen_live} saw it live",
        "checkpoints": f"{report.n_checkpoints} of the sum",
        "memory": f"at rest {first:.0f} to {last:.0f} MB, slope "
        f"{report.slope_mb_a_minute:+.2f} +- {report.slope_error:.2f} MB "
        f"a minute after warm-up; {report.peak_mb:.0f} MB at most",
        "done meanwhile": ", ".join(f"{n} x {name}" for name, n in report.deeds.items()),
    }
    told = [f"{name:16}  {words}" for name, words in lines.items()]
    told += [f"could not be done: {failure}" for failure in report.failed_deeds[:10]]
    return "\n".join(["", *told])


if __name__ == "__main__":
    sys.exit(main())
