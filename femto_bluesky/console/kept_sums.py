"""The running sums of a prompt: kept on disk, and brought back at the next start."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.callbacks.checkpoints import Checkpoints, RestoreError
from femto_bluesky.console.settings import BeamlineSettings

log = logging.getLogger(__name__)

FOLDER = "sums"


def keep_sums(
    live: LiveAnalysis, settings: BeamlineSettings, ask: Callable[[str], str] | None = None
) -> Checkpoints:
    """Keep the sums from now on; those that were kept before come back as the settings want it.

    `ask` is given a question and returns what is typed (None: nobody is there to be asked, where
    the standard input is no terminal). What is not restored stays on the disk.
    """
    keeper = Checkpoints(live, settings.folder(FOLDER))
    if ask is None and sys.stdin is not None and sys.stdin.isatty():
        ask = input
    try:
        if settings.restore == "always":
            for one in keeper.restore():
                log.info("restored: %s", one)
        elif settings.restore == "ask" and ask is not None:
            _ask(keeper, ask)
    except (RestoreError, OSError) as error:
        log.error("no sum is restored: %s", error)
    return keeper.start()


def _ask(keeper: Checkpoints, ask: Callable[[str], str]) -> None:
    found = keeper.found()
    # those of a prompt that is open beside this one are not to be had
    if not found or not keeper.hold():
        return
    lines = ["Sums of the prompt before:"]
    for one in found:
        lines.append(f"  {one}")
        lines += [f"    made with other settings: {words}" for words in one.differences]
    try:
        answer = ask("\n".join([*lines, "Add the next frames to them? [y/N] "]))
    except (EOFError, KeyboardInterrupt):
        return
    if answer.strip().lower() in ("y", "yes"):
        keeper.restore(other_settings=True)  # they have been told
