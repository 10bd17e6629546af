"""Windows for plots, where there is a display."""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
"""What Qt is called in Python; matplotlib takes the first that is installed."""

INSTEAD = "show() writes pictures"


def start_windows(shell: Any) -> str:
    """Have IPython draw plots in windows, where that is possible; says in words what it is.

    Windows need a display and Qt: plans run in a thread of their own, and of the toolkits only Qt
    is driven by bluesky meanwhile. MPLBACKEND in the environment comes first. Where there are none,
    matplotlib draws into files. Call it before the RunEngine is made, which looks for Qt.
    """
    wanted = os.environ.get("MPLBACKEND", "").lower()
    if wanted and "qt" not in wanted:
        return f"no windows (MPLBACKEND={wanted}); {INSTEAD}"
    reason = _why_no_windows()
    if not reason:
        try:
            shell.enable_matplotlib("qt")
        except Exception:  # a display that was promised and is not there
            log.info("windows cannot be opened", exc_info=True)
            reason = "Qt cannot open the display"
        else:
            return "in windows"
    mpl.use("Agg")
    mpl.interactive(False)
    return f"no windows ({reason}); {INSTEAD}"


def _why_no_windows() -> str:
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform != "darwin" and not any(map(os.environ.get, names)):
        return "no display"
    if not any(map(find_spec, BINDINGS)):
        return "Qt is not installed: pip install PyQt6"
    return ""


def figure_in_window(name: str, size: tuple[float, float]) -> Figure | None:
    """An empty figure in the window of this name, opened where it is not; None without windows."""
    # whoever wants windows has imported pyplot: it chooses a display when it is imported
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.isinteractive():
        return None
    figure: Figure = pyplot.figure(name, figsize=size, layout="constrained", clear=True)
    return figure
