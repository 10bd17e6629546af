"""The prompt is killed, and the next one goes on with its sums."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pexpect
import pytest

from tests.catalogs import need_a_catalog
from tests.profiles.prompt import PROMPT, TIMEOUT_S, Prompt, prompt, write_settings

QUESTION = r"Add the next frames to them\? \[y/N\] "


class Answering(Prompt):
    """A prompt to whose question the answer is yes; `asked` is what came before it."""

    asked = ""

    def wait(self) -> str:
        if not self.asked:
            assert self.child.expect([QUESTION, PROMPT, pexpect.EOF]) == 0, self.child.before
            self.asked = str(self.child.before)
            self.child.sendline("y")
        return super().wait()


@pytest.mark.long
def test_the_sums_of_a_prompt_that_was_killed_come_back(tmp_path: Path) -> None:
    need_a_catalog()
    settings = write_settings(tmp_path, restore="ask")
    with prompt("simulated", settings) as first:
        assert "Sums of the prompt before" not in first.greeting
        first.say("RE(burst_scan([pilatus], delay, -1, 3, num=3, frames=4))")
        ends = time.monotonic() + TIMEOUT_S
        while first.value("len(sums.keeper.found()) == 1 and not sums.keeper.problem") != "True":
            assert time.monotonic() < ends
        # the newest state, when it is due
        first.say("sums.keeper._cost.due = 0; import time; time.sleep(2)")
        line = first.value("list_sums()")
        first.child.kill(signal.SIGKILL)
    second = Answering("simulated", settings)
    try:
        assert "pilatus: 12 frames of 1 run, from 20" in second.asked
        assert second.value("list_sums()") == line
        second.say("RE(burst_scan([pilatus], delay, -1, 3, num=3, frames=4))")
        assert re.match("pilatus +24 frames of 2 runs, adding", second.value("list_sums()"))
        second.leave()
    finally:
        second.child.close(force=True)
    third = Answering("simulated", settings)
    try:  # what was added last is kept when the prompt is left
        assert "pilatus: 24 frames of 2 runs, from 20" in third.asked
    finally:
        third.child.close(force=True)
