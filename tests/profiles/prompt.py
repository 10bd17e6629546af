"""A real IPython, started with a profile and driven through a terminal."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import yaml

HOUSE = Path(__file__).parents[2]
PROMPT = r"In \[\d+\]: "
TIMEOUT_S = 120

QUIET = ("--simple-prompt", "--colors=nocolor", "--HistoryManager.enabled=False")
"""A prompt that a program can read, and that leaves no history."""

SMALL: dict[str, Any] = {
    "beamline": "a small one",
    "rois": {"ring 1": {"x0": 28, "y0": 30, "x1": 40, "y1": 60, "detector": "pilatus"}},
    "restore": "never",  # nothing is asked at a start; one test answers
    "page": None,  # each takes a second of the processor; one test has it
    "simulation": {
        "cameras": {
            "pilatus": {"kind": "pilatus", "shape": [100, 140]},
            "andor3_zyla10": {"kind": "zyla", "shape": [64, 80]},
            "andor3_balor1": {"kind": "balor", "shape": [96, 128]},
        },
        "motors": ["delay", "sample_y"],
    },
}


class Prompt:
    """An IPython that waits for what is typed."""

    def __init__(self, profile: str, settings: Path, **environment: str) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", f"--profile-dir={HOUSE / 'profiles' / profile}", *QUIET],
            env={
                **os.environ,
                "MPLBACKEND": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": "",
                "TERM": "dumb", "PYTHONPATH": str(HOUSE), "PYTHONWARNINGS": "default",
                "PYTHONFAULTHANDLER": "1",
                "FEMTO_BLUESKY_SETTINGS": str(settings), **environment,
            },
            cwd=settings.parent, encoding="utf-8", timeout=TIMEOUT_S, dimensions=(60, 220),
            # a shell has its background jobs ignore Ctrl-C, and so would their children
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        self.greeting = self.wait()

    def wait(self) -> str:
        """What was printed until the next prompt."""
        if self.child.expect([PROMPT, pexpect.EOF]) == 1:
            self.child.close()
            raise AssertionError(
                f"the prompt is gone, signal {self.child.signalstatus}:\n{self.child.before}"
            )
        return str(self.child.before)

    def say(self, line: str) -> str:
        """What is printed in answer to a line."""
        self.child.sendline(line)
        return self.wait()

    def value(self, expression: str) -> str:
        """What an expression is shown as."""
        found = re.search(r"Out\[\d+\]:\s*(.*)", self.say(expression), re.DOTALL)
        assert found, self.child.before
        return found[1].strip()

    def interrupt(self) -> str:
        """Press Ctrl-C until the prompt is there; what was printed.

        The first one is waited for at the next checkpoint; one that comes within 0.1 s of the
        start of the plan counts for nothing (`bluesky.utils.SigintHandler`).
        """
        for _ in range(TIMEOUT_S // 2):
            self.child.sendintr()
            if self.child.expect([PROMPT, pexpect.TIMEOUT], timeout=2) == 0:
                return str(self.child.before)
        raise AssertionError(f"it did not pause: {self.child.before}")

    def leave(self) -> str:
        """Type exit; what is printed until the process has ended well."""
        self.child.sendline("exit")
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == 0, self.child.before
        return str(self.child.before)


@contextmanager
def prompt(profile: str, settings: Path, **environment: str) -> Iterator[Prompt]:
    """A prompt that is gone at the end."""
    started = Prompt(profile, settings, **environment)
    try:
        yield started
    finally:
        if started.child.isalive():
            started.child.kill(signal.SIGKILL)
            started.child.wait()
        started.child.close()


def write_settings(folder: Path, **changes: Any) -> Path:
    """A settings file of a small simulated beamline, whose files are in the same folder."""
    path = folder / "beamline.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "directory": str(folder / "data"), **changes}))
    return path
