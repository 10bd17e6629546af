"""The command in processes that have loaded all already: each is a fork, and can be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

MODULES = [
    "femto_bluesky.callbacks", "femto_bluesky.cli", "femto_bluesky.files.pictures", "matplotlib",
    "femto_bluesky.sources.replay", "femto_bluesky.viewer.server", "hdf5plugin", "panel", "zmq",
]  # fmt: skip


def run(given: list[str], log: str, every_s: float) -> None:
    """`femto-bluesky` with these arguments; a checkpoint is written at most so often."""
    from femto_bluesky.callbacks.checkpoints import Checkpoints
    from femto_bluesky.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(log).open("a", buffering=1) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
        Checkpoints.__init__.__kwdefaults__["every_s"] = every_s
        sys.argv = ["femto-bluesky", *given]
        main()


@contextmanager
def command(log: Path, every_s: float, *given: object) -> Iterator[BaseProcess]:
    """A process that runs the command; it is killed in the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*MODULES, __name__])
    process = context.Process(target=run, args=([*map(str, given)], str(log), every_s))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
