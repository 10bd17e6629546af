from __future__ import annotations

import matplotlib as mpl
import pytest

from femto_bluesky.console.windows import figure_in_window, start_windows


class Shell:
    """What IPython is asked for windows."""

    def __init__(self, failure=None):
        self.asked = []
        self._failure = failure

    def enable_matplotlib(self, gui):
        self.asked.append(gui)
        if self._failure:
            raise self._failure


@pytest.fixture
def no_display(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_display_there_are_no_windows(no_display):
    shell = Shell()
    assert start_windows(shell) == "no windows (no display); show() writes pictures"
    assert shell.asked == []
    assert mpl.get_backend().lower() == "agg"
    assert figure_in_window("a", (3, 3)) is None


def test_a_backend_that_was_chosen_stays(no_display):
    no_display.setenv("MPLBACKEND", "Agg")
    assert start_windows(Shell()) == "no windows (MPLBACKEND=agg); show() writes pictures"


def test_windows_need_qt_and_a_display_that_opens(no_display):
    no_display.setenv("DISPLAY", ":9")
    no_display.setattr("femto_bluesky.console.windows.find_spec", lambda name: None)
    assert "Qt is not installed: pip install PyQt6" in start_windows(Shell())
    no_display.setattr("femto_bluesky.console.windows.find_spec", lambda name: name)
    assert start_windows(Shell()) == "in windows"
    assert "Qt cannot open the display" in start_windows(Shell(ImportError("headless")))
