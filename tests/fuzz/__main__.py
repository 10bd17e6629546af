"""Fuzz the doors: `make fuzz`, or `python -m tests.fuzz [TARGET...] [--seconds 60]`.

Each target runs under atheris for so long. What leads where nothing led before is added to the kept
corpus, as far as it is small and there is room. At a finding it stops and says how to do it again:
`python -m tests.fuzz --replay TARGET FILE`.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from femto_bluesky.testing.hostile import LawBrokenError
from tests.fuzz.arcs import chosen
from tests.fuzz.targets import TARGETS, measured, one_input, warm

CORPUS = Path(__file__).parent / "corpus"
FINDINGS = Path("build") / "fuzz"
LARGEST_B = 1024
MOST = 48
"""Inputs that are kept for a target, beside those that once broke something."""


def kept(target: str) -> list[Path]:
    """The kept inputs of a target; those that broke something have names of their own."""
    return sorted((CORPUS / target).iterdir()) if (CORPUS / target).is_dir() else []


def main() -> int:
    """Do what the arguments say; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give one input to the target")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown or (given.replay and len(given.targets) != 1):
        parser.error(f"targets are {', '.join(TARGETS)}; --replay wants one of them")
    if given.replay:
        with TemporaryDirectory() as folder:
            print(measured(given.targets[0], given.replay.read_bytes(), Path(folder) / "a"))
        return 0
    return max(_fuzzed(target, given.seconds) for target in given.targets or TARGETS)


def _fuzzed(target: str, seconds: int) -> int:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    before = {*FINDINGS.glob(f"{target}-*")}
    with TemporaryDirectory() as folder:
        grown = Path(folder)
        for path in kept(target):
            (grown / path.name).write_bytes(path.read_bytes())
        for i in range(0 if kept(target) else 64):  # something to begin with
            (grown / f"{i}").write_bytes(Random(i).randbytes(2 << i % 7))
        said = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", target, str(grown),
             f"-artifact_prefix={FINDINGS}/{target}-", f"-max_total_time={seconds}",
             f"-max_len={LARGEST_B}", "-timeout=10", "-rss_limit_mb=3000", "-len_control=20",
             "-print_final_stats=1", "-verbosity=1"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        log = said.stdout.decode("utf-8", "replace")
        (FINDINGS / f"{target}.log").write_text(log)
        inputs = [path.read_bytes() for path in grown.iterdir()]
    n_runs = re.findall(r"(?:^#|units: )(\d+)", log, re.MULTILINE)
    edges = re.findall(r"cov: (\d+) ft: (\d+)", log)
    n_kept, n_arcs = _keep(target, inputs)
    print(
        f"{target}: {(n_runs or ['?'])[-1]} inputs, {(edges or [('?', '?')])[-1][0]} edges; "
        f"{n_kept} inputs are kept, which go {n_arcs} ways", flush=True,
    )  # fmt: skip
    if said.returncode:
        found = re.findall(r"Test unit written to (\S+)", log)
        found += sorted({*FINDINGS.glob(f"{target}-*")} - before)
        print(log[-3000:], f"it ended with {said.returncode}")
        for path in found:
            print(f"FOUND. Again: {sys.executable} -m tests.fuzz {target} --replay {path}")
    return int(said.returncode != 0)


def _keep(target: str, inputs: list[bytes]) -> tuple[int, int]:
    """Write what is worth keeping into the corpus: how many there are, how many ways they go."""
    logging.disable(logging.CRITICAL)

    def run(data: bytes) -> None:
        with suppress(LawBrokenError):
            one_input(target, data)

    warm(target)
    known = [path.read_bytes() for path in kept(target)]
    found, n_arcs = chosen([d for d in inputs if len(d) <= LARGEST_B], run, known, MOST)
    for data in found[len(known) :]:
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        (CORPUS / target / hashlib.sha1(data).hexdigest()[:12]).write_bytes(data)
    return len(found), n_arcs


if __name__ == "__main__":
    sys.exit(main())
