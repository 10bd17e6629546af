"""A prompt is left: what is paused is stopped, whatever happens."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import RunEngineInterrupted

from femto_bluesky.console.shell import close_before_exit
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
