"""The sum of the shown detector: start, stop, reset, undo, and how much is in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from femto_bluesky.callbacks.accumulation import Accumulation
from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.page.told import Told, said

SHOW_S: Final = 0.25
"""No more often are numbers shown anew for new frames alone."""

STOP, START = "Stop sum", "Start sum"
"""The scan is neither stopped nor started from here: only what is added up."""


class AccumulatingPanel:
    """Which detector is shown, and what happens to its sum.

    Each detector's sum is started, stopped and begun anew on its own. A reset asks nothing, for
    it can be undone.
    """

    def __init__(self, session: Session) -> None:
        import panel as pn

        self._session = session
        self._is_filling = False
        self._due = 0.0
        self._detector = pn.widgets.Select(
            label="Detector", options=[], visible=False, margin=(0, 0, 6, 0),
            sizing_mode="stretch_width", css_classes=["fb-detector"],
        )  # fmt: skip
        self._detector.param.watch(self._choose, "value")
        self._toggle = self._button(
            STOP, "accumulate", self._press_toggle,
            "Stopped, the sum stays as it is, and the newest frame is shown (key a)",
        )  # fmt: skip
        self._reset = self._button(
            "Reset", "reset", lambda: self._do(Accumulation.reset),
            "Begin the sum anew, and its I(q) with it; this can be undone (key r)",
        )  # fmt: skip
        self._undo = self._button(
            "Undo", "undo-reset", lambda: self._do(Accumulation.undo_reset),
            "Bring back the sum before the last reset; what came since is added to it (key u)",
        )  # fmt: skip
        self._told = Told("sum")
        self.view: Any = pn.Column(
            self._detector,
            pn.Row(
                self._toggle, self._reset, self._undo, margin=0, sizing_mode="stretch_width",
                styles={"gap": "6px"},
            ),
            self._told.view,
            margin=0, sizing_mode="stretch_width",
        )  # fmt: skip
        session.shortcuts.add("a", "stop adding frames to the sum, or start", self._press_toggle)
        session.shortcuts.add(
            "r", "reset: begin the sum anew", lambda: self._do(Accumulation.reset)
        )
        session.shortcuts.add("u", "undo the reset", lambda: self._do(Accumulation.undo_reset))
        session.on_choice.append(self.show)
        self.show()

    def refresh(self, news: frozenset[News]) -> None:
        """Show the state anew."""
        # numbers that change faster cannot be read, and the pulse shows the last of them
        is_due = time.monotonic() >= self._due and "image" in news
        if is_due or news & {"settings", "pulse"}:
            self._due = time.monotonic() + SHOW_S
            self.show()

    def show(self) -> None:
        """Show the sum of the shown detector as it is."""
        session, found = self._session, self._found
        may = session.may_change and found is not None
        is_adding = found is None or found.settings.accumulating
        self._toggle.label = STOP if is_adding else START
        self._toggle.button_type = "default" if is_adding else "warning"
        self._toggle.disabled = self._reset.disabled = not may
        self._undo.disabled = not (may and found is not None and found.can_undo)
        self._told.tell(*in_words(found, time.time()))
        self._is_filling = True
        self._detector.options = session.detectors
        self._detector.value = session.detector if session.detectors else None
        self._detector.visible = len(session.detectors) > 1
        self._is_filling = False

    @property
    def _found(self) -> Accumulation | None:
        return self._session.live.accumulations.of.get(self._session.detector or "")

    def _button(self, label: str, name: str, action: Callable[[], None], hint: str) -> Any:
        import panel as pn

        button = pn.widgets.Button(
            label=label, description=hint, css_classes=[f"fb-{name}"], margin=0,
            sizing_mode="stretch_width", min_width=50, height=24,
        )  # fmt: skip
        button.on_click(lambda _: action())
        return button

    def _do(self, action: Callable[[Accumulation], None]) -> None:
        found = self._found
        if found is not None:
            self._session.act(partial(self._session.hub.do, partial(action, found)))

    def _press_toggle(self) -> None:
        # what the button says, not what the state is meanwhile
        self._do(Accumulation.start if self._toggle.label == START else Accumulation.stop)

    def _choose(self, event: Any) -> None:
        if not self._is_filling and event.new:
            self._session.choose(detector=event.new)


def in_words(found: Accumulation | None, now: float) -> list[str]:
    """What is in a sum, as lines of HTML."""
    if found is None:
        return [said("no frames yet", "faint")]
    extent = found.extent
    runs = f"{extent.n_runs} run{'s' * (extent.n_runs != 1)}"
    frames = f"{extent.n_frames} frame{'s' * (extent.n_frames != 1)}"
    lines = []
    if not found.settings.accumulating:
        lines.append(said("stopped: new frames are shown and not added", "warning"))
    if extent.since is None:
        lines.append(said("no frames in the sum"))
    else:
        kept = "" if found.settings.accumulating else " kept"
        lines.append(f"sum of <b>{frames}</b>{kept}, {runs}")
        lines.append(said(f"since {_clock(extent.since, now)}", "faint"))
    if found.why_reset:
        lines.append(said(found.why_reset, "faint"))
    return lines


def _clock(at: float, now: float) -> str:
    """The time of day, and the day where that is another one."""
    when = time.localtime(at)
    is_today = time.localtime(now)[:3] == when[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", when)
