"""The top line: which run, how it does, and what there is to say."""

from __future__ import annotations

from html import escape
from typing import Any

from femto_bluesky.viewer.hub import News, Vitals
from femto_bluesky.viewer.page.session import Session, Tone


class Header:
    """The run, the state of the analysis, its rate, and a line for messages."""

    def __init__(self, session: Session) -> None:
        import panel as pn

        self._session = session
        self._run = pn.pane.HTML("", css_classes=["fb-run"], margin=0)
        self._state = pn.pane.HTML("", css_classes=["fb-state"], margin=0)
        self._message = pn.pane.HTML("", css_classes=["fb-message"], margin=0)
        self.view: Any = pn.Row(
            pn.pane.HTML("<b class='brand'>femto_bluesky</b>", margin=0),
            self._run, self._state, self._message, pn.layout.HSpacer(),
            css_classes=["fb-header"], sizing_mode="stretch_width", align="center",
        )  # fmt: skip
        session.on_message.append(self._say)

    def refresh(self, news: frozenset[News]) -> None:
        """Show the state anew."""
        if "pulse" in news:
            vitals = self._session.hub.vitals()
            self._run.object = escape(_run(vitals))
            self._state.object = _state(vitals)

    def _say(self, text: str, tone: Tone) -> None:
        self._message.object = f"<span class='tone {tone}'>{escape(text)}</span>"


def _run(vitals: Vitals) -> str:
    if not vitals.run:
        return "no run yet"
    number = vitals.run.get("scan_id", str(vitals.run.get("uid", ""))[:8])
    return f"scan {number}, {vitals.run.get('plan_name', 'run')}"


def _state(vitals: Vitals) -> str:
    return (
        f"<span class='pill {vitals.state}' title='{escape(vitals.why, quote=True)}'>"
        f"{vitals.state}</span> {vitals.rate_hz:.3g} shots/s"
    )
