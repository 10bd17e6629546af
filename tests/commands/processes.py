"""Commands that run until somebody ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = ("-c", "from femto_bluesky.cli import main; main()")


@contextmanager
def started(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process of Python, and what it prints; it is ended."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"},
        # as at a terminal; a background job of a shell would ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    limit = threading.Timer(300, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str], words: str) -> str:
    """The next line that holds these words."""
    assert process.stdout is not None
    for text in process.stdout:
        if words in text:
            return text.strip()
    raise AssertionError(f"it ended and did not say {words!r}")
