"""The top line: which run, how it does, and what this browser has chosen for itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from femto_bluesky.viewer.hub import News
from femto_bluesky.viewer.page.messages import Messages
from femto_bluesky.viewer.page.session import Session
from femto_bluesky.viewer.vitals import Vitals, duration

SLOW_S: Final = 5.0
"""Scans slower than this are told by the time between two steps, not by their rate."""

DRAWN_OVER_S: Final = 5.0

IDLE_S: Final = 2.0
"""Where no picture has been shown for so long, there is no rate to be told."""


class Header:
    """The run, the state of the analysis, its rate, and switches; messages come up below it."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        import panel as pn

        self._session, self._clock = session, clock
        self._drawn: deque[tuple[float, int]] = deque(maxlen=32)
        self._run = pn.pane.HTML("", css_classes=["fb-run"], margin=0)
        self._state = pn.pane.HTML("", css_classes=["fb-state"], margin=0)
        self._pause = pn.widgets.Toggle(
            label="Pause", css_classes=["fb-pause"], margin=(0, 0, 0, 8), width=84
        )
        self._dark = pn.widgets.Toggle(
            label="Dark", css_classes=["fb-dark-mode", "fb-bare"], margin=(0, 0, 0, 4), width=52
        )
        about = pn.widgets.Button(
            label="?", css_classes=["fb-show-help", "fb-bare"], margin=(0, 0, 0, 2), width=28
        )
        self._messages = Messages(session, clock)
        self.view: Any = pn.Row(
            pn.pane.HTML("<b>femto_bluesky</b>", css_classes=["fb-brand"], margin=0),
            self._run, self._state, self._pause, self._dark, about, self._messages.view,
            css_classes=["fb-header"], sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._pause.param.watch(lambda event: self._choose(is_paused=event.new), "value")
        self._dark.param.watch(lambda event: self._choose(is_dark=event.new), "value")
        session.on_choice.append(self._show_choices)
        session.shortcuts.add("p", "pause the display, or let it go on", self._toggle_pause)
        session.shortcuts.add("d", "dark or light", self._toggle_dark)
        self.refresh(frozenset({"pulse"}))

    def refresh(self, news: frozenset[News]) -> None:
        """Show the state anew."""
        if "pulse" in news:
            hub = self._session.hub
            vitals = hub.vitals()
            self._run.object = run_in_words(vitals.run)
            self._state.object = " ".join(
                [pill(vitals), *facts(vitals, self._display_hz(), hub.n_watchers)]
            )
            self._messages.refresh(news)

    def _choose(self, **choice: bool) -> None:
        (name, value) = next(iter(choice.items()))
        if getattr(self._session, name) != value:
            self._session.choose(**choice)

    def _toggle_pause(self) -> None:
        self._session.choose(is_paused=not self._session.is_paused)

    def _toggle_dark(self) -> None:
        self._session.choose(is_dark=not self._session.is_dark)

    def _show_choices(self) -> None:
        session = self._session
        self._pause.value, self._dark.value = session.is_paused, session.is_dark
        self._pause.label = "PAUSED" if session.is_paused else "Pause"

    def _display_hz(self) -> float | None:
        """Pictures a second that this browser has shown; None where too few have been lately.

        The one that a page shows when it is opened is no rate.
        """
        now, n = self._clock(), self._session.n_drawn
        self._drawn.append((now, n))
        while self._drawn[0][0] < now - DRAWN_OVER_S:
            self._drawn.popleft()
        first, n_first = self._drawn[0]
        lately = next(shown for at, shown in self._drawn if at >= now - IDLE_S)
        is_going_on = n > lately and n > n_first + 1
        return (n - n_first) / (now - first) if is_going_on else None


def run_in_words(start: Mapping[str, Any]) -> str:
    """A run as HTML: its number, what was done, along which motors, of which sample."""
    if not start:
        return "<span class='faint'>no run yet</span>"
    number = start.get("scan_id")
    name = f"scan {number}" if number is not None else f"run {str(start.get('uid', ''))[:8]}"
    details = [str(start.get("plan_name") or "")]
    motors = start.get("motors")
    if isinstance(motors, list | tuple) and motors:
        details[0] = " ".join([details[0], *map(str, motors)]).strip()
    sample = start.get("sample_name", start.get("sample", ""))
    if isinstance(sample, Mapping):
        sample = sample.get("name", "")
    details.append(str(sample or ""))
    told = escape(" · ".join(filter(None, details)))
    whole = escape(f"{name} · {start.get('uid', '')}", quote=True)
    return f"<b title='{whole}'>{escape(name)}</b> <span title='{told}'>{told}</span>"


def pill(vitals: Vitals) -> str:
    """The state as HTML, with the reason where the mouse rests."""
    why = escape(vitals.why, quote=True)
    return f"<span class='pill {vitals.state}' title='{why}'>{vitals.state}</span>"


def facts(vitals: Vitals, display_hz: float | None, n_browsers: int) -> list[str]:
    """What is known of the rate, each as HTML; what says nothing is left out."""
    found = []
    every = vitals.every_s
    if every is not None and every > SLOW_S:
        found.append(_fact("rate", f"a step in {duration(every)}", "time from step to step"))
    elif vitals.state != "waiting":
        found.append(_fact("rate", f"{vitals.rate_hz:.3g} shots/s", "frames that are analysed"))
    if vitals.is_replayed:
        age = duration(vitals.latency_s or 0.0)
        found.append(_fact("latency", "replayed", f"an old recording: shots of {age} ago"))
    elif vitals.latency_s is not None and vitals.latency_s < -1:
        ahead = duration(-vitals.latency_s)
        found.append(
            _fact("latency", f"clocks {ahead} apart", "shots seem to come before they were taken")
        )
    elif vitals.latency_s is not None and vitals.state in ("live", "late"):
        late = duration(max(0.0, vitals.latency_s))
        found.append(_fact("latency", f"{late} late", "from the shot's time to its analysis"))
    if display_hz is not None:
        found.append(_fact("display", f"{display_hz:.3g} images/s", "shown by this browser"))
    if vitals.n_waiting:
        tip = "events and documents that have come and are not analysed yet; none is left out"
        found.append(_fact("behind", f"{vitals.n_waiting} wait", tip))
    if vitals.problem:
        found.append(_fact("problem", "not written", vitals.problem))
    if vitals.n_lost:
        words = f"{vitals.n_lost} lost"
        found.append(_fact("lost", words, "events that have not come, by their numbers"))
    if n_browsers > 1:
        found.append(_fact("browsers", f"{n_browsers} browsers", "that watch now"))
    return found


def _fact(name: str, text: str, tip: str) -> str:
    return f"<span class='fact {name}' title='{escape(tip, quote=True)}'>{escape(text)}</span>"
