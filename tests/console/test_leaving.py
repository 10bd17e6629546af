"""A prompt is left: what is paused is stopped, whatever happens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import RunEngineInterrupted

from femto_bluesky.console import shell as shell_module
from femto_bluesky.console.shell import close_before_exit, wait_for_analyses
from femto_bluesky.testing.runs import run_engine


def shell_with(engine, left):
    return SimpleNamespace(user_ns={"RE": engine}, ask_exit=lambda: left.append("left"))


def test_a_scan_that_is_paused_is_stopped_when_the_prompt_is_left(caplog):
    names = []

    def paused():
        yield from bps.open_run()
        yield from bps.pause()
        yield from bps.close_run()

    with run_engine() as engine:
        engine.subscribe(lambda name, doc: names.append((name, doc.get("exit_status"))))
        with pytest.raises(RunEngineInterrupted):
            engine(paused())
        shell = shell_with(engine, names)
        close_before_exit(shell, lambda: names.append("closed"))
        shell.ask_exit()
        assert names == [("start", None), ("stop", "success"), "closed", "left"]
        assert engine.state == "idle"
        assert "A scan is paused; it is stopped now, as RE.stop() does" in caplog.text


def test_a_scan_that_cannot_be_stopped_keeps_nobody(caplog):
    def paused():
        try:
            yield from bps.open_run()
            yield from bps.pause()
        finally:
            raise OSError("the shutter")

    with run_engine() as engine:
        with pytest.raises(RunEngineInterrupted):
            engine(paused())
        left = []
        shell = shell_with(engine, left)
        close_before_exit(shell, lambda: None)
        shell.ask_exit()
        assert left == ["left"]
        assert "It did not stop well: OSError: the shutter" in caplog.text


class Slow:
    """An analysis that is behind so many times that it is asked."""

    def __init__(self, n_times):
        self.n_times, self.asked = n_times, []

    def wait(self, timeout_s=None):
        self.asked.append(timeout_s)
        self.n_times -= 1
        return self.n_times < 0

    def status(self):
        return "3 events and documents wait"


def test_a_line_waits_a_moment_for_the_analysis_and_the_end_for_all_of_it(caplog):
    told = {}
    events = SimpleNamespace(register=lambda when, function: told.update({when: function}))
    shell = SimpleNamespace(user_ns={}, ask_exit=lambda: None, events=events)
    slow = Slow(2)
    wait_for_analyses(shell, slow)
    told["post_run_cell"](None)
    assert slow.asked == [shell_module.PATIENCE_S]
    assert "live.wait() waits for it: 3 events and documents wait" in caplog.text
    shell.ask_exit()
    assert slow.asked == [shell_module.PATIENCE_S] * 2 + [None]
    assert "The last scan is analysed first" in caplog.text
    caplog.clear()
    told["post_run_cell"](None)
    assert caplog.text == ""
