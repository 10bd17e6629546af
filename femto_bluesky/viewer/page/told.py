"""Lines of text below a form or a row of buttons."""

from __future__ import annotations

from html import escape
from typing import Any, Literal

from femto_bluesky.viewer.page.assets import asset

Tone = Literal["plain", "faint", "warning", "error"]


class Told:
    """Lines in which a part of the page says how things are; `view` is where they stand."""

    def __init__(self, name: str) -> None:
        import panel as pn

        self.view: Any = pn.pane.HTML(
            "", css_classes=[f"fb-{name}"], margin=(2, 0, 4, 0), sizing_mode="stretch_width",
            stylesheets=[asset("told.css")],
        )  # fmt: skip

    def tell(self, *lines: str) -> None:
        """Say these lines of HTML, and no others."""
        self.view.object = "<br>".join(lines)


def said(text: str, tone: Tone = "plain", hint: str = "") -> str:
    """A text as a piece of HTML; the hint is shown where the mouse rests."""
    title = f" title='{escape(hint, quote=True)}'" if hint else ""
    return f"<span class='{tone}'{title}>{escape(text)}</span>"
